//! What a run promises, through the public API, on virtual time and the memory store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Reply, agent_fn};
use fusebox_breaker::Config;
use fusebox_orchestrator::{
    Engine, EngineError, EventKind, OnUnavailable, Resilience, RunId, RunOptions, RunStatus, Step,
    StepStatus, Workflow, load_events, load_output, load_run,
};
use fusebox_state::{MemoryStore, StateStore};
use serde_json::{Value, json};

/// An agent that counts its calls and answers what `answer` says of the n-th, from 1.
fn counted<F>(name: &str, calls: &Arc<AtomicU32>, answer: F) -> impl Agent + use<F>
where
    F: Fn(u32, &Value) -> Result<Value, AgentError> + Send + Sync + 'static,
{
    let (calls, answer) = (Arc::clone(calls), Arc::new(answer));
    agent_fn(name, move |task, _cx| {
        let (number, answer) = (
            calls.fetch_add(1, Ordering::SeqCst) + 1,
            Arc::clone(&answer),
        );
        async move { answer(number, &task.input).map(Reply::new) }
    })
}

fn ok(name: &str) -> (Arc<AtomicU32>, impl Agent + use<>) {
    let calls = Arc::new(AtomicU32::new(0));
    let text = name.to_owned();
    let agent = counted(name, &calls, move |_, input| {
        Ok(json!({ "of": text, "saw": input["upstream"] }))
    });
    (calls, agent)
}

/// Opens after two failures in a row, for 1 to 2 s; one attempt per call.
fn touchy() -> Resilience {
    let breaker = Config::builder()
        .consecutive_failures(2)
        .without_count_window()
        .wait_duration_in_open(Duration::from_secs(2))
        .max_wait_duration_in_open(Duration::from_secs(4))
        .successes_to_close(1)
        .recovery_objective(Duration::from_secs(30))
        .build()
        .unwrap();
    Resilience::default()
        .with_breaker(breaker)
        .with_max_attempts(2)
}

fn chain(names: &[&str], objective: u64) -> Workflow {
    let mut builder = Workflow::builder("chain").objective(Duration::from_secs(objective));
    for (index, name) in names.iter().enumerate() {
        let step = Step::new(*name);
        builder = builder.step(if index == 0 {
            step
        } else {
            step.requires([names[index - 1]])
        });
    }
    builder.build().unwrap()
}

fn named(id: &str) -> RunOptions {
    RunOptions::default().with_id(id.parse().unwrap())
}

fn run_id(id: &str) -> RunId {
    id.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn outputs_flow_along_the_edges_and_the_run_completes() {
    let store = Arc::new(MemoryStore::new());
    let ((_, a), (_, b)) = (ok("a"), ok("b"));
    let engine = Engine::builder(store.clone())
        .agent(a, Resilience::default())
        .agent(b, Resilience::default())
        .build()
        .unwrap();
    let report = engine
        .run(&chain(&["a", "b"], 60), named("r"))
        .await
        .unwrap();
    assert_eq!(report.status, RunStatus::Completed);
    assert_eq!(report.status.exit_code(), 0);
    let output = load_output(&*store, &run_id("r"), "b")
        .await
        .unwrap()
        .unwrap();
    let output: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(output["saw"]["a"]["of"], "a");
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.executions == 1 && step.attempts == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_shields_its_dependants_and_the_run_recovers_by_itself() {
    let store = Arc::new(MemoryStore::new());
    let ((_, a), (c_calls, c)) = (ok("a"), ok("c"));
    let b_calls = Arc::new(AtomicU32::new(0));
    let b = counted("b", &b_calls, |number, _| {
        if number <= 3 {
            Err(AgentError::api("down"))
        } else {
            Ok(json!("back"))
        }
    });
    let engine = Engine::builder(store.clone())
        .agent(a, touchy())
        .agent(b, touchy())
        .agent(c, touchy())
        .seed(1)
        .build()
        .unwrap();
    let report = engine
        .run(&chain(&["a", "b", "c"], 60), named("r"))
        .await
        .unwrap();

    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    // Two failures open, one failed probe, one good one.
    assert_eq!(b_calls.load(Ordering::SeqCst), 4);
    assert_eq!(
        (
            report.step("b").unwrap().attempts,
            report.step("b").unwrap().executions
        ),
        (4, 4)
    );
    assert_eq!(report.step("b").unwrap().breaker, "closed");
    let rto = report.step("b").unwrap().rto.unwrap();
    assert!(rto.away_ms >= 1000 && rto.outages == 1, "{rto:?}");
    assert_eq!(c_calls.load(Ordering::SeqCst), 1);
    // Nobody but b was charged.
    for healthy in ["a", "c"] {
        let counts = engine.breaker(healthy).unwrap().counts();
        assert_eq!(
            (counts.admitted, counts.failed, counts.rejected),
            (1, 0, 0),
            "{healthy}"
        );
    }
    let events = load_events(&*store, &run_id("r")).await.unwrap();
    assert!(events.iter().any(|event| matches!(&event.event,
        EventKind::StepShielded { step, by } if step == "c" && by == "b")));
    assert!(
        events.iter().any(
            |event| matches!(&event.event, EventKind::Recovered { agent, .. } if agent == "b")
        )
    );
}

#[tokio::test(start_paused = true)]
async fn without_waiting_the_run_ends_as_waiting_says_when_and_resumes() {
    let store = Arc::new(MemoryStore::new());
    let ((a_calls, a), (c_calls, c)) = (ok("a"), ok("c"));
    let b_calls = Arc::new(AtomicU32::new(0));
    let b = counted("b", &b_calls, |number, _| {
        if number <= 2 {
            Err(AgentError::api("down"))
        } else {
            Ok(json!("back"))
        }
    });
    let workflow = chain(&["a", "b", "c"], 60);
    let engine = Engine::builder(store.clone())
        .agent(a, touchy())
        .agent(b, touchy())
        .agent(c, touchy())
        .build()
        .unwrap();

    let first = engine
        .run(&workflow, named("r").without_waiting())
        .await
        .unwrap();
    assert_eq!(
        (first.status, first.status.exit_code()),
        (RunStatus::Waiting, 5)
    );
    assert!(first.due_in_ms.is_some_and(|due| due <= 2000), "{first:?}");
    assert_eq!(first.step("b").unwrap().breaker, "open");
    assert_eq!(first.step("c").unwrap().status, StepStatus::Shielded);
    assert_eq!(c_calls.load(Ordering::SeqCst), 0);

    let second = engine
        .resume(&workflow, &run_id("r"), RunOptions::default())
        .await
        .unwrap();
    assert_eq!(second.status, RunStatus::Completed, "{second:?}");
    assert_eq!(
        a_calls.load(Ordering::SeqCst),
        1,
        "a finished step never runs again"
    );
    assert_eq!(
        (
            second.step("a").unwrap().attempts,
            second.step("a").unwrap().executions
        ),
        (0, 1)
    );
    assert_eq!(second.processes, 2);
}

/// A run that met an open breaker at its first step once ended without a word on what that held back.
#[tokio::test(start_paused = true)]
async fn a_run_that_meets_an_open_breaker_and_does_not_wait_tells_whom_it_shields() {
    let store = Arc::new(MemoryStore::new());
    let ((_, a), (b_calls, b)) = (ok("a"), ok("b"));
    let engine = Engine::builder(store.clone())
        .agent(a, touchy())
        .agent(b, touchy())
        .build()
        .unwrap();
    engine.breaker("a").unwrap().trip("by hand");
    let report = engine
        .run(&chain(&["a", "b"], 60), named("r").without_waiting())
        .await
        .unwrap();
    assert_eq!(report.status, RunStatus::Waiting);
    assert_eq!(b_calls.load(Ordering::SeqCst), 0);
    let events = load_events(&*store, &run_id("r")).await.unwrap();
    let shielded = events.iter().filter(|event| {
        matches!(&event.event, EventKind::StepShielded { step, by } if step == "b" && by == "a")
    });
    assert_eq!(shielded.count(), 1, "{events:?}");
}

/// A resume in the process that had met the outage once put its breaker back to what it was then.
#[tokio::test(start_paused = true)]
async fn a_resume_does_not_reopen_a_breaker_that_has_closed_here_meanwhile() {
    let store = Arc::new(MemoryStore::new());
    let b_calls = Arc::new(AtomicU32::new(0));
    let b = counted("b", &b_calls, |number, _| {
        if number <= 2 {
            Err(AgentError::api("down"))
        } else {
            Ok(json!("back"))
        }
    });
    let engine = Engine::builder(store.clone())
        .agent(b, touchy())
        .build()
        .unwrap();
    let workflow = chain(&["b"], 60);
    let options = named("first").without_waiting();
    let first = engine.run(&workflow, options).await.unwrap();
    assert_eq!(first.step("b").unwrap().breaker, "open");
    let second = engine.run(&workflow, named("second")).await.unwrap();
    assert_eq!(second.step("b").unwrap().breaker, "closed");

    let resumed = engine
        .resume(&workflow, &run_id("first"), RunOptions::default())
        .await
        .unwrap();
    assert_eq!(resumed.status, RunStatus::Completed, "{resumed:?}");
    assert_eq!(resumed.step("b").unwrap().rto, None, "b was not away");
    let events = load_events(&*store, &run_id("first")).await.unwrap();
    let waited = events
        .iter()
        .any(|record| record.process == 2 && matches!(record.event, EventKind::StepWaiting { .. }));
    assert!(!waited, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_longer_than_the_objective_fails_the_run_and_never_completes_it() {
    let ((_, a), (c_calls, c)) = (ok("a"), ok("c"));
    let b_calls = Arc::new(AtomicU32::new(0));
    let b = counted("b", &b_calls, |_, _| Err(AgentError::api("down")));
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(a, touchy())
        .agent(b, touchy())
        .agent(c, touchy())
        .build()
        .unwrap();
    let report = engine
        .run(&chain(&["a", "b", "c"], 10), named("r"))
        .await
        .unwrap();
    assert_eq!(
        (report.status, report.status.exit_code()),
        (RunStatus::Failed, 4)
    );
    assert_eq!(report.step("a").unwrap().status, StepStatus::Succeeded);
    assert_eq!(report.step("b").unwrap().status, StepStatus::Failed);
    assert_eq!(report.step("c").unwrap().status, StepStatus::Shielded);
    assert_eq!(c_calls.load(Ordering::SeqCst), 0);
    assert!(report.duration_ms <= 10_000);
    assert!(report.reason.unwrap().contains("objective"));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_and_the_run_says_degraded() {
    let b_calls = Arc::new(AtomicU32::new(0));
    let b = counted("b", &b_calls, |_, _| Err(AgentError::api("down")));
    let (_, fallback) = ok("cache");
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(b, touchy())
        .fallback("b", Arc::new(fallback))
        .build()
        .unwrap();
    let report = engine.run(&chain(&["b"], 60), named("r")).await.unwrap();
    assert_eq!(
        (report.status, report.status.exit_code()),
        (RunStatus::Degraded, 3)
    );
    assert_eq!(report.step("b").unwrap().status, StepStatus::Degraded);
    assert!(report.reason.unwrap().starts_with("b: "));
}

#[tokio::test(start_paused = true)]
async fn an_optional_part_that_is_missing_degrades_and_is_named() {
    let (_, end) = ok("end");
    let extra_calls = Arc::new(AtomicU32::new(0));
    let extra = counted("extra", &extra_calls, |_, _| Err(AgentError::failed("no")));
    let workflow = Workflow::builder("w")
        .step(Step::new("extra").on_unavailable(OnUnavailable::Skip))
        .step(Step::new("end").optional(["extra"]))
        .build()
        .unwrap();
    let store = Arc::new(MemoryStore::new());
    let engine = Engine::builder(store.clone())
        .agent(extra, touchy())
        .agent(end, touchy())
        .build()
        .unwrap();
    let report = engine.run(&workflow, named("r")).await.unwrap();
    assert_eq!(report.status, RunStatus::Degraded);
    assert!(report.reason.as_ref().unwrap().contains("extra"));
    assert_eq!(report.step("extra").unwrap().status, StepStatus::Skipped);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_retry_helps_fails_at_once_and_charges_nobody() {
    let calls = Arc::new(AtomicU32::new(0));
    let agent = counted("a", &calls, |_, _| {
        Err(AgentError::invalid_input("no such file"))
    });
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(agent, touchy())
        .build()
        .unwrap();
    let report = engine.run(&chain(&["a"], 60), named("r")).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(report.reason.unwrap().contains("no such file"));
    assert_eq!(engine.breaker("a").unwrap().counts().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_dropped_in_mid_step_runs_that_step_again_under_the_same_key() {
    let store = Arc::new(MemoryStore::new());
    let workflow = chain(&["a", "b"], 60);
    let keys = Arc::new(std::sync::Mutex::new(Vec::new()));
    let make = |hang: bool| {
        let ((_, a), keys) = (ok("a"), Arc::clone(&keys));
        let b = agent_fn("b", move |_task, cx| {
            keys.lock().unwrap().push(cx.idempotency_key().to_owned());
            async move {
                if hang {
                    std::future::pending::<()>().await;
                }
                Ok(Reply::new(json!("done")))
            }
        });
        Engine::builder(store.clone())
            .agent(a, touchy())
            .agent(b, touchy())
            .build()
            .unwrap()
    };

    let first = make(true);
    let mut events = first.subscribe();
    let running = first.run(&workflow, named("r"));
    let in_b = async {
        loop {
            let event = events.recv().await.unwrap();
            if matches!(&event.kind, EventKind::StepStarted { step, .. } if step == "b") {
                return tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        _ = running => panic!("b hangs"),
        () = in_b => {}
    }
    let before = load_output(&*store, &run_id("r"), "a")
        .await
        .unwrap()
        .unwrap();
    let record = load_run(&*store, &run_id("r")).await.unwrap().unwrap();
    assert_eq!(
        record.steps["b"].status,
        StepStatus::Running,
        "the start is on record before the call"
    );

    // The owner is this very process, so its lease is waited out only by a patient caller.
    let held = make(false)
        .resume(&workflow, &run_id("r"), RunOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(held, EngineError::Held { .. }), "{held}");
    release(&*store, &run_id("r")).await;

    let report = make(false)
        .resume(&workflow, &run_id("r"), RunOptions::default())
        .await
        .unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(
        load_output(&*store, &run_id("r"), "a")
            .await
            .unwrap()
            .unwrap(),
        before
    );
    assert_eq!(report.step("a").unwrap().executions, 1);
    assert_eq!(report.step("b").unwrap().executions, 2);
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

/// Ends the lease as its owner's death would: by naming it.
async fn release(store: &dyn StateStore, id: &RunId) {
    use fusebox_state::{AcquireOutcome, LeaseRequest, Partition};
    let partition = Partition::try_new(format!("run.{id}")).unwrap();
    let lease = store.lease(&partition).await.unwrap().unwrap();
    let request = LeaseRequest::new("test", Duration::from_secs(1)).with_takeover(lease.token_id);
    let AcquireOutcome::Acquired { fence, .. } = store.acquire(&partition, request).await.unwrap()
    else {
        panic!("the lease was named")
    };
    let _ = store.release(&partition, &fence).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_resumes_only_under_the_definition_it_began_with() {
    let store = Arc::new(MemoryStore::new());
    let ((_, a), (_, b)) = (ok("a"), ok("b"));
    let engine = Engine::builder(store)
        .agent(a, touchy())
        .agent(b, touchy())
        .build()
        .unwrap();
    engine.run(&chain(&["a"], 60), named("r")).await.unwrap();
    let error = engine
        .resume(&chain(&["a", "b"], 60), &run_id("r"), RunOptions::default())
        .await
        .unwrap_err();
    let EngineError::DefinitionChanged { differences, .. } = error else {
        panic!("{error}")
    };
    assert!(
        differences.iter().any(|line| line == "step `b`: new"),
        "{differences:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_is_reported_not_run_again_and_its_name_is_taken() {
    let (calls, a) = ok("a");
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(a, touchy())
        .build()
        .unwrap();
    let workflow = chain(&["a"], 60);
    engine.run(&workflow, named("r")).await.unwrap();
    let again = engine
        .resume(&workflow, &run_id("r"), RunOptions::default())
        .await
        .unwrap();
    assert_eq!(again.status, RunStatus::Completed);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let taken = engine.run(&workflow, named("r")).await.unwrap_err();
    assert!(matches!(taken, EngineError::Exists(_)), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn cancelling_keeps_what_is_finished_and_gives_every_permit_back() {
    let (_, a) = ok("a");
    let b = agent_fn("b", |_, _| {
        std::future::pending::<Result<Reply, AgentError>>()
    });
    let store = Arc::new(MemoryStore::new());
    let engine = Engine::builder(store)
        .agent(a, touchy())
        .agent(b, touchy())
        .build()
        .unwrap();
    let options = named("r");
    let cancellation = options.cancellation.clone();
    let mut events = engine.subscribe();
    let stopper = tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if matches!(&event.kind, EventKind::StepStarted { step, .. } if step == "b") {
                cancellation.cancel();
                return;
            }
        }
    });
    let report = engine.run(&chain(&["a", "b"], 60), options).await.unwrap();
    stopper.await.unwrap();
    assert_eq!(
        (report.status, report.status.exit_code()),
        (RunStatus::Cancelled, 7)
    );
    assert_eq!(report.step("a").unwrap().status, StepStatus::Succeeded);
    assert_eq!(report.step("b").unwrap().status, StepStatus::Cancelled);
    let counts = engine.breaker("b").unwrap().counts();
    assert_eq!(
        (counts.in_flight(), counts.failed, counts.timed_out),
        (0, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panicking_agent_fails_its_step_and_not_the_process() {
    let a = agent_fn("a", |_, _| async { panic!("a defect in an agent") });
    let (calls, b) = ok("b");
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(a, touchy())
        .agent(b, touchy())
        .build()
        .unwrap();
    let report = engine
        .run(&chain(&["a", "b"], 60), named("r"))
        .await
        .unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert!(report.reason.unwrap().contains("panicked"));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(engine.breaker("a").unwrap().counts().in_flight(), 0);
}

/// Once it has answered at once, an agent is asked in the run's own task.
#[tokio::test(start_paused = true)]
async fn an_agent_that_was_quick_and_then_panics_fails_its_step_and_not_the_run() {
    let calls = Arc::new(AtomicU32::new(0));
    let a = counted("a", &calls, |call, _| match call {
        1 => Ok(json!(1)),
        _ => panic!("a defect in an agent"),
    });
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(a, touchy())
        .build()
        .unwrap();
    let workflow = Workflow::builder("twice")
        .step(Step::new("first").with_agent("a"))
        .step(Step::new("second").with_agent("a").requires(["first"]))
        .build()
        .unwrap();
    let report = engine.run(&workflow, named("r")).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert_eq!(report.steps[0].status, StepStatus::Succeeded);
    assert!(report.reason.unwrap().contains("panicked"));
    assert_eq!(engine.breaker("a").unwrap().counts().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_output_the_journal_cannot_hold_fails_its_step_and_says_so() {
    let calls = Arc::new(AtomicU32::new(0));
    let a = counted("a", &calls, |_, _| Ok(json!("x".repeat(2 << 20))));
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(a, touchy())
        .build()
        .unwrap();
    let report = engine.run(&chain(&["a"], 60), named("r")).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert!(report.reason.unwrap().contains("artifacts"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_sibling_does_not_hold_up_an_independent_chain() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let make = |name: &'static str, takes: u64| {
        let order = Arc::clone(&order);
        agent_fn(name, move |_, _| {
            let order = Arc::clone(&order);
            async move {
                tokio::time::sleep(Duration::from_secs(takes)).await;
                order.lock().unwrap().push(name);
                Ok(Reply::new(json!(null)))
            }
        })
    };
    let workflow = Workflow::builder("w")
        .step(Step::new("slow"))
        .step(Step::new("quick"))
        .step(Step::new("next").requires(["quick"]))
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(make("slow", 20), touchy())
        .agent(make("quick", 1), touchy())
        .agent(make("next", 1), touchy())
        .build()
        .unwrap();
    let report = engine.run(&workflow, named("r")).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed);
    assert_eq!(*order.lock().unwrap(), ["quick", "next", "slow"]);
}
