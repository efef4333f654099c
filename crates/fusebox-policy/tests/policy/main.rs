//! Policies through their public API, on paused time.

mod bench;
mod budgets;
mod cancellation;
mod fallbacks;
mod limits;
mod retries;
mod stages;
