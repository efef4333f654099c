//! What the end-to-end tests of the `fusebox` command share.
//!
//! A test makes a [`Sandbox`], puts files into it, and runs the command there:
//!
//! ```no_run
//! use fusebox_tests::Sandbox;
//!
//! let sandbox = Sandbox::new();
//! sandbox.write("flow.toml", "…");
//! let report = sandbox.fusebox(&["run", "flow.toml", "--json"]).exited(0).json();
//! assert_eq!(report["status"], "completed");
//! sandbox.assert_nobody_left();
//! ```
//!
//! The command is the file that the variable `FUSEBOX_BIN` names, otherwise the one that cargo built
//! beside the tests. `cargo xtask test` builds it and sets the variable.
//!
//! Nothing here sleeps until something has probably happened: what is waited for is always looked at,
//! with a limit that only a broken build reaches.

mod binary;
#[cfg(unix)]
mod browser;
mod client;
#[cfg(unix)]
mod engine;
mod gate;
mod http;
mod invocation;
mod processes;
mod sandbox;
#[cfg(unix)]
mod terminal;
mod wait;
mod witness;
mod workspace;

pub use binary::binary;
#[cfg(unix)]
pub use browser::Browser;
pub use client::{Answer, Ask};
#[cfg(unix)]
pub use engine::FakeEngine;
pub use gate::Gate;
pub use http::Service;
pub use invocation::{Outcome, Running};
pub use processes::{Process, marked};
pub use sandbox::Sandbox;
#[cfg(unix)]
pub use terminal::Terminal;
pub use wait::eventually;
pub use witness::Call;
pub use workspace::{REVIEW, sample_workspace};
