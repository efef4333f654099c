//! The rules of the breaker core, one or more tests each; numbers follow DESIGN.md section 3.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::bench::{bench, plain, secs};
use fusebox_breaker::{
    Availability, Breaker, CallError, ChangeDetector, Config, CountWindow, FailureKind, Jitter,
    Learning, Override, Ramp, Reason, SlowCalls, State, TimeWindow, TransitionQueue, Verdict,
};

#[test]
fn rule_01_a_dropped_permit_is_cancelled_moves_no_state_and_frees_its_slot() {
    let bench = bench(plain().consecutive_failures(1));
    drop(bench.breaker.try_acquire());
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(bench.breaker.counts().cancelled, 1);

    bench.open_until_due();
    let probe = bench.breaker.try_acquire().expect("the probe is due");
    assert!(probe.is_probe());
    assert!(
        bench.breaker.try_acquire().is_err(),
        "the only slot is taken"
    );
    drop(probe);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    assert!(bench.breaker.try_acquire().is_ok(), "the slot came back");
}

#[test]
fn rule_01_a_permit_dropped_by_a_panic_is_a_failure() {
    let bench = bench(plain().consecutive_failures(1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = bench.breaker.try_acquire();
        panic!("inside the guarded call");
    }));
    assert!(panicked.is_err());
    assert_eq!(bench.breaker.state(), State::Open);
    assert_eq!(bench.breaker.counts().failed, 1);
    assert_eq!(bench.breaker.counts().in_flight(), 0);
}

#[test]
fn rule_01_a_late_outcome_of_an_older_generation_is_counted_and_moves_nothing() {
    let bench = bench(plain());
    let early = bench.breaker.try_acquire().expect("closed");
    let late_failure = bench.breaker.try_acquire().expect("closed");
    bench.open_until_due();
    let probe = bench.breaker.try_acquire().expect("the probe is due");
    assert!(probe.generation() > early.generation());

    early.success();
    assert_eq!(
        bench.breaker.state(),
        State::HalfOpen,
        "a late success cannot close it"
    );
    late_failure.failure(FailureKind::Error);
    assert_eq!(
        bench.breaker.state(),
        State::HalfOpen,
        "a late failure cannot open it"
    );
    let counts = bench.breaker.counts();
    assert_eq!(
        (counts.succeeded, counts.failed, counts.in_flight()),
        (1, 1, 1)
    );
    probe.success();
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn rule_01_ignored_calls_neither_break_a_row_of_failures_nor_extend_it() {
    let bench = bench(plain());
    bench.fail();
    bench.breaker.try_acquire().expect("closed").ignore();
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail();
    assert_eq!(bench.breaker.state(), State::Open);
}

fn windowed(size: u32, minimum: u32, rate: f64) -> fusebox_breaker::ConfigBuilder {
    plain()
        .without_consecutive_failures()
        .count_window(CountWindow {
            size,
            minimum_number_of_calls: minimum,
            failure_rate_threshold: rate,
        })
}

#[test]
fn rule_02_the_minimum_of_calls_is_apart_from_the_windows_length() {
    let bench = bench(windowed(10, 4, 0.5));
    (0..3).for_each(|_| bench.fail());
    assert_eq!(
        bench.breaker.state(),
        State::Closed,
        "three calls are too few to judge"
    );
    bench.fail();
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn rule_02_exactly_at_the_threshold_it_opens() {
    let bench = bench(windowed(4, 4, 0.5));
    bench.fail();
    bench.succeed();
    bench.succeed();
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail();
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn rule_02_old_failures_slide_out_call_by_call() {
    let bench = bench(windowed(4, 4, 0.75));
    // No four neighbours hold three failures, although six of ten calls fail.
    for failed in [
        true, true, false, false, true, true, false, false, true, true,
    ] {
        if failed {
            bench.fail()
        } else {
            bench.succeed()
        }
        assert_eq!(bench.breaker.state(), State::Closed);
    }
    bench.succeed();
    bench.fail();
    assert_eq!(
        bench.breaker.state(),
        State::Open,
        "failed, failed, succeeded, failed"
    );
}

#[test]
fn rule_02_a_window_starts_empty_after_a_close() {
    let bench = bench(windowed(4, 2, 1.0));
    bench.fail();
    bench.open_until_due();
    bench.succeed();
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail();
    assert_eq!(
        bench.breaker.state(),
        State::Closed,
        "the failure before is forgotten"
    );
    bench.fail();
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn rule_02_either_rule_opens_and_says_which() {
    let both = || windowed(6, 6, 0.5).consecutive_failures(3);
    let by_row = bench(both());
    (0..3).for_each(|_| by_row.fail());
    let by_rate = bench(both());
    for failed in [true, false, true, false, true, false] {
        if failed {
            by_rate.fail()
        } else {
            by_rate.succeed()
        }
    }
    assert_eq!(
        by_row.queue.drain()[0].reason,
        Reason::ConsecutiveFailures {
            failures: 3,
            threshold: 3
        }
    );
    assert_eq!(
        by_rate.queue.drain()[0].reason,
        Reason::FailureRate {
            failures: 3,
            calls: 6,
            threshold: 0.5
        }
    );
}

#[test]
fn rule_03_a_servers_hint_opens_and_is_a_floor_of_the_open_time() {
    let bench = bench(plain().jitter(Jitter::Equal));
    let permit = bench.breaker.try_acquire().expect("closed");
    permit.record(Verdict::TripUntil(secs(60)));
    assert_eq!(bench.breaker.state(), State::Open);
    assert_eq!(bench.breaker.counts().failed, 1);
    let Availability::NotBefore(wait) = bench.breaker.availability() else {
        panic!("open");
    };
    assert!(
        wait >= secs(60) && wait <= secs(65),
        "in [hint, hint + jitter], was {wait:?}"
    );
}

#[test]
fn rule_03_a_short_hint_does_not_shorten_the_usual_wait() {
    let bench = bench(plain());
    let permit = bench.breaker.try_acquire().expect("closed");
    permit.record(Verdict::TripUntil(secs(1)));
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(10))
    );
}

#[test]
fn rule_03_a_deadline_never_gets_shorter_by_a_second_trip() {
    let bench = bench(plain());
    let permit = bench.breaker.try_acquire().expect("closed");
    permit.record(Verdict::TripUntil(secs(60)));
    assert!(!bench.breaker.trip("again"));
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(60))
    );
}

#[test]
fn rule_04_of_64_threads_at_a_due_breaker_exactly_k_become_probes() {
    const THREADS: usize = 64;
    for k in [1, 3, 17] {
        let bench = bench(plain().max_concurrent_probes(k).successes_to_close(k));
        bench.open_until_due();
        let (admitted, held) = (AtomicUsize::new(0), Barrier::new(THREADS));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    held.wait();
                    let permit = bench.breaker.try_acquire();
                    if permit.as_ref().is_ok_and(|permit| permit.is_probe()) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                    // Nobody gives back before everybody has asked.
                    held.wait();
                    if let Ok(permit) = permit {
                        permit.success();
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), k as usize);
        assert_eq!(bench.breaker.state(), State::Closed);
        assert_eq!(
            bench.breaker.counts().rejected,
            1 + (THREADS - k as usize) as u64
        );
    }
}

#[test]
fn rule_04_one_failed_probe_opens_again_whatever_the_others_say() {
    let bench = bench(plain().max_concurrent_probes(3).successes_to_close(3));
    bench.open_until_due();
    let probes: Vec<_> = (0..3)
        .map(|_| bench.breaker.try_acquire().expect("a slot"))
        .collect();
    let mut probes = probes.into_iter();
    probes.next().expect("first").success();
    probes.next().expect("second").failure(FailureKind::Error);
    assert_eq!(bench.breaker.state(), State::Open);
    probes.next().expect("third").success();
    assert_eq!(bench.breaker.state(), State::Open);
    assert_eq!(
        bench.queue.drain().last().map(|t| t.reason.clone()),
        Some(Reason::ProbeFailed)
    );
}

#[test]
fn rule_04_a_lost_probe_opens_at_its_deadline_and_its_late_outcome_is_of_an_older_generation() {
    let bench = bench(plain().probe_deadline(secs(4)));
    bench.open_until_due();
    let lost = bench.breaker.try_acquire().expect("the probe is due");
    bench.clock.advance(secs(4));
    bench.breaker.tick();
    assert_eq!(bench.breaker.state(), State::Open);
    lost.success();
    assert_eq!(bench.breaker.state(), State::Open);
    assert_eq!(bench.breaker.counts().succeeded, 1);
    let last = bench.queue.drain().pop().expect("it opened");
    assert_eq!(last.reason, Reason::ProbeLost { deadline_ms: 4000 });
}

#[test]
fn rule_04_a_probe_that_answers_past_its_deadline_is_lost_even_if_nobody_had_noticed() {
    let bench = bench(plain().probe_deadline(secs(4)));
    bench.open_until_due();
    let lost = bench.breaker.try_acquire().expect("the probe is due");
    bench.clock.advance(secs(5));
    lost.success();
    assert_eq!(bench.breaker.state(), State::Open);
    // The open wait counts from the deadline (second opening: 20 s), not from when it was noticed.
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(19))
    );
}

#[test]
fn rule_04_a_lost_probe_noticed_late_makes_way_for_the_next_probe_at_once() {
    let bench = bench(plain().probe_deadline(secs(4)));
    bench.open_until_due();
    let _lost = bench.breaker.try_acquire().expect("the probe is due");
    bench.clock.advance(secs(3600));
    assert!(bench.breaker.try_acquire().expect("a new probe").is_probe());
}

#[test]
fn rule_04_successes_are_reachable_by_probes_that_come_one_after_the_other() {
    let bench = bench(plain().max_concurrent_probes(1).successes_to_close(4));
    bench.open_until_due();
    (0..3).for_each(|_| bench.succeed());
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    bench.succeed();
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn rule_05_open_waits_double_from_one_times_up_to_the_cap() {
    let bench = bench(plain().max_wait_duration_in_open(secs(35)));
    bench.breaker.trip("test");
    for wait in [10, 20, 35, 35] {
        assert_eq!(
            bench.breaker.availability(),
            Availability::NotBefore(secs(wait))
        );
        bench.clock.advance(secs(wait));
        bench.fail();
    }
}

#[test]
fn rule_05_equal_jitter_draws_once_per_opening_from_the_upper_half() {
    let mut distinct = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let config = plain().jitter(Jitter::Equal).build().expect("good");
        let breaker = Breaker::builder("dep", config)
            .clock(std::sync::Arc::new(fusebox_breaker::ManualClock::new()))
            .seed(seed)
            .build();
        breaker.trip("test");
        let Availability::NotBefore(wait) = breaker.availability() else {
            panic!("open");
        };
        assert!(wait >= secs(5) && wait <= secs(10), "seed {seed}: {wait:?}");
        for _ in 0..3 {
            let refused = breaker.try_acquire().expect_err("open");
            assert_eq!(refused.retry_after, Some(wait), "drawn once");
        }
        distinct.insert(wait);
    }
    assert!(distinct.len() > 150, "the draws spread");
}

#[test]
fn rule_05_the_wait_starts_over_after_sustained_health_and_not_before() {
    let bench = bench(plain());
    bench.open_until_due();
    bench.succeed();
    // Closed for less than the last open wait: it relapsed.
    bench.clock.advance(secs(9));
    bench.breaker.trip("relapse");
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(20))
    );

    bench.clock.advance(secs(20));
    bench.succeed();
    bench.clock.advance(secs(20));
    bench.breaker.trip("after health");
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(10))
    );
}

#[test]
fn rule_05_concurrent_failures_do_not_inflate_the_wait() {
    let bench = bench(plain());
    let calls: Vec<_> = (0..20)
        .map(|_| bench.breaker.try_acquire().expect("closed"))
        .collect();
    for call in calls {
        call.failure(FailureKind::Error);
    }
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(10))
    );
    assert_eq!(bench.queue.drain().len(), 1);
}

#[test]
fn rule_08_every_call_is_counted_once() {
    let bench = bench(plain().consecutive_failures(10));
    let held = bench.breaker.try_acquire().expect("closed");
    bench.succeed();
    bench.fail();
    bench
        .breaker
        .try_acquire()
        .expect("closed")
        .failure(FailureKind::TimedOut);
    bench.breaker.try_acquire().expect("closed").ignore();
    drop(bench.breaker.try_acquire());
    bench.breaker.trip("test");
    assert!(bench.breaker.try_acquire().is_err());

    let counts = bench.breaker.counts();
    assert_eq!(
        (
            counts.admitted,
            counts.succeeded,
            counts.failed,
            counts.timed_out
        ),
        (6, 1, 1, 1)
    );
    assert_eq!(
        (
            counts.ignored,
            counts.cancelled,
            counts.rejected,
            counts.in_flight(),
            counts.total()
        ),
        (1, 1, 1, 1, 7)
    );
    drop(held);
    assert_eq!(bench.breaker.counts().in_flight(), 0);
}

#[test]
fn rule_08_the_account_is_exact_under_threads() {
    let bench = bench(
        plain()
            .consecutive_failures(3)
            .wait_duration_in_open(Duration::from_nanos(1)),
    );
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let bench = &bench;
            scope.spawn(move || {
                for call in 0..2_000_u32 {
                    bench.clock.advance(Duration::from_nanos(1));
                    let Ok(permit) = bench.breaker.try_acquire() else {
                        continue;
                    };
                    match (thread + call) % 5 {
                        0 => permit.success(),
                        1 | 2 => permit.failure(FailureKind::Error),
                        3 => permit.failure(FailureKind::TimedOut),
                        _ => drop(permit),
                    }
                    let counts = bench.breaker.counts();
                    assert!(counts.in_flight() <= 8);
                }
            });
        }
    });
    let counts = bench.breaker.counts();
    assert_eq!(counts.in_flight(), 0);
    assert_eq!(counts.total(), 16_000);
}

#[test]
fn rule_09_every_transition_carries_its_reason_with_figures() {
    let bench = bench(plain());
    bench.fail();
    bench.fail();
    bench.clock.advance(secs(10));
    bench.succeed();
    let seen: Vec<_> = bench
        .queue
        .drain()
        .into_iter()
        .map(|t| (t.from, t.to, t.reason.to_string(), t.generation))
        .collect();
    let text = |s: &str| s.to_owned();
    assert_eq!(
        seen,
        [
            (
                State::Closed,
                State::Open,
                text("2 consecutive failures, threshold 2"),
                1
            ),
            (
                State::Open,
                State::HalfOpen,
                text("the open wait elapsed"),
                2
            ),
            (State::HalfOpen, State::Closed, text("1 probe succeeded"), 3),
        ]
    );
}

#[test]
fn rule_09_a_full_queue_drops_the_newest_counts_it_and_blocks_nobody() {
    let queue = TransitionQueue::new(2);
    let breaker = Breaker::builder("dep", plain().build().expect("good"))
        .transitions(queue.clone())
        .build();
    for round in 0..5 {
        breaker.disable(Override::new(format!("round {round}"), "ops"));
    }
    assert_eq!((queue.len(), queue.dropped()), (2, 3));
    let kept = queue.drain();
    assert!(kept[0].reason.to_string().contains("round 0"));
    assert!(queue.is_empty());
    breaker.release("ops");
    assert_eq!(queue.drain().len(), 1, "room again");
}

#[test]
fn rule_09_a_listener_may_use_the_breaker_it_listens_to() {
    let bench = bench(plain());
    bench.breaker.trip("test");
    for transition in bench.queue.drain() {
        assert_eq!(transition.to, bench.breaker.state());
        bench.breaker.release("listener");
    }
    assert_eq!(bench.breaker.availability(), Availability::ProbeReady);
}

#[test]
fn rule_10_a_swap_of_settings_keeps_the_window_the_row_and_the_state() {
    let bench = bench(windowed(4, 4, 1.0).consecutive_failures(4));
    bench.fail();
    bench.fail();
    bench.fail();
    let wider = windowed(8, 4, 1.0)
        .consecutive_failures(9)
        .build()
        .expect("good");
    bench.breaker.reconfigure(wider.clone());
    assert_eq!(bench.breaker.config(), wider);
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail();
    assert_eq!(
        bench.breaker.state(),
        State::Open,
        "the three failures before still count"
    );

    let wait = bench.breaker.availability();
    let narrower = plain()
        .wait_duration_in_open(secs(1))
        .build()
        .expect("good");
    bench.breaker.reconfigure(narrower);
    assert_eq!(
        bench.breaker.availability(),
        wait,
        "the open deadline stays"
    );
}

#[test]
fn rule_10_an_open_breaker_is_restored_with_its_remaining_time() {
    let before = bench(plain());
    before.fail();
    before.fail();
    before.clock.advance(Duration::from_millis(3_500));
    let snapshot = before.breaker.snapshot();

    let after = bench(plain());
    after.breaker.restore(&snapshot);
    assert_eq!(after.breaker.state(), State::Open);
    assert!(after.breaker.generation() > snapshot.generation);
    assert_eq!(
        after.breaker.availability(),
        Availability::NotBefore(Duration::from_millis(6_500))
    );
    let refused = after.breaker.try_acquire().expect_err("open");
    assert_eq!(
        refused.reason().expect("known").to_string(),
        "2 consecutive failures, threshold 2"
    );
    after.clock.advance(Duration::from_millis(6_500));
    after.fail();
    assert_eq!(
        after.breaker.availability(),
        Availability::NotBefore(secs(20)),
        "the openings before count on"
    );
}

/// Generations are packed into a word; one from a damaged store did not fit, and no verdict counted any more.
#[test]
fn rule_10_a_generation_that_no_breaker_had_leaves_the_restored_one_working() {
    for generation in [1 << 43, u64::MAX] {
        let mut snapshot = bench(plain()).breaker.snapshot();
        snapshot.generation = generation;
        let bench = bench(plain().consecutive_failures(2));
        bench.breaker.restore(&snapshot);
        bench.fail();
        bench.fail();
        assert_eq!(bench.breaker.state(), State::Open);
        assert!(bench.breaker.generation() > 1 << 42);
    }
}

#[test]
fn rule_10_a_half_open_breaker_is_restored_open_with_its_probe_due() {
    let before = bench(plain());
    before.open_until_due();
    let _probe = before.breaker.try_acquire();
    let after = bench(plain());
    after.breaker.restore(&before.breaker.snapshot());
    assert_eq!(after.breaker.state(), State::Open);
    assert_eq!(after.breaker.availability(), Availability::ProbeReady);
}

#[test]
fn rule_10_an_override_is_restored_with_its_expiry_and_what_lies_beneath() {
    let before = bench(plain());
    before.breaker.trip("test");
    before
        .breaker
        .force_open(Override::new("maintenance", "ops").with_expiry(secs(4)));
    before.clock.advance(secs(1));
    let after = bench(plain());
    after.breaker.restore(&before.breaker.snapshot());
    assert_eq!(after.breaker.state(), State::ForcedOpen);
    after.clock.advance(secs(3));
    assert_eq!(
        after.breaker.availability(),
        Availability::NotBefore(secs(6))
    );
    after.breaker.tick();
    assert_eq!(after.breaker.state(), State::Open);
}

#[test]
fn rule_10_restoring_makes_permits_issued_before_stale() {
    let bench = bench(plain().consecutive_failures(1));
    let snapshot = bench.breaker.snapshot();
    let permit = bench.breaker.try_acquire().expect("closed");
    bench.breaker.restore(&snapshot);
    permit.failure(FailureKind::Error);
    assert_eq!(bench.breaker.state(), State::Closed);
    assert!(
        bench.queue.is_empty(),
        "closed restored as closed is not news"
    );
}

#[test]
fn rule_10_validation_names_the_field_or_the_two_that_contradict() {
    let cases = [
        (
            plain().consecutive_failures(0),
            vec!["consecutive_failures"],
        ),
        (
            plain().max_concurrent_probes(0),
            vec!["max_concurrent_probes"],
        ),
        (plain().successes_to_close(0), vec!["successes_to_close"]),
        (
            plain().wait_duration_in_open(Duration::ZERO),
            vec!["wait_duration_in_open"],
        ),
        (
            plain().probe_deadline(Duration::ZERO),
            vec!["probe_deadline"],
        ),
        (windowed(0, 1, 0.5), vec!["size"]),
        (windowed(5, 0, 0.5), vec!["minimum_number_of_calls"]),
        (windowed(5, 6, 0.5), vec!["minimum_number_of_calls", "size"]),
        (windowed(5, 5, 0.0), vec!["failure_rate_threshold"]),
        (windowed(5, 5, 1.01), vec!["failure_rate_threshold"]),
        (windowed(5, 5, f64::NAN), vec!["failure_rate_threshold"]),
        (
            plain().without_consecutive_failures(),
            vec!["consecutive_failures", "count_window"],
        ),
        (
            plain().max_wait_duration_in_open(secs(9)),
            vec!["max_wait_duration_in_open", "wait_duration_in_open"],
        ),
        (
            plain().recovery_objective(secs(10)),
            vec!["wait_duration_in_open", "recovery_objective"],
        ),
    ];
    for (builder, fields) in cases {
        let error = builder.build().expect_err("cannot work");
        assert_eq!(error.fields(), fields);
        for field in fields {
            assert!(error.to_string().contains(field), "{error}");
        }
    }
    assert!(plain().recovery_objective(secs(11)).build().is_ok());
}

#[test]
fn rule_10_validation_knows_every_rule() {
    let time = TimeWindow {
        size: secs(10),
        buckets: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    };
    let slow = SlowCalls {
        slow_call_duration_threshold: secs(1),
        slow_call_rate_threshold: 0.5,
        minimum_number_of_calls: 5,
    };
    let detector = ChangeDetector {
        baseline_failure_rate: 0.01,
        changed_failure_rate: 0.1,
        mean_calls_between_false_trips: 1e6,
        learning: None,
    };
    let ramp = |steps: &[f64]| Ramp {
        steps: steps.to_vec(),
        step_duration: secs(1),
        failure_rate_threshold: 0.5,
    };
    let cases = [
        (
            plain().time_window(TimeWindow { buckets: 0, ..time }),
            vec!["buckets"],
        ),
        (
            plain().time_window(TimeWindow {
                size: Duration::from_millis(9),
                ..time
            }),
            vec!["size", "buckets"],
        ),
        (
            plain().time_window(TimeWindow {
                minimum_number_of_calls: 0,
                ..time
            }),
            vec!["minimum_number_of_calls"],
        ),
        (
            plain().time_window(TimeWindow {
                failure_rate_threshold: 0.0,
                ..time
            }),
            vec!["failure_rate_threshold"],
        ),
        (plain().slow_calls(slow), vec!["slow_calls", "count_window"]),
        (
            windowed(4, 4, 0.5).slow_calls(slow),
            vec!["minimum_number_of_calls", "size"],
        ),
        (
            windowed(9, 4, 0.5).slow_calls(SlowCalls {
                slow_call_duration_threshold: Duration::ZERO,
                ..slow
            }),
            vec!["slow_call_duration_threshold"],
        ),
        (
            windowed(9, 4, 0.5).slow_calls(SlowCalls {
                slow_call_rate_threshold: f64::NAN,
                ..slow
            }),
            vec!["slow_call_rate_threshold"],
        ),
        (
            plain().change_detector(ChangeDetector {
                baseline_failure_rate: 0.0,
                ..detector
            }),
            vec!["baseline_failure_rate"],
        ),
        (
            plain().change_detector(ChangeDetector {
                changed_failure_rate: 0.01,
                ..detector
            }),
            vec!["changed_failure_rate", "baseline_failure_rate"],
        ),
        (
            plain().change_detector(ChangeDetector {
                mean_calls_between_false_trips: 1.0,
                ..detector
            }),
            vec!["mean_calls_between_false_trips"],
        ),
        (
            plain().change_detector(ChangeDetector {
                learning: Some(Learning {
                    floor: 0.0,
                    horizon: 1_000,
                }),
                ..detector
            }),
            vec!["floor"],
        ),
        (
            plain().change_detector(ChangeDetector {
                learning: Some(Learning {
                    floor: 0.01,
                    horizon: 1,
                }),
                ..detector
            }),
            vec!["horizon"],
        ),
        (
            plain().failure_weight(FailureKind::TimedOut, 0.0),
            vec!["failure_weight"],
        ),
        (
            plain().failure_weight(FailureKind::TimedOut, 1.5),
            vec!["failure_weight"],
        ),
        (plain().ramp(ramp(&[])), vec!["steps"]),
        (plain().ramp(ramp(&[0.5, 0.25])), vec!["steps"]),
        (plain().ramp(ramp(&[0.5, 1.0])), vec!["steps"]),
        (
            plain()
                .ramp(ramp(&[0.25, 0.5]))
                .recovery_objective(secs(12)),
            vec!["ramp", "recovery_objective"],
        ),
    ];
    for (builder, fields) in cases {
        let error = builder.build().expect_err("cannot work");
        assert_eq!(error.fields(), fields, "{error}");
        for field in fields {
            assert!(error.to_string().contains(field), "{error}");
        }
    }
    let good = windowed(9, 4, 0.5)
        .time_window(time)
        .slow_calls(slow)
        .change_detector(detector);
    assert!(
        good.ramp(ramp(&[0.25, 0.5]))
            .recovery_objective(secs(13))
            .build()
            .is_ok()
    );
    assert!(Config::builder().build().is_ok());
}

#[test]
fn rule_11_forced_open_refuses_until_released_and_says_by_whom() {
    let bench = bench(plain());
    bench.breaker.force_open(Override::new("bad deploy", "ana"));
    assert_eq!(bench.breaker.availability(), Availability::Never);
    let refused = bench.breaker.try_acquire().expect_err("forced open");
    assert_eq!(refused.retry_after, None);
    assert_eq!(
        refused.to_string(),
        "call not permitted by breaker `dep`: forced_open (forced by ana: bad deploy), no next try until an operator releases it"
    );
    assert!(bench.breaker.release("ben"));
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(
        bench.queue.drain().pop().map(|t| t.reason),
        Some(Reason::Released {
            actor: "ben".into()
        })
    );
    assert!(!bench.breaker.release("ben"), "nothing left to release");
}

#[test]
fn rule_11_disabled_and_metrics_only_admit_everything_and_trip_on_nothing() {
    for state in [State::Disabled, State::MetricsOnly] {
        let bench = bench(plain());
        let by = Override::new("trial", "ops");
        if state == State::Disabled {
            bench.breaker.disable(by);
        } else {
            bench.breaker.metrics_only(by);
        }
        (0..20).for_each(|_| bench.fail());
        let permit = bench.breaker.try_acquire().expect("admitted");
        permit.record(Verdict::TripUntil(secs(60)));
        assert!(!bench.breaker.trip("automatic rules rest"));
        assert_eq!(bench.breaker.state(), state);
        assert_eq!(bench.breaker.counts().failed, 21);

        bench.breaker.release("ops");
        bench.fail();
        assert_eq!(bench.breaker.state(), State::Closed, "windows start empty");
    }
}

#[test]
fn rule_11_an_override_expires_at_its_own_moment_back_to_what_lay_beneath() {
    let bench = bench(plain());
    bench.breaker.trip("test");
    bench.clock.advance(secs(2));
    bench
        .breaker
        .disable(Override::new("urgent batch", "ops").with_expiry(secs(3)));
    bench.succeed();
    bench.clock.advance(secs(4));
    assert_eq!(
        bench.breaker.availability(),
        Availability::NotBefore(secs(4))
    );
    assert!(
        bench.breaker.try_acquire().is_err(),
        "open beneath, with its own deadline"
    );
    let expired = bench.queue.drain().pop().expect("it expired");
    assert_eq!((expired.to, expired.reason), (State::Open, Reason::Expired));
    assert_eq!(expired.at.as_nanos(), 5_000_000_000);
}

#[test]
fn rule_11_a_forced_half_open_breaker_returns_to_open_with_a_probe_due() {
    let bench = bench(plain());
    bench.open_until_due();
    let probe = bench.breaker.try_acquire().expect("the probe is due");
    bench.breaker.force_open(Override::new("stop", "ops"));
    probe.success();
    assert_eq!(bench.breaker.state(), State::ForcedOpen);
    bench.breaker.release("ops");
    assert_eq!(bench.breaker.availability(), Availability::ProbeReady);
}

#[test]
fn rule_11_releasing_an_automatic_opening_makes_its_probe_due_and_names_the_actor() {
    let bench = bench(plain());
    bench.breaker.trip("test");
    assert!(bench.breaker.release("ana"));
    assert!(bench.breaker.try_acquire().expect("due").is_probe());
    assert_eq!(
        bench.queue.drain().pop().map(|t| (t.to, t.reason)),
        Some((
            State::HalfOpen,
            Reason::Released {
                actor: "ana".into()
            }
        ))
    );
}

#[test]
fn rule_12_the_same_seed_and_times_give_the_same_history() {
    let history = || {
        let bench = bench(plain().jitter(Jitter::Equal));
        for step in 0..50_u64 {
            match bench.breaker.try_acquire() {
                Ok(permit) if step % 3 == 0 => permit.success(),
                Ok(permit) => permit.failure(FailureKind::Error),
                Err(refused) => bench.clock.advance(refused.retry_after.expect("open")),
            }
        }
        bench.queue.drain()
    };
    let first = history();
    assert!(first.len() > 10);
    assert_eq!(first, history());
}

#[test]
fn availability_moves_nothing() {
    let bench = bench(plain().probe_deadline(secs(4)));
    bench.open_until_due();
    let look = || {
        let counts = bench.breaker.counts();
        let seen = (bench.breaker.state(), bench.breaker.generation(), counts);
        (bench.breaker.availability(), seen)
    };
    assert_eq!(look().0, Availability::ProbeReady);
    assert_eq!(look(), look());
    assert_eq!(
        bench.breaker.state(),
        State::Open,
        "only a call makes it half-open"
    );

    let _probe = bench.breaker.try_acquire();
    // Taken: look again after a quarter of the open wait.
    assert_eq!(
        look().0,
        Availability::NotBefore(Duration::from_millis(2_500))
    );
    bench.clock.advance(secs(4));
    assert_eq!(look().0, Availability::NotBefore(secs(20)));
    assert_eq!(bench.breaker.state(), State::HalfOpen);
}

#[test]
fn calls_through_the_handle_are_judged_by_their_result() {
    let bench = bench(plain());
    assert_eq!(bench.breaker.call(|| Ok::<_, ()>(1)), Ok(1));
    assert_eq!(
        bench.breaker.call(|| Err::<(), _>("no")),
        Err(CallError::Failed("no"))
    );
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    {
        let mut pending = std::pin::pin!(
            bench
                .breaker
                .call_async(std::future::pending::<Result<(), ()>>())
        );
        assert!(pending.as_mut().poll(&mut context).is_pending());
        assert_eq!(bench.breaker.counts().in_flight(), 1);
    }
    assert_eq!(bench.breaker.counts().cancelled, 1);
    {
        let mut failing = std::pin::pin!(bench.breaker.call_async(async { Err::<(), _>("no") }));
        assert!(failing.as_mut().poll(&mut context).is_ready());
    }
    let refused = bench.breaker.call(|| Ok::<_, ()>(1));
    assert!(matches!(refused, Err(CallError::NotPermitted(_))));
}
