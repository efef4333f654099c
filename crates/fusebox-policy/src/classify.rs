//! What a result says about the dependency, and whether trying again helps.

use std::time::Duration;

use fusebox_breaker::{FailureKind, Verdict};

/// The judgement on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a judgement does nothing until returned"]
pub struct Judgement {
    /// What the breaker learns.
    pub verdict: Verdict,
    /// Whether another attempt may help.
    pub retry: bool,
    /// The server's wish; a floor of the wait before a retry.
    pub retry_after: Option<Duration>,
}

impl Judgement {
    /// A success; not tried again.
    pub const fn success() -> Self {
        Self::of(Verdict::Success, false)
    }

    /// The dependency failed; trying again may help.
    pub const fn retryable() -> Self {
        Self::of(Verdict::Failure(FailureKind::Error), true)
    }

    /// The dependency failed; trying again does not help.
    pub const fn failure() -> Self {
        Self::of(Verdict::Failure(FailureKind::Error), false)
    }

    /// Says nothing about the dependency, for instance a bad request; not tried again.
    pub const fn neutral() -> Self {
        Self::of(Verdict::Neutral, false)
    }

    /// Floor of the wait before a retry.
    pub const fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    const fn of(verdict: Verdict, retry: bool) -> Self {
        Self {
            verdict,
            retry,
            retry_after: None,
        }
    }
}

/// Judges the result of an attempt. Anyone may implement it; closures `Fn(&Result<T, E>) -> Judgement` do.
///
/// It is asked exactly once per attempt that gave a result, and must return at once. An attempt that timed out has no
/// result and is not asked about: it is a failure, tried again unless [`Retry`](crate::Retry) says otherwise.
pub trait Classify<T, E>: Send + Sync {
    /// The judgement on `result`. An `Ok` may be judged a failure; if no attempt is left, it is still the answer.
    fn classify(&self, result: &Result<T, E>) -> Judgement;
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(&Result<T, E>) -> Judgement + Send + Sync,
{
    fn classify(&self, result: &Result<T, E>) -> Judgement {
        self(result)
    }
}

/// `Ok` is a success; every `Err` is the dependency's failure and worth another attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultClassify;

impl<T, E> Classify<T, E> for DefaultClassify {
    fn classify(&self, result: &Result<T, E>) -> Judgement {
        match result {
            Ok(_) => Judgement::success(),
            Err(_) => Judgement::retryable(),
        }
    }
}
