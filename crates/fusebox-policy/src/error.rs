//! Why a call gave no answer, and whether it may have run.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::CallNotPermitted;

/// Why a guarded call gave no answer. `attempts` counts the operations that were started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The breaker refused the attempt that would have been next; its source says when to come back.
    #[error("not permitted by the breaker, come back later; {}", earlier(*attempts))]
    NotPermitted {
        /// The breaker's refusal.
        source: CallNotPermitted,
        /// Attempts started before.
        attempts: u32,
    },
    /// No slot became free in time, or too many were queueing already.
    #[error("bulkhead `{name}` is full with {limit} concurrent calls, gave up after {waited:?}; {}", earlier(*attempts))]
    BulkheadFull {
        /// The bulkhead's name.
        name: Arc<str>,
        /// Its concurrent calls.
        limit: usize,
        /// Time spent queueing for the slot; zero if turned away at once.
        waited: Duration,
        /// Attempts started before.
        attempts: u32,
    },
    /// The last attempt gave no answer within the attempt time-out.
    #[error(
        "no answer within {limit:?} at attempt {attempts}; it may have run and may still be running"
    )]
    TimedOut {
        /// The attempt time-out.
        limit: Duration,
        /// Attempts started.
        attempts: u32,
    },
    /// The total time-out or the caller's deadline passed.
    #[error("not done within {limit:?} in total; {}", earlier(*attempts))]
    TotalTimedOut {
        /// Time the whole call had.
        limit: Duration,
        /// Attempts started.
        attempts: u32,
    },
    /// The operation's own last error, kept whole.
    #[error("failed at attempt {attempts}; it may have run")]
    Failed {
        /// The error.
        source: E,
        /// Attempts started.
        attempts: u32,
    },
    /// A hook stopped the call before an attempt.
    #[error("stopped before the next attempt: {reason}; {}", earlier(*attempts))]
    Stopped {
        /// The hook's reason.
        reason: String,
        /// Attempts started before.
        attempts: u32,
    },
}

impl<E> CallError<E> {
    /// Operations started.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::NotPermitted { attempts, .. }
            | Self::BulkheadFull { attempts, .. }
            | Self::TimedOut { attempts, .. }
            | Self::TotalTimedOut { attempts, .. }
            | Self::Failed { attempts, .. }
            | Self::Stopped { attempts, .. } => *attempts,
        }
    }

    /// Whether the operation may have taken effect: whether it was started at all. An operation's own error may know
    /// better.
    pub fn may_have_run(&self) -> bool {
        self.attempts() > 0
    }
}

fn earlier(attempts: u32) -> String {
    match attempts {
        0 => "nothing was called".to_owned(),
        1 => "1 attempt was started and may have run".to_owned(),
        n => format!("{n} attempts were started and may have run"),
    }
}
