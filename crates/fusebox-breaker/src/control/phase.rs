//! The phases a breaker goes through, finer than the states it tells.

use super::availability::until_probe;
use crate::clock::Timestamp;
use crate::outcome::{Availability, State};

#[derive(Debug)]
pub(super) enum Phase {
    Closed {
        since: Timestamp,
    },
    Open {
        due: Timestamp,
        /// Who made the probe due at once, if anyone did.
        released_by: Option<String>,
    },
    HalfOpen {
        probes: Vec<Probe>,
        successes: u32,
    },
    /// Half-open still, after the probes: a share of the calls is admitted.
    Ramp {
        step: usize,
        since: Timestamp,
        /// Arrivals' shares added up; a whole one admits a call.
        credit: f64,
        /// When the step's first call was admitted.
        first: Option<Timestamp>,
        successes: u32,
        failures: u32,
    },
    Overridden {
        state: State,
        reason: String,
        actor: String,
        until: Option<Timestamp>,
        beneath: Beneath,
        /// Metrics only: until then calls would have been refused.
        shadow: Option<Timestamp>,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) id: u32,
    pub(super) expires: Timestamp,
}

/// What an override lies upon, and gives way to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beneath {
    Closed,
    Open { due: Timestamp },
}

impl Beneath {
    pub(super) fn phase(self, at: Timestamp) -> Phase {
        match self {
            Self::Closed => Phase::Closed { since: at },
            Self::Open { due } => Phase::Open {
                due,
                released_by: None,
            },
        }
    }

    pub(super) fn availability(self, now: Timestamp) -> Availability {
        match self {
            Self::Closed => Availability::Ready,
            Self::Open { due } => until_probe(due, now),
        }
    }

    /// Earliest moment at which a call could pass once the override is gone.
    pub(super) fn due(self) -> Timestamp {
        match self {
            Self::Closed => Timestamp::default(),
            Self::Open { due } => due,
        }
    }
}

impl Phase {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } | Self::Ramp { .. } => State::HalfOpen,
            Self::Overridden { state, .. } => *state,
        }
    }
}
