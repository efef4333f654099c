//! What must hold when many ask at once.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::support::*;
use crate::{AcquireOutcome, CommitOutcome, Expect, LeaseRequest, StateStore};

type Shared = Arc<dyn StateStore>;

const TASKS: u64 = 100;
const INCREMENTS: u64 = 50;
/// Tasks that share a counter: enough to collide all the time, few enough that most of the time
/// does not go into reading again.
const PER_COUNTER: u64 = 10;

pub(super) async fn a_hundred_tasks_count_without_losing_an_increment(
    store: &dyn StateStore,
    shared: Shared,
) {
    let p = partition("counters");
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, p) = (shared.clone(), p.clone());
        let counter = format!("c{}", task / PER_COUNTER);
        tasks.spawn(async move {
            for _ in 0..INCREMENTS {
                increment(&*store, &p, &counter).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no task fails");
    }
    let mut total = 0;
    for counter in 0..TASKS / PER_COUNTER {
        let entry = get(store, &p, &format!("c{counter}"))
            .await
            .expect("was counted");
        let count = number(&entry.value);
        assert_eq!(count, PER_COUNTER * INCREMENTS, "counter {counter}");
        assert_eq!(entry.version, count, "one version per increment");
        total += count;
    }
    assert_eq!(total, TASKS * INCREMENTS);
}

async fn increment(store: &dyn StateStore, at: &crate::Partition, counter: &str) {
    loop {
        let entry = get(store, at, counter).await;
        let count = entry.as_ref().map_or(0, |entry| number(&entry.value));
        let expect = entry.map_or(Expect::Absent, |entry| Expect::Version(entry.version));
        let next = write().put(key(counter), expect, (count + 1).to_be_bytes().to_vec());
        match commit(store, at, next).await {
            CommitOutcome::Applied { .. } => return,
            CommitOutcome::Conflict { .. } => {}
            other => panic!("neither applied nor a conflict: {other:?}"),
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

pub(super) async fn one_of_many_gets_the_lease(store: &dyn StateStore, shared: Shared) {
    let p = partition("race");
    let mut tasks = JoinSet::new();
    for owner in 0..30 {
        let (store, p) = (shared.clone(), p.clone());
        tasks.spawn(async move {
            request(
                &*store,
                &p,
                LeaseRequest::new(format!("owner-{owner}"), LONG),
            )
            .await
        });
    }
    let mut winners = Vec::new();
    let mut held = Vec::new();
    for outcome in tasks.join_all().await {
        match outcome {
            AcquireOutcome::Acquired { fence, .. } => winners.push(fence),
            AcquireOutcome::Held(lease) => held.push(lease),
        }
    }
    assert_eq!((winners.len(), held.len()), (1, 29));
    assert!(
        held.iter()
            .all(|lease| lease.token_id == winners[0].token_id())
    );
    assert!(
        commit(store, &p, write().fenced(winners.remove(0)))
            .await
            .is_applied()
    );
}

pub(super) async fn a_write_sent_many_times_at_once_is_applied_once(
    store: &dyn StateStore,
    shared: Shared,
) {
    let p = partition("burst");
    let once = write().put(key("a"), Expect::Any, b"once".to_vec());
    let mut tasks = JoinSet::new();
    for _ in 0..30 {
        let (store, p, once) = (shared.clone(), p.clone(), once.clone());
        tasks.spawn(async move { commit(&*store, &p, once).await });
    }
    let outcomes = tasks.join_all().await;
    let applied = outcomes
        .iter()
        .filter(|o| matches!(o, CommitOutcome::Applied { .. }))
        .count();
    let repeated = outcomes
        .iter()
        .filter(|o| matches!(o, CommitOutcome::Duplicate { .. }))
        .count();
    assert_eq!((applied, repeated), (1, 29));
    assert_eq!(version(store, &p, "a").await, Some(1));
}

pub(super) async fn readers_see_commits_whole(store: &dyn StateStore, shared: Shared) {
    let p = partition("whole");
    let both = |value: u64| {
        let value = value.to_be_bytes().to_vec();
        write()
            .put(key("a"), Expect::Any, value.clone())
            .put(key("z"), Expect::Any, value)
    };
    assert!(commit(store, &p, both(0)).await.is_applied());
    let writer = tokio::spawn({
        let (store, p) = (shared, p.clone());
        async move {
            for value in 1..=100 {
                assert!(commit(&*store, &p, both(value)).await.is_applied());
            }
        }
    });
    let mut seen = 0;
    while seen < 100 {
        let page = store.scan(&p, "", None, 10).await.expect("scan answers");
        let values: Vec<_> = page
            .items
            .iter()
            .map(|(_, entry)| number(&entry.value))
            .collect();
        assert!(
            values.len() == 2 && values[0] == values[1],
            "half a commit: {values:?}"
        );
        assert!(values[0] >= seen, "back from {seen} to {}", values[0]);
        seen = values[0];
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer finishes");
}
