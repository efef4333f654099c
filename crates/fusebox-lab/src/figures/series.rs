//! Figures over the time of a plan.

use std::time::Duration;

use fusebox_breaker::State;
use serde::Serialize;

use super::quantile;
use crate::plan::Plan;
use crate::play::{End, Move, Played};
use crate::time::millis;
use crate::watch::{Answer, Call};

/// Points that a series has about at most; beyond it they lie further apart than a second.
const MOST_POINTS: u128 = 3600;

/// Figures over the time of a plan, one value for each stretch of `step_ms`, the first from the beginning on. Counts
/// are sums over all seeds.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Series {
    /// How long a stretch is: a second, in plans of more than an hour longer.
    pub step_ms: u64,
    /// Runs that began in it.
    pub runs_begun: Vec<u64>,
    /// Of those, the ones that were delivered in the end.
    pub runs_delivered: Vec<u64>,
    /// Of those, the ones that were not.
    pub runs_failed: Vec<u64>,
    /// How long half of those delivered took at most.
    pub latency_median_ms: Vec<Option<u64>>,
    /// Runs under way at its beginning; the mean over all seeds.
    pub runs_in_flight: Vec<f64>,
    /// Calls that began in it at agents with a fault in the plan.
    pub calls_at_fault: Vec<u64>,
    /// Of those, the ones in vain.
    pub calls_in_vain: Vec<u64>,
}

/// The states of one breaker over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lane {
    /// Whose: an agent's, or that of what agents depend on.
    pub breaker: String,
    /// Where it was not closed, in order.
    pub stays: Vec<Stay>,
}

/// A time that a breaker spent in one state.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stay {
    /// The state.
    pub state: State,
    /// From when, counted from the beginning of the plan.
    pub from_ms: u64,
    /// Until when; to the end of the last run where it did not end.
    pub until_ms: u64,
    /// What brought it there.
    pub reason: String,
}

/// What a series is made of.
#[derive(Debug)]
pub(super) struct Stretches {
    step: Duration,
    all: Vec<Stretch>,
}

#[derive(Debug, Default, Clone)]
struct Stretch {
    begun: u64,
    failed: u64,
    latencies: Vec<u64>,
    /// By how many the runs under way at its beginning are more than at the beginning of the one before.
    more_in_flight: i64,
    calls_at_fault: u64,
    in_vain: u64,
}

impl Stretches {
    pub(super) fn of(plan: &Plan) -> Self {
        let longest = plan.duration + plan.file.workflow.objective();
        let seconds = longest.as_millis().div_ceil(1000);
        let step = u64::try_from(seconds.div_ceil(MOST_POINTS).max(1)).unwrap_or(u64::MAX);
        Self {
            step: Duration::from_secs(step),
            all: Vec::new(),
        }
    }

    pub(super) fn take_run(&mut self, begun: Duration, ended: Duration, end: End) {
        if end == End::CutOff {
            return;
        }
        let stretch = self.at(begun);
        stretch.begun += 1;
        match end.is_delivered() {
            true => stretch.latencies.push(millis(ended - begun)),
            false => stretch.failed += 1,
        }
        // It counts at the beginnings that it sees: from the first after its own on.
        self.after(begun).more_in_flight += 1;
        self.after(ended).more_in_flight -= 1;
    }

    pub(super) fn take_call(&mut self, call: &Call, is_struck: bool) {
        let stretch = self.at(call.begun);
        stretch.calls_at_fault += 1;
        stretch.in_vain += u64::from(is_struck && call.answer != Answer::Good);
    }

    pub(super) fn add(&mut self, other: Self) {
        for (place, stretch) in other.all.into_iter().enumerate() {
            let own = self.place(place);
            own.begun += stretch.begun;
            own.failed += stretch.failed;
            own.latencies.extend(stretch.latencies);
            own.more_in_flight += stretch.more_in_flight;
            own.calls_at_fault += stretch.calls_at_fault;
            own.in_vain += stretch.in_vain;
        }
    }

    pub(super) fn told(mut self, seeds: u64) -> Series {
        let mut series = Series {
            step_ms: millis(self.step),
            ..Series::default()
        };
        let mut in_flight = 0;
        for stretch in &mut self.all {
            stretch.latencies.sort_unstable();
            in_flight += stretch.more_in_flight;
            series.runs_begun.push(stretch.begun);
            series.runs_delivered.push(stretch.begun - stretch.failed);
            series.runs_failed.push(stretch.failed);
            series
                .latency_median_ms
                .push(quantile(&stretch.latencies, 0.5));
            series.runs_in_flight.push(in_flight as f64 / seeds as f64);
            series.calls_at_fault.push(stretch.calls_at_fault);
            series.calls_in_vain.push(stretch.in_vain);
        }
        series
    }

    fn at(&mut self, time: Duration) -> &mut Stretch {
        let place = time.as_nanos() / self.step.as_nanos();
        self.place(usize::try_from(place).expect("a plan is not that long"))
    }

    fn after(&mut self, time: Duration) -> &mut Stretch {
        let place = time.as_nanos().div_ceil(self.step.as_nanos());
        self.place(usize::try_from(place).expect("a plan is not that long"))
    }

    fn place(&mut self, place: usize) -> &mut Stretch {
        if self.all.len() <= place {
            self.all.resize(place + 1, Stretch::default());
        }
        &mut self.all[place]
    }
}

/// The breakers that were not always closed.
pub(super) fn lanes(played: &Played) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for (place, name) in played.breakers.iter().enumerate() {
        let moves: Vec<&Move> = played
            .moves
            .iter()
            .filter(|moved| moved.breaker == place)
            .collect();
        let ends = moves
            .iter()
            .skip(1)
            .map(|moved| moved.at)
            .chain([played.ended]);
        let stays = moves.iter().zip(ends);
        let stays = stays.filter(|(moved, _)| !matches!(moved.to, State::Closed | State::Disabled));
        let stays: Vec<Stay> = stays
            .map(|(moved, until)| Stay {
                state: moved.to,
                from_ms: millis(moved.at),
                until_ms: millis(until),
                reason: moved.reason.clone(),
            })
            .collect();
        if !stays.is_empty() {
            let breaker = name.clone();
            lanes.push(Lane { breaker, stays });
        }
    }
    lanes
}
