//! What is tried again, when, and what ends it.

use fusebox_breaker::{Availability, FailureKind, State, Verdict};
use fusebox_policy::{Call, CallError, Judgement, Policy, Retry, RetryBudget};
use tokio::time::Instant;

use crate::bench::{Hang, Recorder, breaker, judge, ms, retry};

#[tokio::test(start_paused = true)]
async fn the_last_error_is_kept_whole_when_attempts_run_out() {
    let policy = Policy::builder(breaker(9)).retry(retry(3)).build();
    let started = Instant::now();
    let errors = ["first", "second", "third"];
    let error = policy
        .call(&judge, &(), async |attempt| {
            Err(errors[attempt.number as usize - 1])
        })
        .await
        .expect_err("all fail");
    assert_eq!(
        error,
        CallError::Failed {
            source: "third",
            attempts: 3
        }
    );
    assert_eq!(error.to_string(), "failed at attempt 3; it may have run");
    assert_eq!(started.elapsed(), ms(100 + 200));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_helped_is_not_tried_again() {
    for (message, failed, ignored) in [("fatal", 1, 0), ("bad request", 0, 1)] {
        let policy = Policy::builder(breaker(9)).retry(retry(3)).build();
        let error = policy
            .call(&judge, &(), async |_| Err(message))
            .await
            .expect_err("fails");
        assert_eq!(error.attempts(), 1);
        let counts = policy.breaker().counts();
        assert_eq!((counts.failed, counts.ignored), (failed, ignored));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_floor_of_the_wait() {
    let policy = Policy::builder(breaker(9)).retry(retry(3)).build();
    let recorder = Recorder::default();
    let answer = policy
        .call(&judge, &recorder, async |attempt| match attempt.number {
            1 => Err("busy"),
            2 => Err("reset"),
            _ => Ok(1),
        })
        .await;
    assert!(answer.is_ok());
    let waits: Vec<_> = recorder
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("retrying"))
        .collect();
    assert_eq!(waits, ["retrying 2 after 3s", "retrying 3 after 200ms"]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_retry_after_stays() {
    let policy = Policy::builder(breaker(9))
        .retry(retry(2).with_base(ms(5_000)))
        .build();
    let started = Instant::now();
    let answer = policy
        .call(&judge, &(), async |attempt| match attempt.number {
            1 => Err("busy"),
            _ => Ok(1),
        })
        .await;
    assert!(answer.is_ok());
    assert_eq!(started.elapsed(), ms(5_000));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_into_the_total_time_is_not_begun() {
    let policy = Policy::builder(breaker(9))
        .total_timeout(ms(3_000))
        .retry(retry(9))
        .build();
    let started = Instant::now();
    let error = policy
        .call(&judge, &(), async |_| Err("busy"))
        .await
        .expect_err("no time for 3 s");
    assert_eq!(
        error,
        CallError::Failed {
            source: "busy",
            attempts: 1
        }
    );
    assert_eq!(started.elapsed(), ms(0));

    let started = Instant::now();
    let error = policy
        .call(&judge, &(), async |_| Err("reset"))
        .await
        .expect_err("waits of 100, 200, 400, 800 fit, 1600 does not");
    assert_eq!(error.attempts(), 5);
    assert_eq!(started.elapsed(), ms(1_500));
}

#[tokio::test(start_paused = true)]
async fn when_the_breaker_opens_between_attempts_the_call_ends_at_once_with_its_last_error() {
    let policy = Policy::builder(breaker(2)).retry(retry(9)).build();
    let recorder = Recorder::default();
    let started = Instant::now();
    let error = policy
        .call(&judge, &recorder, async |_| Err("reset"))
        .await
        .expect_err("opens at the second failure");
    let CallError::Failed { source, attempts } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*source, *attempts), ("reset", 2));
    assert_eq!(policy.breaker().state(), State::Open);
    assert_eq!(started.elapsed(), ms(100), "only the wait before attempt 2");
    assert_eq!(
        recorder
            .lines()
            .iter()
            .filter(|line| line.starts_with("retry"))
            .count(),
        1
    );
    let counts = policy.breaker().counts();
    assert_eq!((counts.admitted, counts.failed, counts.rejected), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_servers_hint_in_the_verdict_opens_and_ends_the_call() {
    let policy = Policy::builder(breaker(9)).retry(retry(3)).build();
    let hinted = |result: &Result<u32, &'static str>| Judgement {
        verdict: match result {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::TripUntil(ms(60_000)),
        },
        retry: true,
        retry_after: None,
    };
    let error = policy
        .call(&hinted, &(), async |_| Err("rate limited"))
        .await
        .expect_err("opens");
    assert_eq!(error.attempts(), 1);
    assert_eq!(
        policy.breaker().availability(),
        Availability::NotBefore(ms(60_000))
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_outlasts_the_open_time_retries_as_a_probe() {
    let policy = Policy::builder(breaker(1))
        .retry(retry(2).with_base(ms(10_000)))
        .build();
    let answer = policy
        .call(&judge, &(), async |attempt| match attempt.number {
            1 => Err("reset"),
            _ => Ok(1),
        })
        .await;
    assert!(answer.is_ok());
    assert_eq!(policy.breaker().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_caps_retries_over_all_calls_and_policies() {
    let budget = RetryBudget::new(0.1, 5);
    let policies = [0, 1].map(|_| {
        Policy::builder(breaker(10_000))
            .retry(retry(4).with_budget(budget.clone()))
            .build()
    });
    let mut attempts = 0;
    for call in 0..200 {
        let error = policies[call % 2]
            .call(&judge, &(), async |_| Err("reset"))
            .await
            .expect_err("an outage");
        attempts += error.attempts();
    }
    // 200 first attempts; 5 saved retries (the first deposit found the bucket full) and one for ten later calls.
    assert_eq!(attempts, 200 + 5 + 19);
}

#[tokio::test(start_paused = true)]
async fn timed_out_attempts_are_tried_again_unless_told_otherwise() {
    for (retry, attempts) in [(retry(2), 2), (retry(2).without_timed_out(), 1)] {
        let policy = Policy::builder(breaker(9))
            .retry(retry)
            .attempt_timeout(ms(500))
            .build();
        let hang = Hang::new();
        let error = policy
            .call(&judge, &(), |_| hang.run())
            .await
            .expect_err("never answers");
        assert_eq!(
            error,
            CallError::TimedOut {
                limit: ms(500),
                attempts
            }
        );
        assert!(error.may_have_run());
    }
}

#[tokio::test(start_paused = true)]
async fn without_retries_there_is_one_attempt() {
    let policy = Policy::builder(breaker(9)).retry(Retry::none()).build();
    let timed_out_error = |_: &Result<u32, &'static str>| Judgement {
        verdict: Verdict::Failure(FailureKind::TimedOut),
        retry: true,
        retry_after: None,
    };
    let error = policy
        .call(&timed_out_error, &(), async |_| Err("slow"))
        .await
        .expect_err("fails");
    assert_eq!(error.attempts(), 1);
    assert_eq!(policy.breaker().counts().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_takes_from_both_budgets_or_from_neither() {
    let (own, of_the_run) = (RetryBudget::new(0.0, 5), RetryBudget::new(0.0, 1));
    let policy = Policy::builder(breaker(9))
        .retry(retry(3).with_budget(own.clone()))
        .build();
    let call = Call::new().with_retry_budget(of_the_run.clone());
    let error = policy
        .call_with(call, &judge, &(), async |_| Err::<u32, _>("reset"))
        .await
        .expect_err("all fail");
    assert_eq!(error.attempts(), 2, "the run had one retry to give");
    assert_eq!((own.available(), of_the_run.available()), (4, 0));
}
