//! Moves between states, why they happened, and the bounded queue they are emitted into.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::outcome::State;

/// Why a breaker moved. Its text carries the figures.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "kind", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Reason {
    /// The consecutive rule opened it.
    ConsecutiveFailures {
        /// Failures in a row.
        failures: u32,
        /// The failures in a row at which it opens.
        threshold: u32,
    },
    /// The count window's rule opened it.
    FailureRate {
        /// Failures in the window.
        failures: u32,
        /// Calls in the window.
        calls: u32,
        /// The ratio, in `0.0..=1.0`, at which it opens.
        threshold: f64,
    },
    /// The time window's rule opened it.
    FailureRateOverTime {
        /// Failures in the window, weighted, rounded up.
        failures: u32,
        /// Calls in the window.
        calls: u32,
        /// Length of the window in milliseconds.
        window_ms: u64,
        /// The ratio, in `0.0..=1.0`, at which it opens.
        threshold: f64,
    },
    /// Too many calls were slow.
    SlowCallRate {
        /// Slow calls, those in flight past the limit included.
        slow: u32,
        /// Calls in flight past the limit.
        in_flight: u32,
        /// Calls in the window, those in flight past the limit included.
        calls: u32,
        /// From here on a call is slow, in milliseconds.
        limit_ms: u64,
        /// The ratio, in `0.0..=1.0`, at which it opens.
        threshold: f64,
    },
    /// The change detector found that the failure rate has risen.
    ChangeDetected {
        /// Its sum, in steps.
        sum: u64,
        /// The sum at which it opens.
        limit: u64,
        /// The failure rate it takes for normal.
        baseline: f64,
        /// The failure rate it looks for.
        changed: f64,
    },
    /// All rules together opened it.
    All {
        /// Each rule with its figures.
        of: Vec<Reason>,
    },
    /// Too many of the calls admitted by a ramp failed.
    RampFailed {
        /// Failures within the step.
        failures: u32,
        /// Calls that ended within the step.
        calls: u32,
        /// The step's share of calls, in `0.0..=1.0`.
        admits: f64,
    },
    /// The ramp's last step went well.
    RampCompleted {
        /// How many steps there were.
        steps: u32,
    },
    /// A probe failed.
    ProbeFailed,
    /// A probe gave no outcome before its deadline.
    ProbeLost {
        /// The deadline it had, in milliseconds.
        deadline_ms: u64,
    },
    /// Enough probes succeeded.
    ProbesSucceeded {
        /// How many did.
        successes: u32,
    },
    /// The open wait is over and the first probe came.
    WaitElapsed,
    /// The dependency asked to be left alone.
    TripUntil {
        /// Milliseconds until a probe is due: the hint with its jitter, or the usual wait if that is longer.
        wait_ms: u64,
    },
    /// Code or an operator tripped it.
    Tripped {
        /// As given to [`trip`](crate::Breaker::trip).
        why: String,
    },
    /// An operator overrode it.
    Forced {
        /// Why.
        reason: String,
        /// Who.
        actor: String,
    },
    /// An operator lifted the override, or made the probe due at once.
    Released {
        /// Who.
        actor: String,
    },
    /// The override's time was over.
    Expired,
    /// Taken over from a snapshot.
    Restored,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures {
                failures,
                threshold,
            } => write!(f, "{failures} consecutive failures, threshold {threshold}"),
            Self::FailureRate {
                failures,
                calls,
                threshold,
            } => write!(
                f,
                "{failures} of the last {calls} calls failed, ratio {:.2}, threshold {threshold:.2}",
                f64::from(*failures) / f64::from((*calls).max(1))
            ),
            Self::FailureRateOverTime {
                failures,
                calls,
                window_ms,
                threshold,
            } => write!(
                f,
                "{failures} of {calls} calls in {window_ms} ms failed, ratio {:.2}, threshold {threshold:.2}",
                f64::from(*failures) / f64::from((*calls).max(1))
            ),
            Self::SlowCallRate {
                slow,
                in_flight,
                calls,
                limit_ms,
                threshold,
            } => write!(
                f,
                "{slow} of {calls} calls took {limit_ms} ms or more, {in_flight} of them still in flight, ratio {:.2}, threshold {threshold:.2}",
                f64::from(*slow) / f64::from((*calls).max(1))
            ),
            Self::ChangeDetected {
                sum,
                limit,
                baseline,
                changed,
            } => write!(
                f,
                "the failure rate has risen from {baseline} towards {changed}: sum {sum}, limit {limit}"
            ),
            Self::All { of } => {
                for (index, reason) in of.iter().enumerate() {
                    let link = if index == 0 { "" } else { ", and " };
                    write!(f, "{link}{reason}")?;
                }
                Ok(())
            }
            Self::RampFailed {
                failures,
                calls,
                admits,
            } => write!(
                f,
                "{failures} of {calls} calls failed while a ramp admitted {admits} of all"
            ),
            Self::RampCompleted { steps } => write!(f, "{steps} steps of the ramp went well"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbeLost { deadline_ms } => {
                write!(f, "a probe gave no outcome within {deadline_ms} ms")
            }
            Self::ProbesSucceeded { successes: 1 } => f.write_str("1 probe succeeded"),
            Self::ProbesSucceeded { successes } => write!(f, "{successes} probes succeeded"),
            Self::WaitElapsed => f.write_str("the open wait elapsed"),
            Self::TripUntil { wait_ms } => {
                write!(f, "the dependency asked for a pause, {wait_ms} ms")
            }
            Self::Tripped { why } => write!(f, "tripped: {why}"),
            Self::Forced { reason, actor } => write!(f, "forced by {actor}: {reason}"),
            Self::Released { actor } => write!(f, "released by {actor}"),
            Self::Expired => f.write_str("the override expired"),
            Self::Restored => f.write_str("restored from a snapshot"),
        }
    }
}

/// One move of one breaker.
///
/// `from` and `to` are equal when an operator replaced an override by one of the same kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Which rule or whose hand, with figures.
    pub reason: Reason,
    /// When it took effect. For a deadline or an expiry this is that moment, even if it was noticed later.
    pub at: Timestamp,
    /// The generation that began with it. Numbers rise within one breaker, so they give the order even where
    /// threads queued their events out of order.
    pub generation: u64,
}

/// A bounded queue of transitions, shared by any number of breakers and one or more listeners. Clones are handles.
///
/// A full queue drops the newest event and counts it. The lock inside is held for one push or one swap, never while
/// a listener works, so a listener can neither block nor deadlock a caller.
#[derive(Debug, Clone)]
pub struct TransitionQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    events: Mutex<VecDeque<Transition>>,
    dropped: AtomicU64,
}

impl TransitionQueue {
    /// A queue that holds at most `capacity` events (0 is read as 1). Memory grows only with what is queued.
    pub fn new(capacity: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                capacity: capacity.max(1),
                events: Mutex::new(VecDeque::new()),
                dropped: AtomicU64::new(0),
            }),
        }
    }

    /// Takes everything queued, oldest first.
    pub fn drain(&self) -> Vec<Transition> {
        // Swapped out, so that the copy into the Vec happens without the lock.
        let events = std::mem::take(&mut *self.events());
        events.into()
    }

    /// Events lost since the queue was made because it was full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Events waiting.
    pub fn len(&self) -> usize {
        self.events().len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&self, transition: Transition) {
        let mut events = self.events();
        if events.len() < self.shared.capacity {
            events.push_back(transition);
        } else {
            drop(events);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    // A panic elsewhere cannot leave a VecDeque half-pushed, so a poisoned lock is taken over.
    fn events(&self) -> MutexGuard<'_, VecDeque<Transition>> {
        self.shared
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole milliseconds, rounded up: neither does a stored deadline come earlier, nor a short duration become none.
pub(crate) fn millis_up(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
