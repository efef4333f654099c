//! Fallback, budgets, time-outs, retry, rate limit and bulkhead composed around a circuit breaker, for tokio.
//!
//! One [`Policy`] guards one dependency. Its stages, from the outside in; each is optional but the breaker:
//!
//! 1. fallback: answers for a call that failed, timed out or was turned away by any stage below, and its answer is
//!    marked as [`Degraded`];
//! 2. budgets: tokens and money, reserved before each attempt and settled after it ([`Budget`]), and calls that repeat
//!    themselves ([`LoopDetector`]);
//! 3. total time-out: all attempts, queues and waits of one call together;
//! 4. retry: exponential waits, a server's `Retry-After` as their floor, an optional [`RetryBudget`] shared by many
//!    calls; never after a stage below turned the call away;
//! 5. rate limit: so many calls, or units of weight, per time (feature `rate-limit`);
//! 6. bulkhead: at most so many calls at once, the rest queue briefly, by priority and with turns per tenant, or
//!    are turned away;
//! 7. breaker: refuses while the dependency is known to fail;
//! 8. attempt time-out: how long one attempt may take.
//!
//! Stages 5 to 8 are passed once per attempt. A stage that turns a call away frees what the stages before it gave.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use fusebox_breaker::{Breaker, Config};
//! use fusebox_policy::{
//!     Budget, Bulkhead, Call, CallError, DefaultClassify, Limits, Policy, Priority, Retry, Spend,
//! };
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let budget = Budget::new("research", Limits::new().with_total_tokens(1_000));
//! let policy = Policy::builder(Breaker::new("model", Config::builder().build()?))
//!     .fallback(|_: &CallError<io::Error>| async { Ok(Some("from the cache")) })
//!     .budget(budget.clone())
//!     .total_timeout(Duration::from_secs(10))
//!     .retry(Retry::new(3).with_base(Duration::from_millis(100)))
//!     .bulkhead(Bulkhead::new("model", 8).with_max_wait(Duration::from_secs(1)))
//!     .attempt_timeout(Duration::from_secs(2))
//!     .build();
//!
//! let call = || {
//!     Call::new()
//!         .with_tenant("acme")
//!         .with_priority(Priority::HIGH)
//!         .with_estimate(Spend::tokens(500))
//! };
//! // The first attempt fails, at an unknown cost; the second answers, and says what it cost.
//! let first = call();
//! let meter = first.meter().clone();
//! let answer = policy
//!     .call_with(first, &DefaultClassify, &(), async |attempt| {
//!         if attempt.number == 1 {
//!             return Err(io::Error::other("connection reset"));
//!         }
//!         meter.record(Spend::tokens(300));
//!         Ok("from the model")
//!     })
//!     .await?;
//! assert_eq!((answer.value, answer.attempts), ("from the model", 2));
//! assert_eq!(budget.spent(), Spend::tokens(500 + 300));
//!
//! // 200 tokens are left, so nothing is called, and the fallback answers.
//! let answer = policy
//!     .call_with(call(), &DefaultClassify, &(), async |_| Ok("from the model"))
//!     .await?;
//! assert_eq!(answer.value, "from the cache");
//! let degraded = answer.degraded.expect("a fallback's answer is marked");
//! assert!(!degraded.may_have_run);
//! assert_eq!(degraded.cause.to_string(), "over budget");
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - Dropping a call's future at any await gives its bulkhead slot back, leaves its queues and counts its permit as
//!   cancelled. Reservations and units of the rate limit go back unless the operation has started.
//! - [`CallError`] says how many attempts were started, whether one may have run, and when to come back; a fallback's
//!   answer and a fallback's failure keep that.
//! - A wait before a retry never overruns the total time-out: where it does not fit, the last error is the answer.
//! - One tenant's thousand waiting calls hold another tenant's first call up by one turn, not by a thousand.
//! - [`Hooks`] see every step, and may stop a call before an attempt starts, with slot and permit in hand.
//!
//! # Features
//!
//! | feature | adds | off by default because |
//! |---|---|---|
//! | `rate-limit` | `RateLimit`, `PolicyBuilder::rate_limit`, `Call::with_weight` | it brings the `governor` crate |
//!
//! The runtime is tokio with its timer.
//!
//! # Left to others
//!
//! When to open and when to probe: `fusebox-breaker`. Fallback agents and what an agent's errors mean: `fusebox-agent`.
//! Backoff arithmetic is the `backon` crate's, the rate's arithmetic `governor`'s.

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
