//! What came of one side, over all seeds.

mod agent;
mod gather;
mod series;

use serde::Serialize;

pub use self::agent::{AgentFigures, Spread};
pub(crate) use self::gather::Gather;
pub use self::series::{Lane, Series, Stay};
use crate::play::Protection;

/// One side of a comparison. Counts are sums over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Side {
    /// Which.
    pub protection: Protection,
    /// How the runs fared.
    pub runs: RunFigures,
    /// The calls that were made.
    pub calls: CallFigures,
    /// How far the faults reached.
    pub cascade: Cascade,
    /// Outages that are decided and met their objectives, of those decided, in `0.0..=1.0`; `None` without any.
    pub objectives_met_ratio: Option<f64>,
    /// The agents that were called or away, by name.
    pub agents: Vec<AgentFigures>,
    /// The same over time.
    pub series: Series,
    /// The states of the breakers over time, of the first seed.
    pub lanes: Vec<Lane>,
}

/// How the runs of a side fared.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct RunFigures {
    /// All.
    pub begun: u64,
    /// Delivered, every output from its own agent.
    pub completed: u64,
    /// Delivered, some by fallback or without an optional part.
    pub degraded: u64,
    /// Not delivered, and told so before the objective was over: a step could not come in time any more.
    pub failed: u64,
    /// Not delivered when the objective was over.
    pub late: u64,
    /// Under way when the measurement was stopped. They count for nothing else.
    pub cut_off: u64,
    /// The share that was delivered within the objective, in `0.0..=1.0`; `None` where none was over.
    pub availability_ratio: Option<f64>,
    /// How long the delivered ones took: half of them at most so long.
    pub latency_median_ms: Option<u64>,
    /// 95 of 100.
    pub latency_p95_ms: Option<u64>,
    /// 99 of 100.
    pub latency_p99_ms: Option<u64>,
}

/// The calls of a side, every attempt and every probe.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct CallFigures {
    /// All.
    pub made: u64,
    /// Made while a fault was on at the agent, and not answered, or not well.
    pub in_vain: u64,
    /// Calls for each run that began.
    pub per_run: Option<f64>,
}

/// How far the faults of a side reached.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Cascade {
    /// Agents without a fault in the plan at which a call failed, or had no slot until its run was over.
    pub drawn_in: Vec<String>,
    /// The most breakers that were not closed at the same time; `None` where there are none.
    pub most_away_at_once: Option<u64>,
}

/// The value that a share of the sorted `values` does not exceed (nearest rank); `None` of none.
pub(crate) fn quantile<T: Copy>(values: &[T], share: f64) -> Option<T> {
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// `part` of `whole`; `None` of nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&values, 0.5), Some(50));
        assert_eq!(quantile(&values, 0.95), Some(95));
        assert_eq!(quantile(&values, 0.99), Some(99));
        assert_eq!(quantile(&[7], 0.5), Some(7));
        assert_eq!(quantile::<u64>(&[], 0.5), None);
    }
}
