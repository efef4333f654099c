//! Breakers as metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fusebox_breaker::{Breaker, Counts, State, Transition};
use metrics::{counter, gauge};

use crate::table::{CALLS, IN_FLIGHT, STATE, TRANSITIONS};

const STATES: [State; 6] = [
    State::Closed,
    State::Open,
    State::HalfOpen,
    State::ForcedOpen,
    State::Disabled,
    State::MetricsOnly,
];

/// Reports breakers to the installed recorder.
#[derive(Debug, Default)]
pub struct BreakerMetrics {
    /// What was reported of each breaker, so that counters grow by what is new.
    reported: Mutex<HashMap<Arc<str>, Counts>>,
}

impl BreakerMetrics {
    /// Nothing is reported yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a transition and moves the state gauge: 1 for the new state, 0 for all others.
    pub fn transition(&self, transition: &Transition) {
        let breaker = transition.breaker.to_string();
        counter!(TRANSITIONS, "breaker" => breaker.clone(), "from" => transition.from.to_string(), "to" => transition.to.to_string())
            .increment(1);
        set_state(&breaker, transition.to);
    }

    /// Reports the breaker's state and what its counts have grown by since the last time.
    pub fn counts(&self, breaker: &Breaker) {
        let (name, now) = (breaker.name(), breaker.counts());
        set_state(name, breaker.state());
        gauge!(IN_FLIGHT, "breaker" => name.to_string()).set(now.in_flight() as f64);
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reported.insert(Arc::clone(name), now).unwrap_or_default();
        let grown = [
            ("succeeded", now.succeeded, before.succeeded),
            ("failed", now.failed, before.failed),
            ("timed_out", now.timed_out, before.timed_out),
            ("ignored", now.ignored, before.ignored),
            ("cancelled", now.cancelled, before.cancelled),
            ("rejected", now.rejected, before.rejected),
        ];
        for (outcome, now, before) in grown {
            counter!(CALLS, "breaker" => name.to_string(), "outcome" => outcome)
                .increment(now.saturating_sub(before));
        }
    }
}

fn set_state(breaker: &str, current: State) {
    for state in STATES {
        let value = f64::from(u8::from(state == current));
        gauge!(STATE, "breaker" => breaker.to_owned(), "state" => state.to_string()).set(value);
    }
}
