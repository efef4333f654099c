//! What is stored of a breaker, and taken over from what was stored.

use std::time::Duration;

use super::Control;
use super::phase::{Beneath, Phase};
use crate::clock::Timestamp;
use crate::outcome::State;
use crate::snapshot::{Forced, Snapshot};
use crate::tally::Tally;
use crate::transition::{Reason, millis_up};
use crate::word::MAX_RESTORED_GENERATION;

impl Control {
    /// The state with remaining durations, to be stored.
    pub(crate) fn snapshot(&self, now: Timestamp) -> Snapshot {
        let left = |moment: Timestamp| millis_up(moment.saturating_since(now));
        let (remaining_ms, forced) = match &self.phase {
            Phase::Closed { .. } | Phase::HalfOpen { .. } | Phase::Ramp { .. } => (None, None),
            Phase::Open { due, .. } => (Some(left(*due)), None),
            Phase::Overridden {
                reason,
                actor,
                until,
                beneath,
                ..
            } => {
                let open_beneath_ms = match beneath {
                    Beneath::Closed => None,
                    Beneath::Open { due } => Some(left(*due)),
                };
                let forced = Forced {
                    reason: reason.clone(),
                    actor: actor.clone(),
                    open_beneath_ms,
                };
                (until.map(left), Some(forced))
            }
        };
        Snapshot {
            state: self.state(),
            generation: self.generation,
            remaining_ms,
            openings: self.openings,
            reason: self.reason.clone(),
            forced,
        }
    }

    /// Takes over a stored state: open keeps its remaining time, half-open becomes open with a probe due now,
    /// overrides keep theirs; windows are empty, counts stay. Permits issued before are of an older generation.
    pub(crate) fn restore(&mut self, tally: &Tally, snapshot: &Snapshot, now: Timestamp) {
        let after = |ms: u64| now + Duration::from_millis(ms);
        let open = |ms: u64| Phase::Open {
            due: after(ms),
            released_by: None,
        };
        let phase = match snapshot.state {
            State::Closed => Phase::Closed { since: now },
            State::Open => open(snapshot.remaining_ms.unwrap_or(0)),
            State::HalfOpen => open(0),
            state => {
                let forced = snapshot.forced.as_ref();
                let beneath = forced.and_then(|forced| forced.open_beneath_ms);
                Phase::Overridden {
                    state,
                    reason: forced.map_or_else(String::new, |forced| forced.reason.clone()),
                    actor: forced.map_or_else(String::new, |forced| forced.actor.clone()),
                    until: snapshot.remaining_ms.map(after),
                    beneath: beneath.map_or(Beneath::Closed, |ms| Beneath::Open { due: after(ms) }),
                    shadow: None,
                }
            }
        };
        self.openings = snapshot.openings;
        // One that no breaker ever had would not fit into the word, and no verdict would count any more.
        let stored = snapshot.generation.min(MAX_RESTORED_GENERATION);
        self.generation = self.generation.max(stored);
        self.enter(tally, phase, Reason::Restored, now);
        // A start with nothing to take over is not news.
        self.moves
            .pop_if(|step| (step.from, step.to) == (State::Closed, State::Closed));
        // The event says "restored"; whoever asks why it is open wants the reason it once opened for.
        if snapshot.reason.is_some() {
            self.reason.clone_from(&snapshot.reason);
            if let (Some((_, last)), Some(reason)) = (self.history.back_mut(), &self.reason) {
                last.clone_from(reason);
            }
        }
    }
}
