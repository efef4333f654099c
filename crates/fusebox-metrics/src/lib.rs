//! Turns what breakers and runs report into metrics, through the [`metrics`] facade.
//!
//! One table, [`METRICS`], names every metric with its kind, unit, labels and meaning; nothing else
//! is emitted. Removing this crate changes no call: it decides nothing.
//!
//! ```
//! use fusebox_breaker::{Breaker, Config, TransitionQueue};
//! use fusebox_metrics::BreakerMetrics;
//!
//! let queue = TransitionQueue::new(256);
//! let config = Config::builder().consecutive_failures(1).build()?;
//! let breaker = Breaker::builder("db", config).transitions(queue.clone()).build();
//! let metrics = BreakerMetrics::new();
//!
//! let _ = breaker.call(|| Err::<(), _>("down"));
//! for transition in queue.drain() {
//!     metrics.transition(&transition);
//! }
//! metrics.counts(&breaker); // from time to time, and before a scrape
//! # Ok::<(), fusebox_breaker::ConfigError>(())
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `orchestrator` | [`RunMetrics`]: steps, retries, runs, recovery objectives |
//! | `prometheus` | [`prometheus`]: everything in the Prometheus text format |
//!
//! Left to other crates: what happens (they report it), where it is looked at (an exporter of your choice).

mod breaker;
#[cfg(feature = "prometheus")]
pub mod prometheus;
#[cfg(feature = "orchestrator")]
mod run;
mod table;

pub use breaker::BreakerMetrics;
#[cfg(feature = "orchestrator")]
pub use run::RunMetrics;
pub use table::{Kind, METRICS, Metric, describe};
