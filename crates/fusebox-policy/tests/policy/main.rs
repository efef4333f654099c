//! Policies through their public API, on paused time.

mod bench;
mod cancellation;
mod fallbacks;
mod limits;
mod retries;
mod stages;
