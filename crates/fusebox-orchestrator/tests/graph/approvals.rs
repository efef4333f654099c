//! A person decides: the run is suspended, the decision is on record, and nobody waits for ever.

use std::time::Duration;

use fusebox_orchestrator::{
    Approval, DecideError, Decision, Engine, EventKind, Join, RunStatus, Step, StepStatus,
    Workflow, decide, load_events, load_run,
};
use fusebox_state::{Commit, CommitOutcome, Expect, Key, StateStore, WriteId};
use serde_json::json;

use crate::support::{Bench, named, partition, resume, run, run_id};

fn workflow(approval: Approval) -> Workflow {
    Workflow::builder("release")
        .step(Step::new("build"))
        .step(Step::new("go").requires(["build"]).approval(approval))
        .step(Step::new("ship").requires(["go"]))
        .build()
        .unwrap()
}

fn engine(bench: &Bench) -> Engine {
    bench
        .engine()
        .plain(&[("build", 1), ("ship", 1), ("robot", 1)])
        .build()
}

async fn decided(bench: &Bench, decision: Decision) -> Result<RunStatus, DecideError> {
    let head = decide(bench.store.clone(), &run_id("r"), "go", decision).await?;
    Ok(head.status)
}

#[tokio::test(start_paused = true)]
async fn a_run_is_suspended_until_a_person_approves_and_then_goes_on() {
    let (bench, workflow) = (Bench::new(), workflow(Approval::new("ship it?")));
    let report = run(&engine(&bench), &workflow).await;
    assert_eq!(
        (report.status, report.status.exit_code()),
        (RunStatus::Suspended, 6)
    );
    assert_eq!(report.reason.as_deref(), Some("go: ship it?"));
    assert_eq!(report.step("go").unwrap().status, StepStatus::Suspended);
    assert_eq!(report.step("ship").unwrap().status, StepStatus::Shielded);

    // Resuming changes nothing while nobody has decided.
    let again = resume(&engine(&bench), &workflow).await;
    assert_eq!(again.status, RunStatus::Suspended);
    assert_eq!(bench.calls_of("ship").len(), 0);

    let yes = Decision::approve("ada").with_reason("tests are green");
    assert_eq!(decided(&bench, yes).await.unwrap(), RunStatus::Waiting);
    let report = resume(&engine(&bench), &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let go = &bench.calls_of("ship")[0].input["upstream"]["go"];
    assert_eq!(
        (&go["approved"], &go["by"], &go["reason"]),
        (&json!(true), &json!("ada"), &json!("tests are green"))
    );
    assert_eq!(bench.calls_of("build").len(), 1);

    let events = load_events(&*bench.store, &run_id("r")).await.unwrap();
    let told =
        |wanted: &dyn Fn(&EventKind) -> bool| events.iter().any(|event| wanted(&event.event));
    assert!(told(
        &|kind| matches!(kind, EventKind::StepSuspended { step, .. } if step == "go")
    ));
    assert!(told(
        &|kind| matches!(kind, EventKind::StepDecided { approved: true, by, .. } if by == "ada")
    ));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_fails_the_step_for_good_and_shields_what_requires_it() {
    let (bench, workflow) = (Bench::new(), workflow(Approval::new("ship it?")));
    run(&engine(&bench), &workflow).await;
    decided(
        &bench,
        Decision::reject("ada").with_reason("not on a Friday"),
    )
    .await
    .unwrap();
    for _ in 0..2 {
        let report = resume(&engine(&bench), &workflow).await;
        assert_eq!(report.status, RunStatus::Failed);
        assert_eq!(
            report.reason.as_deref(),
            Some("go: rejected by ada: not on a Friday")
        );
        assert_eq!(report.step("ship").unwrap().status, StepStatus::Shielded);
    }
    assert_eq!(bench.calls_of("ship").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_decided_once_and_only_if_it_was_asked() {
    let (bench, workflow) = (Bench::new(), workflow(Approval::new("ship it?")));
    let none = decided(&bench, Decision::approve("ada")).await.unwrap_err();
    assert!(matches!(none, DecideError::NotFound(_)), "{none}");
    run(&engine(&bench), &workflow).await;
    let other = decide(
        bench.store.clone(),
        &run_id("r"),
        "build",
        Decision::approve("ada"),
    )
    .await;
    let Err(DecideError::NotAsked { waiting, .. }) = other else {
        panic!("nobody was asked about that")
    };
    assert_eq!(waiting, ["go"]);
    decided(&bench, Decision::approve("ada")).await.unwrap();
    let twice = decided(&bench, Decision::reject("bob")).await.unwrap_err();
    assert_eq!(twice.to_string(), "step `go` was approved by ada");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_being_worked_on_is_not_decided_behind_its_back() {
    let bench = Bench::new();
    let workflow = Workflow::builder("w")
        .step(Step::new("go").approval(Approval::new("go?")))
        .step(Step::new("build"))
        .build()
        .unwrap();
    let engine = bench.engine().plain(&[("build", 20)]).build();
    let running = engine.run(&workflow, named("r"));
    let deciding = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        decided(&bench, Decision::approve("ada")).await
    };
    let (report, held) = tokio::join!(running, deciding);
    assert!(matches!(held, Err(DecideError::Held(_))), "{held:?}");
    assert_eq!(report.unwrap().status, RunStatus::Suspended);
    assert_eq!(
        decided(&bench, Decision::approve("ada")).await.unwrap(),
        RunStatus::Waiting
    );
}

/// A step that takes two hours beside a question that is open for one.
fn beside_long_work(approval: Approval) -> Workflow {
    Workflow::builder("w")
        .objective(Duration::from_secs(3 * 3600))
        .step(Step::new("go").approval(approval.with_expiry(Duration::from_secs(3600))))
        .step(Step::new("long"))
        .step(
            Step::new("end")
                .requires(["go", "long"])
                .join(Join::AllSettled),
        )
        .build()
        .unwrap()
}

fn slow_engine(bench: &Bench) -> Engine {
    let patient = fusebox_orchestrator::Resilience {
        attempt_timeout: None,
        ..fusebox_orchestrator::Resilience::default()
    };
    let long = fusebox_agent::agent_fn("long", |_, _| async {
        tokio::time::sleep(Duration::from_secs(7200)).await;
        Ok(fusebox_agent::Reply::new(json!("done")))
    });
    bench
        .engine()
        .with_resilience(long, patient)
        .plain(&[("end", 1), ("robot", 1)])
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_in_time_fails_its_step() {
    let bench = Bench::new();
    let report = run(
        &slow_engine(&bench),
        &beside_long_work(Approval::new("go?")),
    )
    .await;
    let go = report.step("go").unwrap();
    assert_eq!(
        (go.status, go.reason.as_deref()),
        (StepStatus::Failed, Some("nobody decided within 1h"))
    );
    assert_eq!(report.status, RunStatus::Degraded, "{report:?}");
    assert!(bench.calls_of("robot").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_in_time_takes_its_fallback_and_says_so() {
    let bench = Bench::new();
    let approval = Approval::new("go?").with_fallback("robot");
    let report = run(&slow_engine(&bench), &beside_long_work(approval)).await;
    let go = report.step("go").unwrap();
    assert_eq!(go.status, StepStatus::Degraded, "{report:?}");
    assert_eq!(
        go.reason.as_deref(),
        Some("nobody decided within 1h, answered by `robot`")
    );
    let robot = bench.calls_of("robot");
    assert_eq!((robot.len(), robot[0].at), (1, Duration::from_secs(3600)));
    assert_eq!(bench.calls_of("end")[0].input["upstream"]["go"], "robot");
}

#[tokio::test(start_paused = true)]
async fn a_question_expires_while_no_process_works_on_the_run() {
    for (fallback, status) in [
        (None, RunStatus::Failed),
        (Some("robot"), RunStatus::Degraded),
    ] {
        let bench = Bench::new();
        let mut approval = Approval::new("ship it?").with_expiry(Duration::from_secs(3600));
        if let Some(agent) = fallback {
            approval = approval.with_fallback(agent);
        }
        let workflow = workflow(approval);
        let report = run(&engine(&bench), &workflow).await;
        assert_eq!(report.status, RunStatus::Suspended);
        assert!(report.due_in_ms.is_some_and(|due| due <= 3_600_000));
        as_if_asked_long_ago(&bench).await;
        let late = decided(&bench, Decision::approve("ada")).await.unwrap_err();
        assert!(matches!(late, DecideError::Expired { .. }), "{late}");
        let report = resume(&engine(&bench), &workflow).await;
        assert_eq!(report.status, status, "{report:?}");
        assert_eq!(
            bench.calls_of("ship").len(),
            usize::from(fallback.is_some())
        );
    }
}

/// Dates are the wall clock's, which a test cannot move: it moves the question instead.
async fn as_if_asked_long_ago(bench: &Bench) {
    let record = load_run(&*bench.store, &run_id("r"))
        .await
        .unwrap()
        .unwrap();
    let mut go = record.steps["go"].clone();
    let asked = go.approval.as_mut().unwrap();
    asked.expires_ms = Some(asked.asked_ms);
    let key = Key::try_new("step.go").unwrap();
    let bytes = serde_json::to_vec(&go).unwrap();
    let fence = bench.lease(None).await;
    let commit = Commit::new(WriteId::random()).fenced(fence.clone());
    let commit = commit.put(key, Expect::Any, bytes);
    let outcome = bench.store.commit(&partition(), commit).await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Applied { .. }),
        "{outcome:?}"
    );
    let _ = bench.store.release(&partition(), &fence).await.unwrap();
}
