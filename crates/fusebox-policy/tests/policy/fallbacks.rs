//! The fallback: what it answers for, how its answer is marked, what bounds it.

use fusebox_breaker::{Override, State};
use fusebox_policy::{Bulkhead, Call, CallError, CallErrorKind, Degraded, Policy, PolicyBuilder};
use tokio::time::{Instant, sleep};

use crate::bench::{Hang, Recorder, breaker, judge, ms, retry};

type Error = CallError<&'static str>;

/// Answers 9 for everything.
async fn nine() -> Result<Option<u32>, &'static str> {
    Ok(Some(9))
}

fn mark(degraded: Option<Degraded>) -> (CallErrorKind, bool) {
    let degraded = degraded.expect("marked");
    (degraded.cause, degraded.may_have_run)
}

fn policy(of: impl FnOnce(PolicyBuilder) -> PolicyBuilder) -> Policy<impl Fn(&Error) -> Nine> {
    of(Policy::builder(breaker(9)))
        .fallback(|_: &Error| Box::pin(nine()) as Nine)
        .build()
}

type Nine = std::pin::Pin<Box<dyn Future<Output = Result<Option<u32>, &'static str>> + Send>>;

#[tokio::test(start_paused = true)]
async fn a_failure_is_covered_and_the_answer_says_that_the_operation_may_have_run() {
    let policy = policy(|policy| policy.retry(retry(2)));
    let recorder = Recorder::default();
    let answer = policy
        .call(&judge, &recorder, async |_| Err("reset"))
        .await
        .expect("covered");
    assert_eq!((answer.value, answer.attempts), (9, 2));
    assert_eq!(mark(answer.degraded), (CallErrorKind::Failed, true));
    assert_eq!(
        recorder.lines().last().map(String::as_str),
        Some("fell back: failed")
    );
    assert_eq!(
        policy.breaker().counts().failed,
        2,
        "the fallback is no business of the breaker"
    );
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_the_attempt_and_of_the_whole_call_are_covered() {
    let hang = Hang::new();
    let short = policy(|policy| policy.attempt_timeout(ms(100)));
    let answer = short.call(&judge, &(), |_| hang.run()).await;
    assert_eq!(
        mark(answer.expect("covered").degraded),
        (CallErrorKind::TimedOut, true)
    );

    let started = Instant::now();
    let total = policy(|policy| policy.total_timeout(ms(300)));
    let answer = total.call(&judge, &(), |_| hang.run()).await;
    assert_eq!(
        mark(answer.expect("covered").degraded),
        (CallErrorKind::TotalTimedOut, true)
    );
    assert_eq!(started.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn refusals_of_breaker_and_bulkhead_are_covered_and_nothing_ran() {
    let open = policy(|policy| policy);
    open.breaker().force_open(Override::new("test", "test"));
    let answer = open.call(&judge, &(), async |_| Ok(1)).await;
    let answer = answer.expect("covered");
    assert_eq!((answer.value, answer.attempts), (9, 0));
    assert_eq!(mark(answer.degraded), (CallErrorKind::NotPermitted, false));

    let full = policy(|policy| policy.bulkhead(Bulkhead::new("pool", 1)));
    let hang = Hang::new();
    let holder = full.call(&judge, &(), |_| hang.run());
    let turned_away = async {
        hang.started.notified().await;
        full.call(&judge, &(), async |_| Ok(1)).await
    };
    tokio::select! {
        _ = holder => unreachable!("it hangs"),
        answer = turned_away => {
            let answer = answer.expect("covered");
            assert_eq!(mark(answer.degraded), (CallErrorKind::BulkheadFull, false));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_operations_own_answer_is_not_marked() {
    let answer = policy(|policy| policy)
        .call(&judge, &(), async |_| Ok(1))
        .await
        .expect("answers");
    assert_eq!((answer.value, answer.degraded), (1, None));
}

#[tokio::test(start_paused = true)]
async fn it_may_decline_by_the_error_which_then_stands() {
    let policy = Policy::builder(breaker(9))
        .fallback(|error: &Error| {
            let bad = matches!(
                error,
                CallError::Failed {
                    source: "bad request",
                    ..
                }
            );
            async move { Ok((!bad).then_some(9)) }
        })
        .build();
    let recorder = Recorder::default();
    let error = policy
        .call(&judge, &recorder, async |_| Err("bad request"))
        .await
        .expect_err("declined");
    assert_eq!(
        error,
        CallError::Failed {
            source: "bad request",
            attempts: 1
        }
    );
    assert!(!recorder.lines().iter().any(|line| line.contains("fell")));
}

#[tokio::test(start_paused = true)]
async fn its_failure_keeps_both_errors_and_whether_the_operation_may_have_run() {
    let policy = Policy::builder(breaker(9))
        .fallback(|_: &Error| async { Err::<Option<u32>, _>("no copy") })
        .build();
    let error = policy
        .call(&judge, &(), async |_| Err("fatal"))
        .await
        .expect_err("both failed");
    assert_eq!((error.attempts(), error.may_have_run()), (1, true));
    assert_eq!(
        error.to_string(),
        "failed, and the fallback gave no answer either; 1 attempt was started and may have run"
    );
    let CallError::FallbackFailed { source, primary } = error else {
        panic!("{error:?}");
    };
    assert_eq!(source, Some("no copy"));
    assert!(matches!(
        *primary,
        CallError::Failed {
            source: "fatal",
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_hook_stopped_is_not_answered_by_it() {
    let recorder = Recorder {
        stop_at: Some(1),
        ..Recorder::default()
    };
    let error = policy(|policy| policy)
        .call(&judge, &recorder, async |_| Ok(1))
        .await
        .expect_err("stopped");
    assert!(matches!(error, CallError::Stopped { .. }));
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_given_up_after_its_time_out_and_by_default_after_an_attempts() {
    let hanging = || {
        Policy::builder(breaker(9))
            .attempt_timeout(ms(400))
            .fallback(|_: &Error| std::future::pending::<Result<Option<u32>, _>>())
    };
    for (policy, limit) in [
        (hanging().build(), 400),
        (hanging().fallback_timeout(ms(50)).build(), 50),
    ] {
        let started = Instant::now();
        let error = policy
            .call(&judge, &(), async |_| Err("fatal"))
            .await
            .expect_err("hangs");
        assert!(matches!(
            error,
            CallError::FallbackFailed { source: None, .. }
        ));
        assert_eq!(started.elapsed(), ms(limit));
    }
}

#[tokio::test(start_paused = true)]
async fn past_the_callers_deadline_only_a_value_that_is_ready_is_taken() {
    let hang = Hang::new();
    let ready = policy(|policy| policy);
    let until = || Call::new().with_deadline(Instant::now() + ms(100));
    let answer = ready.call_with(until(), &judge, &(), |_| hang.run()).await;
    assert_eq!(answer.expect("was ready").value, 9);

    let slow = Policy::builder(breaker(9))
        .fallback(|_: &Error| async {
            sleep(ms(1)).await;
            Ok(Some(9))
        })
        .build();
    let started = Instant::now();
    let error = slow.call_with(until(), &judge, &(), |_| hang.run()).await;
    assert!(matches!(error, Err(CallError::FallbackFailed { .. })));
    assert_eq!(started.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn no_slot_or_permit_is_held_while_it_answers() {
    let pool = Bulkhead::new("pool", 1);
    let (breaker, slots) = (breaker(1), pool.clone());
    let watched = breaker.clone();
    let policy = Policy::builder(breaker)
        .bulkhead(pool)
        .fallback(move |_: &Error| {
            assert_eq!((slots.in_use(), watched.counts().in_flight()), (0, 0));
            assert_eq!(watched.state(), State::Open);
            nine()
        })
        .build();
    let answer = policy.call(&judge, &(), async |_| Err("reset")).await;
    assert!(answer.is_ok());
}
