//! What a store with a fallback promises, with a primary that fails on demand and on virtual time.

mod double;
mod journals;
mod outages;
mod set_back;

use std::sync::Arc;
use std::time::Duration;

use fusebox_state::*;

use double::Faulty;

pub(crate) const TTL: Duration = Duration::from_secs(30);

pub(crate) fn run_1() -> Partition {
    Partition::try_new("run-1").unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::try_new(name).unwrap()
}

pub(crate) async fn open(faulty: &Faulty, config: FallbackConfig) -> FallbackStore {
    FallbackStore::open(Arc::new(faulty.clone()), config)
        .await
        .unwrap()
}

/// Acquires from nobody.
pub(crate) async fn own(store: &dyn StateStore, at: &Partition, owner: &str) -> Fence {
    match store
        .acquire(at, LeaseRequest::new(owner, TTL))
        .await
        .unwrap()
    {
        AcquireOutcome::Acquired { fence, .. } => fence,
        AcquireOutcome::Held(lease) => panic!("held: {lease:?}"),
    }
}

pub(crate) fn put(fence: &Fence, name: &str, value: &str) -> Commit {
    Commit::new(WriteId::random()).fenced(fence.clone()).put(
        key(name),
        Expect::Any,
        value.as_bytes().to_vec(),
    )
}

/// Commits, and must be acknowledged.
pub(crate) async fn acked(
    store: &dyn StateStore,
    at: &Partition,
    commit: Commit,
) -> (Durability, u64) {
    match store.commit(at, commit).await.unwrap() {
        CommitOutcome::Applied {
            durability,
            revision,
        }
        | CommitOutcome::Duplicate {
            durability,
            revision,
        } => (durability, revision),
        other => panic!("not acknowledged: {other:?}"),
    }
}

pub(crate) async fn value(store: &dyn StateStore, at: &Partition, name: &str) -> Option<String> {
    let entry = store.get(at, &key(name)).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value).unwrap())
}

/// Waits for a mode on the clock of the runtime.
pub(crate) async fn until(store: &FallbackStore, mode: StoreMode) {
    let mut changes = store.mode_changes();
    changes.wait_for(|now| *now == mode).await.unwrap();
}

#[cfg(feature = "conformance")]
mod conformance_on_memory {
    use super::*;

    fusebox_state::conformance_tests!(|| async {
        let primary = Arc::new(MemoryStore::new());
        let store = FallbackStore::open(primary, FallbackConfig::degrade_volatile());
        Arc::new(store.await.unwrap()) as Arc<dyn StateStore>
    });
}
