//! The file as it is written, before anything is checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::InputSpec;
use super::time::Time;
use crate::tenant::Period;
use crate::workflow::{Exhausted, Join, OnUnavailable};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) workflow: RawWorkflow,
    #[serde(default)]
    pub(super) input: BTreeMap<String, RawInput>,
    #[serde(default)]
    pub(super) agents: BTreeMap<Spanned<String>, Spanned<RawAgent>>,
    #[serde(default)]
    pub(super) pools: BTreeMap<Spanned<String>, RawPool>,
    #[serde(default)]
    pub(super) tenants: BTreeMap<String, RawTenant>,
    #[serde(default)]
    pub(super) mcp: BTreeMap<Spanned<String>, Spanned<RawMcpServer>>,
    #[serde(default)]
    pub(super) step: Vec<RawStep>,
}

impl RawFile {
    /// The kind of an agent, if there is one of this name.
    pub(super) fn kind_of(&self, name: &str) -> Option<&str> {
        let (_, agent) = self.agents.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(agent.get_ref().kind.get_ref())
    }

    pub(super) fn has_agent(&self, name: &str) -> bool {
        self.agents.keys().any(|key| key.get_ref() == name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkflow {
    pub(super) name: Spanned<String>,
    pub(super) description: Option<String>,
    pub(super) objective: Option<Spanned<Time>>,
    pub(super) budget: Option<Spanned<RawAllowance>>,
    #[serde(default)]
    pub(super) outputs: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) reports: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInput {
    default: Option<String>,
    #[serde(default)]
    directory: bool,
    description: Option<String>,
}

impl RawInput {
    pub(super) fn is_directory(&self) -> bool {
        self.directory
    }

    pub(super) fn spec(&self, name: &str) -> InputSpec {
        InputSpec {
            name: name.to_owned(),
            default: self.default.clone(),
            is_directory: self.directory,
            description: self.description.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgent {
    pub(super) kind: Spanned<String>,
    // kind = "command"
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) dir: Option<Spanned<String>>,
    pub(super) env: Option<Spanned<BTreeMap<String, String>>>,
    pub(super) output: Option<Spanned<String>>,
    pub(super) max_output_bytes: Option<Spanned<usize>>,
    // kind = "rust"
    pub(super) function: Option<Spanned<String>>,
    // kind = "http"
    pub(super) url: Option<Spanned<String>>,
    pub(super) url_env: Option<Spanned<String>>,
    pub(super) method: Option<Spanned<String>>,
    pub(super) bearer_env: Option<Spanned<String>>,
    // kind = "openai"
    pub(super) model: Option<Spanned<String>>,
    pub(super) base_url: Option<Spanned<String>>,
    pub(super) base_url_env: Option<Spanned<String>>,
    pub(super) api_key_env: Option<Spanned<String>>,
    pub(super) system: Option<Spanned<String>>,
    pub(super) prompt: Option<Spanned<String>>,
    pub(super) max_tokens: Option<Spanned<u64>>,
    pub(super) max_completion_tokens: Option<Spanned<u64>>,
    pub(super) parameters: Option<Spanned<toml::Table>>,
    pub(super) tools: Option<Spanned<Vec<RawTool>>>,
    pub(super) streaming: Option<Spanned<bool>>,
    pub(super) dollars_per_million_tokens: Option<Spanned<RawPrice>>,
    pub(super) first_token_timeout: Option<Spanned<Time>>,
    // kind = "http" and kind = "openai"
    pub(super) headers: Option<Spanned<BTreeMap<Spanned<String>, String>>>,
    pub(super) headers_env: Option<Spanned<BTreeMap<String, Spanned<String>>>>,
    pub(super) certificates: Option<Spanned<String>>,
    pub(super) redirects: Option<Spanned<String>>,
    pub(super) connect_timeout: Option<Spanned<Time>>,
    pub(super) first_byte_timeout: Option<Spanned<Time>>,
    pub(super) idle_timeout: Option<Spanned<Time>>,
    pub(super) total_timeout: Option<Spanned<Time>>,
    pub(super) max_body_bytes: Option<Spanned<usize>>,
    // kind = "failover"
    pub(super) targets: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) weights: Option<Spanned<Vec<u32>>>,
    pub(super) only_if_not_run: Option<Spanned<bool>>,
    // kind = "mcp"
    pub(super) server: Option<Spanned<String>>,
    pub(super) tool: Option<Spanned<String>>,
    pub(super) arguments: Option<Spanned<toml::Table>>,
    // nowhere: a key is told so
    pub(super) api_key: Option<Spanned<toml::Value>>,
    pub(super) bearer: Option<Spanned<toml::Value>>,
    // any kind
    pub(super) input_schema: Option<toml::Value>,
    pub(super) output_schema: Option<toml::Value>,
    pub(super) fallback: Option<Spanned<String>>,
    pub(super) preset: Option<Spanned<String>>,
    pub(super) recovery_objective: Option<Spanned<Time>>,
    pub(super) attempt_timeout: Option<Spanned<Time>>,
    pub(super) max_attempts: Option<Spanned<u32>>,
    pub(super) retry_base: Option<Spanned<Time>>,
    pub(super) retry_cap: Option<Spanned<Time>>,
    pub(super) consecutive_failures: Option<Spanned<u32>>,
    pub(super) window_size: Option<Spanned<u32>>,
    pub(super) minimum_number_of_calls: Option<Spanned<u32>>,
    pub(super) failure_rate_threshold: Option<Spanned<f64>>,
    pub(super) wait_duration_in_open: Option<Spanned<Time>>,
    pub(super) max_wait_duration_in_open: Option<Spanned<Time>>,
    pub(super) successes_to_close: Option<Spanned<u32>>,
    pub(super) max_concurrent_probes: Option<Spanned<u32>>,
    pub(super) max_concurrent_calls: Option<Spanned<usize>>,
    pub(super) max_wait: Option<Spanned<Time>>,
    pub(super) budget: Option<Spanned<RawBudget>>,
    pub(super) pool: Option<Spanned<String>>,
    pub(super) max_silence: Option<Spanned<Time>>,
    pub(super) retry_ratio: Option<Spanned<f64>>,
    pub(super) retry_reserve: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMcpServer {
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) dir: Option<Spanned<String>>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) url_env: Option<Spanned<String>>,
    pub(super) bearer_env: Option<Spanned<String>>,
    pub(super) headers_env: Option<BTreeMap<String, Spanned<String>>>,
    pub(super) breaker: Option<Spanned<RawBreaker>>,
}

/// The breaker of what agents share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBreaker {
    pub(super) preset: Option<Spanned<String>>,
    pub(super) recovery_objective: Option<Spanned<Time>>,
    pub(super) probe_deadline: Option<Spanned<Time>>,
    pub(super) consecutive_failures: Option<Spanned<u32>>,
    pub(super) window_size: Option<Spanned<u32>>,
    pub(super) minimum_number_of_calls: Option<Spanned<u32>>,
    pub(super) failure_rate_threshold: Option<Spanned<f64>>,
    pub(super) wait_duration_in_open: Option<Spanned<Time>>,
    pub(super) max_wait_duration_in_open: Option<Spanned<Time>>,
    pub(super) successes_to_close: Option<Spanned<u32>>,
    pub(super) max_concurrent_probes: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPool {
    pub(super) max_concurrent_calls: Spanned<usize>,
    pub(super) max_wait: Option<Spanned<Time>>,
    pub(super) max_queue: Option<Spanned<usize>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    pub(super) budget: Spanned<RawTenantBudget>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenantBudget {
    pub(super) tokens: Option<u64>,
    pub(super) dollars: Option<f64>,
    #[serde(default)]
    pub(super) per: Period,
}

/// What a whole run may cost.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAllowance {
    pub(super) tokens: Option<u64>,
    pub(super) dollars: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBudget {
    pub(super) window: Option<Time>,
    pub(super) tokens: Option<u64>,
    pub(super) dollars: Option<f64>,
    pub(super) total_tokens: Option<u64>,
    pub(super) total_dollars: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTool {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) parameters: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrice {
    pub(super) input: f64,
    pub(super) output: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) name: Spanned<String>,
    pub(super) agent: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) requires: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) optional: Vec<Spanned<String>>,
    pub(super) on_unavailable: Option<Spanned<RawPolicy>>,
    pub(super) join: Option<Spanned<Join>>,
    #[serde(default)]
    pub(super) when: Vec<Spanned<RawCondition>>,
    pub(super) map: Option<Spanned<RawMap>>,
    pub(super) repeat: Option<Spanned<RawRepeat>>,
    pub(super) approval: Option<Spanned<RawApproval>>,
    pub(super) workflow: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) input: BTreeMap<Spanned<String>, Spanned<RawFeed>>,
}

/// Where an input of an inner workflow is from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFeed {
    pub(super) step: Option<Spanned<String>>,
    pub(super) at: Option<Spanned<String>>,
    pub(super) input: Option<Spanned<String>>,
    pub(super) value: Option<toml::Value>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawPolicy {
    Wait,
    Fail,
    Skip,
    LastGood(Time),
}

impl From<RawPolicy> for OnUnavailable {
    fn from(raw: RawPolicy) -> Self {
        match raw {
            RawPolicy::Wait => Self::Wait,
            RawPolicy::Fail => Self::Fail,
            RawPolicy::Skip => Self::Skip,
            RawPolicy::LastGood(Time(max_age)) => Self::last_good(max_age),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApproval {
    pub(super) prompt: String,
    pub(super) expires: Option<Spanned<Time>>,
    pub(super) fallback: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMap {
    pub(super) step: Spanned<String>,
    pub(super) at: Option<Spanned<String>>,
    pub(super) concurrency: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRepeat {
    pub(super) until: Spanned<RawCondition>,
    pub(super) at_most: Spanned<u32>,
    pub(super) exhausted: Option<Exhausted>,
}

/// What is asked of a place in an output; `step` names whose, where that is not clear.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCondition {
    pub(super) step: Option<Spanned<String>>,
    pub(super) at: Option<Spanned<String>>,
    pub(super) exists: Option<bool>,
    pub(super) equals: Option<toml::Value>,
    pub(super) not_equals: Option<toml::Value>,
    pub(super) one_of: Option<Vec<toml::Value>>,
    pub(super) greater: Option<toml::Value>,
    pub(super) at_least: Option<toml::Value>,
    pub(super) less: Option<toml::Value>,
    pub(super) at_most: Option<toml::Value>,
}
