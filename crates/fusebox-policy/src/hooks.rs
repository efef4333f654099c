//! What a call shows of itself while it runs, and where it can be stopped.

use std::time::Duration;

use fusebox_breaker::Verdict;
use tokio::time::Instant;

use crate::error::CallErrorKind;

/// One attempt, as the operation sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The first is 1.
    pub number: u32,
    /// When it will be given up: the earliest of attempt time-out, total time-out and the caller's deadline. None if
    /// nothing bounds it. [`Hooks::before_attempt`] sees it as if the attempt started when the hook does; the attempt
    /// time-out itself runs from the hook's end.
    pub deadline: Option<Instant>,
}

/// A hook's decision that the call must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Why; becomes part of [`CallError::Stopped`](crate::CallError::Stopped).
    pub reason: String,
}

impl Stop {
    /// Stops for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// A step of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallEvent {
    /// The rate limit makes the call wait. Only with the feature `rate-limit`.
    Throttled {
        /// How long at most.
        wait: Duration,
    },
    /// The bulkhead has no free slot; the call waits for one.
    Queued,
    /// The breaker refused; the call ends.
    NotPermitted {
        /// When to ask again, if the breaker knows.
        retry_after: Option<Duration>,
    },
    /// The operation is about to start.
    AttemptStarted {
        /// The first is 1.
        number: u32,
    },
    /// The attempt is over. Not sent for an attempt whose future was dropped from outside.
    AttemptEnded {
        /// The first is 1.
        number: u32,
        /// From its start, hook and queue left out.
        took: Duration,
        /// What the breaker learned; neutral if the total time-out or the caller's deadline cut it short.
        verdict: Verdict,
    },
    /// Another attempt will be made after a wait.
    Retrying {
        /// The coming attempt; at least 2.
        number: u32,
        /// The wait before it.
        after: Duration,
    },
    /// The call gave no answer, the fallback did.
    FellBack {
        /// Why the call gave none.
        cause: CallErrorKind,
    },
}

/// Watches a call and may stop it. Anyone may implement it; `()` watches nothing.
///
/// All methods may be called several times per call, from the task that runs it.
pub trait Hooks: Send + Sync {
    /// Runs before each attempt with bulkhead slot and permit held, outside of the attempt time-out, inside of the
    /// total one. The operation does not start before it answers `Ok`. Default: `Ok` at once.
    ///
    /// It may be dropped at any await, if the total time-out passes or the caller gives up.
    ///
    /// # Errors
    /// [`Stop`] ends the call: slot, reservations and, where possible, the rate limit's units given back, permit neutral.
    fn before_attempt(&self, attempt: &Attempt) -> impl Future<Output = Result<(), Stop>> + Send {
        let _ = attempt;
        std::future::ready(Ok(()))
    }

    /// Whether it wants to be told the steps. Where it does not, [`event`](Self::event) may be left out, and the call
    /// does not read the clock for it. Must answer the same for the whole of a call. Default: yes.
    fn is_listening(&self) -> bool {
        true
    }

    /// Is told each step. Must return at once; a panic ends the call. Default: nothing.
    fn event(&self, event: CallEvent) {
        let _ = event;
    }
}

impl Hooks for () {
    fn is_listening(&self) -> bool {
        false
    }
}
