//! A call dropped at any of its awaits gives back its slot, its permit and its place in the queue.

use std::time::Duration;

use fusebox_breaker::{State, Verdict};
use fusebox_policy::{Bulkhead, Judgement, Policy};
use tokio::time::{sleep, timeout};

use crate::bench::{Hang, Recorder, breaker, breaker_of, judge, ms, plain, retry};

fn policy() -> Policy {
    Policy::builder(breaker(1))
        .total_timeout(ms(60_000))
        .retry(retry(3).with_base(ms(5_000)))
        .bulkhead(Bulkhead::new("pool", 2).with_max_wait(ms(30_000)))
        .attempt_timeout(ms(20_000))
        .build()
}

/// Runs a call for a while and drops it.
async fn give_up<F: Future>(call: F) {
    let while_running: Duration = ms(50);
    assert!(timeout(while_running, call).await.is_err(), "still running");
}

fn assert_all_back(policy: &Policy, cancelled: u64) {
    let counts = policy.breaker().counts();
    assert_eq!((counts.cancelled, counts.in_flight()), (cancelled, 0));
    let bulkhead = policy.bulkhead().expect("set");
    assert_eq!((bulkhead.in_use(), bulkhead.queued()), (0, 0));
    assert_eq!(policy.breaker().state(), State::Closed, "moves no state");
}

#[tokio::test(start_paused = true)]
async fn in_the_operation() {
    let (policy, hang) = (policy(), Hang::new());
    give_up(policy.call(&judge, &(), |_| hang.run())).await;
    assert_all_back(&policy, 1);
}

#[tokio::test(start_paused = true)]
async fn in_the_hook() {
    let policy = policy();
    let recorder = Recorder {
        hang_at: Some(1),
        ..Recorder::default()
    };
    give_up(policy.call(&judge, &recorder, async |_| Ok(1))).await;
    assert_eq!(recorder.lines(), ["hook 1"]);
    assert_all_back(&policy, 1);
}

#[tokio::test(start_paused = true)]
async fn in_the_bulkheads_queue() {
    let policy = policy();
    let (first, second) = (Hang::new(), Hang::new());
    let recorder = Recorder::default();
    let holders = async {
        tokio::join!(
            policy.call(&judge, &(), |_| first.run()),
            policy.call(&judge, &(), |_| second.run())
        )
    };
    let queued = async {
        sleep(ms(1)).await;
        give_up(policy.call(&judge, &recorder, async |_| Ok(1))).await;
        assert_eq!(recorder.lines(), ["queued"]);
        let bulkhead = policy.bulkhead().expect("set");
        assert_eq!((bulkhead.in_use(), bulkhead.queued()), (2, 0));
        assert_eq!(
            policy.breaker().counts().admitted,
            2,
            "it never had a permit"
        );
    };
    tokio::select! {
        _ = holders => unreachable!("they hang"),
        () = queued => {}
    }
    assert_all_back(&policy, 2);
}

#[tokio::test(start_paused = true)]
async fn in_the_wait_before_a_retry() {
    let policy = policy();
    let neutral_but_again = |_: &Result<u32, &'static str>| Judgement {
        verdict: Verdict::Neutral,
        retry: true,
        retry_after: None,
    };
    let recorder = Recorder::default();
    give_up(policy.call(&neutral_but_again, &recorder, async |_| Err("again"))).await;
    assert!(
        recorder
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("retrying 2"))
    );
    assert_all_back(&policy, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_never_polled_takes_nothing() {
    let policy = policy();
    drop(policy.call(&judge, &(), async |_| Ok(1)));
    assert_eq!(policy.breaker().counts().admitted, 0);
    assert_all_back(&policy, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_leaves_its_slot_to_the_next() {
    let policy = Policy::builder(breaker_of(plain().consecutive_failures(1)))
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    policy.breaker().trip("test");
    sleep(ms(10_000)).await;
    let hang = Hang::new();
    give_up(policy.call(&judge, &(), |_| hang.run())).await;
    assert_eq!(policy.breaker().state(), State::HalfOpen);
    assert!(policy.call(&judge, &(), async |_| Ok(1)).await.is_ok());
    assert_all_back(&policy, 1);
}

#[tokio::test(start_paused = true)]
async fn at_every_moment_of_a_busy_pool() {
    let policy = Policy::builder(breaker_of(plain().consecutive_failures(1_000)))
        .total_timeout(ms(900))
        .retry(retry(3))
        .bulkhead(
            Bulkhead::new("pool", 3)
                .with_max_wait(ms(200))
                .with_max_queue(4),
        )
        .attempt_timeout(ms(80))
        .build();
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..400_u64 {
        let policy = policy.clone();
        calls.spawn(async move {
            sleep(ms(call * 7 % 1_000)).await;
            // Given up at moments that fall into the queue, the operation and the waits.
            let patience = ms(call * 13 % 300);
            let _ = timeout(
                patience,
                policy.call(&judge, &(), async |attempt| {
                    sleep(ms((call * 31 + u64::from(attempt.number) * 17) % 120)).await;
                    if call % 3 == 0 { Err("reset") } else { Ok(1) }
                }),
            )
            .await;
        });
    }
    calls.join_all().await;
    let counts = policy.breaker().counts();
    assert!(counts.cancelled > 0 && counts.timed_out > 0 && counts.succeeded > 0);
    assert_eq!(counts.in_flight(), 0);
    let bulkhead = policy.bulkhead().expect("set");
    assert_eq!((bulkhead.in_use(), bulkhead.queued()), (0, 0));
}
