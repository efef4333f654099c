//! The end of a whole call.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::CallError;

/// The end of a whole call.
pub(super) struct Total {
    /// None if there is no deadline: then nothing needs to know.
    started: Option<Instant>,
    pub(super) deadline: Option<Instant>,
    /// Whether it is the policy's own time-out rather than the caller's deadline.
    pub(super) is_own: bool,
}

impl Total {
    /// The call starts now.
    pub(super) fn new(timeout: Option<Duration>, caller: Option<Instant>) -> Self {
        let started = (timeout.is_some() || caller.is_some()).then(Instant::now);
        let own = after(started, timeout);
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

    /// As [`bound`], by this call's deadline.
    pub(super) fn bound<F: Future>(
        &self,
        future: Pin<&mut F>,
    ) -> impl Future<Output = Option<F::Output>> {
        bound(self.deadline, future)
    }

    /// The stage's own answer, or that the time is over.
    pub(super) async fn within<T, E>(
        &self,
        attempts: u32,
        stage: Pin<&mut impl Future<Output = Result<T, CallError<E>>>>,
    ) -> Result<T, CallError<E>> {
        let ended = self.bound(stage).await;
        ended.unwrap_or_else(|| Err(self.timed_out(attempts)))
    }

    pub(super) fn timed_out<E>(&self, attempts: u32) -> CallError<E> {
        let times = self.started.zip(self.deadline);
        let limit = times.map_or(Duration::ZERO, |(started, deadline)| {
            deadline.saturating_duration_since(started)
        });
        CallError::TotalTimedOut { limit, attempts }
    }
}

/// `future`, or none at the deadline. An answer that is ready at the deadline is taken.
///
/// It is pinned by the caller: an async function keeps a future that it is given twice, as argument and while it waits,
/// and so would each around it.
pub(super) async fn bound<F: Future>(
    deadline: Option<Instant>,
    future: Pin<&mut F>,
) -> Option<F::Output> {
    match deadline {
        None => Some(future.await),
        Some(deadline) => timeout_at(deadline, future).await.ok(),
    }
}

/// `limit` after `start`; none if either is missing or it lies beyond what can be told.
pub(super) fn after(start: Option<Instant>, limit: Option<Duration>) -> Option<Instant> {
    let (start, limit) = start.zip(limit)?;
    start.checked_add(limit)
}

/// The earlier of two deadlines, either of which may be missing.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
