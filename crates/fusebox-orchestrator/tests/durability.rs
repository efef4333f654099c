//! A commit below a run's minimum durability does not count, and the run says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_agent::{Reply, agent_fn};
use fusebox_orchestrator::{
    Engine, EventKind, Resilience, RunId, RunOptions, RunReport, RunStatus, Step, StepStatus,
    Workflow, load_run,
};
use fusebox_state::{Durability, MemoryStore};
use serde_json::json;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(5);

struct Bench {
    store: Arc<MemoryStore>,
    calls: Arc<AtomicU32>,
    workflow: Workflow,
}

impl Bench {
    fn new() -> Self {
        let workflow = Workflow::builder("one").step(Step::new("only"));
        Self {
            store: Arc::default(),
            calls: Arc::default(),
            workflow: workflow.build().unwrap(),
        }
    }

    fn engine(&self, minimum: Option<Durability>) -> Engine {
        let calls = Arc::clone(&self.calls);
        let only = agent_fn("only", move |_task, _cx| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok(Reply::new(json!(1))) }
        });
        let mut engine = Engine::builder(self.store.clone())
            .agent(only, Resilience::default())
            .store_patience(PATIENCE);
        if let Some(minimum) = minimum {
            engine = engine.min_durability(minimum);
        }
        engine.build().unwrap()
    }

    async fn run(&self, minimum: Option<Durability>) -> RunReport {
        let options = RunOptions::default().with_id(id());
        let report = self.engine(minimum).run(&self.workflow, options).await;
        report.unwrap()
    }

    async fn resume(&self, minimum: Option<Durability>) -> RunReport {
        let options = RunOptions::default();
        let engine = self.engine(minimum);
        engine.resume(&self.workflow, &id(), options).await.unwrap()
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

fn id() -> RunId {
    "r".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_store_below_the_minimum_ends_the_run_as_waiting_before_any_call_and_says_what_it_reached()
 {
    let bench = Bench::new();
    let begun = Instant::now();
    let report = bench.run(Some(Durability::LocalFsync)).await;
    assert_eq!(report.status, RunStatus::Waiting);
    let reason = report.reason.unwrap();
    assert!(
        reason.contains("as volatile only") && reason.contains("asks for local_fsync"),
        "{reason}"
    );
    assert_eq!(report.min_durability.as_deref(), Some("local_fsync"));
    assert_eq!(report.durability, None, "nothing counts as acknowledged");
    let step = &report.steps[0];
    assert_eq!((step.status, step.executions), (StepStatus::Waiting, 0));
    assert_eq!(bench.calls(), 0);
    let waited = begun.elapsed();
    assert!(waited > PATIENCE / 2 && waited <= PATIENCE, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_at_the_minimum_or_above_runs_as_without_one() {
    for minimum in [None, Some(Durability::Volatile)] {
        let bench = Bench::new();
        let report = bench.run(minimum).await;
        assert_eq!(report.status, RunStatus::Completed);
        assert_eq!(report.durability.as_deref(), Some("volatile"));
        assert_eq!(bench.calls(), 1);
        let record = load_run(&*bench.store, &id()).await.unwrap().unwrap();
        assert_eq!(record.head.durability.as_deref(), Some("volatile"));
        let recorded = minimum.map(|level| level.to_string());
        assert_eq!(record.head.min_durability, recorded);
        let shown = RunReport::from_record(&record);
        assert_eq!(shown.durability.as_deref(), Some("volatile"));
        assert_eq!(shown.min_durability, recorded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_its_minimum_when_an_engine_without_one_resumes_it() {
    let bench = Bench::new();
    let _ = bench.run(Some(Durability::Primary)).await;
    let report = bench.resume(None).await;
    assert_eq!(report.status, RunStatus::Waiting);
    assert!(report.reason.unwrap().contains("asks for primary"));
    assert_eq!(bench.calls(), 0);

    let report = bench.resume(Some(Durability::Volatile)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(report.min_durability.as_deref(), Some("volatile"));
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_once_per_commit_that_its_durability_is_awaited() {
    let bench = Bench::new();
    let engine = bench.engine(Some(Durability::Replicated(1)));
    let mut events = engine.subscribe();
    let options = RunOptions::default().with_id(id());
    let _ = engine.run(&bench.workflow, options).await.unwrap();
    let mut awaited = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let EventKind::DurabilityAwaited { reached, minimum } = event.kind {
            awaited.push((reached, minimum));
        }
    }
    assert_eq!(
        awaited,
        [("volatile".to_owned(), "replicated(1)".to_owned())]
    );
}
