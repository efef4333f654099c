//! A step whose agent is away takes what it had in an earlier run, as degraded, and only of that input.

use std::time::Duration;

use fusebox_agent::AgentError;
use fusebox_orchestrator::{
    Engine, OnUnavailable, RunReport, RunStatus, Step, StepStatus, Workflow,
};
use fusebox_state::{Commit, CommitOutcome, Expect, Key, StateStore, WriteId};
use serde_json::{Value, json};

use crate::support::{Bench, named};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn workflow(policy: OnUnavailable) -> Workflow {
    Workflow::builder("w")
        .objective(Duration::from_secs(20))
        .step(Step::new("rates").on_unavailable(policy))
        .step(Step::new("end").requires(["rates"]))
        .build()
        .unwrap()
}

fn healthy(bench: &Bench) -> Engine {
    bench.engine().plain(&[("rates", 1), ("end", 1)]).build()
}

fn away(bench: &Bench) -> Engine {
    let away = |_: &Value| Err(AgentError::api("down"));
    bench
        .engine()
        .agent("rates", 1, away)
        .plain(&[("end", 1)])
        .build()
}

async fn run(engine: &Engine, policy: OnUnavailable, id: &str, input: &str) -> RunReport {
    let options = named(id).with_input(json!(input));
    engine.run(&workflow(policy), options).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_had_stands_in_and_is_named() {
    let (bench, policy) = (Bench::new(), OnUnavailable::last_good(DAY));
    assert_eq!(
        run(&healthy(&bench), policy, "one", "eu").await.status,
        RunStatus::Completed
    );
    let report = run(&away(&bench), policy, "two", "eu").await;
    assert_eq!(report.status, RunStatus::Degraded, "{report:?}");
    let rates = report.step("rates").unwrap();
    assert_eq!(rates.status, StepStatus::Degraded);
    let reason = rates.reason.as_ref().unwrap();
    assert!(reason.starts_with("output of run `one`, "), "{reason}");
    assert!(reason.ends_with("down"), "{reason}");
    assert_eq!(bench.calls_of("end")[1].input["upstream"]["rates"], "rates");
    // What stood in is not good itself: it does not become younger.
    let third = run(&away(&bench), policy, "three", "eu").await;
    assert!(
        third
            .step("rates")
            .unwrap()
            .reason
            .as_ref()
            .unwrap()
            .contains("run `one`")
    );
}

#[tokio::test(start_paused = true)]
async fn an_output_of_another_input_or_under_another_policy_does_not_stand_in() {
    let (bench, policy) = (Bench::new(), OnUnavailable::last_good(DAY));
    run(&healthy(&bench), policy, "one", "eu").await;
    let other_input = run(&away(&bench), policy, "two", "us").await;
    assert_eq!(
        other_input.status,
        RunStatus::Failed,
        "it waited, and the objective passed"
    );
    let other_policy = run(&away(&bench), OnUnavailable::Fail, "three", "eu").await;
    assert_eq!(other_policy.status, RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_too_old_does_not_stand_in() {
    let (bench, policy) = (Bench::new(), OnUnavailable::last_good(DAY));
    run(&healthy(&bench), policy, "one", "eu").await;
    make_old(&bench).await;
    assert_eq!(
        run(&away(&bench), policy, "two", "eu").await.status,
        RunStatus::Failed
    );
}

/// Dates are the wall clock's, which a test cannot move: it moves the date of the output instead.
async fn make_old(bench: &Bench) {
    let kept = bench
        .store
        .partitions("good.", None, 2)
        .await
        .unwrap()
        .items;
    assert_eq!(kept.len(), 1);
    let key = Key::try_new("value").unwrap();
    let entry = bench.store.get(&kept[0], &key).await.unwrap().unwrap();
    let mut value: Value = serde_json::from_slice(&entry.value).unwrap();
    value["at_ms"] = json!(0);
    let bytes = serde_json::to_vec(&value).unwrap();
    let commit = Commit::new(WriteId::random()).put(key, Expect::Any, bytes);
    let outcome = bench.store.commit(&kept[0], commit).await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Applied { .. }),
        "{outcome:?}"
    );
}
