//! Time-outs and the bulkhead.

use std::sync::Arc;

use fusebox_breaker::State;
use fusebox_policy::{Bulkhead, CallError, Policy};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::bench::{Hang, Recorder, breaker, judge, ms, retry};

#[tokio::test(start_paused = true)]
async fn an_attempt_past_its_time_out_counts_as_timed_out() {
    let policy = Policy::builder(breaker(1)).attempt_timeout(ms(700)).build();
    let (hang, started) = (Hang::new(), Instant::now());
    let error = policy
        .call(&judge, &(), |_| hang.run())
        .await
        .expect_err("never answers");
    assert_eq!(
        error.to_string(),
        "no answer within 700ms at attempt 1; it may have run and may still be running"
    );
    assert_eq!(started.elapsed(), ms(700));
    let counts = policy.breaker().counts();
    assert_eq!((counts.timed_out, counts.in_flight()), (1, 0));
    assert_eq!(policy.breaker().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_answer_exactly_at_the_time_out_is_taken() {
    let policy = Policy::builder(breaker(1)).attempt_timeout(ms(700)).build();
    let answer = policy
        .call(&judge, &(), async |_| {
            sleep(ms(700)).await;
            Ok(1)
        })
        .await;
    assert!(answer.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_cut_short_by_the_total_time_is_not_the_dependencys_fault() {
    let policy = Policy::builder(breaker(2))
        .total_timeout(ms(1_500))
        .retry(retry(3))
        .attempt_timeout(ms(1_000))
        .build();
    let (hang, recorder, started) = (Hang::new(), Recorder::default(), Instant::now());
    let error = policy
        .call(&judge, &recorder, |attempt| {
            assert!(attempt.deadline <= Some(started + ms(1_500)));
            hang.run()
        })
        .await
        .expect_err("never answers");
    assert_eq!(
        error,
        CallError::TotalTimedOut {
            limit: ms(1_500),
            attempts: 2
        }
    );
    assert_eq!(started.elapsed(), ms(1_500));
    let counts = policy.breaker().counts();
    assert_eq!(
        (counts.timed_out, counts.cancelled, counts.in_flight()),
        (1, 1, 0)
    );
    assert_eq!(policy.breaker().state(), State::Closed);
    assert_eq!(
        recorder.lines().last().map(String::as_str),
        Some("ended 2 after 400ms: Neutral")
    );
}

#[tokio::test(start_paused = true)]
async fn where_both_end_together_the_attempt_had_its_whole_time() {
    let policy = Policy::builder(breaker(9))
        .total_timeout(ms(1_000))
        .attempt_timeout(ms(1_000))
        .build();
    let hang = Hang::new();
    let error = policy
        .call(&judge, &(), |_| hang.run())
        .await
        .expect_err("never answers");
    assert_eq!(
        error,
        CallError::TimedOut {
            limit: ms(1_000),
            attempts: 1
        }
    );
    assert_eq!(policy.breaker().counts().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn without_an_attempt_time_out_a_hang_past_the_total_time_counts_as_timed_out() {
    let policy = Policy::builder(breaker(1)).total_timeout(ms(1_000)).build();
    let hang = Hang::new();
    let error = policy
        .call(&judge, &(), |_| hang.run())
        .await
        .expect_err("never answers");
    assert!(matches!(
        error,
        CallError::TotalTimedOut { attempts: 1, .. }
    ));
    assert_eq!(policy.breaker().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_bounds_the_call_and_blames_nobody() {
    let policy = Policy::builder(breaker(1)).total_timeout(ms(9_000)).build();
    let (hang, now) = (Hang::new(), Instant::now());
    let error = policy
        .call_until(Some(now + ms(250)), &judge, &(), |attempt| {
            assert_eq!(attempt.deadline, Some(now + ms(250)));
            hang.run()
        })
        .await
        .expect_err("never answers");
    assert_eq!(
        error,
        CallError::TotalTimedOut {
            limit: ms(250),
            attempts: 1
        }
    );
    let counts = policy.breaker().counts();
    assert_eq!((counts.cancelled, counts.timed_out), (1, 0));

    let late = policy
        .call_until(Some(now), &judge, &(), async |_| Ok(1))
        .await
        .expect_err("past before it began");
    assert_eq!(late.attempts(), 0);
    assert_eq!(
        policy.breaker().counts().admitted,
        1,
        "nothing was asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn the_total_time_bounds_a_hook_that_hangs() {
    let policy = Policy::builder(breaker(1)).total_timeout(ms(1_000)).build();
    let recorder = Recorder {
        hang_at: Some(1),
        ..Recorder::default()
    };
    let error = policy
        .call(&judge, &recorder, async |_| Ok(1))
        .await
        .expect_err("the hook never answers");
    assert_eq!(
        error,
        CallError::TotalTimedOut {
            limit: ms(1_000),
            attempts: 0
        }
    );
    assert!(!error.may_have_run());
    let counts = policy.breaker().counts();
    assert_eq!((counts.cancelled, counts.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_turns_away_at_once_by_default() {
    let policy = Policy::builder(breaker(1))
        .retry(retry(3))
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    let (hang, inside) = (Hang::new(), policy.clone());
    let started = hang.started.clone();
    let holder = tokio::spawn(async move { inside.call(&judge, &(), |_| hang.run()).await });
    started.notified().await;

    let recorder = Recorder::default();
    let error = policy
        .call(&judge, &recorder, async |_| Ok(1))
        .await
        .expect_err("full");
    assert_eq!(
        error.to_string(),
        "bulkhead `pool` is full with 1 concurrent calls, gave up after 0ns; nothing was called"
    );
    assert!(!error.may_have_run());
    assert!(recorder.lines().is_empty(), "neither queued nor retried");
    assert_eq!(
        policy.breaker().counts().total(),
        1,
        "the breaker was not asked"
    );
    holder.abort();
    assert!(holder.await.expect_err("aborted").is_cancelled());
    assert!(policy.call(&judge, &(), async |_| Ok(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_queued_call_waits_its_maximum_and_says_so() {
    let bulkhead = Bulkhead::new("pool", 1).with_max_wait(ms(300));
    let policy = Policy::builder(breaker(1))
        .bulkhead(bulkhead.clone())
        .build();
    let (hang, inside) = (Hang::new(), policy.clone());
    let started = hang.started.clone();
    let holder = tokio::spawn(async move { inside.call(&judge, &(), |_| hang.run()).await });
    started.notified().await;

    let recorder = Recorder::default();
    let call = policy.call(&judge, &recorder, async |_| Ok(1));
    let watch = async {
        sleep(ms(100)).await;
        assert_eq!(bulkhead.queued(), 1);
    };
    let (answer, ()) = tokio::join!(call, watch);
    let error = answer.expect_err("no slot in time");
    assert!(
        matches!(&error, CallError::BulkheadFull { waited, limit: 1, .. } if *waited == ms(300))
    );
    assert_eq!(recorder.lines(), ["queued"]);
    assert_eq!(bulkhead.queued(), 0);
    holder.abort();
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_50_before_20_slots_sheds_exactly_what_exceeds_it() {
    let bulkhead = Bulkhead::new("pool", 20)
        .with_max_wait(ms(60_000))
        .with_max_queue(50);
    let policy = Policy::builder(breaker(1))
        .bulkhead(bulkhead.clone())
        .build();
    let gate = Arc::new(Semaphore::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..75 {
        let (policy, gate) = (policy.clone(), gate.clone());
        calls.spawn(async move {
            policy
                .call(&judge, &(), async |_| {
                    assert!(policy.bulkhead().expect("set").in_use() <= 20);
                    gate.acquire().await.expect("open").forget();
                    Ok(1)
                })
                .await
        });
    }
    sleep(ms(1)).await;
    assert_eq!((bulkhead.in_use(), bulkhead.queued()), (20, 50));
    gate.add_permits(70);
    let results = calls.join_all().await;
    let shed = results
        .iter()
        .filter(|result| matches!(result, Err(CallError::BulkheadFull { .. })))
        .count();
    assert_eq!((results.len(), shed), (75, 5));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 70);
    assert_eq!((bulkhead.in_use(), bulkhead.queued()), (0, 0));
}
