//! Budgets and loop detection around a call.

use fusebox_breaker::Override;
use fusebox_policy::{
    Budget, BudgetExceeded, Bulkhead, Call, CallError, CallErrorKind, Fingerprint, Limits,
    LoopDetected, LoopDetector, LoopKind, Policy, Resource, Spend,
};
use tokio::time::{sleep, timeout};

use crate::bench::{Hang, Recorder, breaker, judge, ms, retry};

fn tokens(per_minute: u64) -> Budget {
    Budget::new("agent", Limits::new().with_tokens_per_window(per_minute))
}

fn policy(budget: &Budget) -> Policy {
    Policy::builder(breaker(99)).budget(budget.clone()).build()
}

fn costing(estimate: u64) -> Call {
    Call::new().with_estimate(Spend::tokens(estimate))
}

fn refusal(error: CallError<&'static str>) -> BudgetExceeded {
    assert!(!error.may_have_run());
    match error {
        CallError::BudgetExceeded { source } => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_reserved_while_it_runs_and_settled_to_what_its_meter_says() {
    let budget = tokens(1_000);
    let call = costing(800);
    let meter = call.meter().clone();
    let answer = policy(&budget)
        .call_with(call, &judge, &(), async |_| {
            assert_eq!(budget.reserved(), Spend::tokens(800));
            meter.record(Spend::tokens(100));
            meter.record(Spend::tokens(23));
            Ok(1)
        })
        .await;
    assert!(answer.is_ok());
    assert_eq!(
        (budget.reserved(), budget.spent()),
        (Spend::ZERO, Spend::tokens(123))
    );
    assert_eq!(meter.total(), Spend::tokens(123));
}

#[tokio::test(start_paused = true)]
async fn a_result_without_a_reading_is_charged_the_estimate() {
    let budget = tokens(1_000);
    for result in [Ok(1), Err("fatal")] {
        let _ = policy(&budget)
            .call_with(costing(300), &judge, &(), async |_| result)
            .await;
    }
    assert_eq!(budget.spent(), Spend::tokens(600));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_cut_short_is_charged_the_larger_of_estimate_and_reading() {
    for (read, charged) in [(0, 300), (120, 300), (450, 450)] {
        let budget = tokens(1_000);
        let hang = Hang::new();
        let policy = Policy::builder(breaker(99))
            .budget(budget.clone())
            .attempt_timeout(ms(100))
            .build();
        let call = costing(300);
        let meter = call.meter().clone();
        let error = policy
            .call_with(call, &judge, &(), async |_| {
                meter.record(Spend::tokens(read));
                hang.run().await
            })
            .await
            .expect_err("hangs");
        assert_eq!(error.kind(), CallErrorKind::TimedOut);
        assert_eq!(budget.spent(), Spend::tokens(charged));
    }
}

#[tokio::test(start_paused = true)]
async fn over_budget_nothing_is_called_and_the_error_says_when_to_come_back() {
    let budget = tokens(1_000);
    let policy = policy(&budget);
    policy
        .call_with(costing(700), &judge, &(), async |_| Ok(1))
        .await
        .expect("within");
    let error = policy
        .call_with(costing(301), &judge, &(), async |_| Ok(1))
        .await
        .expect_err("over");
    assert_eq!(error.to_string(), "over budget; nothing was called");
    let after = error.retry_after().expect("the window slides");
    let source = refusal(error);
    assert_eq!(
        source.to_string(),
        format!(
            "budget `agent` has 300 of 1000 tokens per 60s left where 301 are needed, next try in {after:?}"
        )
    );
    assert_eq!((source.resource, source.left), (Resource::Tokens, 300));
    assert_eq!(policy.breaker().counts().total(), 1);
    sleep(after).await;
    let again = policy
        .call_with(costing(301), &judge, &(), async |_| Ok(1))
        .await;
    assert!(again.is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_at_the_same_time_cannot_reserve_more_than_there_is() {
    let budget = tokens(1_000);
    let policy = policy(&budget);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let policy = policy.clone();
        calls.spawn(async move {
            policy
                .call_with(costing(90), &judge, &(), async |_| {
                    sleep(ms(10)).await;
                    Ok(1)
                })
                .await
                .is_ok()
        });
    }
    let made = calls.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(made, 11, "11 times 90 fits into 1,000");
    assert_eq!(budget.spent(), Spend::tokens(990));
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_reserved_too_and_without_room_the_last_error_is_the_answer() {
    let budget = tokens(250);
    let policy = Policy::builder(breaker(99))
        .budget(budget.clone())
        .retry(retry(9))
        .build();
    let error = policy
        .call_with(costing(100), &judge, &(), async |_| Err("reset"))
        .await
        .expect_err("fails");
    assert_eq!(
        error,
        CallError::Failed {
            source: "reset",
            attempts: 2
        }
    );
    assert_eq!(
        (budget.spent(), budget.reserved()),
        (Spend::tokens(200), Spend::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_starts_costs_nothing() {
    let budget = tokens(1_000);
    let policy = Policy::builder(breaker(99))
        .budget(budget.clone())
        .bulkhead(Bulkhead::new("pool", 1))
        .build();
    let stopped = Recorder {
        stop_at: Some(1),
        ..Recorder::default()
    };
    let result = policy
        .call_with(costing(400), &judge, &stopped, async |_| Ok(1))
        .await;
    assert!(matches!(result, Err(CallError::Stopped { .. })));
    policy.breaker().force_open(Override::new("test", "test"));
    let result = policy
        .call_with(costing(400), &judge, &(), async |_| Ok(1))
        .await;
    assert!(matches!(result, Err(CallError::NotPermitted { .. })));
    assert_eq!(
        (budget.spent(), budget.reserved()),
        (Spend::ZERO, Spend::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn of_several_budgets_all_are_charged_or_none() {
    let agent = tokens(1_000);
    let run = Budget::new("run", Limits::new().with_total_micro_dollars(5_000));
    let policy = policy(&agent);
    let call = |tokens, micro_dollars| {
        Call::new()
            .with_estimate(Spend::new(tokens, micro_dollars))
            .with_budget(run.clone())
    };
    let made = policy
        .call_with(call(100, 4_000), &judge, &(), async |_| Ok(1))
        .await;
    assert!(made.is_ok());
    let error = policy
        .call_with(call(100, 1_001), &judge, &(), async |_| Ok(1))
        .await
        .expect_err("the run has 1,000 left");
    assert_eq!(error.retry_after(), None, "it never comes back");
    let source = refusal(error);
    assert_eq!(&*source.budget, "run");
    assert_eq!((source.asked, source.left), (1_001, 1_000));
    assert_eq!(agent.reserved(), Spend::ZERO);
    assert_eq!(agent.spent(), Spend::new(100, 4_000));
}

#[tokio::test(start_paused = true)]
async fn an_overdrawn_budget_refuses_even_calls_of_unknown_cost() {
    let budget = tokens(100);
    let call = Call::new();
    let meter = call.meter().clone();
    let answer = policy(&budget)
        .call_with(call, &judge, &(), async |_| {
            meter.record(Spend::tokens(5_000));
            Ok(1)
        })
        .await;
    assert!(answer.is_ok());
    let result = policy(&budget).call(&judge, &(), async |_| Ok(1)).await;
    assert_eq!(refusal(result.expect_err("overdrawn")).left, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_while_it_runs_is_charged_and_one_given_up_before_is_not() {
    let budget = tokens(1_000);
    let (hang, policy) = (Hang::new(), policy(&budget));
    let running = policy.call_with(costing(300), &judge, &(), |_| hang.run());
    assert!(timeout(ms(10), running).await.is_err());
    assert_eq!(budget.spent(), Spend::tokens(300));
    let hook = Recorder {
        hang_at: Some(1),
        ..Recorder::default()
    };
    let waiting = policy.call_with(costing(300), &judge, &hook, async |_| Ok(1));
    assert!(timeout(ms(10), waiting).await.is_err());
    assert_eq!(
        (budget.spent(), budget.reserved()),
        (Spend::tokens(300), Spend::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_fallback_covers_a_budget_and_a_loop() {
    let budget = tokens(10);
    let loops = LoopDetector::new(1);
    let policy = Policy::builder(breaker(99))
        .budget(budget)
        .loop_detector(loops)
        .fallback(|_: &CallError<&'static str>| async { Ok(Some(9)) })
        .build();
    let answer = policy
        .call_with(costing(11), &judge, &(), async |_| Ok(1))
        .await
        .expect("covered");
    let degraded = answer.degraded.expect("marked");
    assert_eq!(degraded.cause, CallErrorKind::BudgetExceeded);
    assert!(!degraded.may_have_run);
    for cause in [CallErrorKind::Failed, CallErrorKind::LoopDetected] {
        let answer = policy
            .call_with(search("rust"), &judge, &(), async |_| Err("fatal"))
            .await
            .expect("covered");
        assert_eq!(answer.degraded.expect("marked").cause, cause);
    }
}

fn search(query: &str) -> Call {
    Call::new().with_fingerprint(Fingerprint::of("search", query))
}

fn looping(error: CallError<&'static str>) -> LoopDetected {
    assert!(!error.may_have_run());
    match error {
        CallError::LoopDetected { source } => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_failing_call_is_refused_after_n_times_with_its_fingerprint_and_repeats() {
    let policy = Policy::builder(breaker(99))
        .retry(retry(2))
        .loop_detector(LoopDetector::new(3))
        .build();
    for _ in 0..3 {
        // Two attempts each, which count once. A bad request is the agent's own failure to learn.
        let failed = policy
            .call_with(search("rust"), &judge, &(), async |_| Err("bad request"))
            .await;
        assert!(matches!(failed, Err(CallError::Failed { .. })));
    }
    let error = policy
        .call_with(search("rust"), &judge, &(), async |_| Ok(1))
        .await
        .expect_err("a loop");
    assert!(error.retry_after().is_some());
    let source = looping(error);
    assert_eq!((source.kind, source.repeats), (LoopKind::SameFailure, 3));
    assert_eq!(source.fingerprint, Fingerprint::of("search", "rust"));
    assert!(
        source
            .to_string()
            .contains("failed 3 times with the same arguments")
    );
    let other = policy
        .call_with(search("tokio"), &judge, &(), async |_| Ok(1))
        .await;
    assert!(other.is_ok());
    let unnamed = policy.call(&judge, &(), async |_| Ok(1)).await;
    assert!(unnamed.is_ok(), "nothing is known of it");
}

#[tokio::test(start_paused = true)]
async fn time_outs_are_failures_and_calls_turned_away_are_no_calls() {
    let detector = LoopDetector::new(2).with_max_repeats(2);
    let policy = Policy::builder(breaker(99))
        .loop_detector(detector.clone())
        .attempt_timeout(ms(10))
        .build();
    policy.breaker().force_open(Override::new("test", "test"));
    for _ in 0..5 {
        let refused = policy
            .call_with(search("rust"), &judge, &(), async |_| Ok(1))
            .await;
        assert!(matches!(refused, Err(CallError::NotPermitted { .. })));
    }
    policy.breaker().release("test");
    let hang = Hang::new();
    for _ in 0..2 {
        let late = policy
            .call_with(search("rust"), &judge, &(), |_| hang.run())
            .await;
        assert!(matches!(late, Err(CallError::TimedOut { .. })));
    }
    let error = policy
        .call_with(search("rust"), &judge, &(), async |_| Ok(1))
        .await;
    assert_eq!(
        looping(error.expect_err("a loop")).kind,
        LoopKind::SameFailure
    );
}

#[tokio::test(start_paused = true)]
async fn a_runs_own_detector_counts_repeats_until_it_hears_of_progress() {
    let run = LoopDetector::new(99).with_max_repeats(2);
    let policy = Policy::builder(breaker(99)).build();
    let call = || search("rust").with_loop_detector(run.clone());
    for _ in 0..2 {
        let answer = policy.call_with(call(), &judge, &(), async |_| Ok(1)).await;
        assert!(answer.is_ok());
    }
    let error = policy.call_with(call(), &judge, &(), async |_| Ok(1)).await;
    assert_eq!(
        looping(error.expect_err("a loop")).kind,
        LoopKind::NoProgress
    );
    run.progress();
    assert_eq!(run.remembered(), 0);
    let answer = policy.call_with(call(), &judge, &(), async |_| Ok(1)).await;
    assert!(answer.is_ok());
}
