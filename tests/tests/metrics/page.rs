//! Reads the text format, as much of it as a page of ours has.

use std::collections::BTreeMap;

use fusebox::metrics::{Kind, METRICS, Metric};

/// One line of a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// As written, suffixes included.
    pub(crate) name: String,
    pub(crate) labels: String,
    pub(crate) value: f64,
}

pub(crate) fn samples(page: &str) -> Vec<Sample> {
    let lines = page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            Sample {
                name: name.to_owned(),
                labels: labels.trim_end_matches('}').to_owned(),
                value: value.parse().expect("a value is a number"),
            }
        })
        .collect()
}

/// The line of the table that a sample belongs to.
pub(crate) fn row(sample: &Sample) -> Option<&'static Metric> {
    let suffixed = |metric: &Metric| {
        let suffix = sample.name.strip_prefix(metric.name);
        match metric.kind {
            Kind::Histogram => {
                matches!(suffix, Some("_bucket" | "_sum" | "_count"))
            }
            _ => suffix == Some(""),
        }
    };
    METRICS.iter().find(|metric| suffixed(metric))
}

/// The largest value each metric ever had; of a histogram, how many observations.
#[derive(Debug, Default)]
pub(crate) struct Peaks(BTreeMap<&'static str, f64>);

impl Peaks {
    /// Takes a page in.
    ///
    /// # Panics
    /// It has a metric that the table does not name, or one with other labels.
    pub(crate) fn add(&mut self, page: &str) {
        for sample in samples(page) {
            let metric = row(&sample).unwrap_or_else(|| panic!("not in the table: {sample:?}"));
            let labels = sample.labels.split("\",").filter(|label| !label.is_empty());
            for label in labels {
                let (label, _) = label.split_once('=').expect("a label has a value");
                assert!(
                    metric.labels.contains(&label) || label == "le",
                    "{sample:?}"
                );
            }
            if metric.kind != Kind::Histogram || sample.name.ends_with("_count") {
                let peak = self.0.entry(metric.name).or_default();
                *peak = peak.max(sample.value);
            }
        }
    }

    /// The metrics that never were on a page.
    pub(crate) fn absent(&self) -> Vec<&'static str> {
        let names = METRICS.iter().map(|metric| metric.name);
        names.filter(|name| !self.0.contains_key(name)).collect()
    }

    /// The metrics that never were more than zero.
    pub(crate) fn silent(&self) -> Vec<&'static str> {
        let names = METRICS.iter().map(|metric| metric.name);
        names
            .filter(|name| self.0.get(name).is_none_or(|peak| *peak <= 0.0))
            .collect()
    }
}
