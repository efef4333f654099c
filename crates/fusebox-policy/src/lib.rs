//! Retry, time-outs and a bulkhead composed around a circuit breaker, for tokio.
//!
//! One [`Policy`] guards one dependency. Its stages, from the outside in:
//!
//! 1. total time-out: all attempts, queues and waits of one call together;
//! 2. retry: exponential waits, a server's `Retry-After` as their floor, an optional [`RetryBudget`] shared by many
//!    calls; never after the breaker refused;
//! 3. bulkhead: at most so many calls at once, the rest queue briefly or are turned away;
//! 4. breaker: refuses while the dependency is known to fail;
//! 5. attempt time-out: how long one attempt may take.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use fusebox_breaker::{Breaker, Config};
//! use fusebox_policy::{Bulkhead, DefaultClassify, Policy, Retry};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::new("search", Config::builder().build()?);
//! let policy = Policy::builder(breaker)
//!     .total_timeout(Duration::from_secs(10))
//!     .retry(Retry::new(3).with_base(Duration::from_millis(100)))
//!     .bulkhead(Bulkhead::new("search", 8))
//!     .attempt_timeout(Duration::from_secs(2))
//!     .build();
//!
//! let answer = policy
//!     .call(&DefaultClassify, &(), async |attempt| {
//!         // The first attempt fails; the second answers.
//!         if attempt.number == 1 { Err(io::Error::other("connection reset")) } else { Ok(42) }
//!     })
//!     .await?;
//! assert_eq!((answer.value, answer.attempts), (42, 2));
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - Dropping a call's future at any await gives its bulkhead slot back and counts its permit as cancelled.
//! - [`CallError`] says how many attempts were started and whether one may have run.
//! - A wait before a retry never overruns the total time-out: where it does not fit, the last error is the answer.
//! - [`Hooks`] see every step, and may stop a call before an attempt starts, with slot and permit in hand.
//!
//! # Features
//!
//! None. The runtime is tokio with its timer.
//!
//! # Left to others
//!
//! When to open and when to probe: `fusebox-breaker`. Fallbacks and what an agent's errors mean: `fusebox-agent`.
//! Backoff arithmetic is the `backon` crate's, queueing for a slot tokio's semaphore's.

mod budget;
mod bulkhead;
mod call;
mod classify;
mod clock;
mod error;
mod fallback;
mod hooks;
mod loops;
mod policy;
#[cfg_attr(not(feature = "rate-limit"), path = "rate_limit_off.rs")]
mod rate_limit;
mod retry;
mod retry_budget;
mod spend;

pub use budget::{Budget, BudgetExceeded, Limits, Reservation, Resource};
pub use bulkhead::{Bulkhead, Priority};
pub use call::Call;
pub use classify::{Classify, DefaultClassify, Judgement};
pub use clock::TokioClock;
pub use error::{CallError, CallErrorKind};
pub use fallback::{Degraded, Fallback, NoFallback};
pub use hooks::{Attempt, CallEvent, Hooks, Stop};
pub use loops::{Fingerprint, LoopDetected, LoopDetector, LoopKind, Visit};
pub use policy::{Answer, Policy, PolicyBuilder};
#[cfg(feature = "rate-limit")]
pub use rate_limit::RateLimit;
pub use retry::Retry;
pub use retry_budget::RetryBudget;
pub use spend::{Meter, Spend};
