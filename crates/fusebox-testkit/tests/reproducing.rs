//! The same seed gives the same test; a failure says which seed it was and what happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::AgentError;
use fusebox_breaker::{Config, State};
use fusebox_orchestrator::{
    Engine, EventKind, Resilience, RtoVerdict, RunOptions, RunStatus, Step, StepStatus, Workflow,
};
use fusebox_testkit::{EventLog, Journal, ScriptedAgent, virtual_time};

/// `data` is away for five calls, `report` stands behind it. What was told, line by line.
fn told(seed: u64) -> Vec<String> {
    virtual_time(seed, async |time| {
        let down = || AgentError::api("503");
        let data = ScriptedAgent::new("data").fails(down()).times(5).answers(1);
        let report = ScriptedAgent::new("report").answers(2);
        let breaker = Config::builder()
            .consecutive_failures(2)
            .without_count_window()
            .wait_duration_in_open(Duration::from_secs(2))
            .successes_to_close(1)
            .recovery_objective(Duration::from_secs(60));
        let touchy = Resilience::default().with_breaker(breaker.build().expect("no contradiction"));
        let workflow = Workflow::builder("w")
            .step(Step::new("data"))
            .step(Step::new("report").requires(["data"]));
        let workflow = workflow.build().expect("two steps");
        let store = Arc::new(time.memory_store());
        let engine = Engine::builder(store.clone())
            .agent(data.clone(), touchy.clone())
            .agent(report.clone(), touchy)
            .seed(time.seed())
            .build()
            .expect("two agents");
        let mut log = EventLog::of(&engine);

        let options = RunOptions::default().with_id("r".parse().expect("a name"));
        let ended = engine.run(&workflow, options).await.expect("it starts");

        assert_eq!(ended.status, RunStatus::Completed);
        Journal::read(&*store, "r")
            .await
            .assert_completed()
            .assert_executions("data", 6)
            .assert_executions("report", 1)
            .assert_shielded_by("report", "data");
        assert_eq!((data.calls(), report.calls()), (6, 1));
        assert_eq!((log.starts("data"), log.moves("data", State::Open)), (6, 4));
        assert_eq!(log.shield("report").as_deref(), Some("data"));
        assert_eq!(log.ending("data"), Some(StepStatus::Succeeded));
        assert_eq!(log.recovery("data"), Some(RtoVerdict::Met));
        log.lines()
    })
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    for seed in 0..20 {
        assert_eq!(told(seed), told(seed), "seed {seed}");
    }
    assert_ne!(told(1), told(2), "jitter is drawn from the seed");
}

fn message_of(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it panics");
    *panic.downcast::<String>().expect("a message")
}

#[test]
fn a_failure_names_its_seed() {
    let message = message_of(|| virtual_time(4711, async |_| panic!("no luck")));
    assert_eq!(message, "no luck\nthis was virtual time with seed 4711");
}

#[test]
fn a_failed_assertion_tells_the_whole_story_of_the_run() {
    let message = message_of(|| {
        virtual_time(1, async |time| {
            let a = ScriptedAgent::new("a").fails(AgentError::invalid_input("no such file"));
            let store = Arc::new(time.memory_store());
            let engine = Engine::builder(store.clone()).agent(a, Resilience::default());
            let engine = engine.build().expect("one agent");
            let workflow = Workflow::builder("w")
                .step(Step::new("a"))
                .step(Step::new("b").with_agent("a").requires(["a"]));
            let options = RunOptions::default().with_id("r".parse().expect("a name"));
            let workflow = workflow.build().expect("two steps");
            engine.run(&workflow, options).await.expect("it starts");
            let journal = Journal::read(&*store, "r").await;
            journal
                .assert_shielded_by("b", "a")
                .assert_never_called("b")
                .assert_completed();
        });
    });
    for part in [
        "the run is failed, not completed",
        "a: failed, executions 1 (no such file)",
        "b: shielded, executions 0 (required step `a` failed)",
        "run_started",
        "this was virtual time with seed 1",
    ] {
        assert!(message.contains(part), "{part} is not in:\n{message}");
    }
}

#[test]
fn a_held_call_waits_until_it_is_told_and_a_dropped_run_is_resumed_after_its_lease() {
    virtual_time(1, async |time| {
        let store = Arc::new(time.memory_store());
        let a = ScriptedAgent::new("a").answers("first").held();
        let engine = Engine::builder(store.clone()).agent(a.clone(), Resilience::default());
        let engine = engine.build().expect("one agent");
        let workflow = Workflow::builder("w").step(Step::new("a")).build();
        let workflow = workflow.expect("one step");
        let id: fusebox_orchestrator::RunId = "r".parse().expect("a name");

        tokio::select! {
            biased;
            _ = engine.run(&workflow, RunOptions::default().with_id(id.clone())) => panic!("it is held"),
            () = a.called(1) => {}
        }
        Journal::read(&*store, "r")
            .await
            .assert_step("a", StepStatus::Running);

        time.pass(Duration::from_secs(11)).await;
        a.release();
        let mut log = EventLog::of(&engine);
        let resumed = engine.resume(&workflow, &id, RunOptions::default()).await;
        assert_eq!(
            resumed.expect("nobody owns it").status,
            RunStatus::Completed
        );
        let first = log.until(|_| true).await;
        assert!(
            matches!(first.kind, EventKind::RunResumed { .. }),
            "{first:?}"
        );
        let keys = a.idempotency_keys();
        assert_eq!((keys.len(), keys[0] == keys[1]), (2, true));
    });
}
