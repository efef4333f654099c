//! Breakers as metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fusebox_breaker::{
    Breaker, Clock, Counts, MonotonicClock, Reason, State, Timestamp, Transition, TransitionQueue,
};
use metrics::{counter, gauge};

use crate::labels::{Labels, OTHER};
use crate::reason;
use crate::table::{
    CALLS, DROPPED, IN_FLIGHT, IN_STATE, NOT_PERMITTED, PROBES_LEASED, PROBES_LOST, STATE,
    TRANSITIONS,
};

const STATES: [State; 6] = [
    State::Closed,
    State::Open,
    State::HalfOpen,
    State::ForcedOpen,
    State::Disabled,
    State::MetricsOnly,
];

/// Reports breakers to the installed recorder.
///
/// A breaker's own path is not touched: its counts are read when [`counts`](Self::counts) is called, its moves come
/// out of its [`TransitionQueue`]. Memory: one small record per name.
#[derive(Debug)]
pub struct BreakerMetrics {
    labels: Labels,
    clock: Arc<dyn Clock>,
    /// What was reported of each breaker, so that counters grow by what is new.
    reported: Mutex<HashMap<Arc<str>, Reported>>,
}

/// What was reported of one breaker.
#[derive(Debug, Clone, Copy)]
struct Reported {
    counts: Counts,
    generation: u64,
    state: State,
    since: Timestamp,
    /// The state that refused calls last.
    refusing: State,
}

impl Default for BreakerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl BreakerMetrics {
    /// Nothing is reported yet.
    pub fn new() -> Self {
        Self {
            labels: Labels::default(),
            clock: Arc::new(MonotonicClock::new()),
            reported: Mutex::default(),
        }
    }

    /// Bounds the names of breakers. Default: [`DEFAULT_LABEL_VALUES`](crate::DEFAULT_LABEL_VALUES).
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Measures the time in a state by this clock. Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Counts a transition, its probes included, and moves the state gauge: 1 for the new state, 0 for all others.
    pub fn transition(&self, transition: &Transition) {
        let Transition {
            from, to, reason, ..
        } = transition;
        let breaker = self.labels.bound("breaker", &transition.breaker);
        counter!(TRANSITIONS, "breaker" => breaker.to_string(), "from" => from.as_str(), "to" => to.as_str(), "reason" => reason::kind(reason))
            .increment(1);
        // Written at zero too, so that the series are there before anything happens to them.
        let leased = u64::from(*to == State::HalfOpen && *from != State::HalfOpen);
        let lost = u64::from(matches!(reason, Reason::ProbeLost { .. }));
        counter!(PROBES_LEASED, "breaker" => breaker.to_string()).increment(leased);
        counter!(PROBES_LOST, "breaker" => breaker.to_string()).increment(lost);
        let mut reported = self.reported();
        if let Some(known) = reported.get_mut(&transition.breaker)
            && refuses(*to)
        {
            known.refusing = *to;
        }
        drop(reported);
        // What many share only the next look can set.
        if &*breaker != OTHER {
            set_state(&breaker, *to);
        }
    }

    /// Reports the breaker's state and what its counts have grown by since the last time.
    ///
    /// A refusal is put down to the breaker's present state if that refuses, and else to the one that did so last:
    /// exact where moves are told as they happen, and the total always is.
    pub fn counts(&self, breaker: &Breaker) {
        let (name, now) = (breaker.name(), self.clock.now());
        let label = self.labels.bound("breaker", name);
        let mut reported = self.reported();
        let before = reported.get(name).copied();
        let seen = Reported::of(breaker, before, now);
        reported.insert(Arc::clone(name), seen);
        drop(reported);
        if &*label == OTHER {
            add_gauges(before, seen);
        } else {
            set_state(&label, seen.state);
            gauge!(IN_FLIGHT, "breaker" => label.to_string()).set(seen.counts.in_flight() as f64);
            let age = now.saturating_since(seen.since).as_secs_f64();
            gauge!(IN_STATE, "breaker" => label.to_string()).set(age);
        }
        let before = before.map_or_else(Counts::default, |before| before.counts);
        let now = seen.counts;
        let grown = [
            ("succeeded", now.succeeded, before.succeeded),
            ("failed", now.failed, before.failed),
            ("timed_out", now.timed_out, before.timed_out),
            ("ignored", now.ignored, before.ignored),
            ("cancelled", now.cancelled, before.cancelled),
            ("rejected", now.rejected, before.rejected),
        ];
        for (outcome, now, before) in grown {
            counter!(CALLS, "breaker" => label.to_string(), "outcome" => outcome)
                .increment(now.saturating_sub(before));
        }
        let refused = now.rejected.saturating_sub(before.rejected);
        counter!(NOT_PERMITTED, "breaker" => label.to_string(), "reason" => seen.refusing.as_str())
            .increment(refused);
        for name in [PROBES_LEASED, PROBES_LOST] {
            counter!(name, "breaker" => label.to_string()).increment(0);
        }
    }

    /// Reports how many moves the queue has lost because it was full.
    pub fn queue(&self, queue: &TransitionQueue) {
        counter!(DROPPED, "queue" => "breakers").absolute(queue.dropped());
    }

    fn reported(&self) -> MutexGuard<'_, HashMap<Arc<str>, Reported>> {
        // No update leaves it half written.
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reported {
    fn of(breaker: &Breaker, before: Option<Self>, now: Timestamp) -> Self {
        let (state, generation) = (breaker.state(), breaker.generation());
        let stays = before.filter(|before| before.generation == generation);
        let refusing = match before {
            _ if refuses(state) => state,
            Some(before) => before.refusing,
            None => State::Open,
        };
        Self {
            counts: breaker.counts(),
            generation,
            state,
            since: stays.map_or(now, |before| before.since),
            refusing,
        }
    }
}

fn refuses(state: State) -> bool {
    matches!(state, State::Open | State::HalfOpen | State::ForcedOpen)
}

fn set_state(breaker: &str, current: State) {
    for state in STATES {
        let value = f64::from(u8::from(state == current));
        gauge!(STATE, "breaker" => breaker.to_owned(), "state" => state.as_str()).set(value);
    }
}

/// Brings the gauges that many breakers share from what this one was to what it is.
fn add_gauges(before: Option<Reported>, seen: Reported) {
    for state in STATES {
        let was = f64::from(u8::from(before.is_some_and(|before| before.state == state)));
        let is = f64::from(u8::from(seen.state == state));
        gauge!(STATE, "breaker" => OTHER, "state" => state.as_str()).increment(is - was);
    }
    let was = before.map_or(0, |before| before.counts.in_flight());
    let grown = seen.counts.in_flight() as f64 - was as f64;
    gauge!(IN_FLIGHT, "breaker" => OTHER).increment(grown);
}
