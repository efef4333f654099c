//! What came of one agent.

use fusebox_orchestrator::{RtoOutage, RtoVerdict};
use serde::Serialize;

use super::quantile;
use crate::time::millis;

/// One agent of a side. Counts are sums over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AgentFigures {
    /// The agent.
    pub agent: String,
    /// Whether a fault of the plan is its own.
    pub at_fault: bool,
    /// The calls it got.
    pub calls: u64,
    /// Those made while a fault was on, and not answered, or not well.
    pub calls_in_vain: u64,
    /// Those made while none was on, and not answered, or not well.
    pub calls_failed_otherwise: u64,
    /// How often its breaker opened, again after a failed probe included.
    pub openings: u64,
    /// Outages, each from an opening to the success that closed the breaker again.
    pub outages: u64,
    /// Its recovery objective.
    pub objective_ms: Option<u64>,
    /// Outages that met it.
    pub met: u64,
    /// Outages that took longer.
    pub breached: u64,
    /// Outages that were not over in the end, and might still have met it.
    pub pending: u64,
    /// From the first failure to the opening.
    pub detect_ms: Option<Spread>,
    /// From the opening until no call was in flight.
    pub isolate_ms: Option<Spread>,
    /// From the opening to the first success.
    pub resume_ms: Option<Spread>,
    /// From the opening to the success that closed the breaker.
    pub verified_ms: Option<Spread>,
}

/// What a figure was over all outages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// Half of them at most so much.
    pub median: u64,
    /// The most.
    pub most: u64,
}

impl Spread {
    fn of(values: impl Iterator<Item = u64>) -> Option<Self> {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        Some(Self {
            median: quantile(&values, 0.5)?,
            most: *values.last()?,
        })
    }
}

/// What is counted of an agent on the way.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) in_vain: u64,
    pub(super) failed_otherwise: u64,
    pub(super) starved: u64,
    pub(super) openings: u64,
    pub(super) outages: Vec<RtoOutage>,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.in_vain += other.in_vain;
        self.failed_otherwise += other.failed_otherwise;
        self.starved += other.starved;
        self.openings += other.openings;
        self.outages.extend(other.outages);
    }

    /// Whether there is anything to say.
    pub(super) fn is_worth_telling(&self) -> bool {
        self.calls + self.starved > 0 || !self.outages.is_empty()
    }

    pub(super) fn told(
        &self,
        agent: &str,
        at_fault: bool,
        objective: Option<std::time::Duration>,
    ) -> AgentFigures {
        let count = |verdict: RtoVerdict| {
            let outages = self.outages.iter();
            outages.filter(|outage| outage.verdict == verdict).count() as u64
        };
        let spread =
            |of: fn(&RtoOutage) -> Option<u64>| Spread::of(self.outages.iter().filter_map(of));
        AgentFigures {
            agent: agent.to_owned(),
            at_fault,
            calls: self.calls,
            calls_in_vain: self.in_vain,
            calls_failed_otherwise: self.failed_otherwise,
            openings: self.openings,
            outages: self.outages.len() as u64,
            objective_ms: objective.map(millis),
            met: count(RtoVerdict::Met),
            breached: count(RtoVerdict::Breached),
            pending: count(RtoVerdict::Pending),
            detect_ms: spread(|outage| outage.detect_ms),
            isolate_ms: spread(|outage| outage.isolate_ms),
            resume_ms: spread(|outage| outage.resume_ms),
            verified_ms: spread(|outage| outage.verified_ms),
        }
    }
}
