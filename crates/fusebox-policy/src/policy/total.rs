//! The end of a whole call.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::CallError;

/// The end of a whole call.
pub(super) struct Total {
    started: Instant,
    pub(super) deadline: Option<Instant>,
    /// Whether it is the policy's own time-out rather than the caller's deadline.
    pub(super) is_own: bool,
}

impl Total {
    pub(super) fn new(
        started: Instant,
        timeout: Option<Duration>,
        caller: Option<Instant>,
    ) -> Self {
        let own = timeout.and_then(|limit| started.checked_add(limit));
        let (deadline, is_own) = match (own, caller) {
            (Some(own), Some(caller)) if caller < own => (Some(caller), false),
            (Some(own), _) => (Some(own), true),
            (None, caller) => (caller, false),
        };
        Self {
            started,
            deadline,
            is_own,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    pub(super) fn leaves_time_after(&self, wait: Duration) -> bool {
        self.deadline.is_none_or(|deadline| {
            Instant::now()
                .checked_add(wait)
                .is_some_and(|end| end < deadline)
        })
    }

    pub(super) async fn bound<F: Future>(&self, future: F) -> Option<F::Output> {
        bound(self.deadline, future).await
    }

    pub(super) fn timed_out<E>(&self, attempts: u32) -> CallError<E> {
        let limit = self.deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(self.started)
        });
        CallError::TotalTimedOut { limit, attempts }
    }
}

/// `future`, or none at the deadline. An answer that is ready at the deadline is taken.
pub(super) async fn bound<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        None => Some(future.await),
        Some(deadline) => timeout_at(deadline, future).await.ok(),
    }
}

/// The earlier of two deadlines, either of which may be missing.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
