//! What is over goes after its retention, all of it; what can still be resumed stays.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fusebox_agent::{AgentError, Reply, agent_fn};
use fusebox_orchestrator::{
    Engine, Resilience, RunId, RunOptions, RunStatus, Step, Workflow, retire_ended,
};
use fusebox_state::{AcquireOutcome, LeaseRequest, MemoryStore, Partition, StateStore};
use serde_json::json;
use tokio::time::Instant;

const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// A store on the test's clock.
fn store() -> Arc<MemoryStore> {
    let begun = Instant::now();
    let now = move || UNIX_EPOCH + Duration::from_secs(2_000_000_000) + begun.elapsed();
    Arc::new(MemoryStore::with_clock(now))
}

fn workflow() -> Workflow {
    let workflow = Workflow::builder("one").step(Step::new("only"));
    workflow.build().unwrap()
}

/// One agent that answers, or does not.
fn engine(store: &Arc<MemoryStore>, answers: bool) -> Engine {
    let only = agent_fn("only", move |_task, _cx| async move {
        match answers {
            true => Ok(Reply::new(json!(1))),
            false => Err(AgentError::api("down")),
        }
    });
    Engine::builder(store.clone())
        .agent(only, Resilience::default().with_max_attempts(1))
        .retention(RETENTION)
        .build()
        .unwrap()
}

fn id() -> RunId {
    "r".parse().unwrap()
}

fn options() -> RunOptions {
    RunOptions::default().with_id(id())
}

async fn partitions(store: &MemoryStore) -> Vec<Partition> {
    store.partitions("", None, 100).await.unwrap().items
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_run_that_is_over_nothing_is_left_once_its_retention_has_passed() {
    for (answers, status) in [(true, RunStatus::Completed), (false, RunStatus::Failed)] {
        let store = store();
        let mut options = options();
        options.objective = (!answers).then_some(Duration::from_millis(1));
        let report = engine(&store, answers).run(&workflow(), options).await;
        assert_eq!(report.unwrap().status, status);
        pass(RETENTION - Duration::from_secs(60)).await;
        assert_eq!(partitions(&store).await.len(), 1, "too early: {status}");
        pass(Duration::from_secs(61)).await;
        assert_eq!(partitions(&store).await, [], "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_is_kept_for_ever_and_a_resume_takes_an_end_of_retention_back() {
    let store = store();
    let waits = engine(&store, false)
        .run(&workflow(), options().without_waiting())
        .await;
    assert_eq!(waits.unwrap().status, RunStatus::Waiting);
    pass(RETENTION * 100).await;
    assert_eq!(partitions(&store).await.len(), 1);
    assert_eq!(retire_ended(&*store).await.unwrap(), 0);

    let mut late = RunOptions::default();
    late.objective = Some(Duration::from_millis(1));
    let failed = engine(&store, false).resume(&workflow(), &id(), late).await;
    assert_eq!(failed.unwrap().status, RunStatus::Failed);
    let again = RunOptions::default().without_waiting();
    let waits = engine(&store, false)
        .resume(&workflow(), &id(), again)
        .await;
    assert_eq!(waits.unwrap().status, RunStatus::Waiting);
    pass(RETENTION * 2).await;
    assert_eq!(partitions(&store).await.len(), 1);
}

/// As if the process had died between its last commit and the end of retention.
async fn forget_retention(store: &MemoryStore) -> Partition {
    let partition = partitions(store).await.remove(0);
    assert!(store.expire(&partition, None).await.unwrap());
    partition
}

async fn expires_in(store: &MemoryStore, partition: &Partition) -> Option<Duration> {
    let head = store.head(partition).await.unwrap();
    head.and_then(|head| head.expires_in)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_without_its_end_of_retention_is_given_one() {
    let store = store();
    let report = engine(&store, true).run(&workflow(), options()).await;
    assert_eq!(report.unwrap().status, RunStatus::Completed);
    let partition = forget_retention(&store).await;

    // Somebody who works on it is not disturbed.
    let request = LeaseRequest::new("somebody", Duration::from_secs(10));
    let held = store.acquire(&partition, request).await.unwrap();
    assert!(matches!(held, AcquireOutcome::Acquired { .. }));
    assert_eq!(retire_ended(&*store).await.unwrap(), 0);
    assert_eq!(expires_in(&store, &partition).await, None);

    pass(Duration::from_secs(11)).await;
    assert_eq!(retire_ended(&*store).await.unwrap(), 1);
    let left = expires_in(&store, &partition).await.unwrap();
    assert!(left <= RETENTION && left > RETENTION / 2, "{left:?}");
    assert_eq!(retire_ended(&*store).await.unwrap(), 0, "once is enough");
    pass(RETENTION).await;
    assert_eq!(partitions(&store).await, []);
}

#[tokio::test(start_paused = true)]
async fn resuming_a_run_that_has_delivered_gives_it_its_end_of_retention_too() {
    let store = store();
    let _ = engine(&store, true).run(&workflow(), options()).await;
    let partition = forget_retention(&store).await;
    let shown = engine(&store, true)
        .resume(&workflow(), &id(), RunOptions::default())
        .await;
    assert_eq!(shown.unwrap().status, RunStatus::Completed);
    assert!(expires_in(&store, &partition).await.is_some());
}

#[test]
fn what_waits_for_an_agent_or_a_person_or_is_being_worked_on_is_not_over() {
    for kept in [RunStatus::Running, RunStatus::Waiting, RunStatus::Suspended] {
        assert!(!kept.is_over(), "{kept}");
    }
    for over in [
        RunStatus::Completed,
        RunStatus::Degraded,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ] {
        assert!(over.is_over(), "{over}");
    }
}
