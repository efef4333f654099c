//! Virtual time, scripted agents, failing stores and journal assertions, for tests of agent workflows.
//!
//! A test of a workflow wants to say: this agent fails twice, then the store goes away, an hour
//! passes; what was called, how often, and how does the run stand? Without sleeping, and again in
//! the same way tomorrow:
//!
//! ```
//! use std::sync::Arc;
//!
//! use fusebox_agent::AgentError;
//! use fusebox_orchestrator::{Engine, Resilience, RunOptions, RunStatus, Step, Workflow};
//! use fusebox_testkit::{FailingStore, Journal, Operation, ScriptedAgent, StoreFault, virtual_time};
//! use serde_json::json;
//!
//! virtual_time(7, async |time| {
//!     // `fetch` fails once; the store keeps the third commit and loses its answer.
//!     let fetch = ScriptedAgent::new("fetch").fails(AgentError::api("503")).answers(json!(42));
//!     let store = Arc::new(FailingStore::new(time.memory_store()));
//!     store.inject(StoreFault::unavailable_after().on(Operation::Commit).skipping(2).times(1));
//!
//!     let workflow = Workflow::builder("answers").step(Step::new("fetch")).build().unwrap();
//!     let engine = Engine::builder(store.clone())
//!         .agent(fetch.clone(), Resilience::default())
//!         .seed(time.seed())
//!         .build()
//!         .unwrap();
//!     let options = RunOptions::default().with_id("r".parse().unwrap());
//!     let report = engine.run(&workflow, options).await.unwrap();
//!
//!     assert_eq!(report.status, RunStatus::Completed);
//!     assert_eq!(fetch.calls(), 2);
//!     store.assert_struck(); // a fault that never happened proves nothing
//!     Journal::read(&*store, "r")
//!         .await
//!         .assert_completed()
//!         .assert_executions("fetch", 2)
//!         .assert_output("fetch", &json!(42));
//! });
//! ```
//!
//! | for | there is |
//! |---|---|
//! | time | [`virtual_time`]: hours pass at once, a failure names its seed |
//! | agents | [`ScriptedAgent`]: answers and fails by a script, waits until told, remembers what it was asked |
//! | any agent | [`Witness`]: remembers its calls and how many there were at once |
//! | stores | [`FailingStore`]: any store, with chosen operations failing, or the process dying, before or after they are made |
//! | events | [`EventLog`]: what an engine told, and whether something was among it |
//! | journals | [`Journal`]: what a run left in a store; every failed assertion tells its whole story |
//!
//! # Features
//!
//! None.
//!
//! # What it leaves to others
//!
//! Faults drawn by chance around an agent (`fusebox_agent::FaultyAgent`), a moving clock for a breaker
//! alone (`fusebox_breaker::ManualClock`), the tests a store of your own must pass
//! (`fusebox_state::conformance`). Nothing here belongs into production.

mod agent;
mod call;
mod events;
mod fault;
mod journal;
mod store;
mod time;
mod witness;

pub use agent::ScriptedAgent;
pub use call::Call;
pub use events::EventLog;
pub use fault::{Operation, StoreFault};
pub use journal::Journal;
pub use store::FailingStore;
pub use time::{VirtualTime, virtual_time};
pub use witness::Witness;
