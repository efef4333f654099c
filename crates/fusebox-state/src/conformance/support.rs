//! Short words for the checks.

use std::time::Duration;

use crate::{
    AcquireOutcome, Commit, CommitOutcome, Entry, Expect, Fence, Key, LeaseRequest, Partition,
    StateStore, WriteId,
};

/// Longer than any check takes.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// Short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// A name that no other check uses.
pub(crate) fn partition(label: &str) -> Partition {
    Partition::try_new(format!("{label}-{}", WriteId::random())).expect("a valid name")
}

pub(crate) fn key(name: &str) -> Key {
    Key::try_new(name).expect("a valid name")
}

pub(crate) fn write() -> Commit {
    Commit::new(WriteId::random())
}

pub(crate) async fn commit(store: &dyn StateStore, at: &Partition, write: Commit) -> CommitOutcome {
    store.commit(at, write).await.expect("commit answers")
}

/// Writes whatever is there, and must succeed.
pub(crate) async fn put(store: &dyn StateStore, at: &Partition, name: &str, value: &[u8]) {
    let outcome = commit(
        store,
        at,
        write().put(key(name), Expect::Any, value.to_vec()),
    )
    .await;
    assert!(
        outcome.is_applied(),
        "a write without conditions: {outcome:?}"
    );
}

pub(crate) async fn get(store: &dyn StateStore, at: &Partition, name: &str) -> Option<Entry> {
    store.get(at, &key(name)).await.expect("get answers")
}

pub(crate) async fn value(store: &dyn StateStore, at: &Partition, name: &str) -> Option<Vec<u8>> {
    get(store, at, name).await.map(|entry| entry.value)
}

pub(crate) async fn version(store: &dyn StateStore, at: &Partition, name: &str) -> Option<u64> {
    get(store, at, name).await.map(|entry| entry.version)
}

pub(crate) async fn request(
    store: &dyn StateStore,
    at: &Partition,
    request: LeaseRequest,
) -> AcquireOutcome {
    store.acquire(at, request).await.expect("acquire answers")
}

/// Acquires, which must succeed.
pub(crate) async fn acquire(
    store: &dyn StateStore,
    at: &Partition,
    owner: &str,
    ttl: Duration,
) -> Fence {
    match request(store, at, LeaseRequest::new(owner, ttl)).await {
        AcquireOutcome::Acquired { fence, .. } => fence,
        AcquireOutcome::Held(lease) => panic!("nobody should hold the partition: {lease:?}"),
    }
}

/// Returns when `time` has passed on the store's clock, and a little more for stores that expire by
/// a clock they read less often.
pub(crate) async fn pass(store: &dyn StateStore, time: Duration) {
    let start = store.now().await.expect("now answers");
    let until = start + time + Duration::from_millis(5);
    while store.now().await.expect("now answers") <= until {
        tokio::task::yield_now().await;
    }
}
