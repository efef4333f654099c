//! A support desk: a model sorts a ticket and picks a team, a tool server and an HTTP service
//! bring the data, a model drafts the answer. Everything that can fail stands behind a breaker.
//!
//! ```text
//! triage ─► supervisor ─┬─► orders ───┬─► optimization ─► aggregation ─► completion
//!  model      model     └─► runbook ──┘       model            code          code
//!                            MCP, HTTP
//! ```
//!
//! What is worth reading: `desk.rs`, the agents and what stands around them; `workflow.rs`, what
//! happens when one of them is away. The rest is what a real desk has elsewhere.

mod args;
mod code;
mod desk;
mod faults;
mod models;
pub mod services;
mod workflow;

pub use args::Args;
pub use desk::{Desk, DeskSetup, Settings};
pub use faults::{Lines, parse_fault};
pub use models::Target;
pub use workflow::workflow;

/// Whatever keeps the example from going on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
