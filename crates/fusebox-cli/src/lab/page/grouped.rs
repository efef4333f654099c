//! A series as a line can show it.

use fusebox::lab::Series;

/// A series with its points put together, as rates and ratios.
pub(super) struct Grouped {
    pub(super) step_ms: u64,
    pub(super) availability: Vec<Option<f64>>,
    pub(super) latency_ms: Vec<Option<f64>>,
    pub(super) in_flight: Vec<Option<f64>>,
    pub(super) calls: Vec<Option<f64>>,
}

impl Grouped {
    pub(super) fn of(series: &Series, group: usize, seeds: f64) -> Self {
        let sums = |values: &[u64]| -> Vec<f64> {
            let groups = values.chunks(group);
            groups
                .map(|group| group.iter().sum::<u64>() as f64)
                .collect()
        };
        let begun = sums(&series.runs_begun);
        let delivered = sums(&series.runs_delivered);
        let step_ms = series.step_ms * group as u64;
        let seconds = step_ms as f64 / 1000.0;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let known = |values: &[Option<u64>]| -> Vec<f64> {
            values.iter().flatten().map(|value| *value as f64).collect()
        };
        Self {
            step_ms,
            availability: begun
                .iter()
                .zip(&delivered)
                .map(|(begun, delivered)| (*begun > 0.0).then(|| delivered / begun))
                .collect(),
            latency_ms: series
                .latency_median_ms
                .chunks(group)
                .map(|group| Some(mean(&known(group))).filter(|mean| mean.is_finite()))
                .collect(),
            in_flight: series
                .runs_in_flight
                .chunks(group)
                .map(|group| Some(mean(group)))
                .collect(),
            calls: sums(&series.calls_at_fault)
                .into_iter()
                .map(|calls| Some(calls / seconds / seeds))
                .collect(),
        }
    }
}
