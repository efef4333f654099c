//! Leave to make one call, and the refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::{Breaker, Refused, Shared};
use crate::machine::Admission;
use crate::outcome::{FailureKind, State, Verdict};
use crate::transition::Reason;

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
    #[inline]
    pub(crate) fn new(breaker: Breaker, admission: Admission) -> Self {
        Self {
            breaker,
            generation: admission.generation(),
            is_probe: admission.is_probe(),
            admission: Some(admission),
        }
    }

    /// The call did its work.
    #[inline]
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
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        if let Some(admission) = self.admission.take() {
            self.breaker.shared.record(admission, verdict);
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
        if let Some(admission) = self.admission.take() {
            abandon(&self.breaker.shared, admission);
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

/// A [`Permit`] that borrows its breaker's handle.
#[must_use = "dropping a permit counts the call as cancelled"]
pub struct PermitRef<'a> {
    shared: &'a Shared,
    admission: Admission,
}

impl<'a> PermitRef<'a> {
    #[inline(always)]
    pub(crate) fn new(shared: &'a Shared, admission: Admission) -> Self {
        Self { shared, admission }
    }

    /// The call did its work.
    #[inline(always)]
    pub fn success(self) {
        self.record(Verdict::Success);
    }

    /// The call failed and the dependency is to blame.
    #[inline(always)]
    pub fn failure(self, kind: FailureKind) {
        self.record(Verdict::Failure(kind));
    }

    /// The call says nothing about the dependency.
    pub fn ignore(self) {
        self.record(Verdict::Neutral);
    }

    /// The call ended with this verdict.
    #[inline(always)]
    pub fn record(self, verdict: Verdict) {
        let (shared, admission) = (self.shared, self.admission);
        // It owns nothing, and its drop would count the call as cancelled.
        std::mem::forget(self);
        shared.record(admission, verdict);
    }

    /// Generation it was issued in.
    pub fn generation(&self) -> u64 {
        self.admission.generation()
    }

    /// Whether the call is a trial call of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.admission.is_probe()
    }
}

impl Drop for PermitRef<'_> {
    fn drop(&mut self) {
        abandon(self.shared, self.admission);
    }
}

impl fmt::Debug for PermitRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitRef")
            .field("generation", &self.generation())
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}

#[cold]
fn abandon(shared: &Shared, admission: Admission) {
    if std::thread::panicking() {
        shared.record(admission, Verdict::Failure(FailureKind::Error));
    } else {
        shared.cancel(admission);
    }
}

/// The breaker refused the call; nothing was called. Borrows the handle; [`CallNotPermitted`] is the owned form.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Refusal<'a> {
    breaker: &'a Breaker,
    refused: Refused,
}

impl<'a> Refusal<'a> {
    #[inline(always)]
    pub(crate) fn new(breaker: &'a Breaker, refused: Refused) -> Self {
        Self { breaker, refused }
    }

    /// State that refused.
    pub fn state(&self) -> State {
        self.refused.state
    }

    /// When to ask again, as in [`CallNotPermitted::retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.refused.retry_after()
    }
}

impl From<Refusal<'_>> for CallNotPermitted {
    fn from(refusal: Refusal<'_>) -> Self {
        Self {
            state: refusal.refused.state,
            retry_after: refusal.refused.retry_after(),
            generation: refusal.refused.generation,
            breaker: refusal.breaker.clone(),
        }
    }
}

/// The breaker refused the call; nothing was called.
///
/// Cheap to make: the reason is looked up when it is asked for.
#[derive(Clone, thiserror::Error)]
#[error("call not permitted by breaker `{}`: {state} ({}), {}", self.breaker(), self.why(), next_try(*retry_after))]
pub struct CallNotPermitted {
    /// State that refused.
    pub state: State,
    /// When to ask again: exact while open. While half-open with every probe slot taken it is a quarter of the open
    /// wait (or the earliest probe's deadline, if sooner), as a probe may answer at any moment. None if only an
    /// operator's release can help.
    pub retry_after: Option<Duration>,
    generation: u64,
    breaker: Breaker,
}

impl CallNotPermitted {
    /// The breaker's name.
    pub fn breaker(&self) -> &Arc<str> {
        self.breaker.name()
    }

    /// Why the breaker was in that state. None if it has moved on several times since.
    pub fn reason(&self) -> Option<Reason> {
        self.breaker.reason_of(self.generation)
    }

    fn why(&self) -> String {
        self.reason().map_or_else(
            || "it has moved on since".to_owned(),
            |reason| reason.to_string(),
        )
    }
}

impl PartialEq for CallNotPermitted {
    fn eq(&self, other: &Self) -> bool {
        (
            self.state,
            self.retry_after,
            self.generation,
            self.breaker(),
        ) == (
            other.state,
            other.retry_after,
            other.generation,
            other.breaker(),
        )
    }
}

impl Eq for CallNotPermitted {}

impl fmt::Debug for CallNotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallNotPermitted")
            .field("breaker", self.breaker())
            .field("state", &self.state)
            .field("retry_after", &self.retry_after)
            .field("reason", &self.reason())
            .finish()
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
