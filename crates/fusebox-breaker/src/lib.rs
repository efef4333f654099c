//! A circuit breaker core: state machine, sliding windows, permits with generations. No runtime, no I/O, no logging.
//!
//! A breaker stands in front of something that can fail. While it is closed, calls flow and their outcomes are
//! judged; when a rule says that the dependency is failing, it opens and refuses calls at once; after a wait it lets
//! a few probes through, and closes when enough of them succeed.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use fusebox_breaker::{Breaker, CallError, Config, FailureKind, ManualClock, State};
//!
//! let config = Config::builder()
//!     .consecutive_failures(2)
//!     .wait_duration_in_open(Duration::from_secs(5))
//!     .successes_to_close(1)
//!     .build()?;
//! let clock = ManualClock::new(); // leave the clock out and the system's is used
//! let breaker = Breaker::builder("search", config).clock(Arc::new(clock.clone())).build();
//!
//! // Either hand over the call …
//! let answer: Result<u32, CallError<&str>> = breaker.call(|| Err("connection refused"));
//! assert_eq!(answer, Err(CallError::Failed("connection refused")));
//!
//! // … or hold the permit yourself.
//! let permit = breaker.try_acquire()?;
//! permit.failure(FailureKind::TimedOut);
//! assert_eq!(breaker.state(), State::Open);
//!
//! // Refused without a call, and told when to come back.
//! let refused = breaker.try_acquire().unwrap_err();
//! assert!(refused.retry_after.is_some());
//!
//! // The wait is drawn from its second half, so it is over after the whole of it: one probe decides.
//! clock.advance(Duration::from_secs(5));
//! let answer: Result<u32, CallError<&str>> = breaker.call(|| Ok(42));
//! assert_eq!(answer, Ok(42));
//! assert_eq!(breaker.state(), State::Closed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! | rule | opens on |
//! |---|---|
//! | [`consecutive_failures`](ConfigBuilder::consecutive_failures) | failures in a row |
//! | [`CountWindow`] | the ratio of failures over the last calls |
//! | [`TimeWindow`] | the ratio of failures over the last stretch of time |
//! | [`SlowCalls`] | the ratio of slow calls, those still in flight past the limit included |
//! | [`ChangeDetector`] | a rise of the failure rate, with the false trips as far apart as asked for |
//!
//! Any of them opens, or [all together](Combine); the [`Reason`] names which, with figures. [Weights](
//! ConfigBuilder::failure_weight) make kinds of failures count for less, [`Verdict`]s say more than yes or no, and a
//! [`Ramp`] returns step by step.
//!
//! # What it promises
//!
//! - A [`Permit`] belongs to the generation it was issued in: a late outcome is counted and moves nothing.
//! - Half-open admits at most [`max_concurrent_probes`](ConfigBuilder::max_concurrent_probes) at once; one failed
//!   probe opens again; a probe that never answers runs into its deadline. Every state has an exit.
//! - Admitting, refusing and recording take no lock and allocate nothing while the breaker is closed or open: two
//!   atomic updates a call, and one clock read for a time window, two for slow calls. A window costs the same however
//!   many calls it holds.
//! - [`Counts`] add up exactly, dropped and panicking calls included.
//! - [`Breaker::availability`] tells neighbours what a call would meet, and moves nothing.
//! - Time and chance come in as arguments ([`Clock`], seed; [`machine::Machine`] below them), so everything can be
//!   replayed.
//!
//! Many breakers live in a [`Registry`], by [`Target`]: made from templates, bounded, their trips added up for
//! [groups](ParentRule).
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `quanta` | `FastClock`: reads the processor's time stamp counter, about half the price of the system's clock |
//! | `tower` | a `tower::Layer` that reserves nothing in `poll_ready` and boxes nothing |
//! | `serde` | [`Config`], [`Snapshot`], [`Reason`], [`State`], [`Counts`] can be written and read; a read configuration is checked |
//!
//! # Left to others
//!
//! Time-outs, retries, bulkheads and their order around a breaker: `fusebox-policy`. Metrics and traces: whoever
//! drains the [`TransitionQueue`]. Storing a [`Snapshot`]: the program.

mod breaker;
mod clock;
mod config;
mod control;
mod cusum;
pub mod machine;
mod outcome;
mod permit;
pub mod presets;
mod registry;
mod rules;
mod snapshot;
mod sync;
mod tally;
mod ticks;
#[cfg(feature = "tower")]
pub mod tower;
mod transition;
#[cfg(feature = "serde")]
mod wire;
mod word;

pub use breaker::{Breaker, BreakerBuilder, CallError};
#[cfg(feature = "quanta")]
pub use clock::FastClock;
pub use clock::{Clock, ManualClock, MonotonicClock, Timestamp};
pub use config::{Config, ConfigBuilder, ConfigError, CountWindow, Jitter};
pub use machine::Override;
pub use outcome::{Availability, Counts, FailureKind, State, Verdict};
pub use permit::{CallNotPermitted, Permit, PermitRef, Refusal};
pub use registry::{ParentRule, ParentVerdict, Part, Registry, RegistryBuilder, Target};
pub use rules::{ChangeDetector, Combine, Learning, Ramp, SlowCalls, TimeWindow};
pub use snapshot::{Forced, Snapshot};
pub use transition::{Reason, Transition, TransitionQueue};
