//! Routes are declared, decided once, and on record.

use fusebox_orchestrator::{
    Condition, Engine, EventKind, Join, Map, Predicate, RunStatus, Step, StepStatus, Test,
    Workflow, load_events, load_run,
};
use serde_json::json;

use crate::support::{Bench, resume, run, run_id, starts};

fn severity(wanted: &str) -> Condition {
    let predicate = Predicate::new("/severity", Test::Equals(json!(wanted)));
    Condition::new("triage", predicate)
}

/// Two routes of two steps each, and a step behind both.
fn routes(join: Join) -> Workflow {
    Workflow::builder("routes")
        .step(Step::new("triage"))
        .step(
            Step::new("page")
                .requires(["triage"])
                .when(severity("high")),
        )
        .step(Step::new("call").requires(["page"]))
        .step(Step::new("file").requires(["triage"]).when(severity("low")))
        .step(Step::new("end").requires(["call", "file"]).join(join))
        .build()
        .unwrap()
}

fn engine(bench: &Bench, severity: &'static str) -> Engine {
    bench
        .engine()
        .agent("triage", 1, move |_| Ok(json!({ "severity": severity })))
        .plain(&[("page", 1), ("call", 1), ("file", 1), ("end", 1)])
        .build()
}

#[tokio::test(start_paused = true)]
async fn only_the_route_whose_condition_holds_is_taken() {
    for (severity, taken, left) in [("high", ["page", "call"], 1), ("low", ["file", "end"], 2)] {
        let bench = Bench::new();
        let report = run(&engine(&bench, severity), &routes(Join::Any)).await;
        assert_eq!(report.status, RunStatus::Completed, "{report:?}");
        assert_eq!(report.reason, None, "a route not taken is no loss");
        for step in taken {
            assert_eq!(report.step(step).unwrap().status, StepStatus::Succeeded);
        }
        let skipped = report
            .steps
            .iter()
            .filter(|step| step.status == StepStatus::Skipped);
        assert_eq!(skipped.count(), left, "{severity}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_needs_a_step_not_taken_is_not_taken_either_and_the_run_does_not_owe_it() {
    let bench = Bench::new();
    let report = run(&engine(&bench, "high"), &routes(Join::All)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let end = report.step("end").unwrap();
    assert_eq!(end.status, StepStatus::Skipped);
    assert_eq!(
        end.reason.as_deref(),
        Some("a step it requires was not taken")
    );
    assert_eq!(bench.calls_of("end").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_needs_one_not_taken_and_one_that_failed_is_shielded_in_any_order() {
    for slow_triage in [0, 9] {
        let bench = Bench::new();
        let workflow = Workflow::builder("w")
            .step(Step::new("triage"))
            .step(Step::new("file").requires(["triage"]).when(severity("low")))
            .step(Step::new("other"))
            .step(Step::new("end").requires(["file", "other"]))
            .build()
            .unwrap();
        let engine = bench
            .engine()
            .agent("triage", slow_triage, |_| Ok(json!({ "severity": "high" })))
            .agent("other", 5, |_| {
                Err(fusebox_agent::AgentError::invalid_input("no"))
            })
            .plain(&[("file", 1), ("end", 1)])
            .build();
        let report = run(&engine, &workflow).await;
        assert_eq!(report.status, RunStatus::Failed);
        assert_eq!(report.step("end").unwrap().status, StepStatus::Shielded);
    }
}

#[tokio::test(start_paused = true)]
async fn the_decision_is_on_record_with_what_was_asked_and_what_was_found() {
    let bench = Bench::new();
    run(&engine(&bench, "low"), &routes(Join::Any)).await;
    let events = load_events(&*bench.store, &run_id("r")).await.unwrap();
    let mut routed = Vec::new();
    for event in events {
        if let EventKind::StepRouted {
            step,
            taken,
            reason,
        } = event.event
        {
            routed.push((step, taken, reason));
        }
    }
    let said = |step: &str, taken, reason: &str| (step.to_owned(), taken, reason.to_owned());
    assert_eq!(
        routed,
        [
            said(
                "page",
                false,
                r#"not taken: triage/severity = "high" does not hold, it is "low""#
            ),
            said(
                "file",
                true,
                r#"triage/severity = "low" holds, it is "low""#
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_resume_takes_the_route_that_was_decided_and_does_not_ask_again() {
    let bench = Bench::new();
    // The condition asks an optional step, which fails at first and answers after the crash.
    let asks = Predicate::new("", Test::Exists(false));
    let workflow = Workflow::builder("w")
        .step(Step::new("probe"))
        .step(
            Step::new("without")
                .optional(["probe"])
                .when(Condition::new("probe", asks)),
        )
        .build()
        .unwrap();
    let first = bench
        .engine()
        .broken(&["probe"])
        .plain(&[("without", 9)])
        .build();
    bench
        .crash_at(&first, &workflow, |kind| starts(kind, "without"))
        .await;
    let record = load_run(&*bench.store, &run_id("r"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.steps["without"].taken, Some(true));

    let second = bench
        .engine()
        .plain(&[("probe", 1), ("without", 1)])
        .build();
    let report = resume(&second, &workflow).await;
    assert_eq!(
        report.step("without").unwrap().status,
        StepStatus::Succeeded,
        "{report:?}"
    );
    assert_eq!(bench.calls_of("without").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_route_not_taken_stays_untaken_over_a_resume() {
    let bench = Bench::new();
    let asks = Predicate::new("", Test::Exists(true));
    let workflow = Workflow::builder("w")
        .step(Step::new("probe"))
        .step(
            Step::new("with")
                .optional(["probe"])
                .when(Condition::new("probe", asks)),
        )
        .step(Step::new("long").optional(["with"]))
        .build()
        .unwrap();
    let first = bench
        .engine()
        .broken(&["probe"])
        .plain(&[("with", 1), ("long", 9)])
        .build();
    bench
        .crash_at(&first, &workflow, |kind| starts(kind, "long"))
        .await;
    let second = bench
        .engine()
        .plain(&[("probe", 1), ("with", 1), ("long", 1)])
        .build();
    let report = resume(&second, &workflow).await;
    assert_eq!(
        report.step("with").unwrap().status,
        StepStatus::Skipped,
        "{report:?}"
    );
    assert_eq!(bench.calls_of("with").len(), 0);
}

/// A map of no items is settled as soon as its turn comes; what stood behind it started unasked.
#[tokio::test(start_paused = true)]
async fn a_condition_is_asked_behind_a_step_that_ends_without_a_call() {
    let never = Condition::new("each", Predicate::new("/0", Test::Exists(true)));
    let workflow = Workflow::builder("w")
        .step(Step::new("list"))
        .step(
            Step::new("each")
                .requires(["list"])
                .map(Map::over("list", "")),
        )
        .step(Step::new("end").requires(["each"]).when(never))
        .build()
        .unwrap();
    let bench = Bench::new();
    let members = bench.engine().agent("list", 1, |_| Ok(json!([])));
    let engine = members.plain(&[("each", 1), ("end", 1)]).build();
    let report = run(&engine, &workflow).await;
    assert_eq!(report.status, RunStatus::Completed);
    assert_eq!(report.step("end").unwrap().status, StepStatus::Skipped);
    assert_eq!(bench.calls_of("end").len(), 0);
}
