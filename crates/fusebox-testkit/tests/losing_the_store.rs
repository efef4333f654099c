//! A store that fails at every possible moment of a run doubles nothing it acknowledged.

use std::sync::Arc;
use std::time::Duration;

use fusebox_orchestrator::{
    Engine, EngineError, EventKind, Resilience, RunId, RunOptions, RunReport, RunStatus, Step,
    StepStatus, Workflow,
};
use fusebox_state::MemoryStore;
use fusebox_testkit::{
    EventLog, FailingStore, Journal, Operation, ScriptedAgent, StoreFault, VirtualTime,
    virtual_time,
};
use serde_json::json;

/// Longer than a run's lease lasts.
const LEASE: Duration = Duration::from_secs(11);

/// `a`, then `b`, then `c`, over a store that can fail.
struct Bench {
    store: Arc<FailingStore<MemoryStore>>,
    agents: Vec<ScriptedAgent>,
    workflow: Workflow,
    engine: Engine,
    log: EventLog,
}

impl Bench {
    fn new(time: VirtualTime) -> Self {
        let store = Arc::new(FailingStore::new(time.memory_store()));
        let names = ["a", "b", "c"];
        let agents = names.map(|name| ScriptedAgent::new(name).answers(json!({ "of": name })));
        let workflow = Workflow::builder("chain")
            .step(Step::new("a"))
            .step(Step::new("b").requires(["a"]))
            .step(Step::new("c").requires(["b"]));
        let mut engine = Engine::builder(store.clone()).seed(time.seed());
        for agent in &agents {
            engine = engine.agent(agent.clone(), Resilience::default());
        }
        let engine = engine.build().expect("three agents of different names");
        Self {
            store,
            agents: agents.into(),
            workflow: workflow.build().expect("a chain"),
            log: EventLog::of(&engine),
            engine,
        }
    }

    async fn run(&self) -> RunReport {
        let options = RunOptions::default().with_id(id());
        let report = self.engine.run(&self.workflow, options).await;
        report.expect("the first commit was made")
    }

    async fn resume(&self) -> RunReport {
        let options = RunOptions::default();
        let report = self.engine.resume(&self.workflow, &id(), options).await;
        report.expect("the lease has run out")
    }

    fn calls(&self) -> Vec<usize> {
        self.agents.iter().map(ScriptedAgent::calls).collect()
    }

    async fn journal(&self) -> Journal {
        Journal::read(&*self.store, "r").await
    }
}

fn id() -> RunId {
    "r".parse().expect("a name")
}

/// Commits of an undisturbed run.
fn commits() -> u64 {
    virtual_time(1, async |time| {
        let bench = Bench::new(time);
        assert_eq!(bench.run().await.status, RunStatus::Completed);
        bench.store.calls(Operation::Commit)
    })
}

#[test]
fn a_commit_whose_answer_is_lost_is_made_once_and_no_step_runs_twice() {
    for lost in 1..commits() {
        virtual_time(lost, async |time| {
            let mut bench = Bench::new(time);
            let fault = StoreFault::unavailable_after().on(Operation::Commit);
            bench.store.inject(fault.skipping(lost).times(2));

            assert_eq!(bench.run().await.status, RunStatus::Completed);

            bench.store.assert_struck();
            assert_eq!(bench.calls(), [1, 1, 1], "answer {lost} lost");
            let journal = bench.journal().await;
            journal.assert_completed();
            for step in ["a", "b", "c"] {
                journal
                    .assert_executions(step, 1)
                    .assert_output(step, &json!({ "of": step }));
            }
            assert!(bench.log.has(|kind| *kind == EventKind::StoreBack));
        });
    }
}

#[test]
fn a_store_away_longer_than_the_patience_ends_the_run_as_waiting_and_a_resume_doubles_nothing() {
    // What the store acknowledges to nobody, it has: the resume finds it.
    for last_answered in 1..commits() {
        virtual_time(last_answered, async |time| {
            let bench = Bench::new(time);
            let away = StoreFault::unavailable_after().on(Operation::Commit);
            bench.store.inject(away.skipping(last_answered));

            let report = bench.run().await;

            assert_eq!(report.status, RunStatus::Waiting, "{report:?}");
            assert!(
                report
                    .reason
                    .is_some_and(|why| why.contains("resume the run"))
            );
            bench.store.assert_struck();
            bench.store.heal();
            time.pass(LEASE).await;

            let report = bench.resume().await;
            assert_eq!(report.status, RunStatus::Completed, "{report:?}");
            assert_eq!(bench.calls(), [1, 1, 1], "{}", bench.journal().await);
            bench.journal().await.assert_completed();
        });
    }
}

#[test]
fn a_step_whose_answer_the_store_never_got_runs_again_under_the_same_key_and_no_other_does() {
    for last_made in 1..commits() {
        virtual_time(last_made, async |time| {
            let bench = Bench::new(time);
            // The whole store, leases included; a run begins with one acquisition.
            let away = StoreFault::unavailable_before();
            bench.store.inject(away.skipping(1 + last_made));

            let report = bench.run().await;

            assert_eq!(report.status, RunStatus::Waiting, "{report:?}");
            let kept: Vec<bool> = report.steps.iter().map(|s| s.status.has_output()).collect();
            bench.store.heal();
            time.pass(LEASE).await;
            let report = bench.resume().await;

            assert_eq!(report.status, RunStatus::Completed, "{report:?}");
            let mut twice = 0;
            for (agent, kept) in bench.agents.iter().zip(kept) {
                let keys = agent.idempotency_keys();
                assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
                assert!(!kept || keys.len() == 1, "acknowledged, and called again");
                twice += keys.len() - 1;
            }
            assert!(twice <= 1, "{}", bench.journal().await);
        });
    }
}

#[test]
fn a_store_that_refuses_the_first_commit_starts_nothing() {
    virtual_time(1, async |time| {
        let bench = Bench::new(time);
        bench
            .store
            .inject(StoreFault::refused().on(Operation::Commit));
        let options = RunOptions::default().with_id(id());
        let refused = bench.engine.run(&bench.workflow, options).await;
        assert!(matches!(refused, Err(EngineError::Store(_))), "{refused:?}");
        assert_eq!(bench.calls(), [0, 0, 0]);
        bench.store.heal();
        assert_eq!(bench.run().await.status, RunStatus::Completed);
    });
}

#[test]
fn a_store_that_refuses_the_start_of_a_step_ends_the_run_before_it_is_called() {
    virtual_time(1, async |time| {
        let bench = Bench::new(time);
        let full = StoreFault::refused().on(Operation::Commit).skipping(1);
        bench.store.inject(full);
        let report = bench.run().await;
        assert_eq!(report.status, RunStatus::Waiting, "{report:?}");
        assert_eq!(bench.calls(), [1, 0, 0]);
        bench.store.heal();
        bench
            .journal()
            .await
            .assert_executions("a", 1)
            .assert_never_called("b")
            .assert_step("b", StepStatus::Pending);
    });
}
