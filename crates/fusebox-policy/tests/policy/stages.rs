//! The order of the stages, and what each tells.

use std::time::Duration;

use fusebox_breaker::{Breaker, Config, FailureKind, Override, State, Verdict, presets};
use fusebox_policy::{
    Answer, Budget, Bulkhead, Call, CallError, DefaultClassify, Fingerprint, Judgement, Limits,
    LoopDetector, Policy, RetryBudget, Spend, TokioClock,
};
use tokio::time::{Instant, sleep};

use crate::bench::{Hang, Recorder, breaker, judge, ms, retry};

#[tokio::test(start_paused = true)]
async fn stages_run_from_retry_over_bulkhead_and_breaker_to_the_attempts_time_out() {
    let policy = Policy::builder(breaker(9))
        .total_timeout(ms(10_000))
        .retry(retry(3))
        .bulkhead(Bulkhead::new("pool", 1).with_max_wait(ms(5_000)))
        .attempt_timeout(ms(1_000))
        .build();
    let recorder = Recorder::default();
    let (breaker, bulkhead) = (policy.breaker(), policy.bulkhead().expect("set"));
    let answer = policy
        .call(&judge, &recorder, async |attempt| {
            // Slot and permit are held inside of the attempt, and taken anew for each.
            assert_eq!(bulkhead.in_use(), 1);
            assert_eq!(breaker.counts().in_flight(), 1);
            assert_eq!(breaker.counts().admitted, u64::from(attempt.number));
            assert_eq!(attempt.deadline, Some(Instant::now() + ms(1_000)));
            match attempt.number {
                1 => Err("reset"),
                2 => {
                    sleep(ms(5_000)).await;
                    Ok(0)
                }
                _ => {
                    sleep(ms(30)).await;
                    Ok(7)
                }
            }
        })
        .await;
    let answer = answer.expect("the third attempt answers");
    assert_eq!((answer.value, answer.attempts), (7, 3));
    assert_eq!(
        recorder.lines(),
        [
            "hook 1",
            "started 1",
            "ended 1 after 0ns: Failure(Error)",
            "retrying 2 after 100ms",
            "hook 2",
            "started 2",
            "ended 2 after 1s: Failure(TimedOut)",
            "retrying 3 after 200ms",
            "hook 3",
            "started 3",
            "ended 3 after 30ms: Success",
        ]
    );
    let counts = breaker.counts();
    assert_eq!(
        (counts.failed, counts.timed_out, counts.succeeded),
        (1, 1, 1)
    );
    assert_eq!((counts.in_flight(), bulkhead.in_use()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn neither_slot_nor_permit_is_held_while_waiting_to_retry() {
    let policy = Policy::builder(breaker(9))
        .retry(retry(2))
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    let call = policy.call(&judge, &(), async |attempt| match attempt.number {
        1 => Err("reset"),
        _ => Ok(1),
    });
    let watch = async {
        sleep(ms(50)).await;
        assert_eq!(policy.bulkhead().expect("set").in_use(), 0);
        assert_eq!(policy.breaker().counts().in_flight(), 0);
    };
    let (answer, ()) = tokio::join!(call, watch);
    assert!(answer.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_breaker_returns_the_slot_and_calls_nothing() {
    let policy = Policy::builder(breaker(9))
        .retry(retry(5))
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    policy.breaker().force_open(Override::new("test", "test"));
    let recorder = Recorder::default();
    let error = policy
        .call(&judge, &recorder, async |_| -> Result<u32, &'static str> {
            unreachable!("not permitted")
        })
        .await
        .expect_err("forced open");
    assert!(matches!(error, CallError::NotPermitted { attempts: 0, .. }));
    assert!(!error.may_have_run());
    assert_eq!(
        error.to_string(),
        "not permitted by the breaker, come back later; nothing was called"
    );
    assert_eq!(recorder.lines(), ["not permitted"], "never retried");
    assert_eq!(policy.breaker().counts().rejected, 1);
    assert_eq!(policy.bulkhead().expect("set").in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hook_stops_the_call_before_the_operation_with_the_permit_neutral() {
    let policy = Policy::builder(breaker(1))
        .retry(retry(3))
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    let recorder = Recorder {
        stop_at: Some(1),
        ..Recorder::default()
    };
    let error = policy
        .call(&judge, &recorder, async |_| -> Result<u32, &'static str> {
            unreachable!("stopped")
        })
        .await
        .expect_err("stopped");
    assert_eq!(
        error,
        CallError::Stopped {
            reason: "superseded".into(),
            attempts: 0
        }
    );
    assert_eq!(recorder.lines(), ["hook 1"]);
    let counts = policy.breaker().counts();
    assert_eq!((counts.ignored, counts.in_flight()), (1, 0));
    assert_eq!(policy.bulkhead().expect("set").in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_stops_a_retry_tells_that_the_first_attempt_may_have_run() {
    let policy = Policy::builder(breaker(9)).retry(retry(3)).build();
    let recorder = Recorder {
        stop_at: Some(2),
        ..Recorder::default()
    };
    let error = policy
        .call(&judge, &recorder, async |_| Err("reset"))
        .await
        .expect_err("stopped");
    assert!(error.may_have_run());
    assert_eq!(
        error.to_string(),
        "stopped before the next attempt: superseded; 1 attempt was started and may have run"
    );
}

#[tokio::test(start_paused = true)]
async fn the_hooks_time_is_not_the_attempts() {
    struct Slow;
    impl fusebox_policy::Hooks for Slow {
        async fn before_attempt(
            &self,
            _: &fusebox_policy::Attempt,
        ) -> Result<(), fusebox_policy::Stop> {
            sleep(ms(900)).await;
            Ok(())
        }
    }
    let policy = Policy::builder(breaker(9))
        .attempt_timeout(ms(1_000))
        .build();
    let answer = policy
        .call(&judge, &Slow, async |_| {
            sleep(ms(900)).await;
            Ok(1)
        })
        .await;
    assert!(answer.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_does_not_listen_still_stops_calls_and_time_outs_still_hold() {
    struct Deaf {
        stop_at: u32,
    }
    impl fusebox_policy::Hooks for Deaf {
        async fn before_attempt(
            &self,
            attempt: &fusebox_policy::Attempt,
        ) -> Result<(), fusebox_policy::Stop> {
            if attempt.number == self.stop_at {
                return Err(fusebox_policy::Stop::new("superseded"));
            }
            Ok(())
        }

        fn is_listening(&self) -> bool {
            false
        }
    }
    let policy = Policy::builder(breaker(9))
        .retry(retry(3))
        .attempt_timeout(ms(1_000))
        .build();
    let begun = Instant::now();
    let call = |stop_at| {
        let policy = &policy;
        async move {
            let hang = Hang::new();
            let deaf = Deaf { stop_at };
            policy.call(&judge, &deaf, |_| hang.run()).await
        }
    };
    assert!(matches!(
        call(2).await,
        Err(CallError::Stopped { attempts: 1, .. })
    ));
    assert_eq!(begun.elapsed(), ms(1_100));
    assert!(matches!(
        call(9).await,
        Err(CallError::TimedOut { attempts: 3, .. })
    ));
    assert_eq!(policy.breaker().counts().timed_out, 4);
}

#[tokio::test(start_paused = true)]
async fn a_value_judged_a_failure_counts_and_is_still_the_answer() {
    let policy = Policy::builder(breaker(2)).retry(retry(2)).build();
    let empty_fails = |result: &Result<u32, &'static str>| match result {
        Ok(0) => Judgement::retryable(),
        _ => Judgement::success(),
    };
    let answer: Answer<u32> = policy
        .call(&empty_fails, &(), async |_| Ok(0))
        .await
        .expect("a value");
    assert_eq!((answer.value, answer.attempts), (0, 2));
    assert_eq!(policy.breaker().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_operation_is_a_failure_and_gives_everything_back() {
    let policy = Policy::builder(breaker(1))
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    let inside = policy.clone();
    let joined = tokio::spawn(async move {
        inside
            .call(
                &DefaultClassify,
                &(),
                async |_| -> Result<u32, &'static str> { panic!("inside the operation") },
            )
            .await
    })
    .await;
    assert!(joined.expect_err("panicked").is_panic());
    assert_eq!(policy.breaker().counts().failed, 1);
    assert_eq!(policy.breaker().state(), State::Open);
    assert_eq!(policy.bulkhead().expect("set").in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_admits_a_probe_when_its_wait_is_over() {
    let policy = Policy::builder(breaker(1)).build();
    let failed = policy.call(&judge, &(), async |_| Err("reset")).await;
    assert!(matches!(
        failed,
        Err(CallError::Failed {
            source: "reset",
            attempts: 1
        })
    ));
    let refused = policy.call(&judge, &(), async |_| Ok(1)).await;
    let Err(CallError::NotPermitted { source, .. }) = refused else {
        panic!("open");
    };
    sleep(source.retry_after.expect("a due time")).await;
    assert!(policy.call(&judge, &(), async |_| Ok(1)).await.is_ok());
    assert_eq!(policy.breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_preset_brings_its_time_outs_and_retries() {
    let preset = presets::TRIAGE;
    let breaker = Breaker::builder("triage", preset.config().expect("good"))
        .clock(std::sync::Arc::new(TokioClock::new()))
        .build();
    let policy = Policy::builder(breaker).preset(&preset).build();
    assert_eq!(policy.attempt_timeout(), Some(preset.attempt_timeout));
    assert_eq!(policy.total_timeout(), Some(preset.retry_total));
    assert_eq!(policy.retry().max_attempts, preset.max_attempts);
    let hang = Hang::new();
    let error = policy
        .call(&judge, &(), |_| hang.run())
        .await
        .expect_err("never answers");
    assert_eq!(
        error,
        CallError::TimedOut {
            limit: preset.attempt_timeout,
            attempts: 3
        }
    );
    assert_eq!(
        policy.breaker().state(),
        State::Open,
        "three time-outs in a row"
    );
}

#[test]
fn a_calls_future_is_send_and_fits_a_spawned_task() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let breaker = Breaker::new("dep", Config::builder().build().expect("good"));
    let policy = Policy::builder(breaker)
        .retry(retry(2).with_budget(RetryBudget::new(0.1, 10)))
        .bulkhead(Bulkhead::new("pool", 4))
        .build();
    let recorder = Recorder::default();
    drop(is_send(policy.call(&judge, &recorder, |_| async {
        tokio::task::yield_now().await;
        Ok(1)
    })));
    let closure = |_: &Result<u32, String>| Judgement {
        verdict: Verdict::Failure(FailureKind::TimedOut),
        retry: true,
        retry_after: Some(Duration::ZERO),
    };
    drop(is_send(policy.call(&closure, &(), |_| async { Ok(1) })));

    let budget = Budget::new("all", Limits::LLM);
    let covered = Policy::builder(policy.breaker().clone())
        .budget(budget.clone())
        .loop_detector(LoopDetector::new(3))
        .fallback(|error: &CallError<String>| {
            let attempts = error.attempts();
            async move { Ok(Some(attempts)) }
        })
        .build();
    let call = Call::new()
        .with_tenant("acme")
        .with_fingerprint(Fingerprint::of("search", &("rust", 3)));
    let meter = call.meter().clone();
    drop(is_send(covered.call_with(call, &closure, &(), move |_| {
        let meter = meter.clone();
        async move {
            tokio::task::yield_now().await;
            meter.record(Spend::tokens(10));
            Ok(1)
        }
    })));
    assert_eq!(covered.budgets().len(), 1);
    assert_eq!(budget.reserved(), Spend::ZERO, "never polled");
    assert!(
        covered
            .loop_detector()
            .is_some_and(|loops| loops.remembered() == 0)
    );
}
