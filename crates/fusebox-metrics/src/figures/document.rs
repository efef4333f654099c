//! Figures as a document, which may come from another version of this crate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Distribution, Figures, Series, Value};
use crate::table::{Kind, Metric};

pub(super) type Written = BTreeMap<&'static str, Vec<(Vec<String>, Plain)>>;
pub(super) type Read = BTreeMap<String, Vec<(Vec<String>, Plain)>>;

/// A value whose kind the table knows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Plain {
    Whole(u64),
    Number(f64),
    Distribution(Distribution),
}

/// The figures are not as this version's table has them.
#[derive(Debug, thiserror::Error)]
#[error("{metric} has labels or a value that do not fit; another version, perhaps")]
pub(super) struct Unfit {
    metric: &'static str,
}

impl From<Figures> for Written {
    fn from(figures: Figures) -> Self {
        let series = |series: Series| series.into_iter().map(|(labels, it)| (labels, it.into()));
        let metrics = figures.metrics.into_iter();
        metrics
            .map(|(name, it)| (name, series(it).collect()))
            .collect()
    }
}

impl TryFrom<Read> for Figures {
    type Error = Unfit;

    fn try_from(read: Read) -> Result<Self, Unfit> {
        let mut figures = Self::default();
        for (name, series) in read {
            let Some(metric) = Metric::named(&name) else {
                continue;
            };
            let unfit = || Unfit {
                metric: metric.name,
            };
            let kept = figures.metrics.entry(metric.name).or_default();
            for (labels, value) in series {
                let fits = labels.len() == metric.labels.len();
                let value = Value::of(metric.kind, value).filter(|_| fits);
                kept.insert(labels, value.ok_or_else(unfit)?);
            }
        }
        Ok(figures)
    }
}

impl Value {
    fn of(kind: Kind, value: Plain) -> Option<Self> {
        match (kind, value) {
            (Kind::Counter, Plain::Whole(count)) => Some(Self::Counter(count)),
            (Kind::Gauge, Plain::Whole(level)) => Some(Self::Gauge(level as f64)),
            (Kind::Gauge, Plain::Number(level)) => Some(Self::Gauge(level)),
            (Kind::Histogram, Plain::Distribution(it)) => Some(Self::Histogram(it)),
            _ => None,
        }
    }
}

impl From<Value> for Plain {
    fn from(value: Value) -> Self {
        match value {
            Value::Counter(count) => Self::Whole(count),
            Value::Gauge(level) => Self::Number(level),
            Value::Histogram(distribution) => Self::Distribution(distribution),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Figures, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_metric_that_is_not_in_the_table_is_passed_over() {
        let figures =
            read(r#"{"fusebox_of_tomorrow":[[["a","b"],1]],"fusebox_runs_live":[[[],1]]}"#);
        assert_eq!(figures.unwrap().value("fusebox_runs_live", &[]), Some(1.0));
    }

    #[test]
    fn other_labels_or_another_kind_are_refused() {
        for text in [
            r#"{"fusebox_runs_live":[[["a"],1]]}"#,
            r#"{"fusebox_runs_total":[[["completed"],1.5]]}"#,
            r#"{"fusebox_runs_total":[[["completed"],-1]]}"#,
            r#"{"fusebox_run_duration_seconds":[[["completed"],1]]}"#,
        ] {
            assert!(read(text).unwrap_err().contains("do not fit"), "{text}");
        }
    }

    #[test]
    fn the_largest_counts_add_up_to_the_largest() {
        let bucket = [u64::MAX; crate::table::BUCKETS.len()];
        let told = serde_json::json!({
            "fusebox_runs_total": [[["failed"], u64::MAX]],
            "fusebox_run_duration_seconds":
                [[["failed"], { "buckets": bucket, "count": u64::MAX, "sum": 1e308 }]],
        });
        let mut totals = crate::figures::Totals::new();
        for n in 0..3 {
            totals.set(n, serde_json::from_value(told.clone()).unwrap());
        }
        let figures = totals.figures();
        let failed = figures.value("fusebox_runs_total", &["failed"]);
        assert_eq!(failed, Some(u64::MAX as f64));
        assert!(
            figures
                .render()
                .contains("fusebox_runs_total{status=\"failed\"} 18446744073709551615")
        );
    }
}
