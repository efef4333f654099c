//! The agents that are models.

use std::sync::Arc;
use std::time::Duration;

use fusebox::Breaker;
use fusebox::agent::{Failover, Guard};
use fusebox::endpoints::{OpenAiAgent, OpenAiAgentBuilder, Secret, SetupError, Tool, WireLimits};
use fusebox::policy::Policy;
use serde_json::{Value, json};

/// Where a model is asked, and the breaker of all who ask it there.
#[derive(Debug, Clone)]
pub struct Target {
    /// The model's name at its API.
    pub model: String,
    /// Below it there is `chat/completions`.
    pub base_url: String,
    /// The key, if one is needed.
    pub key: Option<Secret>,
    /// Shared by the agents that ask this model here: what one of them meets spares the others.
    pub breaker: Breaker,
}

/// How long a model may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) limits: WireLimits,
    pub(crate) attempt: Duration,
}

/// Sorts the ticket. The schema is sent along and checked at each target.
pub(crate) fn triage(targets: &[Target], patience: Patience) -> Result<Failover, SetupError> {
    let schema = json!({
        "type": "object",
        "required": ["category", "urgent"],
        "properties": {
            "category": {"enum": ["billing", "outage", "question"]},
            "urgent": {"type": "boolean"},
        },
    });
    of_targets("triage", targets, patience, |agent| {
        agent
            .system("You sort support tickets.")
            .prompt("Sort this ticket: {/input/ticket}")
            .output_schema(schema.clone())
            .max_tokens(48)
    })
}

/// Picks a team, by calling a tool: what the reply holds is checked in [`team`].
pub(crate) fn supervisor(targets: &[Target], patience: Patience) -> Result<Failover, SetupError> {
    let arguments = json!({
        "type": "object",
        "required": ["team"],
        "properties": {"team": {"enum": ["payments", "platform", "support"]}},
    });
    let assign = Tool::new("assign", "Assigns the ticket to a team.", arguments);
    of_targets("supervisor", targets, patience, |agent| {
        agent
            .system("You assign support tickets to teams.")
            .prompt("Assign this {/upstream/triage/category} ticket: {/input/ticket}")
            .tool(assign.clone())
            .parameter("tool_choice", json!({"type": "function", "function": {"name": "assign"}}))
            // Whole answers only: arguments in pieces are no use to anybody.
            .streaming(false)
            .max_tokens(48)
    })
}

/// Drafts the answer.
pub(crate) fn optimization(targets: &[Target], patience: Patience) -> Result<Failover, SetupError> {
    of_targets("optimization", targets, patience, |agent| {
        agent
            .system("You write short, friendly answers to customers.")
            .prompt("Answer this ticket in two sentences: {/input/ticket}")
            .max_tokens(64)
    })
}

/// The team in a supervisor's reply.
pub(crate) fn team(reply: &Value) -> &str {
    let team = &reply["tool_calls"][0]["arguments"]["team"];
    team.as_str().unwrap_or("support")
}

/// One agent per target; each behind the target's breaker, and tried in their order.
fn of_targets(
    name: &str,
    targets: &[Target],
    patience: Patience,
    make: impl Fn(OpenAiAgentBuilder) -> OpenAiAgentBuilder,
) -> Result<Failover, SetupError> {
    let guards = targets.iter().map(|target| {
        let mut agent = make(OpenAiAgent::builder(name, &target.model))
            .base_url(&target.base_url)
            .parameter("temperature", 0)
            .limits(patience.limits);
        if let Some(key) = &target.key {
            agent = agent.key(key.clone());
        }
        let policy = Policy::builder(target.breaker.clone()).attempt_timeout(patience.attempt);
        Ok(Guard::new(Arc::new(agent.build()?), policy.build()))
    });
    let guards = guards.collect::<Result<Vec<_>, SetupError>>()?;
    Ok(Failover::new(name, guards))
}
