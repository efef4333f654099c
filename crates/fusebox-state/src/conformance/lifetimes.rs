//! Expiry of partitions, and what a store says of itself.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::{CommitOutcome, Expect, RenewOutcome, StateStore};

type Shared = Arc<dyn StateStore>;

pub(super) async fn an_expired_partition_is_gone_with_its_lease(store: &dyn StateStore, _: Shared) {
    let p = partition("expired");
    let fence = acquire(store, &p, "owner", LONG).await;
    let create = write().put(key("a"), Expect::Absent, b"old".to_vec());
    let create = create.put(key("b"), Expect::Absent, vec![]);
    assert!(
        commit(store, &p, create.clone().fenced(fence.clone()))
            .await
            .is_applied()
    );
    assert!(store.expire(&p, Some(SHORT)).await.expect("expire answers"));
    pass(store, SHORT).await;
    assert_eq!(get(store, &p, "a").await, None);
    assert!(
        store
            .scan(&p, "", None, 10)
            .await
            .expect("scan answers")
            .items
            .is_empty()
    );
    assert_eq!(store.lease(&p).await.expect("lease answers"), None);
    let listed = store
        .partitions(p.as_str(), None, 1000)
        .await
        .expect("partitions answers");
    assert!(!listed.items.contains(&p), "an expired partition is listed");
    let late = commit(store, &p, create.clone().fenced(fence.clone())).await;
    assert_eq!(
        late,
        CommitOutcome::StaleEpoch { current: None },
        "its owner is out too"
    );
    let renewed = store.renew(&p, &fence, LONG).await.expect("renew answers");
    assert_eq!(
        renewed,
        RenewOutcome::Lost {
            current_epoch: None
        }
    );
    let fresh = commit(store, &p, create).await;
    assert!(
        matches!(fresh, CommitOutcome::Applied { .. }),
        "write ids go with it: {fresh:?}"
    );
    assert_eq!(version(store, &p, "a").await, Some(1));
    pass(store, SHORT).await;
    assert_eq!(
        version(store, &p, "a").await,
        Some(1),
        "the new one does not expire"
    );
}

pub(super) async fn expiring_at_once_removes_everything(store: &dyn StateStore, _: Shared) {
    let p = partition("removed");
    put(store, &p, "a", b"").await;
    let _fence = acquire(store, &p, "owner", LONG).await;
    assert!(
        store
            .expire(&p, Some(Duration::ZERO))
            .await
            .expect("expire answers")
    );
    assert_eq!(get(store, &p, "a").await, None);
    assert_eq!(store.lease(&p).await.expect("lease answers"), None);
    assert!(
        !store
            .expire(&p, Some(Duration::ZERO))
            .await
            .expect("expire answers"),
        "gone"
    );
    put(store, &p, "a", b"").await;
    assert_eq!(version(store, &p, "a").await, Some(1));
}

/// Times to live for a check that must do something before they end: a loaded machine gets more.
fn longer_and_longer() -> impl Iterator<Item = Duration> {
    (0..8).map(|doubled| SHORT * (1 << doubled))
}

pub(super) async fn an_expiry_can_be_called_off(store: &dyn StateStore, _: Shared) {
    for ttl in longer_and_longer() {
        let p = partition("kept");
        put(store, &p, "a", b"").await;
        assert!(store.expire(&p, Some(LONG)).await.expect("expire answers"));
        assert!(store.expire(&p, Some(ttl)).await.expect("expire answers"));
        if !store.expire(&p, None).await.expect("expire answers") {
            continue;
        }
        pass(store, ttl).await;
        assert_eq!(version(store, &p, "a").await, Some(1));
        put(store, &p, "b", b"").await;
        assert_eq!(version(store, &p, "b").await, Some(1));
        return;
    }
    panic!("no expiry could be called off in time");
}

pub(super) async fn writing_does_not_postpone_an_expiry(store: &dyn StateStore, _: Shared) {
    for ttl in longer_and_longer() {
        let p = partition("written");
        let _nothing = commit(store, &p, write()).await;
        assert!(store.expire(&p, Some(ttl)).await.expect("expire answers"));
        // Whatever this write brings into being must expire with the rest.
        let first = commit(store, &p, write().put(key("a"), Expect::Any, vec![])).await;
        if !matches!(first, CommitOutcome::Applied { revision: 2, .. }) {
            // It came too late, and made the partition anew.
            continue;
        }
        pass(store, ttl).await;
        assert_eq!(get(store, &p, "a").await, None);
        let page = store.scan(&p, "", None, 10).await.expect("scan answers");
        assert!(page.items.is_empty());
        assert_eq!(store.head(&p).await.expect("head answers"), None);
        return;
    }
    panic!("no write came before an expiry");
}

pub(super) async fn a_partition_that_is_not_there_does_not_expire(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("nothing");
    for ttl in [Some(LONG), Some(Duration::ZERO), None] {
        assert!(
            !store.expire(&p, ttl).await.expect("expire answers"),
            "{ttl:?}"
        );
    }
    put(store, &p, "a", b"").await;
    assert_eq!(version(store, &p, "a").await, Some(1));
}

pub(super) async fn the_clock_does_not_stand_still(store: &dyn StateStore, _: Shared) {
    let start = store.now().await.expect("now answers");
    pass(store, SHORT).await;
    let passed = store
        .now()
        .await
        .expect("now answers")
        .duration_since(start);
    assert!(passed.expect("the clock went back") >= SHORT);
}

pub(super) async fn the_description_tells_the_durability_of_writes(
    store: &dyn StateStore,
    _: Shared,
) {
    let write = write();
    let p = partition("durability");
    let description = store.describe();
    assert!(!description.kind.is_empty() && !description.location.is_empty());
    let durability = description.durability;
    let applied = commit(store, &p, write.clone()).await;
    let revision = 1;
    assert_eq!(
        applied,
        CommitOutcome::Applied {
            durability,
            revision
        }
    );
    assert_eq!(
        commit(store, &p, write).await,
        CommitOutcome::Duplicate {
            durability,
            revision
        }
    );
}

pub(super) async fn a_working_store_is_healthy(store: &dyn StateStore, _: Shared) {
    let health = store.health().await.expect("health answers");
    assert!(health.warnings.iter().all(|warning| !warning.is_empty()));
}
