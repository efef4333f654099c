//! Policies through their public API, on paused time.

mod bench;
mod budgets;
mod cancellation;
mod fallbacks;
mod limits;
mod queue;
mod retries;
mod stages;
