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
//! # When the store goes away
//!
//! Behind a server belongs something to fall back on. The run below would go on without its server, each
//! step synced to a local file before it counts as done, and the server would get it all once it is back,
//! from this process or the next that opens the directory.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use fusebox::prelude::*;
//! use fusebox::{
//!     Durability, Engine, FallbackConfig, FallbackStore, Reply, Resilience, RunOptions, Step, Workflow,
//!     agent_fn,
//! };
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = fusebox::state::open("memory:").await?; // in earnest "redis://…", feature `redis`
//! let journal = fusebox::state::open("memory:").await?; // in earnest `degrade_durable_in` a directory
//! let config = FallbackConfig::degrade_durable(journal);
//! let store = Arc::new(FallbackStore::open(server, config).await?);
//!
//! let hello = agent_fn("hello", |_task, _cx| async { Ok(Reply::new(json!("hello"))) });
//! let engine = Engine::builder(store.clone())
//!     .agent(hello, Resilience::default())
//!     .min_durability(Durability::Volatile) // in earnest `LocalFsync`: what a lost server leaves
//!     .retention(Duration::from_secs(7 * 24 * 3600))
//!     .build()?;
//! let workflow = Workflow::builder("greeting").step(Step::new("hello")).build()?;
//! let report = engine.run(&workflow, RunOptions::default()).await?;
//!
//! // What the run got, and what the server has yet to get.
//! assert_eq!(report.durability.as_deref(), Some("volatile"));
//! assert!(store.settle(Duration::from_secs(3)).await);
//! assert_eq!(store.status().pending_commits, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! This crate re-exports the others under one roof; each can be used alone.
//!
//! | module | crate | what |
//! |---|---|---|
//! | [`breaker`] | `fusebox-breaker` | the circuit breaker, without a runtime |
//! | [`policy`] | `fusebox-policy` | fallback, budgets, retry, rate limit, bulkhead, time-outs around a breaker |
//! | [`state`] | `fusebox-state` | where runs are kept |
//! | [`agent`] | `fusebox-agent` | the [`Agent`](agent::Agent) trait, its guard, fault injection |
//! | `endpoints` | `fusebox-endpoints` | agents outside the process (features `command`, `http`, `mcp`, `openai`) |
//! | [`orchestrator`] | `fusebox-orchestrator` | workflows, runs, recovery |
//! | `lab` | `fusebox-lab` | what a workflow would do under faults, with breakers and without (feature `lab`) |
//! | `metrics` | `fusebox-metrics` | events as metrics; metrics and spans for a collector (features `metrics`, `figures`, `prometheus`, `otlp`) |
//!
//! Features: `embedded` (default; a durable store in one file), `redis`, `redis-tls`, `file` (workflow files), `command`,
//! `http`, `mcp`, `openai` (agents outside the process), `control` (operating the engine of another process), `lab`, `metrics`,
//! `figures` (counts of several processes), `prometheus`, `rate-limit`, `tracing` (spans of runs, steps, attempts and requests), `otlp`
//! (sends spans and metrics to a collector).

pub use fusebox_agent as agent;
pub use fusebox_breaker as breaker;
#[cfg(any(
    feature = "command",
    feature = "http",
    feature = "mcp",
    feature = "openai"
))]
pub use fusebox_endpoints as endpoints;
#[cfg(feature = "lab")]
pub use fusebox_lab as lab;
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
pub use fusebox_state::{Durability, FallbackConfig, FallbackStore};

/// The traits whose methods the examples call.
pub mod prelude {
    pub use fusebox_agent::Agent;
    pub use fusebox_state::StateStore;
}
