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
//! | `figures` | [`figures`]: everything as data, of one process or of several; [`Meter`]: that of an engine |
//! | `orchestrator` | [`EngineMetrics`]: a whole engine, every line of the table; [`RunMetrics`]: its events alone |
//! | `otlp` | [`otlp`]: spans and metrics, sent to an OpenTelemetry collector |
//! | `prometheus` | [`prometheus`]: everything in the Prometheus text format |
//! | `state` | [`StoreMetrics`]: how sure a store is |
//!
//! Labels are bounded: beyond [`Labels`]' limit every further name is counted as [`OTHER`].
//!
//! Left to other crates: what happens (they report it), where it is looked at (an exporter of your choice).

mod breaker;
#[cfg(feature = "orchestrator")]
mod engine;
#[cfg(feature = "figures")]
pub mod figures;
mod labels;
#[cfg(feature = "figures")]
mod meter;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod reason;
#[cfg(feature = "orchestrator")]
mod run;
#[cfg(feature = "state")]
mod store;
mod table;
mod together;

pub use breaker::BreakerMetrics;
#[cfg(feature = "orchestrator")]
pub use engine::EngineMetrics;
pub use labels::{DEFAULT_LABEL_VALUES, Labels, OTHER};
#[cfg(feature = "figures")]
pub use meter::Meter;
#[cfg(feature = "orchestrator")]
pub use run::RunMetrics;
#[cfg(feature = "state")]
pub use store::StoreMetrics;
pub use table::{Group, Kind, METRICS, Metric, Source, describe};
pub use together::Together;
