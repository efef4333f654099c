//! A breaker's settings as JSON.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Breaker, Config, FailureKind, ManualClock, Verdict};

use crate::text;

/// More than the largest windows need that settings may ask for.
const MAX_BYTES: usize = 64 << 20;

pub(crate) fn holds(bytes: &[u8]) {
    match text::json::<Config>(bytes) {
        Ok(config) => check_calls(config, bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A breaker with these settings works: calls go through it, and each is counted once.
fn check_calls(config: Config, script: &[u8]) {
    let clock = ManualClock::new();
    let breaker = Breaker::builder("dep", config)
        .clock(Arc::new(clock.clone()))
        .seed(1)
        .build();
    assert!(breaker.allocated_bytes() <= MAX_BYTES);
    let mut held = Vec::new();
    for (number, byte) in (0_u64..).zip(script.iter().take(64)) {
        if let Ok(permit) = breaker.try_acquire() {
            match byte % 5 {
                0 => permit.success(),
                1 => permit.failure(FailureKind::TimedOut),
                2 => permit.record(Verdict::Failure(FailureKind::Overloaded)),
                3 => drop(permit),
                _ => held.push(permit),
            }
        }
        clock.advance(Duration::from_millis(u64::from(*byte) << (number % 24)));
        breaker.tick();
    }
    let in_flight = u64::try_from(held.len()).expect("at most 64");
    assert_eq!(breaker.counts().in_flight(), in_flight);
    drop(held);
    assert_eq!(breaker.counts().in_flight(), 0);
    text::assert_same(&breaker.snapshot());
}
