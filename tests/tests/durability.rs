//! A commit that is not firm enough is repeated, as the same write, until it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox::orchestrator::{EventKind, load_events};
use fusebox::state::{Durability, StateStore};
use fusebox::{
    Engine, Reply, Resilience, RunId, RunOptions, RunReport, RunStatus, Step, Workflow, agent_fn,
};
use fusebox_test_server::TestServer;
use serde_json::json;

fn server() -> TestServer {
    TestServer::start().unwrap_or_else(|error| panic!("{error}"))
}

async fn store(server: &TestServer) -> Arc<dyn StateStore> {
    let url = format!("{}?replicas=1", server.url());
    fusebox::state::open(&url).await.expect("it answers")
}

struct Bench {
    store: Arc<dyn StateStore>,
    engine: Engine,
    calls: Arc<AtomicU32>,
}

impl Bench {
    async fn new(server: &TestServer, patience: Duration) -> Self {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let only = agent_fn("only", move |_task, _cx| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(Reply::new(json!(1))) }
        });
        let store = store(server).await;
        let engine = Engine::builder(Arc::clone(&store))
            .agent(only, Resilience::default())
            .min_durability(Durability::Replicated(1))
            .store_patience(patience)
            .build();
        Self {
            store,
            engine: engine.expect("one agent"),
            calls,
        }
    }

    async fn run(&self) -> RunReport {
        let workflow = Workflow::builder("one").step(Step::new("only")).build();
        let options = RunOptions::default().with_id(id());
        let report = self.engine.run(&workflow.expect("one step"), options).await;
        report.expect("the store answers")
    }
}

fn id() -> RunId {
    "r".parse().expect("a name")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_a_commit_is_repeated_until_a_replica_has_it_and_is_made_once() {
    let (primary, replica) = (server(), server());
    let bench = Bench::new(&primary, Duration::from_secs(60)).await;
    let mut events = bench.engine.subscribe();
    let attached = async {
        loop {
            let event = events.recv().await.expect("the engine lives");
            if matches!(event.kind, EventKind::DurabilityAwaited { .. }) {
                break;
            }
        }
        assert_eq!(
            bench.calls.load(Ordering::SeqCst),
            0,
            "called before it was firm"
        );
        let port = primary.port().to_string();
        replica
            .ask(&["REPLICAOF", "127.0.0.1", &port])
            .expect("it obeys");
    };
    let (report, ()) = tokio::join!(bench.run(), attached);
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(report.durability.as_deref(), Some("replicated(1)"));
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
    let events = load_events(&*bench.store, &id())
        .await
        .expect("it is there");
    assert!(
        events
            .iter()
            .map(|event| event.seq)
            .eq(0..events.len() as u64)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_without_a_replica_the_same_run_waits_and_calls_nothing() {
    let primary = server();
    let bench = Bench::new(&primary, Duration::from_millis(500)).await;
    let report = bench.run().await;
    assert_eq!(report.status, RunStatus::Waiting);
    let reason = report.reason.expect("it waits for something");
    assert!(
        reason.contains("as primary only") && reason.contains("asks for replicated(1)"),
        "{reason}"
    );
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
}
