//! Circuit breakers, durable runs and recovery objectives for systems of cooperating agents.
//!
//! ```
//! use fusebox::prelude::*;
//! use fusebox::{Engine, Reply, Resilience, RunOptions, RunStatus, Step, Workflow, agent_fn, presets};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two agents: the second gets what the first found.
//! let triage = agent_fn("triage", |task, _cx| async move {
//!     let text = task.input["input"]["text"].as_str().unwrap_or_default().to_lowercase();
//!     Ok(Reply::new(json!({ "urgent": text.contains("down") })))
//! });
//! let answer = agent_fn("answer", |task, _cx| async move {
//!     let urgent = task.input["upstream"]["triage"]["urgent"] == true;
//!     Ok(Reply::new(json!({ "queue": if urgent { "on-call" } else { "later" } })))
//! });
//! let workflow = Workflow::builder("support")
//!     .step(Step::new("triage"))
//!     .step(Step::new("answer").requires(["triage"]))
//!     .build()?;
//!
//! // Every agent behind a breaker, every finished step in the store.
//! let store = fusebox::state::open("memory:").await?; // or "sqlite:runs.db", or "redis://…"
//! let engine = Engine::builder(store)
//!     .agent(triage, Resilience::preset(presets::TRIAGE)?)
//!     .agent(answer, Resilience::default())
//!     .build()?;
//!
//! let options = RunOptions::default().with_input(json!({ "text": "The site is down" }));
//! let report = engine.run(&workflow, options).await?;
//! assert_eq!(report.status, RunStatus::Completed);
//! # Ok(())
//! # }
//! ```
//!
//! This crate re-exports the others under one roof; each can be used alone.
//!
//! | module | crate | what |
//! |---|---|---|
//! | [`breaker`] | `fusebox-breaker` | the circuit breaker, without a runtime |
//! | [`policy`] | `fusebox-policy` | fallback, budgets, retry, rate limit, bulkhead, time-outs around a breaker |
//! | [`state`] | `fusebox-state` | where runs are kept |
//! | [`agent`] | `fusebox-agent` | the [`Agent`](agent::Agent) trait, its guard, fault injection |
//! | `endpoints` | `fusebox-endpoints` | agents outside the process (feature `command`) |
//! | [`orchestrator`] | `fusebox-orchestrator` | workflows, runs, recovery |
//! | `metrics` | `fusebox-metrics` | events as metrics (features `metrics`, `prometheus`) |
//!
//! Features: `embedded` (default; a durable store in one file), `redis`, `redis-tls`, `file` (workflow files), `command`,
//! `metrics`, `prometheus`, `rate-limit`.

pub use fusebox_agent as agent;
pub use fusebox_breaker as breaker;
#[cfg(feature = "command")]
pub use fusebox_endpoints as endpoints;
#[cfg(feature = "metrics")]
pub use fusebox_metrics as metrics;
pub use fusebox_orchestrator as orchestrator;
pub use fusebox_policy as policy;
pub use fusebox_state as state;

pub use fusebox_agent::{AgentError, Context, Description, Reply, Task, agent_fn};
pub use fusebox_breaker::{Breaker, presets};
pub use fusebox_orchestrator::{
    Engine, EngineError, OnUnavailable, Resilience, RunId, RunOptions, RunReport, RunStatus, Step,
    StepStatus, Workflow,
};

/// The traits whose methods the examples call.
pub mod prelude {
    pub use fusebox_agent::Agent;
    pub use fusebox_state::StateStore;
}
