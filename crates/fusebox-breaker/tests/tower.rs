//! The layer through tower's traits.

#![cfg(feature = "tower")]

use std::future::{Ready, pending, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use fusebox_breaker::tower::BreakerLayer;
use fusebox_breaker::{Breaker, CallError, Config, State, Verdict};
use tower_layer::Layer;
use tower_service::Service;

#[derive(Clone)]
struct Echo;

impl Service<Result<u16, &'static str>> for Echo {
    type Response = u16;
    type Error = &'static str;
    type Future = Ready<Result<u16, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Result<u16, &'static str>) -> Self::Future {
        ready(request)
    }
}

#[derive(Clone)]
struct Hangs;

impl Service<()> for Hangs {
    type Response = ();
    type Error = ();
    type Future = Pin<Box<dyn Future<Output = Result<(), ()>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        Box::pin(pending())
    }
}

fn breaker() -> Breaker {
    Breaker::new(
        "tower",
        Config::builder()
            .consecutive_failures(1)
            .build()
            .expect("good settings"),
    )
}

fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("not ready"),
    }
}

#[test]
fn calls_are_judged_and_refused_once_open() {
    let breaker = breaker();
    let mut service = BreakerLayer::new(breaker.clone()).layer(Echo);
    assert_eq!(now(service.call(Ok(7))), Ok(7));
    assert_eq!(
        now(service.call(Err("down"))),
        Err(CallError::Failed("down"))
    );
    assert_eq!(breaker.state(), State::Open);
    assert!(matches!(
        now(service.call(Ok(7))),
        Err(CallError::NotPermitted(_))
    ));
}

#[test]
fn being_ready_reserves_nothing_in_any_clone() {
    let breaker = breaker();
    breaker.trip("test");
    breaker.release("test");
    let service = BreakerLayer::new(breaker.clone()).layer(Echo);
    let mut clones = vec![service; 32];
    let mut context = Context::from_waker(Waker::noop());
    for clone in &mut clones {
        assert!(clone.poll_ready(&mut context).is_ready());
    }
    assert_eq!(breaker.counts().admitted, 0);
    // One probe slot: held by a future, it refuses the other clones.
    let probe = clones[0].call(Ok(1));
    assert!(matches!(
        now(clones[1].call(Ok(1))),
        Err(CallError::NotPermitted(_))
    ));
    assert_eq!(now(probe), Ok(1));
}

#[test]
fn a_dropped_future_is_cancelled_and_gives_its_slot_back() {
    let breaker = breaker();
    let mut service = BreakerLayer::new(breaker.clone()).layer(Hangs);
    drop(service.call(()));
    let counts = breaker.counts();
    assert_eq!((counts.cancelled, counts.in_flight()), (1, 0));
}

#[test]
fn a_classifier_judges_values() {
    let breaker = breaker();
    let classify = |result: &Result<u16, &'static str>| match result {
        Ok(503) => Verdict::Failure(fusebox_breaker::FailureKind::Overloaded),
        _ => Verdict::Success,
    };
    let mut service = BreakerLayer::new(breaker.clone())
        .with_classifier(classify)
        .layer(Echo);
    assert_eq!(now(service.call(Ok(503))), Ok(503));
    assert_eq!(breaker.state(), State::Open);
}
