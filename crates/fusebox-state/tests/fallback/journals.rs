//! What lies in a journal outlives its process and is delivered once.
#![cfg(feature = "embedded")]

use std::fs;
use std::path::Path;

use super::double::Weather;
use super::*;

fn config(directory: &Path) -> FallbackConfig {
    FallbackConfig::degrade_durable_in(directory).past_lease(true)
}

fn files(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn a_journal_is_delivered_by_the_next_process() {
    let faulty = Faulty::new();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&faulty, config(directory.path())).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.set(Weather::Away);
    let answer = acked(&store, &run_1(), put(&fence, "a", "2")).await;
    assert_eq!(answer, (Durability::LocalFsync, 2));
    acked(&store, &run_1(), put(&fence, "b", "3")).await;
    assert_eq!(store.status().at_risk, 0);
    drop(store);

    // Still away: taken over, and waiting on.
    let store = open(&faulty, config(directory.path())).await;
    let status = store.status();
    assert_eq!(
        (status.mode, status.pending_commits),
        (StoreMode::Degraded, 2)
    );
    drop(store);

    faulty.set(Weather::Fair);
    let store = open(&faulty, config(directory.path())).await;
    assert_eq!(store.status().pending_commits, 0);
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("2"));
    assert_eq!(value(&faulty, &run_1(), "b").await.as_deref(), Some("3"));
    let next = own_from(&store, &fence).await;
    acked(&store, &run_1(), put(&next, "c", "4")).await;
    drop(store);
    assert_eq!(files(directory.path()), 0, "an empty journal is removed");
}

/// Takes over from a process that is known to be gone.
async fn own_from(store: &dyn StateStore, gone: &Fence) -> Fence {
    let request = LeaseRequest::new("next", TTL).with_takeover(gone.token_id());
    match store.acquire(&run_1(), request).await.unwrap() {
        AcquireOutcome::Acquired { fence, .. } => fence,
        AcquireOutcome::Held(lease) => panic!("{lease:?}"),
    }
}

#[tokio::test]
async fn the_journal_of_a_live_process_is_left_alone() {
    let faulty = Faulty::new();
    let directory = tempfile::tempdir().unwrap();
    let one = open(&faulty, config(directory.path())).await;
    let fence = own(&one, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&one, &run_1(), put(&fence, "a", "1")).await;
    let two = open(&faulty, config(directory.path())).await;
    assert_eq!(two.status().pending_commits, 0);
    drop(two);
    acked(&one, &run_1(), put(&fence, "a", "2")).await;
    faulty.set(Weather::Fair);
    until(&one, StoreMode::Healthy).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_journal_whose_partition_went_to_another_owner_becomes_a_fork() {
    let faulty = Faulty::new();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&faulty, config(directory.path())).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "journaled")).await;
    drop(store);
    let theirs = own_from(&*faulty.inner(), &fence).await;
    acked(&*faulty.inner(), &run_1(), put(&theirs, "a", "theirs")).await;
    faulty.set(Weather::Fair);
    let store = open(&faulty, config(directory.path())).await;
    assert_eq!(
        value(&store, &run_1(), "a").await.as_deref(),
        Some("theirs")
    );
    let kept = forks(&store).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        value(&store, &kept[0].stored_as, "a").await.as_deref(),
        Some("journaled")
    );
}

#[tokio::test]
async fn an_emptied_primary_is_filled_from_the_journal_of_an_ended_process() {
    let faulty = Faulty::new();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&faulty, config(directory.path())).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "b", "2")).await;
    drop(store);
    faulty.empty();
    faulty.set(Weather::Fair);
    let store = open(&faulty, config(directory.path())).await;
    assert_eq!(value(&store, &run_1(), "a").await.as_deref(), Some("1"));
    assert_eq!(value(&store, &run_1(), "b").await.as_deref(), Some("2"));
    assert_eq!(store.status().forks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_acknowledges_nothing() {
    let (faulty, disk) = (Faulty::new(), Faulty::new());
    let config = FallbackConfig::degrade_durable(Arc::new(disk.clone()));
    let store = open(&faulty, config).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    disk.set(Weather::Refusing);
    let error = store.commit(&run_1(), put(&fence, "a", "1")).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Refused);
    disk.set(Weather::Fair);
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    disk.set(Weather::Refusing);
    assert!(store.commit(&run_1(), put(&fence, "a", "3")).await.is_err());
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("2"));
    let (_, revision) = acked(&store, &run_1(), put(&fence, "a", "4")).await;
    assert_eq!(revision, 2);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_could_not_be_cleared_is_found_to_be_delivered() {
    let (faulty, disk) = (Faulty::new(), Faulty::new());
    let config = || FallbackConfig::degrade_durable(Arc::new(disk.clone()));
    let store = open(&faulty, config()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    disk.set(Weather::Refusing);
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    drop(store);
    disk.set(Weather::Fair);
    let store = open(&faulty, config()).await;
    let status = store.status();
    assert_eq!((status.forks, status.pending_commits), (0, 0));
    assert_eq!(value(&store, &run_1(), "a").await.as_deref(), Some("2"));
}

#[test]
fn a_journal_directory_that_cannot_be_used_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let primary = Arc::new(Faulty::new());
        let error = FallbackStore::open(primary, config(&file))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        assert!(error.to_string().contains("file"), "{error}");
    });
}
