//! An engine's builder with what a file defines.

use std::collections::BTreeMap;
use std::sync::Arc;

use fusebox_agent::{Agent, Order};

use super::WorkflowFile;
use super::agent::{AgentKind, AgentSpec};
use super::endpoint::FailoverSpec;
use super::mcp::{McpServerSpec, McpSpec};
use crate::engine::{Alternatives, EngineBuilder};

impl WorkflowFile {
    /// Gives an engine the tenants, pools and agents of the file, each agent under its own protection, and those of an MCP
    /// server that has a breaker behind that as well. `make` makes
    /// one from what the file says; it is asked again for an agent that is the fallback of another, and not for a
    /// failover, which is made of its targets.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use fusebox_agent::{Agent, Reply, agent_fn};
    /// use fusebox_orchestrator::file::{AgentSpec, WorkflowFile};
    /// use fusebox_orchestrator::{Engine, RunOptions, RunStatus};
    /// use fusebox_state::MemoryStore;
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let text = "[workflow]\nname = \"w\"\n[agents.a]\nkind = \"command\"\ncommand = [\"echo\"]\n[[step]]\nname = \"a\"";
    /// let file = WorkflowFile::parse("w.toml", text)?;
    /// // In earnest the program that the file names; here somebody who stands in for it.
    /// let make = |spec: &AgentSpec| -> Result<Arc<dyn Agent>, std::convert::Infallible> {
    ///     Ok(Arc::new(agent_fn(spec.name.clone(), |_, _| async { Ok(Reply::new(json!("well"))) })))
    /// };
    /// let engine = file.equip(Engine::builder(Arc::new(MemoryStore::new())), make)?.build()?;
    /// let report = engine.run(&file.workflow, RunOptions::default()).await?;
    /// assert_eq!(report.status, RunStatus::Completed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first that `make` answers with.
    pub fn equip<E>(
        &self,
        mut builder: EngineBuilder,
        mut make: impl FnMut(&AgentSpec) -> Result<Arc<dyn Agent>, E>,
    ) -> Result<EngineBuilder, E> {
        for (tenant, budget) in &self.tenants {
            builder = builder.tenant_budget(tenant, *budget);
        }
        for pool in &self.pools {
            builder = builder.pool(pool.bulkhead());
        }
        // One of the same name in another directory, that of an inner workflow, is another.
        let mut servers = BTreeMap::new();
        for spec in self.agents.values() {
            let resilience = spec.resilience.clone();
            builder = match &spec.kind {
                AgentKind::Failover(failover) => {
                    builder.failover(alternatives(spec, failover), resilience)
                }
                AgentKind::Mcp(McpSpec {
                    server,
                    breaker: Some(rules),
                    ..
                }) => {
                    let place = (self.directory_of(spec), server);
                    let name = servers.entry(place).or_insert_with(|| called(spec, server));
                    builder
                        .dependency(name.as_str(), rules.clone())
                        .agent_behind(make(spec)?, name.as_str(), resilience)
                }
                _ => builder.shared_agent(make(spec)?, resilience),
            };
            if let Some(fallback) = &spec.fallback {
                let fallback = make(&self.agents[fallback])?;
                builder = builder.fallback(&spec.name, fallback);
            }
        }
        Ok(builder)
    }
}

/// What the breaker of a server is called: by its table in the file.
fn called(spec: &AgentSpec, server: &McpServerSpec) -> String {
    let table = format!("mcp.{}", server.name);
    match &spec.within {
        Some(step) => format!("{step}/{table}"),
        None => table,
    }
}

fn alternatives(spec: &AgentSpec, failover: &FailoverSpec) -> Alternatives {
    let mut alternatives = Alternatives::new(&spec.name, &failover.targets);
    if let Some(weights) = &failover.weights {
        alternatives = alternatives.with_order(Order::Weighted(weights.clone()));
    }
    if failover.only_if_not_run {
        alternatives = alternatives.only_if_not_run();
    }
    if let Some(schema) = &spec.input_schema {
        alternatives = alternatives.with_input_schema(schema.clone());
    }
    if let Some(schema) = &spec.output_schema {
        alternatives = alternatives.with_output_schema(schema.clone());
    }
    alternatives
}
