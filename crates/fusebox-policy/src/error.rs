//! Why a call gave no answer, and whether it may have run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::CallNotPermitted;

use crate::budget::BudgetExceeded;
use crate::loops::LoopDetected;

/// Why a guarded call gave no answer. `attempts` counts the operations that were started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// A budget has not enough left; its source says when it will.
    #[error("over budget; nothing was called")]
    BudgetExceeded {
        /// The budget's refusal.
        source: BudgetExceeded,
    },
    /// The call repeats itself; its source says how often it did.
    #[error("the call goes round in a loop; nothing was called")]
    LoopDetected {
        /// The loop detector's refusal.
        source: LoopDetected,
    },
    /// The breaker refused the attempt that would have been next; its source says when to come back.
    #[error("not permitted by the breaker, come back later; {}", earlier(*attempts))]
    NotPermitted {
        /// The breaker's refusal.
        source: CallNotPermitted,
        /// Attempts started before.
        attempts: u32,
    },
    /// The rate limit's turn for it would come too late. Only with the feature `rate-limit`.
    #[error("rate limit `{name}` is reached, {}; {}", next_try(*retry_after), earlier(*attempts))]
    RateLimited {
        /// The rate limit's name.
        name: Arc<str>,
        /// When it would have been let through; `None` if its weight is larger than the burst.
        retry_after: Option<Duration>,
        /// Attempts started before.
        attempts: u32,
    },
    /// No slot became free in time, or too many were queueing already.
    #[error("bulkhead `{name}` is full with {limit} concurrent calls, gave up after {:?}; {}", to_millis(*waited), earlier(*attempts))]
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
        "no answer within {:?} at attempt {attempts}; it may have run and may still be running",
        to_millis(*limit)
    )]
    TimedOut {
        /// The attempt time-out.
        limit: Duration,
        /// Attempts started.
        attempts: u32,
    },
    /// The total time-out or the caller's deadline passed.
    #[error("not done within {:?} in total; {}", to_millis(*limit), earlier(*attempts))]
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
    /// The call gave no answer, and neither did its fallback.
    #[error("{}, and the fallback gave no answer either; {}", primary.kind(), earlier(primary.attempts()))]
    FallbackFailed {
        /// The fallback's own error; `None` if it took too long.
        source: Option<E>,
        /// Why the call itself gave no answer.
        primary: Box<CallError<E>>,
    },
}

/// Which [`CallError`] it is, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// [`CallError::BudgetExceeded`].
    BudgetExceeded,
    /// [`CallError::LoopDetected`].
    LoopDetected,
    /// [`CallError::NotPermitted`].
    NotPermitted,
    /// [`CallError::RateLimited`].
    RateLimited,
    /// [`CallError::BulkheadFull`].
    BulkheadFull,
    /// [`CallError::TimedOut`].
    TimedOut,
    /// [`CallError::TotalTimedOut`].
    TotalTimedOut,
    /// [`CallError::Failed`].
    Failed,
    /// [`CallError::Stopped`].
    Stopped,
    /// [`CallError::FallbackFailed`].
    FallbackFailed,
}

impl fmt::Display for CallErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BudgetExceeded => "over budget",
            Self::LoopDetected => "in a loop",
            Self::NotPermitted => "not permitted by the breaker",
            Self::RateLimited => "rate limited",
            Self::BulkheadFull => "bulkhead full",
            Self::TimedOut => "attempt timed out",
            Self::TotalTimedOut => "timed out in total",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::FallbackFailed => "fallback failed",
        })
    }
}

impl<E> CallError<E> {
    /// Operations started.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::BudgetExceeded { .. } | Self::LoopDetected { .. } => 0,
            Self::NotPermitted { attempts, .. }
            | Self::RateLimited { attempts, .. }
            | Self::BulkheadFull { attempts, .. }
            | Self::TimedOut { attempts, .. }
            | Self::TotalTimedOut { attempts, .. }
            | Self::Failed { attempts, .. }
            | Self::Stopped { attempts, .. } => *attempts,
            Self::FallbackFailed { primary, .. } => primary.attempts(),
        }
    }

    /// Which of the variants it is.
    pub fn kind(&self) -> CallErrorKind {
        match self {
            Self::BudgetExceeded { .. } => CallErrorKind::BudgetExceeded,
            Self::LoopDetected { .. } => CallErrorKind::LoopDetected,
            Self::NotPermitted { .. } => CallErrorKind::NotPermitted,
            Self::RateLimited { .. } => CallErrorKind::RateLimited,
            Self::BulkheadFull { .. } => CallErrorKind::BulkheadFull,
            Self::TimedOut { .. } => CallErrorKind::TimedOut,
            Self::TotalTimedOut { .. } => CallErrorKind::TotalTimedOut,
            Self::Failed { .. } => CallErrorKind::Failed,
            Self::Stopped { .. } => CallErrorKind::Stopped,
            Self::FallbackFailed { .. } => CallErrorKind::FallbackFailed,
        }
    }

    /// When the call may be let through again, if it was turned away and that is known. Not a promise: others may be
    /// faster.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BudgetExceeded { source } => source.retry_after,
            Self::LoopDetected { source } => Some(source.retry_after),
            Self::NotPermitted { source, .. } => source.retry_after,
            Self::RateLimited { retry_after, .. } => *retry_after,
            Self::FallbackFailed { primary, .. } => primary.retry_after(),
            _ => None,
        }
    }

    /// Whether the operation may have taken effect: whether it was started at all. An operation's own error may know
    /// better.
    pub fn may_have_run(&self) -> bool {
        self.attempts() > 0
    }

    /// This error, after the fallback gave no answer either.
    pub(crate) fn and_fallback(self, source: Option<E>) -> Self {
        Self::FallbackFailed {
            source,
            primary: Box::new(self),
        }
    }
}

fn next_try(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(
        || "and the call is heavier than its burst: split it".to_owned(),
        |after| format!("next try in {:?}", to_millis(after)),
    )
}

fn earlier(attempts: u32) -> String {
    match attempts {
        0 => "nothing was called".to_owned(),
        1 => "1 attempt was started and may have run".to_owned(),
        n => format!("{n} attempts were started and may have run"),
    }
}

/// As errors show it: more digits than milliseconds help nobody.
fn to_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
