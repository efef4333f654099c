//! What a workflow of agents would do if some of them failed, and what its breakers buy.
//!
//! A [`Plan`] names a workflow file, says how often runs begin and which agents fail when. It is played twice, with the
//! same arrivals and the same faults: as the file says, and without the breakers. On virtual time agents are stand-ins,
//! everything else is what runs in earnest (the engine, its breakers, retries, time-outs and queues, over a store in
//! memory), an hour takes a moment, and the same plan gives the same figures. On real time the file's own agents answer.
//!
//! ```
//! use fusebox_lab::Plan;
//!
//! let workflow = r#"
//! [workflow]
//! name = "support"
//! objective = "60s"
//! [agents.triage]
//! kind = "command"
//! command = ["triage"]
//! preset = "triage"
//! [agents.answer]
//! kind = "command"
//! command = ["answer"]
//! preset = "llm"
//! [[step]]
//! name = "triage"
//! [[step]]
//! name = "answer"
//! requires = ["triage"]
//! "#;
//! let plan = r#"
//! workflow = "support.toml"
//! duration = "2m"
//! every = "1s"
//! seeds = 2
//! [[faults]]
//! agent = "answer"
//! kind = "api"
//! from = "30s"
//! for = "30s"
//! "#;
//! // In earnest from the disk: the path is relative to the plan.
//! let read = |_: &std::path::Path| Ok(workflow.to_owned());
//! let plan = Plan::parse_with("outage.toml", plan, &read)?;
//! let comparison = plan.simulate(&|_| {})?;
//!
//! let [protected, unprotected] = &comparison.sides[..] else { panic!("two sides") };
//! assert_eq!(protected.runs.begun, 240);
//! assert_eq!(protected.runs.availability_ratio, Some(1.0));
//! assert!(protected.calls.in_vain < unprotected.calls.in_vain / 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a plan may say, and how each figure is counted, is in `docs/lab.md`; every figure is a field of [`Comparison`],
//! which is a document for machines as well. The command shows it as `fusebox lab PLAN`.
//!
//! # Features
//!
//! None. The crate brings tokio's `test-util` along, which lets a runtime's clock be stopped.
//!
//! # What it leaves to others
//!
//! Reading files, printing and drawing (`fusebox-cli`), making agents from a file (whoever calls
//! [`Plan::measure`]), single tests of a workflow (`fusebox-testkit`).

mod comparison;
mod figures;
mod lab;
mod latency;
mod plan;
mod play;
mod random;
mod stand_in;
mod time;
mod watch;

pub use comparison::{Comparison, Difference, FORMAT, FaultSummary, PlanSummary, Target};
pub use figures::{
    AgentFigures, CallFigures, Cascade, Lane, RunFigures, Series, Side, Spread, Stay,
};
pub use lab::{Progress, RealTime};
pub use latency::Latency;
pub use plan::{Arrivals, MOST_RUNS, Plan, PlannedFault, StandIn, Targets, Time, Without};
pub use play::Protection;
