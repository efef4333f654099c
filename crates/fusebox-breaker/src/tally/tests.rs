//! Windows go on when their account is full; it is full soon in this crate's own tests.

use std::sync::Arc;
use std::time::Duration;

use super::FOLD;
use crate::clock::ManualClock;
use crate::rules::TimeWindow;
use crate::{Breaker, Config, ConfigBuilder, CountWindow, FailureKind, State};

fn draws(seed: u64) -> impl Iterator<Item = bool> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 32 & 0b111 < 5
    })
}

/// Runs over several folds (the fold is short in this crate's own tests) until the model says that it opens.
fn follow(config: ConfigBuilder, opens: impl Fn(&[bool]) -> bool) {
    for seed in 0..40 {
        let clock = ManualClock::new();
        let breaker = Breaker::builder("fold", config.clone().build().expect("good settings"))
            .clock(Arc::new(clock.clone()))
            .build();
        let mut outcomes = Vec::new();
        for failed in draws(seed).take(5 * FOLD as usize) {
            clock.advance(Duration::from_millis(1));
            let permit = breaker.try_acquire().expect("closed");
            if failed {
                permit.failure(FailureKind::Error);
            } else {
                permit.success();
            }
            outcomes.push(failed);
            let counts = breaker.counts();
            let failures = outcomes.iter().filter(|failed| **failed).count() as u64;
            assert_eq!(
                (counts.failed, counts.total()),
                (failures, outcomes.len() as u64)
            );
            if opens(&outcomes) {
                assert_eq!(
                    breaker.state(),
                    State::Open,
                    "seed {seed}, call {}",
                    outcomes.len()
                );
                break;
            }
            assert_eq!(
                breaker.state(),
                State::Closed,
                "seed {seed}, call {}",
                outcomes.len()
            );
        }
    }
}

fn only() -> ConfigBuilder {
    Config::builder()
        .without_consecutive_failures()
        .without_count_window()
}

#[test]
fn a_count_window_slides_on_when_its_account_is_laid_out_anew() {
    let window = CountWindow {
        size: 20,
        minimum_number_of_calls: 20,
        failure_rate_threshold: 0.95,
    };
    follow(only().count_window(window), |outcomes| {
        let tail = &outcomes[outcomes.len().saturating_sub(20)..];
        tail.len() == 20 && tail.iter().filter(|failed| **failed).count() >= 19
    });
}

#[test]
fn a_row_and_a_time_window_go_on_when_their_account_is_laid_out_anew() {
    follow(only().consecutive_failures(16), |outcomes| {
        outcomes.iter().rev().take_while(|failed| **failed).count() >= 16
    });
    let window = TimeWindow {
        size: Duration::from_millis(20),
        buckets: 20,
        minimum_number_of_calls: 20,
        failure_rate_threshold: 0.95,
    };
    // One call a millisecond, so the last 20 buckets are the last 20 calls.
    follow(only().time_window(window), |outcomes| {
        let tail = &outcomes[outcomes.len().saturating_sub(20)..];
        tail.len() == 20 && tail.iter().filter(|failed| **failed).count() >= 19
    });
}
