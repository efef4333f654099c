//! The primary is away and comes back.

use super::double::Weather;
use super::*;

#[tokio::test(start_paused = true)]
async fn failing_closed_acknowledges_nothing_while_away() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::fail_closed()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.set(Weather::Away);
    let error = store.commit(&run_1(), put(&fence, "a", "2")).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.status().mode, StoreMode::Degraded);
    assert_eq!(store.status().durability, None);
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    assert_eq!(value(&store, &run_1(), "a").await.as_deref(), Some("1"));
    let (durability, revision) = acked(&store, &run_1(), put(&fence, "a", "3")).await;
    assert_eq!((durability, revision), (Durability::Primary, 2));
}

#[tokio::test(start_paused = true)]
async fn an_owner_goes_on_while_away_and_is_delivered_in_order() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.set(Weather::Away);
    for (revision, value) in [(2, "2"), (3, "3"), (4, "4")] {
        let answer = acked(&store, &run_1(), put(&fence, "a", value)).await;
        assert_eq!(answer, (Durability::Volatile, revision));
    }
    let status = store.status();
    assert_eq!(
        (
            status.mode,
            status.pending_partitions,
            status.pending_commits
        ),
        (StoreMode::Degraded, 1, 3)
    );
    assert_eq!(
        (status.at_risk, status.durability),
        (3, Some(Durability::Volatile))
    );
    assert!(status.cause.as_deref().unwrap().contains("cable"));
    assert!(status.lease_valid_for.unwrap() > Duration::from_secs(20));
    assert_eq!(
        value(&*faulty.inner(), &run_1(), "a").await.as_deref(),
        Some("1")
    );
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    assert!(store.settle(Duration::from_secs(1)).await);
    let image = faulty.inner().image(&run_1()).await.unwrap().unwrap();
    assert_eq!((image.revision, image.entries[0].1.version), (4, 4));
    assert_eq!(image.writes.len(), 4, "each under its own id");
    let status = store.status();
    assert_eq!((status.pending_commits, status.at_risk), (0, 0));
    assert_eq!((status.restored, status.forks), (0, 0));
    acked(&store, &run_1(), put(&fence, "a", "5")).await;
}

#[tokio::test(start_paused = true)]
async fn every_mode_on_the_way_is_told() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    let mut changes = store.mode_changes();
    let told = tokio::spawn(async move {
        let mut told = vec![*changes.borrow_and_update()];
        while *told.last().unwrap() != StoreMode::Healthy || told.len() == 1 {
            changes.changed().await.unwrap();
            told.push(*changes.borrow_and_update());
            // Others take their turn between two changes only if this task yields to them.
            tokio::task::yield_now().await;
        }
        told
    });
    tokio::task::yield_now().await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.set(Weather::Fair);
    let told = told.await.unwrap();
    assert_eq!(told.first(), Some(&StoreMode::Healthy));
    assert!(told.contains(&StoreMode::Suspect), "{told:?}");
    assert!(told.contains(&StoreMode::Degraded), "{told:?}");
    assert_eq!(told.last(), Some(&StoreMode::Healthy));
}

#[tokio::test(start_paused = true)]
async fn a_short_silence_is_waited_out() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    let back = faulty.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        back.set(Weather::Fair);
    });
    let (durability, _) = acked(&store, &run_1(), put(&fence, "a", "1")).await;
    assert_eq!(durability, Durability::Primary);
    until(&store, StoreMode::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_in_doubt_is_made_once() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::AnswerLost);
    let write = put(&fence, "a", "once");
    let (durability, revision) = acked(&store, &run_1(), write.clone()).await;
    assert_eq!((durability, revision), (Durability::Volatile, 1));
    assert_eq!(
        value(&*faulty.inner(), &run_1(), "a").await.as_deref(),
        Some("once")
    );
    acked(&store, &run_1(), put(&fence, "b", "next")).await;
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    let image = faulty.inner().image(&run_1()).await.unwrap().unwrap();
    assert_eq!((image.revision, image.writes.len()), (2, 2));
    assert_eq!(image.writes[0].id, write.id());
    assert_eq!(store.status().forks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_given_up_in_doubt_gives_way_to_what_was_acknowledged() {
    let faulty = Faulty::new();
    let closed = FallbackConfig::fail_closed().with_patience(Duration::ZERO);
    let store = open(&faulty, closed).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::AnswerLost);
    let doubtful = store.commit(&run_1(), put(&fence, "a", "given up")).await;
    assert!(doubtful.unwrap_err().may_have_applied());
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    // It had been applied: the owner goes on from there, whether or not it knows.
    let (_, revision) = acked(&store, &run_1(), put(&fence, "a", "next")).await;
    assert_eq!(revision, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_writes_counts_as_away_at_once() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Refusing);
    let asked = faulty.asked();
    let (durability, _) = acked(&store, &run_1(), put(&fence, "a", "1")).await;
    assert_eq!(durability, Durability::Volatile);
    assert_eq!(faulty.asked(), asked + 1, "asked once");
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    assert_eq!(
        value(&*faulty.inner(), &run_1(), "a").await.as_deref(),
        Some("1")
    );
}

#[tokio::test(start_paused = true)]
async fn calls_do_not_ask_a_store_that_is_away() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    assert_eq!(store.status().mode, StoreMode::Degraded);
    let asked = faulty.asked();
    let other = Partition::try_new("run-2").unwrap();
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    assert!(store.get(&other, &key("a")).await.is_err());
    assert!(store.partitions("", None, 10).await.is_err());
    let request = LeaseRequest::new("one", TTL);
    assert!(store.acquire(&other, request).await.is_err());
    let stray = Commit::new(WriteId::random()).put(key("a"), Expect::Any, vec![]);
    let error = store.commit(&other, stray).await.unwrap_err();
    assert!(!error.may_have_applied(), "it was not sent");
    assert_eq!(faulty.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn what_is_owned_can_be_read_while_away() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let before = Commit::new(WriteId::random()).put(key("old"), Expect::Any, b"0".to_vec());
    assert!(store.commit(&run_1(), before).await.unwrap().is_applied());
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "b", "2")).await;
    for (name, wanted) in [("old", "0"), ("a", "1"), ("b", "2")] {
        assert_eq!(value(&store, &run_1(), name).await.as_deref(), Some(wanted));
    }
    let page = store.scan(&run_1(), "", None, 10).await.unwrap();
    assert_eq!(page.items.len(), 3);
    assert_eq!(store.head(&run_1()).await.unwrap().unwrap().revision, 3);
    let lease = store.lease(&run_1()).await.unwrap().unwrap();
    assert_eq!(lease.epoch, fence.epoch);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_past_the_lease() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    tokio::time::advance(TTL).await;
    let error = store.commit(&run_1(), put(&fence, "a", "2")).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(store.renew(&run_1(), &fence, TTL).await.is_err());
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    assert_eq!(
        value(&*faulty.inner(), &run_1(), "a").await.as_deref(),
        Some("1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_lone_process_may_go_on_past_the_lease() {
    let faulty = Faulty::new();
    let config = FallbackConfig::degrade_volatile().past_lease(true);
    let store = open(&faulty, config).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    tokio::time::advance(2 * TTL).await;
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    let renewed = store.renew(&run_1(), &fence, TTL).await.unwrap();
    assert_eq!(renewed, RenewOutcome::Renewed);
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    assert_eq!(
        value(&*faulty.inner(), &run_1(), "a").await.as_deref(),
        Some("2")
    );
}

#[tokio::test(start_paused = true)]
async fn another_owner_meanwhile_wins_and_what_was_acknowledged_is_kept_apart() {
    let faulty = Faulty::new();
    let config = FallbackConfig::degrade_volatile().past_lease(true);
    let store = open(&faulty, config).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "common")).await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "mine")).await;
    tokio::time::advance(2 * TTL).await;
    let theirs = own(&*faulty.inner(), &run_1(), "two").await;
    acked(&*faulty.inner(), &run_1(), put(&theirs, "a", "theirs")).await;
    acked(&store, &run_1(), put(&fence, "b", "mine too")).await;
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;

    assert_eq!(
        value(&store, &run_1(), "a").await.as_deref(),
        Some("theirs")
    );
    assert_eq!(value(&store, &run_1(), "b").await, None);
    let outcome = store
        .commit(&run_1(), put(&fence, "a", "late"))
        .await
        .unwrap();
    assert_eq!(
        outcome,
        CommitOutcome::StaleEpoch {
            current: Some(theirs.epoch)
        }
    );
    let status = store.status();
    assert_eq!(
        (status.forks, status.pending_commits, status.owned),
        (1, 0, 0)
    );
    let forks = forks(&store).await.unwrap();
    let [fork] = &forks[..] else {
        panic!("{forks:?}");
    };
    assert_eq!(fork.partition, run_1());
    assert_eq!(
        (fork.epoch, fork.revision, fork.winner),
        (fence.epoch, 3, Some(theirs.epoch))
    );
    assert_eq!(
        value(&store, &fork.stored_as, "a").await.as_deref(),
        Some("mine")
    );
    assert_eq!(
        value(&store, &fork.stored_as, "b").await.as_deref(),
        Some("mine too")
    );
    let head = store.head(&fork.stored_as).await.unwrap().unwrap();
    assert!(head.expires_in.is_some(), "forks do not pile up for ever");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_over_in_order_leaves_no_fork() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    tokio::time::advance(2 * TTL).await;
    let theirs = own(&*faulty.inner(), &run_1(), "two").await;
    acked(&*faulty.inner(), &run_1(), put(&theirs, "a", "2")).await;
    let outcome = store
        .commit(&run_1(), put(&fence, "a", "late"))
        .await
        .unwrap();
    assert!(matches!(outcome, CommitOutcome::StaleEpoch { .. }));
    assert_eq!(
        store.status().forks,
        0,
        "all that was acknowledged is there"
    );
    assert_eq!(value(&store, &run_1(), "a").await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_release_and_an_expiry_while_away_are_made_on_return() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    faulty.set(Weather::Away);
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    assert!(store.expire(&run_1(), Some(10 * TTL)).await.unwrap());
    let released = store.release(&run_1(), &fence).await.unwrap();
    assert_eq!(released, RenewOutcome::Released);
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    let head = faulty.inner().head(&run_1()).await.unwrap().unwrap();
    assert_eq!(head.revision, 1, "delivered before it was let go");
    assert!(head.lease.unwrap().is_expired());
    assert!(head.expires_in.unwrap() > 9 * TTL);
    assert_eq!(store.status().owned, 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_is_counted_and_not_acknowledged_while_away() {
    let faulty = Faulty::new();
    let config = FallbackConfig::degrade_volatile().with_mirror_bytes(100);
    let store = open(&faulty, config).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", &"x".repeat(60))).await;
    assert_eq!(store.status().unmirrored, 0);
    acked(&store, &run_1(), put(&fence, "a", &"y".repeat(60))).await;
    assert_eq!(
        store.status().unmirrored,
        0,
        "writing over takes no more room"
    );
    acked(&store, &run_1(), put(&fence, "b", &"z".repeat(60))).await;
    assert_eq!(store.status().unmirrored, 1);
    acked(&store, &run_1(), put(&fence, "c", "")).await;
    faulty.set(Weather::Away);
    let error = store.commit(&run_1(), put(&fence, "a", "1")).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn partitions_that_were_let_go_leave_nothing_behind() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    for run in 0..200 {
        let at = Partition::try_new(format!("run-{run}")).unwrap();
        let fence = own(&store, &at, "one").await;
        acked(&store, &at, put(&fence, "a", "1")).await;
        match run % 3 {
            0 => drop(store.release(&at, &fence).await.unwrap()),
            1 => drop(store.expire(&at, Some(Duration::ZERO)).await.unwrap()),
            // Its owner goes without a word.
            _ => tokio::time::advance(12 * TTL).await,
        }
    }
    assert!(store.status().owned <= 2, "{}", store.status().owned);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_at_the_start_is_waited_for() {
    let faulty = Faulty::new();
    faulty.set(Weather::Away);
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    assert_eq!(store.status().mode, StoreMode::Degraded);
    let request = LeaseRequest::new("one", TTL);
    assert!(store.acquire(&run_1(), request).await.is_err());
    faulty.set(Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
}
