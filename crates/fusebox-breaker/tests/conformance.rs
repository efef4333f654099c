//! What a circuit breaker should do, one behaviour a test, through the public API alone. `benches/peers` asks this
//! crate and others for those of them that can be asked of any.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use fusebox_breaker::{
    Availability, Breaker, ChangeDetector, Combine, Config, ConfigBuilder, CountWindow,
    FailureKind, Jitter, Learning, ManualClock, Override, Permit, Ramp, Reason, SlowCalls, State,
    TimeWindow, TransitionQueue, Verdict,
};

struct Bench {
    breaker: Breaker,
    clock: ManualClock,
    queue: TransitionQueue,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn bench(config: ConfigBuilder) -> Bench {
    let (clock, queue) = (ManualClock::new(), TransitionQueue::new(1_000));
    let breaker = Breaker::builder("conformance", config.build().expect("good settings"))
        .clock(Arc::new(clock.clone()))
        .transitions(queue.clone())
        .seed(3)
        .build();
    Bench {
        breaker,
        clock,
        queue,
    }
}

/// No rule, exact waits of 10 s, one probe that closes.
fn base() -> ConfigBuilder {
    Config::builder()
        .without_consecutive_failures()
        .without_count_window()
        .wait_duration_in_open(secs(10))
        .jitter(Jitter::None)
        .successes_to_close(1)
}

fn count(size: u32, minimum: u32, rate: f64) -> CountWindow {
    CountWindow {
        size,
        minimum_number_of_calls: minimum,
        failure_rate_threshold: rate,
    }
}

impl Bench {
    fn permit(&self) -> Permit {
        self.breaker.try_acquire().expect("permitted")
    }

    fn succeed(&self) {
        self.permit().success();
    }

    fn fail(&self) {
        self.permit().failure(FailureKind::Error);
    }

    fn state(&self) -> State {
        self.breaker.state()
    }

    fn failures_until_open(&self) -> u32 {
        (1..)
            .find(|_| {
                self.fail();
                self.state() == State::Open
            })
            .expect("it opens")
    }

    fn open_until_due(&self) {
        assert!(self.breaker.trip("test"));
        self.clock.advance(secs(10));
    }
}

#[test]
fn b01_a_count_window_slides_however_many_successes_came_before() {
    for before in [0, 100, 1_000, 100_000] {
        let bench = bench(base().count_window(count(100, 100, 0.5)));
        (0..before).for_each(|_| bench.succeed());
        let expected = if before == 0 { 100 } else { 50 };
        assert_eq!(
            bench.failures_until_open(),
            expected,
            "after {before} successes"
        );
    }
}

#[test]
fn b02_a_time_window_trips_and_forgets() {
    let window = TimeWindow {
        size: secs(10),
        buckets: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    };
    let bench = bench(base().time_window(window));
    (0..9).for_each(|_| bench.fail());
    bench.clock.advance(secs(11));
    (0..9).for_each(|_| bench.fail());
    assert_eq!(bench.state(), State::Closed, "the first nine are forgotten");
    bench.fail();
    assert_eq!(bench.state(), State::Open);
    let reason = bench.breaker.reason().expect("it moved").to_string();
    assert_eq!(
        reason,
        "10 of 10 calls in 10000 ms failed, ratio 1.00, threshold 0.50"
    );
}

#[test]
fn b03_the_minimum_of_calls_is_apart_from_the_window() {
    let bench = bench(base().count_window(count(1_000, 5, 0.5)));
    assert_eq!(bench.failures_until_open(), 5);
}

#[test]
fn b04_half_open_admits_its_probes_and_no_more() {
    for probes in [1, 2, 5] {
        let bench = bench(base().consecutive_failures(1).max_concurrent_probes(probes));
        bench.open_until_due();
        let admitted: Vec<_> = (0..32)
            .filter_map(|_| bench.breaker.try_acquire().ok())
            .collect();
        assert_eq!(admitted.len(), probes as usize);
    }
}

#[test]
fn b05_a_probe_that_is_dropped_gives_its_slot_back() {
    let bench = bench(base().consecutive_failures(1));
    bench.open_until_due();
    for _ in 0..100 {
        drop(bench.permit());
    }
    bench.succeed();
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn b06_a_probe_that_never_answers_does_not_hold_the_breaker_for_ever() {
    let bench = bench(base().consecutive_failures(1).probe_deadline(secs(5)));
    bench.open_until_due();
    let _hung = bench.permit();
    bench.clock.advance(secs(3_600));
    bench.succeed();
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn b07_a_late_success_of_the_closed_era_does_not_close() {
    let bench = bench(base().consecutive_failures(1));
    let late = bench.permit();
    bench.open_until_due();
    let probe = bench.permit();
    late.success();
    assert_eq!(bench.state(), State::HalfOpen);
    probe.success();
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn b08_a_late_failure_of_the_closed_era_does_not_open() {
    let bench = bench(base().consecutive_failures(1));
    let late = bench.permit();
    bench.open_until_due();
    bench.succeed();
    late.failure(FailureKind::Error);
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.breaker.counts().failed, 1, "counted all the same");
}

#[test]
fn b09_a_failed_probe_opens_again_and_waits_longer() {
    let bench = bench(base().consecutive_failures(1));
    bench.open_until_due();
    bench.fail();
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(20))
    );
}

#[test]
fn b10_a_window_starts_empty_after_a_close() {
    let bench = bench(base().count_window(count(4, 4, 0.5)));
    assert_eq!(bench.failures_until_open(), 4);
    bench.clock.advance(secs(10));
    bench.succeed();
    assert_eq!(bench.failures_until_open(), 4);
}

#[test]
fn b11_a_panic_is_a_failure_and_frees_its_slot() {
    let bench = bench(base().consecutive_failures(1));
    let call = || {
        bench
            .breaker
            .call(|| -> Result<(), ()> { panic!("in the call") })
    };
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.breaker.counts().in_flight(), 0);
}

#[test]
fn b12_a_cancelled_call_is_neutral() {
    let bench = bench(base().count_window(count(4, 1, 0.5)));
    (0..100).for_each(|_| drop(bench.permit()));
    assert_eq!(bench.state(), State::Closed);
    let counts = bench.breaker.counts();
    assert_eq!(
        (counts.cancelled, counts.admitted, counts.in_flight()),
        (100, 100, 0)
    );
}

#[test]
fn b13_a_neutral_outcome_is_neither_success_nor_failure() {
    let bench = bench(base().consecutive_failures(2));
    bench.fail();
    bench.permit().ignore();
    assert_eq!(bench.state(), State::Closed);
    bench.fail();
    assert_eq!(bench.state(), State::Open);
    bench.clock.advance(secs(10));
    bench.permit().ignore();
    assert_eq!(bench.state(), State::HalfOpen, "nor does it close");
}

#[test]
fn b14_a_refusal_says_when_to_come_back() {
    let bench = bench(base().consecutive_failures(1));
    bench.fail();
    bench.clock.advance(secs(4));
    let refused = bench.breaker.try_acquire().expect_err("open");
    assert_eq!(refused.retry_after, Some(secs(6)));
}

#[test]
fn b15_memory_does_not_grow_with_cycles_or_calls() {
    // What grows would have to be held by the breaker: its counts, its history, its queue. The history is bounded.
    let bench = bench(base().consecutive_failures(1));
    for _ in 0..10_000 {
        bench.fail();
        bench.clock.advance(secs(10));
        bench.succeed();
        bench.clock.advance(secs(10));
    }
    assert_eq!(bench.queue.len(), 1_000);
    assert_eq!(bench.queue.dropped(), 29_000);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn b16_the_account_adds_up_under_threads_and_cancellations() {
    let bench = bench(
        base()
            .count_window(count(20, 10, 0.6))
            .consecutive_failures(7)
            .wait_duration_in_open(Duration::from_nanos(50)),
    );
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|thread| {
                let bench = &bench;
                scope.spawn(move || {
                    let mut seed = thread;
                    for _ in 0..50_000 {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        bench.clock.advance(Duration::from_nanos(7));
                        let Ok(permit) = bench.breaker.try_acquire() else {
                            continue;
                        };
                        match seed >> 60 {
                            0..8 => permit.success(),
                            8..12 => permit.failure(FailureKind::Error),
                            12 => permit.failure(FailureKind::TimedOut),
                            13 => permit.ignore(),
                            _ => drop(permit),
                        }
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let counts = bench.breaker.counts();
                let ended = counts.succeeded
                    + counts.failed
                    + counts.timed_out
                    + counts.ignored
                    + counts.cancelled;
                assert_eq!(counts.admitted, ended + counts.in_flight());
                assert!(counts.in_flight() <= 4, "{counts:?}");
            }
        });
        for worker in workers {
            worker.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("no panic");
    });
    let counts = bench.breaker.counts();
    assert_eq!((counts.in_flight(), counts.total()), (0, 200_000));
    assert!(
        bench.breaker.generation() > 10,
        "it opened and closed in between"
    );
}

#[test]
fn b17_calls_in_flight_past_the_slow_limit_count_before_they_end() {
    let slow = SlowCalls {
        slow_call_duration_threshold: secs(8),
        slow_call_rate_threshold: 0.5,
        minimum_number_of_calls: 4,
    };
    let bench = bench(base().count_window(count(10, 10, 1.0)).slow_calls(slow));
    let hung: Vec<_> = (0..4).map(|_| bench.permit()).collect();
    bench.clock.advance(Duration::from_millis(7_999));
    bench.breaker.tick();
    assert_eq!(bench.state(), State::Closed);
    bench.clock.advance(Duration::from_millis(1_001));
    bench.breaker.tick();
    assert_eq!(
        bench.state(),
        State::Open,
        "at most an eighth of the limit late"
    );
    assert_eq!(
        bench.breaker.reason(),
        Some(Reason::SlowCallRate {
            slow: 4,
            in_flight: 4,
            calls: 4,
            limit_ms: 8_000,
            threshold: 0.5
        })
    );
    bench.clock.advance(secs(10));
    bench.succeed();
    drop(hung);
    bench.clock.advance(secs(20));
    bench.breaker.tick();
    assert_eq!(
        bench.state(),
        State::Closed,
        "calls of an older generation open nothing"
    );
}

#[test]
fn b18_a_call_that_hangs_for_hours_counts_once_among_many_quick_ones() {
    let slow = SlowCalls {
        slow_call_duration_threshold: secs(8),
        slow_call_rate_threshold: 0.5,
        minimum_number_of_calls: 1,
    };
    let bench = bench(base().count_window(count(10, 10, 1.0)).slow_calls(slow));
    (0..10).for_each(|_| bench.succeed());
    let hung: Vec<_> = (0..9).map(|_| bench.permit()).collect();
    for _ in 0..3_600 {
        bench.clock.advance(secs(1));
        bench.succeed();
        assert_eq!(bench.state(), State::Closed, "9 slow of 19");
    }
    let tenth = bench.permit();
    bench.clock.advance(secs(9));
    bench.breaker.tick();
    assert_eq!(bench.state(), State::Open, "10 slow of 20");
    drop((hung, tenth));
    assert_eq!(bench.breaker.counts().in_flight(), 0);
}

#[test]
fn b19_slow_successes_open_by_their_rate() {
    let slow = SlowCalls {
        slow_call_duration_threshold: secs(1),
        slow_call_rate_threshold: 0.5,
        minimum_number_of_calls: 4,
    };
    let bench = bench(base().count_window(count(4, 4, 1.0)).slow_calls(slow));
    for (call, state) in [
        (0, State::Closed),
        (1, State::Closed),
        (0, State::Closed),
        (1, State::Open),
    ] {
        let permit = bench.permit();
        bench.clock.advance(secs(call));
        permit.success();
        assert_eq!(bench.state(), state);
    }
}

#[test]
fn b20_rules_combine_by_any_and_by_all_and_are_named() {
    let rules = |combine| {
        base()
            .consecutive_failures(3)
            .count_window(count(10, 6, 0.5))
            .combine(combine)
    };
    assert_eq!(bench(rules(Combine::Any)).failures_until_open(), 3);
    let all = bench(rules(Combine::All));
    assert_eq!(all.failures_until_open(), 6);
    assert_eq!(
        all.breaker.reason().expect("it moved").to_string(),
        "3 consecutive failures, threshold 3, and 6 of the last 6 calls failed, ratio 1.00, threshold 0.50"
    );
}

fn detector(learning: Option<Learning>) -> ChangeDetector {
    ChangeDetector {
        baseline_failure_rate: 0.01,
        changed_failure_rate: 0.3,
        mean_calls_between_false_trips: 100_000.0,
        learning,
    }
}

#[test]
fn b21_the_change_detector_opens_on_a_change_and_bears_the_baseline() {
    let bench = bench(base().change_detector(detector(None)));
    for call in 0..2_000 {
        if call % 100 == 99 {
            bench.fail()
        } else {
            bench.succeed()
        }
    }
    assert_eq!(bench.state(), State::Closed, "one in a hundred is normal");
    let failures = bench.failures_until_open();
    assert!(failures <= 5, "{failures}");
    assert!(matches!(
        bench.breaker.reason(),
        Some(Reason::ChangeDetected { .. })
    ));
}

#[test]
fn b22_a_learned_baseline_bears_what_a_stated_one_does_not() {
    let learning = Learning {
        floor: 0.001,
        horizon: 1_000,
    };
    // The rate rises from the stated 1 % to 4 %, slowly enough to be learned.
    let opens = |learning| {
        let bench = bench(base().change_detector(ChangeDetector {
            changed_failure_rate: 0.1,
            ..detector(learning)
        }));
        let mut seed = 1_u64;
        for call in 0..40_000_u32 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let draw = (seed >> 11) as f64 / (1_u64 << 53) as f64;
            let rate = 0.01 + 0.03 * f64::from(call) / 40_000.0;
            if draw < rate {
                bench.fail()
            } else {
                bench.succeed()
            }
            if bench.state() == State::Open {
                return true;
            }
        }
        false
    };
    assert!(opens(None));
    assert!(!opens(Some(learning)));
}

#[test]
fn b23_a_ramp_admits_its_shares_and_then_closes() {
    let ramp = Ramp {
        steps: vec![0.01, 0.25, 0.5],
        step_duration: secs(10),
        failure_rate_threshold: 0.5,
    };
    let bench = bench(base().consecutive_failures(1).ramp(ramp));
    bench.open_until_due();
    bench.succeed();
    assert_eq!(bench.state(), State::HalfOpen);
    for share in [0.01, 0.25, 0.5] {
        let admitted = (0..1_000)
            .filter(|_| {
                let permit = bench.breaker.try_acquire();
                permit.map(Permit::success).is_ok()
            })
            .count();
        let expected = 1_000.0 * share;
        assert!(
            (admitted as f64 - expected).abs() <= 1.0,
            "{share}: {admitted}"
        );
        bench.clock.advance(secs(10));
    }
    bench.breaker.tick();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(
        bench.breaker.reason(),
        Some(Reason::RampCompleted { steps: 3 })
    );
}

#[test]
fn b24_failures_within_a_ramp_open_again_and_silence_too() {
    let ramp = Ramp {
        steps: vec![0.5],
        step_duration: secs(10),
        failure_rate_threshold: 0.5,
    };
    let on_ramp = || {
        let bench = bench(
            base()
                .consecutive_failures(1)
                .probe_deadline(secs(5))
                .ramp(ramp.clone()),
        );
        bench.open_until_due();
        bench.succeed();
        bench
    };
    let failing = on_ramp();
    failing.fail();
    assert_eq!(failing.state(), State::Open);
    assert!(matches!(
        failing.breaker.reason(),
        Some(Reason::RampFailed {
            failures: 1,
            calls: 1,
            ..
        })
    ));

    let silent = on_ramp();
    let _hung = silent.permit();
    silent.clock.advance(secs(5));
    silent.breaker.tick();
    assert_eq!(silent.state(), State::Open);
    assert_eq!(
        silent.breaker.reason(),
        Some(Reason::ProbeLost { deadline_ms: 5_000 })
    );
}

#[test]
fn b25_weights_make_an_overload_count_for_less() {
    let rules = base()
        .count_window(count(8, 8, 0.5))
        .failure_weight(FailureKind::Overloaded, 0.25);
    let bench = bench(rules);
    for _ in 0..100 {
        bench.permit().failure(FailureKind::Overloaded);
    }
    assert_eq!(
        bench.state(),
        State::Closed,
        "a quarter of each is below one half"
    );
    assert_eq!(
        bench.breaker.counts().failed,
        100,
        "the account counts calls"
    );
    assert_eq!(
        bench.failures_until_open(),
        3,
        "5 quarters and 3 make 4.25 of 8"
    );
}

#[test]
fn b25_answers_that_are_no_good_have_a_weight_of_their_own() {
    let rules = base().count_window(count(8, 8, 0.5));
    let forgiving = bench(rules.clone().failure_weight(FailureKind::Quality, 0.25));
    let strict = bench(rules);
    for bench in [&forgiving, &strict] {
        for _ in 0..8 {
            bench.permit().failure(FailureKind::Quality);
        }
    }
    assert_eq!(forgiving.state(), State::Closed, "2 of 8");
    assert_eq!(strict.state(), State::Open, "8 of 8 at the default of 1");
}

#[test]
fn b26_metrics_only_counts_what_it_would_have_refused() {
    let bench = bench(base().consecutive_failures(2));
    bench.breaker.metrics_only(Override::new("trial", "ops"));
    bench.fail();
    bench.fail();
    (0..5).for_each(|_| bench.succeed());
    assert_eq!(
        (bench.state(), bench.breaker.would_have_rejected()),
        (State::MetricsOnly, 5)
    );
    bench.clock.advance(secs(10));
    bench.succeed();
    assert_eq!(
        bench.breaker.would_have_rejected(),
        5,
        "its wait would be over"
    );
}

#[test]
fn b27_a_result_is_judged_by_its_value_too() {
    let bench = bench(base().consecutive_failures(1));
    let judge = |result: &Result<u16, ()>| match result {
        Ok(503) => Verdict::TripUntil(secs(60)),
        Ok(404) => Verdict::Neutral,
        Ok(_) => Verdict::Success,
        Err(()) => Verdict::Failure(FailureKind::Error),
    };
    assert_eq!(bench.breaker.call_classified(|| Ok(404), judge), Ok(404));
    assert_eq!(bench.breaker.call_classified(|| Ok(503), judge), Ok(503));
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(60))
    );
}

#[test]
fn b28_new_settings_keep_windows_of_every_kind() {
    let window = |minimum| TimeWindow {
        size: secs(10),
        buckets: 10,
        minimum_number_of_calls: minimum,
        failure_rate_threshold: 0.5,
    };
    let bench = bench(base().time_window(window(100)));
    (0..5).for_each(|_| bench.fail());
    bench.breaker.reconfigure(
        base()
            .time_window(window(6))
            .build()
            .expect("good settings"),
    );
    assert_eq!(
        bench.failures_until_open(),
        1,
        "the five before still count"
    );
}

#[test]
fn b29_a_row_that_could_never_be_counted_is_refused() {
    let longest = base().consecutive_failures(500_000).build();
    assert!(longest.is_ok());
    let error = base().consecutive_failures(500_001).build().unwrap_err();
    assert_eq!(error.fields(), ["consecutive_failures"]);
}

#[test]
fn b30_refusals_do_not_push_the_end_of_the_open_time() {
    let bench = bench(base().consecutive_failures(1));
    bench.fail();
    for _ in 0..100 {
        assert!(bench.breaker.try_acquire().is_err());
        bench.clock.advance(Duration::from_millis(100));
    }
    bench.succeed();
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn b31_a_success_ends_a_row_of_failures() {
    let bench = bench(base().consecutive_failures(5));
    for _ in 0..20 {
        (0..4).for_each(|_| bench.fail());
        bench.succeed();
    }
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.failures_until_open(), 5);
}

#[test]
fn b32_an_asynchronous_call_that_is_dropped_is_neutral_and_gives_its_slot_back() {
    let bench = bench(base().count_window(count(10, 10, 0.5)));
    let drop_one = || {
        let mut call = pin!(bench.breaker.call_async(pending::<Result<(), ()>>()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        assert_eq!(bench.breaker.counts().in_flight(), 1);
    };
    (0..8).for_each(|_| bench.fail());
    (0..100).for_each(|_| drop_one());
    assert_eq!(bench.failures_until_open(), 2);
    bench.clock.advance(secs(10));
    (0..10).for_each(|_| drop_one());
    bench.succeed();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.breaker.counts().cancelled, 110);
}
