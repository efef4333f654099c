//! A repeat calls its agent until its answer will do, at most so many times, and goes on after a crash.

use std::collections::BTreeSet;

use fusebox_orchestrator::{
    Engine, EventKind, Exhausted, Predicate, Repeat, RunStatus, Step, StepStatus, Test, Workflow,
};
use serde_json::{Value, json};

use crate::support::{Bench, resume, run};

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
