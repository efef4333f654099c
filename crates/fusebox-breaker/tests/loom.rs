//! Every interleaving of small histories: `RUSTFLAGS="--cfg loom" cargo test --release -p fusebox-breaker --test loom`.

#![cfg(loom)]

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{
    Breaker, Config, ConfigBuilder, CountWindow, FailureKind, Jitter, ManualClock, Reason,
    Registry, SlowCalls, State, Target,
};
use loom::thread;

fn settings() -> ConfigBuilder {
    Config::builder()
        .without_count_window()
        .consecutive_failures(1)
        .wait_duration_in_open(Duration::from_secs(1))
        .jitter(Jitter::None)
        .successes_to_close(1)
}

fn window() -> ConfigBuilder {
    settings()
        .without_consecutive_failures()
        .count_window(CountWindow {
            size: 2,
            minimum_number_of_calls: 2,
            failure_rate_threshold: 1.0,
        })
}

fn breaker(config: ConfigBuilder) -> (Breaker, ManualClock) {
    let clock = ManualClock::new();
    let breaker = Breaker::builder("loom", config.build().expect("good settings"))
        .clock(Arc::new(clock.clone()))
        .seed(1)
        .build();
    (breaker, clock)
}

/// Bounded, so that a model ends within seconds: three forced switches find what there is to find in two threads of a
/// few steps.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    // A turn of the cohorts looks at each of them, so a few steps touch many atomics.
    builder.max_branches = 5_000;
    builder.check(check);
}

fn assert_settled(breaker: &Breaker, calls: u64) {
    let counts = breaker.counts();
    assert_eq!(counts.in_flight(), 0, "{counts:?}");
    assert_eq!(counts.total(), calls, "{counts:?}");
}

#[test]
fn outcomes_at_the_same_time_are_all_counted_and_open_by_their_sum() {
    model(|| {
        let (breaker, _) = breaker(window());
        let other = breaker.clone();
        let thread = thread::spawn(move || {
            other
                .try_acquire()
                .expect("closed")
                .failure(FailureKind::Error);
        });
        breaker
            .try_acquire()
            .expect("closed")
            .failure(FailureKind::Error);
        thread.join().expect("no panic");
        // Both failures are in; whoever was last saw them both.
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.counts().failed, 2);
        assert_settled(&breaker, 2);
    });
}

#[test]
fn a_late_outcome_never_moves_a_later_generation() {
    model(|| {
        let (breaker, clock) = breaker(settings());
        let late = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || late.failure(FailureKind::Error));
        // Meanwhile it opens by hand, recovers and is closed again.
        let tripped = breaker.trip("test");
        clock.advance(Duration::from_secs(2));
        if let Ok(probe) = breaker.try_acquire() {
            assert!(probe.is_probe(), "the failure or the hand has opened it");
            probe.success();
        }
        thread.join().expect("no panic");
        if tripped {
            // The failure came before the trip (then there was nothing to trip) or belongs to generation 0.
            assert_eq!((breaker.state(), breaker.generation()), (State::Closed, 3));
        }
        assert_eq!(breaker.counts().failed, 1);
        assert_settled(&breaker, 2);
    });
}

#[test]
fn a_late_failure_does_not_enter_the_window_of_a_later_generation() {
    model(|| {
        let (breaker, clock) = breaker(window());
        let late = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || late.failure(FailureKind::Error));
        breaker.trip("test");
        clock.advance(Duration::from_secs(2));
        breaker.try_acquire().expect("due").success();
        let generation = breaker.generation();
        thread.join().expect("no panic");
        // One failure is half of what this window needs, so the late one beside it would open the breaker.
        breaker
            .try_acquire()
            .expect("closed")
            .failure(FailureKind::Error);
        assert_eq!(
            (breaker.state(), breaker.generation()),
            (State::Closed, generation)
        );
        assert_eq!(breaker.counts().failed, 2);
        assert_settled(&breaker, 3);
    });
}

#[test]
fn half_open_admits_no_more_than_its_probes_and_leaks_no_slot() {
    model(|| {
        let (breaker, clock) = breaker(settings());
        breaker.trip("test");
        clock.advance(Duration::from_secs(1));
        let other = breaker.clone();
        let thread = thread::spawn(move || other.try_acquire().ok());
        let mine = breaker.try_acquire().ok();
        let theirs = thread.join().expect("no panic");
        let admitted = [&mine, &theirs]
            .iter()
            .filter(|permit| permit.is_some())
            .count();
        assert_eq!(admitted, 1);
        drop((mine, theirs));
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.try_acquire().expect("the slot came back").success();
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(breaker.counts().in_flight(), 0);
    });
}

#[test]
fn a_dropped_permit_races_with_a_trip_and_leaks_nothing() {
    model(|| {
        let (breaker, _) = breaker(settings());
        let (dropped, failed) = (breaker.try_acquire(), breaker.try_acquire());
        let thread = thread::spawn(move || drop(dropped));
        failed.expect("closed").failure(FailureKind::Error);
        thread.join().expect("no panic");
        assert_eq!(breaker.state(), State::Open);
        let counts = breaker.counts();
        assert_eq!((counts.failed, counts.cancelled), (1, 1));
        assert_settled(&breaker, 2);
    });
}

#[test]
fn an_admission_races_with_a_trip_and_is_either_refused_or_counted() {
    model(|| {
        let (breaker, _) = breaker(settings());
        let other = breaker.clone();
        let thread = thread::spawn(move || {
            if let Ok(permit) = other.try_acquire() {
                permit.success();
            }
        });
        breaker.trip("test");
        thread.join().expect("no panic");
        assert_eq!(breaker.state(), State::Open);
        assert_settled(&breaker, 1);
    });
}

#[test]
fn a_reconfiguration_races_with_an_outcome_and_loses_no_call() {
    model(|| {
        let (breaker, _) = breaker(window());
        let permit = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || permit.failure(FailureKind::Error));
        let wider = window().count_window(CountWindow {
            size: 4,
            minimum_number_of_calls: 4,
            failure_rate_threshold: 1.0,
        });
        breaker.reconfigure(wider.build().expect("good settings"));
        thread.join().expect("no panic");
        let counts = breaker.counts();
        assert_eq!((counts.failed, counts.succeeded), (1, 0));
        assert_settled(&breaker, 1);
    });
}

#[test]
fn calls_in_flight_under_a_slow_limit_are_counted_out_again() {
    model(|| {
        let slow = SlowCalls {
            slow_call_duration_threshold: Duration::from_secs(8),
            slow_call_rate_threshold: 1.0,
            minimum_number_of_calls: 2,
        };
        let (breaker, clock) = breaker(window().slow_calls(slow));
        breaker.tick();
        let permit = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || permit.success());
        clock.advance(Duration::from_secs(1));
        breaker.tick();
        thread.join().expect("no panic");
        assert_eq!(breaker.counts().succeeded, 1);
        assert_settled(&breaker, 1);
    });
}

#[test]
fn eviction_never_takes_a_breaker_that_somebody_holds() {
    model(|| {
        let config = settings().build().expect("good settings");
        let registry = Registry::builder(config)
            .clock(Arc::new(ManualClock::new()))
            .seed(1)
            .capacity(1)
            .build();
        let (first, second) = (Target::new().tool("a"), Target::new().tool("b"));
        let _ = registry.breaker(&first);
        let (other, target) = (registry.clone(), first.clone());
        let thread = thread::spawn(move || {
            let breaker = other.breaker(&target);
            breaker.trip("test");
            // Whoever asks now must see the open one: it was held, and from then on it is not closed.
            assert_eq!(other.breaker(&target).state(), State::Open);
        });
        let _ = registry.breaker(&second);
        thread.join().expect("no panic");
        assert_eq!(registry.breaker(&first).state(), State::Open);
    });
}

#[test]
fn a_failure_and_the_success_that_completes_its_minimum_open_together() {
    model(|| {
        let half = CountWindow {
            size: 2,
            minimum_number_of_calls: 2,
            failure_rate_threshold: 0.5,
        };
        let (breaker, _) = breaker(window().count_window(half));
        let (failed, succeeded) = (breaker.try_acquire(), breaker.try_acquire());
        let thread = thread::spawn(move || {
            failed.expect("closed").failure(FailureKind::Error);
        });
        succeeded.expect("closed").success();
        thread.join().expect("no panic");
        // Whoever is last knows both calls.
        assert_eq!(breaker.state(), State::Open);
        assert_settled(&breaker, 2);
    });
}

#[test]
fn a_failure_that_was_overtaken_by_its_window_leaves_nothing_in_it() {
    model(|| {
        let (breaker, _) = breaker(window());
        let late = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || late.failure(FailureKind::Error));
        for _ in 0..3 {
            breaker.try_acquire().expect("closed").success();
        }
        thread.join().expect("no panic");
        for _ in 0..2 {
            breaker.try_acquire().expect("closed").success();
        }
        // Alone in a window of two; one left behind would make it two of two.
        breaker
            .try_acquire()
            .expect("closed")
            .failure(FailureKind::Error);
        assert_eq!(breaker.state(), State::Closed);
        assert_settled(&breaker, 7);
    });
}

#[test]
fn calls_that_end_in_a_later_cohort_race_with_the_turn() {
    model(|| {
        let slow = SlowCalls {
            slow_call_duration_threshold: Duration::from_secs(8),
            slow_call_rate_threshold: 1.0,
            minimum_number_of_calls: 1,
        };
        let (breaker, clock) = breaker(window().slow_calls(slow));
        breaker.tick();
        let permit = breaker.try_acquire().expect("closed");
        let other = breaker.clone();
        let thread = thread::spawn(move || {
            if let Ok(permit) = other.try_acquire() {
                permit.success();
            }
        });
        clock.advance(Duration::from_secs(1));
        permit.success();
        thread.join().expect("no panic");
        // No call is left that could become slow.
        clock.advance(Duration::from_secs(60));
        breaker.tick();
        assert_eq!(breaker.state(), State::Closed);
        assert_settled(&breaker, 2);
    });
}

/// Slow from 8 s on, so that a cohort is a second; one call in flight past that is enough to open.
fn slow() -> SlowCalls {
    SlowCalls {
        slow_call_duration_threshold: Duration::from_secs(8),
        slow_call_rate_threshold: 0.1,
        minimum_number_of_calls: 1,
    }
}

/// After this, who is in flight is known to be slow; exactly so many are.
fn assert_overdue(breaker: &Breaker, clock: &ManualClock, calls: u32) {
    clock.advance(Duration::from_secs(60));
    breaker.tick();
    let known = match breaker.reason() {
        Some(Reason::SlowCallRate { in_flight, .. }) => in_flight,
        _ => 0,
    };
    assert_eq!(known, calls, "{:?}", breaker.reason());
}

#[test]
fn a_call_that_ends_while_cohorts_turn_is_not_taken_for_one_in_flight() {
    model(|| {
        let (breaker, clock) = breaker(window().slow_calls(slow()));
        breaker.tick();
        let hung = breaker.try_acquire();
        let permit = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || permit.success());
        clock.advance(Duration::from_secs(1));
        breaker.tick();
        thread.join().expect("no panic");
        // One in each of the two cohorts: what either is short of or has too much shows.
        let later = breaker.try_acquire();
        assert_overdue(&breaker, &clock, 2);
        drop((hung, later));
        assert_settled(&breaker, 3);
    });
}

#[test]
fn a_call_that_is_given_up_while_cohorts_turn_is_not_taken_for_one_in_flight() {
    model(|| {
        let (breaker, clock) = breaker(window().slow_calls(slow()));
        breaker.tick();
        let hung = breaker.try_acquire();
        let permit = breaker.try_acquire().expect("closed");
        let thread = thread::spawn(move || drop(permit));
        clock.advance(Duration::from_secs(1));
        breaker.tick();
        thread.join().expect("no panic");
        // One in each of the two cohorts: what either is short of or has too much shows.
        let later = breaker.try_acquire();
        assert_overdue(&breaker, &clock, 2);
        drop((hung, later));
        assert_settled(&breaker, 3);
    });
}

#[test]
fn a_call_that_starts_while_cohorts_turn_is_known_once() {
    model(|| {
        let (breaker, clock) = breaker(window().slow_calls(slow()));
        breaker.tick();
        let other = breaker.clone();
        let thread = thread::spawn(move || other.try_acquire());
        clock.advance(Duration::from_secs(1));
        breaker.tick();
        let hung = thread.join().expect("no panic");
        assert_overdue(&breaker, &clock, 1);
        drop(hung);
        assert_settled(&breaker, 1);
    });
}

#[test]
fn a_call_of_an_earlier_cohort_races_with_a_new_generation_and_leaves_no_trace_in_it() {
    model(|| {
        let (breaker, clock) = breaker(window().slow_calls(slow()));
        breaker.tick();
        let late = breaker.try_acquire().expect("closed");
        clock.advance(Duration::from_secs(1));
        breaker.tick();
        let closed = breaker.snapshot();
        let thread = thread::spawn(move || late.success());
        // A new generation in a single step.
        breaker.restore(&closed);
        let hung = breaker.try_acquire();
        thread.join().expect("no panic");
        assert_eq!((breaker.state(), breaker.generation()), (State::Closed, 1));
        assert_overdue(&breaker, &clock, 1);
        drop(hung);
        assert_settled(&breaker, 2);
    });
}

#[test]
fn a_call_that_starts_while_the_limit_changes_is_known_once_or_not_watched() {
    model(|| {
        let (breaker, clock) = breaker(window());
        let other = breaker.clone();
        let thread = thread::spawn(move || other.try_acquire());
        let timed = window().slow_calls(slow()).build().expect("good settings");
        breaker.reconfigure(timed);
        let early = thread.join().expect("no panic");
        let watched = breaker.try_acquire();
        drop(early);
        assert_overdue(&breaker, &clock, 1);
        drop(watched);
        assert_settled(&breaker, 2);
    });
}
