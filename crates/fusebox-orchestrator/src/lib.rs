//! Runs workflows of agents so that they survive: every agent behind a breaker, every finished step
//! in a durable journal, every run with a status that tells the truth.
//!
//! ```
//! use std::sync::Arc;
//!
//! use fusebox_agent::{Reply, agent_fn};
//! use fusebox_orchestrator::{Engine, Resilience, RunOptions, RunStatus, Step, Workflow};
//! use fusebox_state::MemoryStore;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let add = agent_fn("add", |task, _cx| async move {
//!     let (a, b) = (task.input["input"]["a"].as_i64(), task.input["input"]["b"].as_i64());
//!     Ok(Reply::new(json!({ "sum": a.unwrap_or(0) + b.unwrap_or(0) })))
//! });
//! let double = agent_fn("double", |task, _cx| async move {
//!     let sum = task.input["upstream"]["add"]["sum"].as_i64().unwrap_or(0);
//!     Ok(Reply::new(json!({ "twice": 2 * sum })))
//! });
//! let workflow = Workflow::builder("sums")
//!     .step(Step::new("add"))
//!     .step(Step::new("double").requires(["add"]))
//!     .build()?;
//!
//! let engine = Engine::builder(Arc::new(MemoryStore::new()))
//!     .agent(add, Resilience::default())
//!     .agent(double, Resilience::default())
//!     .build()?;
//! let report = engine.run(&workflow, RunOptions::default().with_input(json!({ "a": 2, "b": 3 }))).await?;
//! assert_eq!(report.status, RunStatus::Completed);
//! # Ok(())
//! # }
//! ```
//!
//! What a step's agent is given: `input` (the run's), `upstream` (the outputs along its edges, by
//! step), `missing` (those that do not exist, with the reason), `run` and `step`. A call among several
//! of a step has `item` and `index`, or `iteration` and `previous` too.
//!
//! A step may wait for fewer than all it requires ([`Join`]), run only under a [`Condition`], make one
//! call per item of a list ([`Map`]) or until an answer will do ([`Repeat`]), wait for a person
//! ([`Approval`], [`decide`]), or be a workflow of its own ([`Inner`]).
//!
//! What holds, whatever happens to the process:
//!
//! - A step is done when one atomic commit under the run's lease is acknowledged. It never runs again.
//! - A step in flight at a crash runs again on [`Engine::resume`], under the same idempotency key.
//! - A step whose required upstream has no output is shielded: not called, not charged.
//! - What was decided stays decided: a resume takes the route that the run began with.
//! - The final [`RunStatus`] tells the truth, and so does its exit code.
//!
//! | feature | adds |
//! |---|---|
//! | `control` | [`control`]: looking at and operating the engine of another process of this host |
//! | `file` | [`mod@file`]: workflow files in TOML, with errors that point at line and column |
//! | `tracing` | spans of runs, steps and attempts, for whoever collects them |
//!
//! Left to other crates: the agents themselves (`fusebox-agent`, `fusebox-endpoints`), where the
//! journal is kept (`fusebox-state`), counting and exporting (`fusebox-metrics`).

mod approval;
mod cancel;
mod commits;
#[cfg(all(feature = "control", unix))]
pub mod control;
mod digest;
mod durability;
mod engine;
mod event;
#[cfg(feature = "file")]
pub mod file;
mod health;
mod journal;
mod last_good;
mod lease;
mod ledger;
mod live;
mod objectives;
mod operate;
mod owner;
mod record;
mod recovery;
mod report;
mod resilience;
mod retention;
mod run;
mod run_id;
mod shared;
mod spending;
mod status;
mod tenant;
mod time;
mod trace;
mod workflow;

pub use approval::{DecideError, decide};
pub use cancel::{CancelError, cancel};
pub use commits::CommitCounts;
pub use durability::parse_durability;
pub use engine::{Alternatives, Engine, EngineBuilder, EngineError, RunOptions};
pub use event::{Event, EventKind};
pub use health::{AgentHealth, DependencyHealth, Health, HealthStatus, RunsHealth, StalledRun};
pub use ledger::{RtoEntry, RtoVerdict};
pub use objectives::{RtoAccount, RtoOutage};
pub use operate::{Action, By, OperateError};
pub use record::{
    ApprovalRecord, Decision, EventRecord, HistoryError, JOURNAL_FORMAT, RunHead, RunRecord,
    StepRecord, list_runs, load_events, load_output, load_run,
};
pub use report::{RunReport, StepReport};
pub use resilience::Resilience;
pub use retention::{DEFAULT_RETENTION, retire_ended};
pub use run_id::{BadRunId, RunId};
pub use spending::{Allowance, Amount, Spending};
pub use status::{RunStatus, StepStatus};
pub use tenant::{Period, TenantBudget, TenantSpending, tenant_spending};
pub use workflow::{
    Approval, Condition, DEFAULT_OBJECTIVE, Drawing, Enter, Exhausted, Feed, Inner, Join, Map,
    OnUnavailable, PortError, Predicate, Repeat, Step, Test, Work, Workflow, WorkflowBuilder,
    WorkflowError,
};
