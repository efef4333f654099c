//! A repeat calls its agent until its answer will do, at most so many times, and goes on after a crash.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use fusebox_orchestrator::{
    Engine, EventKind, Exhausted, Map, Predicate, Repeat, RunStatus, Step, StepStatus, Test,
    Workflow, load_output,
};
use serde_json::{Value, json};

use crate::support::{Bench, Call, resume, run, run_id};

fn workflow(at_most: u32, exhausted: Exhausted) -> Workflow {
    let good = Predicate::new("/score", Test::AtLeast(3.into()));
    let repeat = Repeat::until(good, at_most).when_exhausted(exhausted);
    Workflow::builder("w")
        .step(Step::new("improve").repeat(repeat))
        .step(Step::new("end").requires(["improve"]))
        .build()
        .unwrap()
}

/// Each answer is one better than the one before.
fn improving(bench: &Bench) -> Engine {
    let better = |input: &Value| {
        let before = input["previous"]["score"].as_u64().unwrap_or(0);
        Ok(json!({ "score": before + 1, "of": input["iteration"] }))
    };
    bench
        .engine()
        .agent("improve", 1, better)
        .plain(&[("end", 1)])
        .build()
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_first_answer_that_does_and_each_call_has_its_own_key() {
    let bench = Bench::new();
    let report = run(&improving(&bench), &workflow(10, Exhausted::Fail)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let calls = bench.calls_of("improve");
    let keys: BTreeSet<&String> = calls.iter().map(|call| &call.key).collect();
    assert_eq!((calls.len(), keys.len()), (3, 3));
    assert_eq!(calls[0].input["previous"], Value::Null);
    assert_eq!(
        bench.calls_of("end")[0].input["upstream"]["improve"],
        json!({ "score": 3, "of": 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_called_at_most_so_often_and_then_fails_or_keeps_what_it_has() {
    for (exhausted, step, status) in [
        (Exhausted::Fail, StepStatus::Failed, RunStatus::Failed),
        (Exhausted::Keep, StepStatus::Degraded, RunStatus::Degraded),
    ] {
        let bench = Bench::new();
        let report = run(&improving(&bench), &workflow(2, exhausted)).await;
        assert_eq!(report.status, status);
        let improve = report.step("improve").unwrap();
        assert_eq!(improve.status, step);
        let reason = "not `/score ≥ 3` after 2 iterations: it is 2";
        assert_eq!(improve.reason.as_deref(), Some(reason));
        assert_eq!(bench.calls_of("improve").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_goes_on_with_the_next_iteration() {
    let bench = Bench::new();
    let workflow = workflow(10, Exhausted::Fail);
    let second = |kind: &EventKind| matches!(kind, EventKind::PartEnded { part: 1, .. });
    bench.crash_at(&improving(&bench), &workflow, second).await;
    let report = resume(&improving(&bench), &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let mut made = [0; 3];
    for call in bench.calls_of("improve") {
        made[call.input["iteration"].as_u64().unwrap() as usize] += 1;
    }
    assert_eq!(made[..2], [1, 1]);
    let keys: BTreeSet<String> = bench
        .calls_of("improve")
        .into_iter()
        .map(|call| call.key)
        .collect();
    assert_eq!(keys.len(), 3, "a call made again has the key it had");
}

/// Each of three items until its score is as high as itself; so the first needs one call, the last three.
fn each_until_good(exhausted: Exhausted, at_most: u32) -> Workflow {
    let good = Predicate::new("/good", Test::Equals(json!(true)));
    let repeat = Repeat::until(good, at_most).when_exhausted(exhausted);
    Workflow::builder("w")
        .step(Step::new("list"))
        .step(
            Step::new("improve")
                .requires(["list"])
                .map(Map::over("list", "").with_concurrency(2))
                .repeat(repeat),
        )
        .build()
        .unwrap()
}

fn improving_each(bench: &Bench) -> Engine {
    bench
        .engine()
        .agent("list", 1, |_| Ok(json!([1, 2, 3])))
        .agent("improve", 1, |input| {
            let score = input["previous"]["score"].as_u64().unwrap_or(0) + 1;
            assert_eq!(input["iteration"], json!(score - 1));
            let good = json!(score) == input["item"];
            Ok(json!({ "score": score, "good": good }))
        })
        .build()
}

async fn scores(bench: &Bench) -> Vec<u64> {
    let output = load_output(&*bench.store, &run_id("r"), "improve").await;
    let output: Value = serde_json::from_slice(&output.unwrap().unwrap()).unwrap();
    let scores = output.as_array().unwrap().iter();
    scores.map(|one| one["score"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_item_of_a_map_is_repeated_until_its_own_answer_will_do() {
    let bench = Bench::new();
    let report = run(
        &improving_each(&bench),
        &each_until_good(Exhausted::Fail, 5),
    )
    .await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(scores(&bench).await, [1, 2, 3]);
    let calls = bench.calls_of("improve");
    let keys: BTreeSet<&String> = calls.iter().map(|call| &call.key).collect();
    assert_eq!(
        (calls.len(), keys.len()),
        (6, 6),
        "a key for each iteration"
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_calls_are_used_up_fails_the_step_or_keeps_its_last_answer() {
    let reason = "item 2: not `/good = true` after 2 iterations: it is false";
    let bench = Bench::new();
    let failing = each_until_good(Exhausted::Fail, 2);
    let report = run(&improving_each(&bench), &failing).await;
    assert_eq!(report.status, RunStatus::Failed, "{report:?}");
    assert_eq!(
        report.step("improve").unwrap().reason.as_deref(),
        Some(reason)
    );
    let calls = bench.calls_of("improve").len();
    let report = resume(&improving_each(&bench), &failing).await;
    assert_eq!(
        report.step("improve").unwrap().reason.as_deref(),
        Some(reason)
    );
    assert_eq!(
        bench.calls_of("improve").len(),
        calls,
        "nothing is left to try"
    );

    let bench = Bench::new();
    let report = run(
        &improving_each(&bench),
        &each_until_good(Exhausted::Keep, 2),
    )
    .await;
    assert_eq!(report.status, RunStatus::Degraded, "{report:?}");
    assert_eq!(
        report.step("improve").unwrap().reason.as_deref(),
        Some(reason)
    );
    assert_eq!(scores(&bench).await, [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_each_item_goes_on_with_its_next_iteration() {
    let workflow = each_until_good(Exhausted::Fail, 5);
    let whole = Bench::new();
    run(&improving_each(&whole), &workflow).await;
    let key = |call: &Call| call.key.clone();
    let expected: BTreeSet<String> = whole.calls_of("improve").iter().map(key).collect();
    for dies_at in 1..=5 {
        let bench = Bench::new();
        let seen = AtomicUsize::new(0);
        let here = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::PartEnded {
                    iteration: Some(_),
                    ..
                }
            ) && seen.fetch_add(1, Ordering::SeqCst) + 1 == dies_at
        };
        bench
            .crash_at(&improving_each(&bench), &workflow, here)
            .await;
        let in_flight = bench.calls_of("improve").len() - dies_at;
        let report = resume(&improving_each(&bench), &workflow).await;
        assert_eq!(report.status, RunStatus::Completed, "{report:?}");
        assert_eq!(scores(&bench).await, [1, 2, 3]);
        let calls = bench.calls_of("improve");
        let keys: BTreeSet<String> = calls.iter().map(key).collect();
        assert_eq!(keys, expected, "died at answer {dies_at}");
        assert!(calls.len() <= 6 + in_flight, "died at answer {dies_at}");
    }
}
