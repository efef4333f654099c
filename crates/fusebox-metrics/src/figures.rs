//! What was counted, as data: to be sent to another process, added up there, and shown as one page.
//!
//! ```
//! use fusebox_metrics::figures::{Figures, Totals};
//!
//! # fn ask(_process: u32) -> String { r#"{"fusebox_runs_live":[[[],2.0]]}"#.into() }
//! let mut totals = Totals::new();
//! for process in [7, 8] {
//!     let figures: Figures = serde_json::from_str(&ask(process))?;
//!     totals.set(process, figures);
//! }
//! assert_eq!(totals.figures().value("fusebox_runs_live", &[]), Some(4.0));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod document;
mod page;
mod tally;
mod totals;

use std::collections::BTreeMap;

use fusebox_orchestrator::Health;
use serde::{Deserialize, Serialize};

pub use self::tally::Tally;
pub use self::totals::Totals;
use crate::labels::Labels;
pub use crate::table::{BUCKETS, CONTENT_TYPE};

/// The values of metrics of the table at one moment. Nothing else is in it.
///
/// As a document it is an object: to each metric a list of series, a series being the values of its labels in the
/// order of the table, and its value. A metric that the reader's table does not have is passed over; one with other
/// labels or of another kind is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "document::Read", into = "document::Written")]
pub struct Figures {
    metrics: BTreeMap<&'static str, Series>,
}

/// Values by the values of the labels, those in the order of the table.
type Series = BTreeMap<Vec<String>, Value>;

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(Distribution),
}

/// What a histogram was told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Distribution {
    /// How many fell into each bucket, up to its bound; those beyond the last are in none.
    buckets: [u64; BUCKETS.len()],
    /// How many there were.
    count: u64,
    /// What they add up to.
    sum: f64,
}

impl Figures {
    /// How an engine stands, of which no more is known than its health: every gauge that follows from that, and no
    /// counter.
    pub fn of(health: &Health) -> Self {
        let tally = Tally::new();
        tally.observe(|| crate::engine::standing(health, &Labels::default()));
        let mut figures = tally.figures();
        for series in figures.metrics.values_mut() {
            series.retain(|_, value| matches!(value, Value::Gauge(_)));
        }
        figures.metrics.retain(|_, series| !series.is_empty());
        figures
    }

    /// The value of one series; of a histogram, how many it was told. `None` where there is no such series.
    /// `labels` are the values, in the order of the table.
    pub fn value(&self, metric: &str, labels: &[&str]) -> Option<f64> {
        let mut series = self.metrics.get(metric)?.iter();
        let (_, value) = series.find(|(have, _)| have.iter().eq(labels))?;
        Some(match value {
            Value::Counter(count) => *count as f64,
            Value::Gauge(level) => *level,
            Value::Histogram(distribution) => distribution.count as f64,
        })
    }

    /// The names of the metrics that have a series.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.metrics.keys().copied()
    }

    /// Everything as one page in the Prometheus text format, version 0.0.4; its [`CONTENT_TYPE`] goes with it.
    pub fn render(&self) -> String {
        page::render(self)
    }
}

impl Distribution {
    fn record(&mut self, value: f64) {
        if let Some(n) = BUCKETS.iter().position(|bound| value <= *bound) {
            self.buckets[n] += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_add(theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
    }
}
