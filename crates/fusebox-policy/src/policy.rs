//! One policy in its documented order, and the call that runs through it.

mod builder;
mod stages;
mod total;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::Breaker;
use tokio::time::Instant;

pub use self::builder::PolicyBuilder;
use self::stages::Stages;
use self::total::{bound, earlier};
use crate::budget::Budget;
use crate::bulkhead::Bulkhead;
use crate::call::Call;
use crate::classify::Classify;
use crate::error::CallError;
use crate::fallback::{Degraded, Fallback, NoFallback};
use crate::hooks::{Attempt, CallEvent, Hooks};
use crate::loops::LoopDetector;
#[cfg(feature = "rate-limit")]
use crate::rate_limit::RateLimit;
use crate::retry::Retry;

/// How calls to one dependency are made. Clones share breaker, bulkhead, retry budget and fallback.
///
/// Order, outer to inner: fallback, budgets and loop detection, total time-out, retry, rate limit, bulkhead, breaker, attempt time-out.
pub struct Policy<F = NoFallback> {
    stages: Stages,
    fallback: Arc<F>,
}

/// The value of a call that gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The operation's value.
    pub value: T,
    /// Attempts of the operation started; 0 only if the fallback answered for a call that was turned away.
    pub attempts: u32,
    /// That the fallback gave the value, and why; `None` if the operation did.
    pub degraded: Option<Degraded>,
}

impl Policy {
    /// A policy around `breaker` with one attempt and no other stage until told otherwise.
    pub fn builder(breaker: Breaker) -> PolicyBuilder {
        PolicyBuilder::new(breaker)
    }
}

impl<F> Policy<F> {
    /// The breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.stages.breaker
    }

    /// The retry settings.
    pub fn retry(&self) -> &Retry {
        &self.stages.retry
    }

    /// The attempt time-out, if one is set.
    pub fn attempt_timeout(&self) -> Option<Duration> {
        self.stages.attempt_timeout
    }

    /// The total time-out, if one is set.
    pub fn total_timeout(&self) -> Option<Duration> {
        self.stages.total_timeout
    }

    /// The budgets of every call; a call may bring more.
    pub fn budgets(&self) -> &[Budget] {
        &self.stages.budgets
    }

    /// The detector of loops, if one is set; a call may bring another.
    pub fn loop_detector(&self) -> Option<&LoopDetector> {
        self.stages.loops.as_ref()
    }

    /// The rate limit, if one is set.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.stages.rate_limit.as_ref()
    }

    /// The bulkhead, if one is set.
    pub fn bulkhead(&self) -> Option<&Bulkhead> {
        self.stages.bulkhead.as_ref()
    }

    /// Calls `op` through every stage, once per attempt. See [`call_with`](Self::call_with).
    ///
    /// # Errors
    /// [`CallError`], which says how many attempts were started.
    pub async fn call<T, E, Op, Fut, H>(
        &self,
        classify: &impl Classify<T, E>,
        hooks: &H,
        op: Op,
    ) -> Result<Answer<T>, CallError<E>>
    where
        F: Fallback<T, E>,
        Op: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        H: Hooks,
    {
        self.call_with(Call::new(), classify, hooks, op).await
    }

    /// Calls `op` through every stage, once per attempt, and gives up at the caller's `deadline`. See
    /// [`call_with`](Self::call_with).
    ///
    /// # Errors
    /// [`CallError`], which says how many attempts were started.
    pub async fn call_until<T, E, Op, Fut, H>(
        &self,
        deadline: Option<Instant>,
        classify: &impl Classify<T, E>,
        hooks: &H,
        op: Op,
    ) -> Result<Answer<T>, CallError<E>>
    where
        F: Fallback<T, E>,
        Op: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        H: Hooks,
    {
        let call = Call::new().with_deadline(deadline);
        self.call_with(call, classify, hooks, op).await
    }

    /// Calls `op` through every stage, once per attempt, as `call` describes it.
    ///
    /// - An attempt past the attempt time-out is dropped and counts as timed out. An attempt cut short by the total
    ///   time-out or the deadline had less than its time, so it counts as cancelled; only where no attempt time-out
    ///   is set does the total one count against the dependency, or a hang would never open the breaker.
    /// - Each attempt's estimated cost is reserved in every budget: the first before anything else, a retry's before its
    ///   wait. An attempt that gives a result is charged what its [`Meter`](crate::Meter) says, or the estimate if that
    ///   says nothing; one that was cut short is charged the larger of both; one that never started, nothing.
    /// - The slot and the permit are held for the attempt and its hook, not for the waits between attempts. Each attempt
    ///   takes its units of the rate limit anew, and uses them up when its operation starts.
    /// - There is no retry when the rate limit, the bulkhead or the breaker turned the call away, nor when the breaker would still
    ///   refuse after the wait: that ends at once, as not permitted. Where the wait does not fit into the remaining
    ///   time, or a budget has no room for a retry, the last result is the answer.
    /// - The fallback is asked after every error but [`CallError::Stopped`]. The total time-out does not bound it, the
    ///   caller's deadline does: past it, only a value that is ready at once is taken.
    ///
    /// # Cancellation
    /// Dropping the future leaves the queues of rate limit and bulkhead, gives slot and permit back (counted as
    /// cancelled) and drops the operation's future.
    /// Reservations go back unless the operation was running; then they are charged, since it may have used them up.
    ///
    /// # Errors
    /// [`CallError`], which says how many attempts were started.
    pub async fn call_with<T, E, Op, Fut, H>(
        &self,
        call: Call,
        classify: &impl Classify<T, E>,
        hooks: &H,
        op: Op,
    ) -> Result<Answer<T>, CallError<E>>
    where
        F: Fallback<T, E>,
        Op: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        H: Hooks,
    {
        let deadline = call.deadline;
        match self.stages.run(&call, classify, hooks, op).await {
            Err(error) if !matches!(error, CallError::Stopped { .. }) => {
                self.fall_back(error, deadline, hooks).await
            }
            result => result,
        }
    }

    async fn fall_back<T, E>(
        &self,
        error: CallError<E>,
        deadline: Option<Instant>,
        hooks: &impl Hooks,
    ) -> Result<Answer<T>, CallError<E>>
    where
        F: Fallback<T, E>,
    {
        let limit = self.stages.fallback_timeout;
        let limit = limit
            .or(self.stages.attempt_timeout)
            .and_then(|limit| Instant::now().checked_add(limit));
        let asked = pin!(self.fallback.answer(&error));
        match bound(earlier(limit, deadline), asked).await {
            Some(Ok(Some(value))) => {
                let degraded = Degraded::by(&error);
                hooks.event(CallEvent::FellBack {
                    cause: degraded.cause,
                });
                Ok(Answer {
                    value,
                    attempts: error.attempts(),
                    degraded: Some(degraded),
                })
            }
            Some(Ok(None)) => Err(error),
            Some(Err(source)) => Err(error.and_fallback(Some(source))),
            None => Err(error.and_fallback(None)),
        }
    }
}

impl<F> Clone for Policy<F> {
    fn clone(&self) -> Self {
        Self {
            stages: self.stages.clone(),
            fallback: self.fallback.clone(),
        }
    }
}

impl<F> fmt::Debug for Policy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stages, .. } = self;
        f.debug_struct("Policy")
            .field("stages", stages)
            .finish_non_exhaustive()
    }
}
