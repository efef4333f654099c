//! A [`tower_layer::Layer`] that guards a [`tower_service::Service`].
//!
//! Leave is asked for in `call`, never in `poll_ready`, so a service that is made ready and then not called reserves
//! nothing; clones of the service share the breaker and its slots. The future is not boxed.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::breaker::{Breaker, CallError};
use crate::outcome::{FailureKind, Verdict};
use crate::permit::{CallNotPermitted, Permit};

/// Judges a service's result.
pub trait Classify<T, E> {
    /// The verdict on this result.
    fn classify(&self, result: &Result<T, E>) -> Verdict;
}

impl<T, E, F: Fn(&Result<T, E>) -> Verdict> Classify<T, E> for F {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        self(result)
    }
}

/// `Ok` is a success, `Err` a failure.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorsFail;

impl<T, E> Classify<T, E> for ErrorsFail {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        match result {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::Failure(FailureKind::Error),
        }
    }
}

/// Puts one breaker in front of every service it is applied to.
#[derive(Debug, Clone)]
pub struct BreakerLayer<C = ErrorsFail> {
    breaker: Breaker,
    classify: C,
}

impl BreakerLayer {
    /// Judges by `Ok` and `Err`.
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            classify: ErrorsFail,
        }
    }
}

impl<C> BreakerLayer<C> {
    /// Judges by this classifier; a closure over `&Result` is one.
    pub fn with_classifier<D>(self, classify: D) -> BreakerLayer<D> {
        BreakerLayer {
            breaker: self.breaker,
            classify,
        }
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService {
            inner,
            breaker: self.breaker.clone(),
            classify: self.classify.clone(),
        }
    }
}

/// A service behind a breaker.
#[derive(Debug, Clone)]
pub struct BreakerService<S, C = ErrorsFail> {
    inner: S,
    breaker: Breaker,
    classify: C,
}

impl<S, C, R> Service<R> for BreakerService<S, C>
where
    S: Service<R>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = BreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(CallError::Failed)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let state = match self.breaker.try_acquire() {
            Ok(permit) => Guarded::Running {
                future: self.inner.call(request),
                permit: Some(permit),
                classify: self.classify.clone(),
            },
            Err(refused) => Guarded::Refused {
                refused: Some(refused),
            },
        };
        BreakerFuture { state }
    }
}

pin_project! {
    /// The guarded call. Dropped before it is done, it counts as cancelled.
    pub struct BreakerFuture<F, C> {
        #[pin]
        state: Guarded<F, C>,
    }
}

pin_project! {
    #[project = GuardedProjection]
    enum Guarded<F, C> {
        Running {
            #[pin]
            future: F,
            permit: Option<Permit>,
            classify: C,
        },
        Refused {
            refused: Option<CallNotPermitted>,
        },
    }
}

impl<T, E, F, C> Future for BreakerFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            GuardedProjection::Running {
                future,
                permit,
                classify,
            } => future.poll(context).map(|result| {
                if let Some(permit) = permit.take() {
                    permit.record(classify.classify(&result));
                }
                result.map_err(CallError::Failed)
            }),
            GuardedProjection::Refused { refused } => {
                let refused = refused
                    .take()
                    .expect("a future is not polled after it is done");
                Poll::Ready(Err(CallError::NotPermitted(refused)))
            }
        }
    }
}

impl<F, C> fmt::Debug for BreakerFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerFuture").finish_non_exhaustive()
    }
}
