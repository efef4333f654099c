//! A breaker's snapshot as JSON, and the breaker that takes it over.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Availability, Breaker, Config, FailureKind, ManualClock, Snapshot, State};

use crate::text;

/// About 300 years.
const CENTURIES_MS: u64 = 10_000_000_000_000;

/// A larger one is damage, and read as this.
const MAX_GENERATION: u64 = 1 << 42;

pub(crate) fn holds(bytes: &[u8]) {
    match text::json::<Snapshot>(bytes) {
        Ok(snapshot) => check_restored(&snapshot),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whatever was stored, the breaker that takes it over is in a legal state and gets on.
fn check_restored(snapshot: &Snapshot) {
    let (breaker, clock) = breaker();
    breaker.restore(snapshot);
    assert_eq!(breaker.state(), legal(snapshot.state));
    let remaining = snapshot.remaining_ms.map(Duration::from_millis);
    match (breaker.state(), breaker.availability()) {
        (State::Closed | State::Disabled | State::MetricsOnly, Availability::Ready) => {}
        (State::Open, Availability::ProbeReady) => {
            let due = remaining.is_none_or(|remaining| remaining.is_zero());
            assert!(due || snapshot.state == State::HalfOpen);
        }
        (State::Open | State::ForcedOpen, Availability::NotBefore(after)) => {
            // What lies beneath an override may be open for longer.
            let beneath = snapshot
                .forced
                .as_ref()
                .and_then(|forced| forced.open_beneath_ms);
            let longest = remaining.max(beneath.map(Duration::from_millis));
            assert!(remaining.is_some() && Some(after) <= longest);
        }
        (State::ForcedOpen, Availability::Never) => assert_eq!(remaining, None),
        other => panic!("a state that cannot be: {other:?}"),
    }
    check_taken_again(&breaker);
    let generation = breaker.generation();
    assert!(generation > snapshot.generation.min(MAX_GENERATION));
    // Beyond, the end of what a clock can show is near.
    if snapshot.remaining_ms.is_none_or(|ms| ms <= CENTURIES_MS) {
        check_gets_on(&breaker, &clock);
        check_trips(&breaker);
    }
    assert!(breaker.generation() >= generation, "generations only grow");
    assert_eq!(breaker.counts().in_flight(), 0);
}

/// It still judges: a row of failures opens it, unless an operator said otherwise.
fn check_trips(breaker: &Breaker) {
    if breaker.state() != State::Closed {
        return;
    }
    for _ in 0..100 {
        if let Ok(permit) = breaker.try_acquire() {
            permit.failure(FailureKind::Error);
        }
    }
    assert_eq!(breaker.state(), State::Open);
}

fn breaker() -> (Breaker, ManualClock) {
    let clock = ManualClock::new();
    let config = Config::builder().build().expect("the defaults are good");
    let breaker = Breaker::builder("dep", config)
        .clock(Arc::new(clock.clone()))
        .seed(1)
        .build();
    (breaker, clock)
}

/// Its probes are lost, so a half-open breaker is restored as open.
fn legal(stored: State) -> State {
    match stored {
        State::HalfOpen => State::Open,
        other => other,
    }
}

/// The snapshot of a restored breaker restores another to the same.
fn check_taken_again(breaker: &Breaker) {
    let snapshot = breaker.snapshot();
    text::assert_same(&snapshot);
    let (other, _) = self::breaker();
    other.restore(&snapshot);
    assert_eq!(other.state(), breaker.state());
    assert_eq!(other.availability(), breaker.availability());
    assert_eq!(other.snapshot().openings, snapshot.openings);
}

/// Unless it is forced open for good, calls flow again once what remained is over and they succeed.
fn check_gets_on(breaker: &Breaker, clock: &ManualClock) {
    for _ in 0..8 {
        match breaker.availability() {
            Availability::Never => return,
            Availability::NotBefore(after) => {
                assert!(breaker.try_acquire().is_err());
                clock.advance(after);
            }
            Availability::Ready | Availability::ProbeReady => {
                let permit = breaker.try_acquire().expect("it said that it is ready");
                permit.success();
            }
        }
    }
    assert_eq!(breaker.availability(), Availability::Ready);
}
