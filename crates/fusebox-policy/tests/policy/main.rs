//! Policies through their public API, on paused time.

mod bench;
mod budgets;
mod cancellation;
mod fallbacks;
mod limits;
#[cfg(feature = "rate-limit")]
mod order;
mod queue;
#[cfg(feature = "rate-limit")]
mod rates;
mod retries;
mod stages;
