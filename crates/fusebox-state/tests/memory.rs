//! The memory store keeps every rule.
#![cfg(feature = "conformance")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fusebox_state::{
    AcquireOutcome, Commit, LeaseRequest, MemoryStore, Partition, StateStore, WriteId,
};

mod conformance {
    use super::*;

    fusebox_state::conformance_tests!(|| async {
        Arc::new(MemoryStore::new()) as Arc<dyn StateStore>
    });
}

#[tokio::test]
async fn leases_run_out_by_the_given_clock() {
    let ms = Arc::new(AtomicU64::new(1_000));
    let clock = ms.clone();
    let store = MemoryStore::with_clock(move || {
        SystemTime::UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed))
    });
    let p = Partition::try_new("run").unwrap();
    let request = |owner| LeaseRequest::new(owner, Duration::from_millis(100));
    let outcome = store.acquire(&p, request("a")).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Acquired { fence, .. } if fence.epoch == 1_000));
    ms.store(1_099, Ordering::Relaxed);
    let outcome = store.acquire(&p, request("b")).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(lease) if lease.remaining.as_millis() == 1));
    ms.store(1_100, Ordering::Relaxed);
    let outcome = store.acquire(&p, request("b")).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Acquired { fence, .. } if fence.epoch == 1_100));
}

/// A store that is never listed grew by every partition that nobody touched again.
#[tokio::test]
async fn what_expires_is_removed_while_others_are_written() {
    let ms = Arc::new(AtomicU64::new(1_000));
    let clock = ms.clone();
    let store = MemoryStore::with_clock(move || {
        SystemTime::UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed))
    });
    for run in 0..1_000 {
        let p = Partition::try_new(format!("run-{run}")).unwrap();
        let write = Commit::new(WriteId::random());
        assert!(store.commit(&p, write).await.unwrap().is_applied());
        assert!(
            store
                .expire(&p, Some(Duration::from_millis(10)))
                .await
                .unwrap()
        );
        ms.fetch_add(1, Ordering::Relaxed);
    }
    let held: usize = format!("{store:?}")
        .chars()
        .filter(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap();
    assert!(held <= 11, "{held} partitions");
}
