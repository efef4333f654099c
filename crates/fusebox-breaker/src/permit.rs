//! Leave to make one call, and the refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::Breaker;
use crate::machine::{Admission, Rejection};
use crate::outcome::{FailureKind, State, Verdict};

/// Leave to make one call, tied to the generation it was issued in.
///
/// Hand it the outcome with one of its consuming methods. Dropping it counts as cancelled and moves no state; dropping
/// it while the thread panics counts as a failure. Either way its slot comes back. An outcome that arrives after the
/// breaker has moved on is counted and moves nothing.
#[must_use = "dropping a permit counts the call as cancelled"]
pub struct Permit {
    breaker: Breaker,
    /// None once settled.
    admission: Option<Admission>,
    generation: u64,
    is_probe: bool,
}

impl Permit {
    pub(crate) fn new(breaker: Breaker, admission: Admission) -> Self {
        Self {
            breaker,
            generation: admission.generation(),
            is_probe: admission.is_probe(),
            admission: Some(admission),
        }
    }

    /// The call did its work.
    pub fn success(self) {
        self.record(Verdict::Success);
    }

    /// The call failed and the dependency is to blame.
    pub fn failure(self, kind: FailureKind) {
        self.record(Verdict::Failure(kind));
    }

    /// The call says nothing about the dependency.
    pub fn ignore(self) {
        self.record(Verdict::Neutral);
    }

    /// The call ended with this verdict.
    pub fn record(mut self, verdict: Verdict) {
        if let Some(admission) = self.admission.take() {
            self.breaker.record(admission, verdict);
        }
    }

    /// Generation it was issued in.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the call is a trial call of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(admission) = self.admission.take() else {
            return;
        };
        if std::thread::panicking() {
            let failure = Verdict::Failure(FailureKind::Error);
            self.breaker.record(admission, failure);
        } else {
            self.breaker.cancel(admission);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", self.breaker.name())
            .field("generation", &self.generation)
            .field("is_probe", &self.is_probe)
            .finish()
    }
}

/// The breaker refused the call; nothing was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("call not permitted by breaker `{breaker}`: {state} ({reason}), {}", next_try(*retry_after))]
pub struct CallNotPermitted {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// State that refused.
    pub state: State,
    /// When to ask again: exact while open. While half-open with every probe slot taken it is a quarter of the open
    /// wait (or the earliest probe's deadline, if sooner), as a probe may answer at any moment. None if only an
    /// operator's release can help.
    pub retry_after: Option<Duration>,
    /// Why the breaker is in that state.
    pub reason: String,
}

impl CallNotPermitted {
    pub(crate) fn new(breaker: Arc<str>, rejection: Rejection) -> Self {
        Self {
            breaker,
            state: rejection.state,
            retry_after: rejection.retry_after,
            reason: rejection
                .reason
                .map_or_else(String::new, |reason| reason.to_string()),
        }
    }
}

fn next_try(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(
        || "no next try until an operator releases it".to_owned(),
        // To the millisecond: more digits help nobody.
        |after| {
            let after = Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            format!("next try in {after:?}")
        },
    )
}
