//! Agents, and the guard that puts a policy around them.
//!
//! An [`Agent`] turns a [`Task`] into a [`Reply`] once: a closure ([`agent_fn`]), a program, a
//! model, a tool. It neither retries nor breaks circuits; it says precisely what happened
//! ([`AgentError`]: which kind, whether it may have run, whether a retry helps). A [`Guard`] calls
//! it under a policy, refuses replies that break the agent's JSON Schema before anyone sees them,
//! and asks a fallback agent when there is no good answer. [`FaultyAgent`] breaks an agent on
//! purpose, the same way every time for the same seed.
//!
#![cfg_attr(feature = "schema", doc = "```")]
#![cfg_attr(not(feature = "schema"), doc = "```ignore")]
//! use fusebox_agent::{Agent, AgentError, Context, Guard, Reply, Task, agent_fn};
//! use fusebox_breaker::{Breaker, Config};
//! use fusebox_policy::{Policy, Retry};
//! use serde_json::json;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = agent_fn("triage", |task: Task, cx: Context| async move {
//!     if cx.attempt() == 1 {
//!         return Err(AgentError::api("the model answered 503"));
//!     }
//!     Ok(Reply::new(json!({"label": "billing", "about": task.input})))
//! })
//! .with_output_schema(json!({"type": "object", "required": ["label"]}));
//!
//! let breaker = Breaker::new("triage", Config::builder().build()?);
//! let policy = Policy::builder(breaker)
//!     .retry(Retry::new(3))
//!     .attempt_timeout(Duration::from_secs(8))
//!     .build();
//! let guard = Guard::try_new(Arc::new(model), policy)?;
//!
//! let answer = guard.call(Task::new("an invoice"), Context::new("run-1", "triage"), &()).await?;
//! assert_eq!(answer.reply.output["label"], "billing");
//! assert_eq!(answer.attempts, 2);
//! assert_eq!(answer.degraded, None); // the agent itself answered, no fallback
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `schema` (default): JSON Schema checks of inputs and replies. Without it, a guard refuses to
//!   call an agent that describes a schema, rather than calling it unchecked.
//!
//! # What it leaves to others
//!
//! Retries, time-outs, bulkheads and breakers are `fusebox-policy` and `fusebox-breaker`; agents
//! that reach outside the process are `fusebox-endpoints`; graphs of agents, and what survives a
//! crash, are `fusebox-orchestrator`.

mod agent;
mod behind;
mod classify;
mod context;
mod error;
mod failover;
pub mod fault;
mod function;
mod guard;
mod pulse;
mod schema;
mod stream;

pub use agent::{Agent, Description, Probe, Reply, Task};
pub use behind::Behind;
pub use classify::AgentClassify;
pub use context::Context;
pub use error::{AgentError, ErrorKind};
pub use failover::{Failover, Order};
pub use fault::{FaultKind, FaultParseError, FaultPlan, FaultRule, FaultyAgent};
pub use function::{FnAgent, agent_fn};
pub use guard::{Answer, Guard, GuardError};
pub use schema::{Schema, SchemaError};
pub use stream::Piece;
