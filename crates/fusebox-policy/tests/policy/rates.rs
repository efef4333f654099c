//! The rate limit around a call.

use fusebox_breaker::Override;
use fusebox_policy::{Bulkhead, Call, CallError, CallErrorKind, Policy, RateLimit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{Hang, Recorder, breaker, judge, ms, retry};

/// One unit every 100 ms, `burst` at once.
fn limit(burst: u32) -> RateLimit {
    RateLimit::new("api", 10, ms(1_000)).with_burst(burst)
}

fn policy(limit: &RateLimit) -> Policy {
    Policy::builder(breaker(99))
        .rate_limit(limit.clone())
        .build()
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_what_comes_too_early_is_turned_away_and_told_when_to_come_back() {
    let policy = policy(&limit(1));
    let made = policy.call(&judge, &(), async |_| Ok(1)).await;
    assert!(made.is_ok());
    let recorder = Recorder::default();
    let error = policy
        .call(&judge, &recorder, async |_| Ok(1))
        .await
        .expect_err("too early");
    assert_eq!(
        error.to_string(),
        "rate limit `api` is reached, next try in 100ms; nothing was called"
    );
    assert!(!error.may_have_run() && recorder.lines().is_empty());
    assert_eq!(policy.breaker().counts().total(), 1);
    sleep(error.retry_after().expect("known")).await;
    assert!(policy.call(&judge, &(), async |_| Ok(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_weight_above_the_burst_is_told_that_waiting_does_not_help() {
    let error = policy(&limit(5).with_max_wait(ms(60_000)))
        .call_with(Call::new().with_weight(6), &judge, &(), async |_| Ok(1))
        .await
        .expect_err("too heavy");
    assert_eq!(
        error.to_string(),
        "rate limit `api` is reached, and the call is heavier than its burst: split it; nothing was called"
    );
    assert_eq!(error.retry_after(), None);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_in_order_of_arrival_whatever_their_weight() {
    let policy = policy(&limit(4).with_max_wait(ms(60_000)));
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for weight in [4, 3, 1, 2] {
        let policy = policy.clone();
        calls.spawn(async move {
            let call = Call::new().with_weight(weight);
            let op = async |_| Ok((started.elapsed().as_millis()) as u32);
            let answer = policy.call_with(call, &judge, &(), op).await;
            (weight, answer.expect("waits").value)
        });
        tokio::task::yield_now().await;
    }
    let mut times = calls.join_all().await;
    times.sort_by_key(|(_, at)| *at);
    assert_eq!(times, [(4, 0), (3, 300), (1, 400), (2, 600)]);
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_behind_the_others_is_turned_away_at_once() {
    let limit = limit(1).with_max_wait(ms(250));
    let policy = policy(&limit);
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let policy = policy.clone();
        calls.spawn(async move {
            let answer = policy.call(&judge, &(), async |_| Ok(1)).await;
            let wait = answer.err().map(|error| error.retry_after());
            (started.elapsed(), wait)
        });
        tokio::task::yield_now().await;
    }
    assert_eq!(limit.queued(), 2);
    let mut ends = calls.join_all().await;
    ends.sort();
    assert_eq!(
        ends,
        [
            (ms(0), None),
            (ms(0), Some(Some(ms(300)))),
            (ms(0), Some(Some(ms(300)))),
            (ms(100), None),
            (ms(200), None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_attempt_takes_its_units() {
    let policy = Policy::builder(breaker(99))
        .rate_limit(limit(1).with_max_wait(ms(1_000)))
        .retry(retry(3).with_base(ms(10)))
        .build();
    let recorder = Recorder::default();
    let started = Instant::now();
    let error = policy.call(&judge, &recorder, async |_| Err("reset")).await;
    assert_eq!(error.expect_err("fails").attempts(), 3);
    assert_eq!(started.elapsed(), ms(200));
    let throttled = |line: &String| line.starts_with("throttled");
    let lines: Vec<_> = recorder.lines().into_iter().filter(throttled).collect();
    assert_eq!(lines, ["throttled for 90ms", "throttled for 80ms"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_turned_away_by_the_rate_says_that_the_first_attempt_may_have_run() {
    let policy = Policy::builder(breaker(99))
        .rate_limit(limit(1))
        .retry(retry(3).with_base(ms(10)))
        .build();
    let error = policy.call(&judge, &(), async |_| Err("reset")).await;
    let error = error.expect_err("too early");
    assert_eq!(
        (error.kind(), error.attempts()),
        (CallErrorKind::RateLimited, 1)
    );
    assert!(error.may_have_run());
}

#[tokio::test(start_paused = true)]
async fn what_a_later_stage_turns_away_gives_its_units_back() {
    let (limit, pool) = (limit(1), Bulkhead::new("pool", 1));
    let policy = Policy::builder(breaker(99))
        .rate_limit(limit.clone())
        .bulkhead(pool.clone())
        .build();
    let stopped = Recorder {
        stop_at: Some(1),
        ..Recorder::default()
    };
    let result = policy.call(&judge, &stopped, async |_| Ok(1)).await;
    assert!(matches!(result, Err(CallError::Stopped { .. })));
    assert_eq!(limit.available(), 1, "after the hook");

    policy.breaker().force_open(Override::new("test", "test"));
    let result = policy.call(&judge, &(), async |_| Ok(1)).await;
    assert!(matches!(result, Err(CallError::NotPermitted { .. })));
    assert_eq!(limit.available(), 1, "after the breaker");

    let unlimited = Policy::builder(breaker(9)).bulkhead(pool).build();
    let hang = Hang::new();
    let holder = unlimited.call(&judge, &(), |_| hang.run());
    let turned_away = async {
        hang.started.notified().await;
        let result = policy.call(&judge, &(), async |_| Ok(1)).await;
        assert!(matches!(result, Err(CallError::BulkheadFull { .. })));
        assert_eq!(limit.available(), 1, "after the bulkhead");
    };
    tokio::select! {
        _ = holder => unreachable!("it hangs"),
        () = turned_away => {}
    }
}

#[tokio::test(start_paused = true)]
async fn units_given_back_shorten_the_wait_of_who_is_next() {
    let limit = limit(1).with_max_wait(ms(1_000));
    let policy = policy(&limit);
    let hook = Recorder {
        hang_at: Some(1),
        ..Recorder::default()
    };
    let started = Instant::now();
    let given_up = timeout(ms(30), policy.call(&judge, &hook, async |_| Ok(1)));
    let next = async {
        tokio::task::yield_now().await;
        let answer = policy.call(&judge, &(), async |_| Ok(1)).await;
        assert!(answer.is_ok());
        started.elapsed()
    };
    let (given_up, next) = tokio::join!(given_up, next);
    assert!(given_up.is_err());
    assert_eq!(next, ms(30), "rather than 100");
}

#[tokio::test(start_paused = true)]
async fn the_total_time_bounds_the_wait() {
    let limit = limit(1).with_max_wait(ms(1_000));
    let policy = Policy::builder(breaker(99))
        .rate_limit(limit.clone())
        .total_timeout(ms(40))
        .build();
    let made = policy.call(&judge, &(), async |_| Ok(1)).await;
    assert!(made.is_ok());
    let error = policy.call(&judge, &(), async |_| Ok(1)).await;
    let error = error.expect_err("100 ms are too long");
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (CallErrorKind::TotalTimedOut, false)
    );
    assert_eq!(limit.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_covers_what_the_rate_turns_away() {
    let policy = Policy::builder(breaker(99))
        .rate_limit(limit(1))
        .fallback(|_: &CallError<&'static str>| async { Ok(Some(9)) })
        .build();
    let first = policy.call(&judge, &(), async |_| Ok(1)).await;
    assert_eq!(first.expect("within the rate").degraded, None);
    let second = policy.call(&judge, &(), async |_| Ok(1)).await;
    let degraded = second.expect("covered").degraded.expect("marked");
    assert_eq!(degraded.cause, CallErrorKind::RateLimited);
    assert!(!degraded.may_have_run);
}
