//! A step that works for longer than its run's lease lasts, while the store is away all the time.

use std::sync::Arc;
use std::time::Duration;

use fusebox::state::{FallbackConfig, FallbackStore, MemoryStore, StateStore as _};
use fusebox::{
    Engine, Reply, Resilience, RunId, RunOptions, RunReport, RunStatus, Step, Workflow, agent_fn,
};
use fusebox_testkit::{FailingStore, Journal, StoreFault, VirtualTime, virtual_time};
use serde_json::json;

/// Six times as long as a lease.
const WORK: Duration = Duration::from_secs(60);
/// Longer than the longest pause between two tries to reach the store.
const MOMENT: Duration = Duration::from_secs(3);

struct Bench {
    primary: Arc<FailingStore<MemoryStore>>,
    store: Arc<FallbackStore>,
}

impl Bench {
    async fn new(time: VirtualTime, config: FallbackConfig) -> Self {
        let primary = Arc::new(FailingStore::new(time.memory_store()));
        let store = FallbackStore::open(primary.clone(), config).await;
        Self {
            primary,
            store: Arc::new(store.expect("it answers")),
        }
    }

    /// One step, which loses the store as it begins.
    async fn run(&self) -> RunReport {
        let primary = Arc::clone(&self.primary);
        let slow = agent_fn("slow", move |_task, _cx| {
            primary.inject(StoreFault::unavailable_before());
            async {
                tokio::time::sleep(WORK).await;
                Ok(Reply::new(json!("done")))
            }
        });
        let engine = Engine::builder(self.store.clone())
            .agent(slow, Resilience::default().with_attempt_timeout(WORK * 2))
            .build();
        let workflow = Workflow::builder("slow")
            .objective(WORK * 10)
            .step(Step::new("slow"))
            .build();
        let id: RunId = "r".parse().expect("a name");
        let options = RunOptions::default().with_id(id);
        let engine = engine.expect("one agent");
        let report = engine.run(&workflow.expect("one step"), options).await;
        report.expect("it was there when the run began")
    }
}

#[test]
fn a_run_that_may_go_on_past_its_lease_completes_and_is_delivered() {
    virtual_time(1, async |time| {
        let config = FallbackConfig::degrade_volatile().past_lease(true);
        let bench = Bench::new(time, config).await;
        let report = bench.run().await;
        assert_eq!(report.status, RunStatus::Completed, "{report:?}");
        bench.primary.assert_struck();
        assert!(bench.store.status().pending_commits > 0);
        assert!(!bench.store.settle(MOMENT).await, "the store is away");

        bench.primary.heal();
        assert!(bench.store.settle(MOMENT).await);
        let journal = Journal::read(&*bench.primary, "r").await;
        journal.assert_completed();
        journal
            .assert_executions("slow", 1)
            .assert_output("slow", &json!("done"));
    });
}

#[test]
fn a_run_that_may_not_ends_as_waiting_when_its_lease_has_run_out() {
    virtual_time(1, async |time| {
        let bench = Bench::new(time, FallbackConfig::degrade_volatile()).await;
        let report = bench.run().await;
        assert_eq!(report.status, RunStatus::Waiting, "{report:?}");
        assert!(time.elapsed() < WORK, "it worked on without a lease");
        assert_eq!(bench.store.status().pending_commits, 0);
    });
}
