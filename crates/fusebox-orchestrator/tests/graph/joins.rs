//! A step starts as soon as its own rule holds, and not before.

use std::time::Duration;

use fusebox_breaker::Override;
use fusebox_orchestrator::{Join, OnUnavailable, RunStatus, Step, StepStatus, Workflow};

use crate::support::{Bench, ends, resume, run, starts};

fn fan(join: Join) -> Workflow {
    Workflow::builder("fan")
        .step(Step::new("quick"))
        .step(Step::new("middle"))
        .step(Step::new("slow"))
        .step(
            Step::new("end")
                .requires(["quick", "middle", "slow"])
                .join(join),
        )
        .build()
        .unwrap()
}

const AGENTS: [(&str, u64); 4] = [("quick", 1), ("middle", 5), ("slow", 20), ("end", 1)];

/// When `end` was called, and what it was given.
async fn end_of(join: Join) -> (Duration, Vec<String>) {
    let bench = Bench::new();
    let engine = bench.engine().plain(&AGENTS).build();
    let report = run(&engine, &fan(join)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    // What the join does not wait for goes on all the same.
    assert_eq!(report.step("slow").unwrap().status, StepStatus::Succeeded);
    let calls = bench.calls_of("end");
    assert_eq!(calls.len(), 1);
    let given = calls[0].input["upstream"].as_object().unwrap();
    (calls[0].at, given.keys().cloned().collect())
}

#[tokio::test(start_paused = true)]
async fn a_step_starts_at_the_moment_its_own_rule_holds() {
    let secs = Duration::from_secs;
    let (at, given) = end_of(Join::Any).await;
    assert_eq!((at, given), (secs(1), vec!["quick".to_owned()]));
    let (at, given) = end_of(Join::Quorum(2)).await;
    assert_eq!((at, given.len()), (secs(5), 2));
    for join in [Join::All, Join::AllSettled] {
        let (at, given) = end_of(join).await;
        assert_eq!((at, given.len()), (secs(20), 3), "{join}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_answer_of_several_is_enough_and_the_others_are_named() {
    let bench = Bench::new();
    let engine = bench.engine().broken(&["quick", "middle"]);
    let engine = engine.plain(&[("slow", 2), ("end", 1)]).build();
    let report = run(&engine, &fan(Join::Any)).await;
    assert_eq!(report.status, RunStatus::Degraded, "{report:?}");
    assert!(report.reason.unwrap().contains("quick: "));
    let end = &bench.calls_of("end")[0];
    assert_eq!(end.input["upstream"]["slow"], "slow");
    assert!(
        end.input["missing"]["quick"]
            .as_str()
            .unwrap()
            .contains("cannot")
    );
}

#[tokio::test(start_paused = true)]
async fn a_quorum_that_cannot_be_met_shields_its_step_without_waiting_for_the_rest() {
    let bench = Bench::new();
    let engine = bench.engine().broken(&["quick", "middle"]);
    let engine = engine.plain(&[("slow", 20), ("end", 1)]).build();
    let mut events = engine.subscribe();
    let report = run(&engine, &fan(Join::Quorum(2))).await;
    assert_eq!(report.status, RunStatus::Failed);
    assert_eq!(report.step("end").unwrap().status, StepStatus::Shielded);
    assert_eq!(bench.calls_of("end").len(), 0);
    let mut order = Vec::new();
    while let Ok(event) = events.try_recv() {
        let named = ["end", "slow"]
            .into_iter()
            .find(|step| ends(&event.kind, step));
        order.extend(named);
    }
    assert_eq!(order, ["end", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn all_settled_starts_with_whatever_there_is() {
    let bench = Bench::new();
    let engine = bench.engine().broken(&["quick", "middle", "slow"]);
    let engine = engine.plain(&[("end", 1)]).build();
    let report = run(&engine, &fan(Join::AllSettled)).await;
    assert_eq!(report.status, RunStatus::Degraded, "{report:?}");
    assert_eq!(
        bench.calls_of("end")[0].input["missing"]
            .as_object()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_in_flight_sees_after_a_crash_what_it_saw_before() {
    let bench = Bench::new();
    let slow_end = bench
        .engine()
        .plain(&[("quick", 1), ("middle", 5), ("slow", 20), ("end", 60)]);
    let workflow = fan(Join::Any);
    // By then two more have answered, and the step that was started on one is still at work.
    bench
        .crash_at(&slow_end.build(), &workflow, |kind| ends(kind, "slow"))
        .await;
    let report = resume(&bench.engine().plain(&AGENTS).build(), &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let calls = bench.calls_of("end");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].key, calls[1].key);
    assert_eq!(calls[0].input, calls[1].input);
    assert_eq!(calls[1].input["upstream"].as_object().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_behind_any_of_two_is_not_held_back_by_the_one_that_waits() {
    let bench = Bench::new();
    let failing = bench
        .engine()
        .agent("quick", 0, |_| Err(fusebox_agent::AgentError::api("down")));
    let engine = failing
        .plain(&[("middle", 5), ("slow", 20), ("end", 1)])
        .build();
    let mut events = engine.subscribe();
    let options = crate::support::named("r").without_waiting();
    let report = engine.run(&fan(Join::Any), options).await.unwrap();
    assert_eq!(report.step("end").unwrap().status, StepStatus::Succeeded);
    assert_eq!(report.step("quick").unwrap().status, StepStatus::Waiting);
    let mut started = false;
    while let Ok(event) = events.try_recv() {
        started |= starts(&event.kind, "end");
        let shielded = fusebox_orchestrator::EventKind::StepShielded {
            step: "end".into(),
            by: "quick".into(),
        };
        assert_ne!(event.kind, shielded);
    }
    assert!(started);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_at_the_gate_still_decides_about_the_steps_behind_it() {
    let bench = Bench::new();
    let workflow = Workflow::builder("w")
        .step(Step::new("a").on_unavailable(OnUnavailable::Fail))
        .step(Step::new("b").requires(["a"]))
        .build()
        .unwrap();
    let engine = bench.engine().plain(&[("a", 1), ("b", 1)]).build();
    let forced = engine.breaker("a").unwrap();
    forced.force_open(Override::new("the gate is to refuse", "test"));
    let report = run(&engine, &workflow).await;
    assert_eq!(report.step("a").unwrap().status, StepStatus::Failed);
    assert_eq!(report.step("b").unwrap().status, StepStatus::Shielded);
    assert_eq!(bench.calls().len(), 0);
}
