//! What answers in place of a call that gave no answer.

use std::future::Ready;

use crate::error::{CallError, CallErrorKind};

/// Answers in place of a call that failed, timed out, or was turned away. Anyone may implement it; closures
/// `Fn(&CallError<E>) -> impl Future<Output = Result<Option<T>, E>>` do.
///
/// It is asked at most once per call, after the last attempt, with no slot, permit or reservation held, and its result
/// tells the breaker nothing. Its future may be dropped at any await, by its time-out or by the caller.
///
/// ```
/// # use fusebox_policy::CallError;
/// // Yesterday's figure will do while the source is unavailable, but not where the request itself was wrong.
/// let fallback = |error: &CallError<std::io::Error>| {
///     let failed = matches!(error, CallError::Failed { .. });
///     async move { Ok(if failed { None } else { Some(42) }) }
/// };
/// # fn check<T>(_: impl fusebox_policy::Fallback<T, std::io::Error>) {}
/// # check::<i32>(fallback);
/// ```
pub trait Fallback<T, E>: Send + Sync {
    /// Its answer: `Ok(Some)` is the call's degraded answer, `Ok(None)` leaves the call's own error standing, `Err`
    /// says that the fallback failed too.
    type Answer: Future<Output = Result<Option<T>, E>>;

    /// Answers for a call that ended with `error`. Must return at once; what takes time belongs into the future.
    fn answer(&self, error: &CallError<E>) -> Self::Answer;
}

impl<T, E, F, Fut> Fallback<T, E> for F
where
    F: Fn(&CallError<E>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<T>, E>>,
{
    type Answer = Fut;

    fn answer(&self, error: &CallError<E>) -> Fut {
        self(error)
    }
}

/// No fallback: the call's error stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFallback;

impl<T, E> Fallback<T, E> for NoFallback {
    type Answer = Ready<Result<Option<T>, E>>;

    fn answer(&self, _: &CallError<E>) -> Self::Answer {
        std::future::ready(Ok(None))
    }
}

/// The mark of an answer that a [`Fallback`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Degraded {
    /// Why the call itself gave no answer.
    pub cause: CallErrorKind,
    /// Whether the operation may nevertheless have taken effect: whether it was started at all.
    pub may_have_run: bool,
}

impl Degraded {
    pub(crate) fn by<E>(error: &CallError<E>) -> Self {
        Self {
            cause: error.kind(),
            may_have_run: error.may_have_run(),
        }
    }
}
