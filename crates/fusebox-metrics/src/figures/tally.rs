//! Counting into memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use super::{Distribution, Figures, Value};
use crate::table::{Kind, Metric};

/// A recorder that keeps the metrics of the table, for as many [`Figures`] of them as are wanted. Clones are one.
///
/// Memory: a number per series, sixteen per series of a histogram, however much is told. What is no metric of the
/// table, or is one with other labels, is not kept.
#[derive(Clone, Default)]
pub struct Tally {
    cells: Arc<Mutex<BTreeMap<Series, Cell>>>,
}

/// A metric and the values of its labels, in the order of the table.
type Series = (&'static str, Vec<String>);

#[derive(Clone)]
enum Cell {
    Counter(Arc<AtomicU64>),
    /// The bits of the number.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Told>),
}

#[derive(Default)]
struct Told(Mutex<Distribution>);

impl Tally {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `report` on this thread, so that what it reports is counted here.
    pub fn observe<T>(&self, report: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(self, report)
    }

    /// What is counted by now. A gauge that was set to no finite number is left out.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for ((name, labels), cell) in &*lock(&self.cells) {
            if let Some(value) = cell.value() {
                let series = figures.metrics.entry(name).or_default();
                series.insert(labels.clone(), value);
            }
        }
        figures
    }

    /// The cell of a series; `None` if the table has no such series.
    fn cell(&self, key: &Key, kind: Kind) -> Option<Cell> {
        let metric = Metric::named(key.name()).filter(|metric| metric.kind == kind)?;
        let value = |name: &&str| {
            let label = key.labels().find(|label| label.key() == *name)?;
            Some(label.value().to_owned())
        };
        let labels: Option<Vec<String>> = metric.labels.iter().map(value).collect();
        let labels = labels.filter(|labels| labels.len() == key.labels().len())?;
        let mut cells = lock(&self.cells);
        let cell = cells.entry((metric.name, labels));
        Some(cell.or_insert_with(|| Cell::new(kind)).clone())
    }
}

impl Cell {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Arc::default()),
            Kind::Gauge => Self::Gauge(Arc::default()),
            Kind::Histogram => Self::Histogram(Arc::default()),
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Counter(count) => Some(Value::Counter(count.load(Ordering::Acquire))),
            Self::Gauge(bits) => {
                let level = f64::from_bits(bits.load(Ordering::Acquire));
                level.is_finite().then_some(Value::Gauge(level))
            }
            Self::Histogram(told) => Some(Value::Histogram(lock(&told.0).clone())),
        }
    }
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(key, Kind::Counter) {
            Some(Cell::Counter(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key, Kind::Gauge) {
            Some(Cell::Gauge(bits)) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(key, Kind::Histogram) {
            Some(Cell::Histogram(told)) => Histogram::from_arc(told),
            _ => Histogram::noop(),
        }
    }
}

impl HistogramFn for Told {
    fn record(&self, value: f64) {
        // One that is no number would make the sum of all others none.
        if value.is_finite() {
            lock(&self.0).record(value);
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally")
            .field("series", &lock(&self.cells).len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No update leaves it half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge};

    use super::*;

    #[test]
    fn what_the_table_does_not_have_is_not_kept() {
        let tally = Tally::new();
        tally.observe(|| {
            counter!("another_total").increment(1);
            counter!("fusebox_runs_total", "status" => "a", "run" => "b").increment(1);
            counter!("fusebox_runs_total").increment(1);
            gauge!("fusebox_runs_total", "status" => "a").set(1.0);
            gauge!("fusebox_runs_live").set(f64::NAN);
        });
        assert_eq!(tally.figures(), Figures::default());
        tally.observe(|| counter!("fusebox_runs_total", "status" => "a").increment(1));
        let runs = tally.figures().value("fusebox_runs_total", &["a"]);
        assert_eq!(runs, Some(1.0));
    }
}
