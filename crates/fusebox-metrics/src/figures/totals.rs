//! Several processes as one.

use std::collections::BTreeMap;

use super::{Figures, Series, Value};
use crate::labels::{Labels, OTHER};
use crate::table::{BREACHED, METRICS, Metric, RECOVERY};
use crate::together::Together;

/// Adds up processes that come and go, each under a key of its own.
///
/// Counters and histograms only grow: what a process had counted stays when it has [ended](Self::end). Gauges are of
/// those that live, by the rule of the table ([`Together`]).
///
/// Memory: a process that lives has its [`Figures`] here, all that have ended one together. Names beyond the bound on
/// labels are one here too, over all processes: [`DEFAULT_LABEL_VALUES`](crate::DEFAULT_LABEL_VALUES) unless set
/// otherwise.
#[derive(Debug, Clone)]
pub struct Totals<K> {
    labels: Labels,
    live: BTreeMap<K, Figures>,
    ended: Figures,
}

impl<K: Ord> Default for Totals<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord> Totals<K> {
    /// Of nobody yet.
    pub fn new() -> Self {
        Self {
            labels: Labels::default(),
            live: BTreeMap::new(),
            ended: Figures::default(),
        }
    }

    /// Bounds the names of breakers, agents and steps. Default:
    /// [`DEFAULT_LABEL_VALUES`](crate::DEFAULT_LABEL_VALUES) each.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// What the process of that key has counted since it began, in place of what was said of it before.
    pub fn set(&mut self, key: K, figures: Figures) {
        let bounded = self.bounded(figures);
        self.live.insert(key, bounded);
    }

    /// The process has ended, and another of that key would be a new one. Without effect where there is none.
    pub fn end(&mut self, key: &K) {
        if let Some(figures) = self.live.remove(key) {
            for (name, mut series) in figures.metrics {
                series.retain(|_, value| !matches!(value, Value::Gauge(_)));
                add(
                    self.ended.metrics.entry(name).or_default(),
                    &series,
                    Together::Sum,
                );
            }
        }
    }

    /// The keys of those that have not ended, in order.
    pub fn live(&self) -> impl Iterator<Item = &K> {
        self.live.keys()
    }

    /// All as one.
    pub fn figures(&self) -> Figures {
        let mut whole = self.ended.clone();
        for metric in METRICS {
            for part in self.live.values() {
                if let Some(series) = part.metrics.get(metric.name) {
                    let sum = whole.metrics.entry(metric.name).or_default();
                    add(sum, series, metric.together);
                }
            }
        }
        for metric in METRICS {
            let Some(mut series) = whole.metrics.remove(metric.name) else {
                continue;
            };
            match metric.together {
                Together::Worst(words) => single_out(&mut series, words),
                Together::WhereWorst(of) => self.where_worst(&mut series, metric.name, of, &whole),
                Together::MetShare => met_share(&mut series, &whole),
                Together::Sum | Together::Largest | Together::Least => {}
            }
            // An ended process may have left a metric of which it had told nothing but gauges.
            if !series.is_empty() {
                whole.metrics.insert(metric.name, series);
            }
        }
        whole
    }

    /// The largest of those whose `of` shows the word that counts. The table has `of` before.
    fn where_worst(&self, series: &mut Series, name: &str, of: &str, whole: &Figures) {
        let holds = |figures: &Figures, whose: &[String], word: &str| {
            let labels: Vec<&str> = whose.iter().map(String::as_str).chain([word]).collect();
            figures.value(of, &labels).is_some_and(|it| it > 0.0)
        };
        let Some(Together::Worst(words)) = Metric::named(of).map(|metric| metric.together) else {
            return;
        };
        for (labels, value) in series {
            let Some(word) = words.iter().rfind(|word| holds(whole, labels, word)) else {
                continue;
            };
            let parts = self.live.values();
            let there = parts.filter(|part| holds(part, labels, word));
            let names: Vec<&str> = labels.iter().map(String::as_str).collect();
            let levels = there.filter_map(|part| part.value(name, &names));
            if let Some(largest) = levels.reduce(f64::max) {
                *value = Value::Gauge(largest);
            }
        }
    }

    /// The same with every name within the bound on labels.
    fn bounded(&self, figures: Figures) -> Figures {
        let mut bounded = Figures::default();
        for (name, series) in figures.metrics {
            let Some(metric) = Metric::named(name) else {
                continue;
            };
            let kept = bounded.metrics.entry(metric.name).or_default();
            for (labels, value) in series {
                let names = metric.labels.iter().zip(&labels);
                let names = names.map(|(label, name)| self.labels.bound(label, name).to_string());
                let one = Series::from([(names.collect(), value)]);
                add(kept, &one, metric.together);
            }
        }
        bounded
    }
}

/// Adds series to series. Of words all are kept, as often as they hold.
fn add(sum: &mut Series, series: &Series, together: Together) {
    for (labels, value) in series {
        match sum.get_mut(labels) {
            Some(mine) => mine.add(value, together),
            None => {
                sum.insert(labels.clone(), value.clone());
            }
        }
    }
}

impl Value {
    /// Both are of one metric, so of one kind.
    fn add(&mut self, other: &Self, together: Together) {
        match (self, other) {
            (Self::Counter(mine), Self::Counter(theirs)) => *mine = mine.saturating_add(*theirs),
            (Self::Histogram(mine), Self::Histogram(theirs)) => mine.add(theirs),
            (Self::Gauge(mine), Self::Gauge(theirs)) => {
                *mine = match together {
                    Together::Sum | Together::Worst(_) => *mine + theirs,
                    Together::Largest | Together::WhereWorst(_) => mine.max(*theirs),
                    Together::Least | Together::MetShare => mine.min(*theirs),
                };
            }
            _ => {}
        }
    }
}

/// Leaves 1 at the last of `words` that holds, for each that the words are told of. What stands for many stays a sum.
fn single_out(series: &mut Series, words: &[&str]) {
    let rank = |word: &str| words.iter().position(|it| *it == word);
    let mut worst: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (labels, value) in &*series {
        let Some((word, whose)) = labels.split_last() else {
            continue;
        };
        if matches!(value, Value::Gauge(level) if *level > 0.0) {
            let rank = rank(word).unwrap_or_default();
            let known = worst.entry(whose.to_vec()).or_default();
            *known = rank.max(*known);
        }
    }
    for (labels, value) in series {
        let Some((word, whose)) = labels.split_last() else {
            continue;
        };
        if !whose.iter().any(|name| name == OTHER) {
            let holds = rank(word).is_some() && worst.get(whose) == rank(word).as_ref();
            *value = Value::Gauge(f64::from(u8::from(holds)));
        }
    }
}

/// An outage that lasts is decided once it is past its objective.
fn met_share(series: &mut Series, whole: &Figures) {
    for (labels, value) in series {
        let Some(agent) = labels.first() else {
            continue;
        };
        let met = whole.value(RECOVERY, &[agent, "met"]).unwrap_or_default();
        let breached = whole.value(BREACHED, &[agent]).unwrap_or_default();
        if met + breached > 0.0 {
            *value = Value::Gauge(met / (met + breached));
        }
    }
}

#[cfg(test)]
mod tests;
