//! What a call would meet, told without moving anything.

use super::phase::{Phase, Probe};
use super::{Control, WHOLE, ramp, share};
use crate::clock::Timestamp;
use crate::outcome::{Availability, State};

/// While every probe slot is taken, callers are told to look again after this part of the open wait.
const PROBE_POLLS_PER_WAIT: u32 = 4;

impl Control {
    /// What [`acquire`](Self::acquire) would meet, without moving anything.
    pub(crate) fn availability(&self, now: Timestamp) -> Availability {
        match &self.phase {
            Phase::Closed { .. } => Availability::Ready,
            Phase::Open { due, .. } => until_probe(*due, now),
            Phase::HalfOpen { probes, .. } => self.half_open_availability(probes, now),
            Phase::Ramp { .. } => self.ramp_availability(now),
            Phase::Overridden {
                until: Some(until),
                beneath,
                ..
            } if *until <= now => beneath.availability(now),
            Phase::Overridden {
                state: State::ForcedOpen,
                until,
                beneath,
                ..
            } => match until {
                None => Availability::Never,
                Some(until) => {
                    Availability::NotBefore((*until).max(beneath.due()).saturating_since(now))
                }
            },
            Phase::Overridden { .. } => Availability::Ready,
        }
    }

    fn half_open_availability(&self, probes: &[Probe], now: Timestamp) -> Availability {
        let Some(expires) = probes.iter().map(|probe| probe.expires).min() else {
            return Availability::ProbeReady;
        };
        if expires <= now {
            // Already lost: the next acquire opens it as of the deadline. Its wait is not drawn yet, so the
            // shortest is told.
            let next = self.openings.saturating_add(1);
            return until_probe(expires + self.config.shortest_wait(next), now);
        }
        if probes.len() < self.config.max_concurrent_probes() as usize {
            return Availability::ProbeReady;
        }
        // A probe may answer at any moment, at the latest at its deadline; telling only the deadline would make
        // waiters sleep through the recovery.
        let poll = self.config.wait_duration_in_open() / PROBE_POLLS_PER_WAIT;
        Availability::NotBefore(poll.min(expires.saturating_since(now)))
    }

    fn ramp_availability(&self, now: Timestamp) -> Availability {
        let Phase::Ramp {
            step,
            since,
            credit,
            first,
            successes,
            failures,
        } = &self.phase
        else {
            return Availability::Ready;
        };
        let ramp = ramp(&self.config);
        let lost = first.map(|first| first + self.config.probe_deadline());
        if let Some(lost) = lost.filter(|lost| successes + failures == 0 && *lost <= now) {
            let next = self.openings.saturating_add(1);
            return until_probe(lost + self.config.shortest_wait(next), now);
        }
        if *successes > 0 && *since + ramp.step_duration <= now {
            return if step + 1 < ramp.steps.len() {
                Availability::ProbeReady
            } else {
                Availability::Ready
            };
        }
        if credit + share(&self.config, *step) >= WHOLE {
            Availability::ProbeReady
        } else {
            // The share is by count, so another caller soon has better luck.
            Availability::NotBefore(ramp.step_duration / PROBE_POLLS_PER_WAIT)
        }
    }
}

pub(super) fn until_probe(due: Timestamp, now: Timestamp) -> Availability {
    if due <= now {
        Availability::ProbeReady
    } else {
        Availability::NotBefore(due.saturating_since(now))
    }
}
