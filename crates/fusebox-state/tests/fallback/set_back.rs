//! The primary is there, but without what it had acknowledged.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_primary_that_was_set_back_gets_back_what_it_acknowledged() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::fail_closed()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    let replica = faulty.replica(&run_1(), &fence).await;
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    acked(&store, &run_1(), put(&fence, "b", "3")).await;
    faulty.promote(replica).await;
    assert_eq!(
        value(&*faulty.inner(), &run_1(), "a").await.as_deref(),
        Some("1")
    );

    let (_, revision) = acked(&store, &run_1(), put(&fence, "c", "4")).await;
    assert_eq!(revision, 4);
    for (name, wanted) in [("a", "2"), ("b", "3"), ("c", "4")] {
        let found = value(&*faulty.inner(), &run_1(), name).await;
        assert_eq!(found.as_deref(), Some(wanted));
    }
    assert_eq!((store.status().restored, store.status().forks), (1, 0));
}

/// Without the fallback the write lands on top of what is left, and nobody learns of the loss.
#[tokio::test(start_paused = true)]
async fn a_primary_that_was_set_back_gets_back_what_it_acknowledged_without_protection() {
    let faulty = Faulty::new();
    let fence = own(&faulty, &run_1(), "one").await;
    acked(&faulty, &run_1(), put(&fence, "a", "1")).await;
    let replica = faulty.replica(&run_1(), &fence).await;
    acked(&faulty, &run_1(), put(&fence, "a", "2")).await;
    faulty.promote(replica).await;
    acked(&faulty, &run_1(), put(&fence, "c", "4")).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_forgot_the_take_over_gets_it_back_too() {
    let faulty = Faulty::new();
    let one = own(&faulty, &run_1(), "one").await;
    acked(&faulty, &run_1(), put(&one, "a", "1")).await;
    let replica = faulty.replica(&run_1(), &one).await;
    tokio::time::advance(2 * TTL).await;
    let store = open(&faulty, FallbackConfig::fail_closed()).await;
    let two = own(&store, &run_1(), "two").await;
    acked(&store, &run_1(), put(&two, "a", "2")).await;
    faulty.promote(replica).await;
    let stale = faulty.commit(&run_1(), put(&one, "b", "old owner")).await;
    assert!(
        stale.unwrap().is_applied(),
        "the old lease is current again"
    );

    acked(&store, &run_1(), put(&two, "a", "3")).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("3"));
    assert_eq!(value(&faulty, &run_1(), "b").await, None);
    let fenced = faulty.commit(&run_1(), put(&one, "b", "again")).await;
    assert!(matches!(fenced.unwrap(), CommitOutcome::StaleEpoch { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_notices_too() {
    let faulty = Faulty::new();
    let one = own(&faulty, &run_1(), "one").await;
    let replica = faulty.replica(&run_1(), &one).await;
    tokio::time::advance(2 * TTL).await;
    let store = open(&faulty, FallbackConfig::fail_closed()).await;
    let two = own(&store, &run_1(), "two").await;
    acked(&store, &run_1(), put(&two, "a", "2")).await;
    faulty.promote(replica).await;
    let renewed = store.renew(&run_1(), &two, TTL).await.unwrap();
    assert_eq!(renewed, RenewOutcome::Renewed);
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn an_emptied_primary_is_filled_again_by_live_owners() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::fail_closed()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    faulty.empty();
    acked(&store, &run_1(), put(&fence, "b", "2")).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("1"));
    assert_eq!(value(&faulty, &run_1(), "b").await.as_deref(), Some("2"));
    // A second time too: the new name was learned.
    faulty.empty();
    acked(&store, &run_1(), put(&fence, "c", "3")).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removed_stays_removed() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::degrade_volatile()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    assert!(faulty.expire(&run_1(), Some(Duration::ZERO)).await.unwrap());
    let outcome = store.commit(&run_1(), put(&fence, "b", "2")).await.unwrap();
    assert_eq!(outcome, CommitOutcome::StaleEpoch { current: None });
    assert_eq!(faulty.head(&run_1()).await.unwrap(), None);
    let kept = forks(&store).await.unwrap();
    assert_eq!(kept.len(), 1, "its owner may still want what it held");
    assert_eq!(kept[0].winner, None);
}

#[tokio::test(start_paused = true)]
async fn an_owner_learns_what_was_lost_to_another() {
    let faulty = Faulty::new();
    let store = open(&faulty, FallbackConfig::fail_closed()).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    let replica = faulty.replica(&run_1(), &fence).await;
    acked(&store, &run_1(), put(&fence, "a", "lost")).await;
    faulty.promote(replica).await;
    tokio::time::advance(2 * TTL).await;
    let theirs = own(&*faulty.inner(), &run_1(), "two").await;
    acked(&*faulty.inner(), &run_1(), put(&theirs, "a", "theirs")).await;
    let outcome = store
        .commit(&run_1(), put(&fence, "a", "next"))
        .await
        .unwrap();
    assert!(matches!(outcome, CommitOutcome::StaleEpoch { .. }));
    assert_eq!(
        value(&store, &run_1(), "a").await.as_deref(),
        Some("theirs")
    );
    let kept = forks(&store).await.unwrap();
    assert_eq!(
        value(&store, &kept[0].stored_as, "a").await.as_deref(),
        Some("lost")
    );
    assert_eq!(store.status().forks, 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_of_what_cannot_be_put_back_is_told_of_the_loss() {
    let faulty = Faulty::new();
    let config = FallbackConfig::fail_closed().with_mirror_bytes(0);
    let store = open(&faulty, config).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    let replica = faulty.replica(&run_1(), &fence).await;
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    assert_eq!(store.status().unmirrored, 1);
    faulty.promote(replica).await;
    let outcome = store.commit(&run_1(), put(&fence, "b", "3")).await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::StaleEpoch { .. }),
        "{outcome:?}"
    );
    assert_eq!(value(&faulty, &run_1(), "b").await, None);
}

/// A write whose caller left is in a replica, at the number of a later, acknowledged one.
#[tokio::test(start_paused = true)]
async fn as_many_commits_are_not_the_same_commits() {
    let faulty = Faulty::new();
    let closed = FallbackConfig::fail_closed().with_patience(Duration::ZERO);
    let store = open(&faulty, closed).await;
    let fence = own(&store, &run_1(), "one").await;
    acked(&store, &run_1(), put(&fence, "a", "1")).await;
    let before = faulty.replica(&run_1(), &fence).await;
    faulty.set(super::double::Weather::AnswerLost);
    assert!(
        store
            .commit(&run_1(), put(&fence, "x", "given up"))
            .await
            .is_err()
    );
    let with_it = faulty.replica(&run_1(), &fence).await;
    faulty.promote(before).await;
    faulty.set(super::double::Weather::Fair);
    until(&store, StoreMode::Healthy).await;
    acked(&store, &run_1(), put(&fence, "a", "2")).await;
    faulty.promote(with_it).await;
    acked(&store, &run_1(), put(&fence, "b", "3")).await;
    assert_eq!(value(&faulty, &run_1(), "a").await.as_deref(), Some("2"));
    assert_eq!(value(&faulty, &run_1(), "b").await.as_deref(), Some("3"));
    assert_eq!(value(&faulty, &run_1(), "x").await, None);
}
