//! Who may write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::support::*;
use crate::{
    AcquireOutcome, CommitOutcome, Expect, Fence, LeaseRequest, RenewOutcome, StateStore, TokenId,
};

type Shared = Arc<dyn StateStore>;

/// A lease that has run out as soon as it is given.
const NONE: Duration = Duration::ZERO;

pub(super) async fn a_partition_never_leased_has_no_lease(store: &dyn StateStore, _: Shared) {
    let p = partition("free");
    assert_eq!(store.lease(&p).await.expect("lease answers"), None);
    put(store, &p, "a", b"").await;
    assert_eq!(store.lease(&p).await.expect("lease answers"), None);
}

pub(super) async fn a_running_lease_keeps_others_out(store: &dyn StateStore, _: Shared) {
    let p = partition("held");
    let fence = acquire(store, &p, "first", LONG).await;
    let lease = store
        .lease(&p)
        .await
        .expect("lease answers")
        .expect("a lease");
    assert_eq!((lease.owner.as_str(), lease.epoch), ("first", fence.epoch));
    assert_eq!(lease.token_id, fence.token_id());
    assert!(
        lease.remaining > LONG / 2 && lease.remaining <= LONG,
        "{lease:?}"
    );
    for owner in ["second", "first"] {
        let AcquireOutcome::Held(held) = request(store, &p, LeaseRequest::new(owner, LONG)).await
        else {
            panic!("`{owner}` got a partition that is held");
        };
        assert_eq!((held.owner.as_str(), held.epoch), ("first", fence.epoch));
    }
    let write = write().fenced(fence).put(key("a"), Expect::Absent, vec![]);
    assert!(commit(store, &p, write).await.is_applied());
}

pub(super) async fn a_lease_that_ran_out_can_be_acquired(store: &dyn StateStore, _: Shared) {
    let p = partition("ran-out");
    let first = acquire(store, &p, "first", SHORT).await;
    pass(store, SHORT).await;
    let lease = store
        .lease(&p)
        .await
        .expect("lease answers")
        .expect("the record stays");
    assert!(lease.is_expired() && lease.owner == "first", "{lease:?}");
    let outcome = request(store, &p, LeaseRequest::new("second", LONG)).await;
    let AcquireOutcome::Acquired {
        fence,
        previous: Some(previous),
    } = outcome
    else {
        panic!("acquired, and told whom from: {outcome:?}");
    };
    assert!(fence.epoch > first.epoch);
    assert_eq!(
        (previous.owner.as_str(), previous.epoch),
        ("first", first.epoch)
    );
    assert_eq!(previous.token_id, first.token_id());
    assert!(previous.is_expired());
}

pub(super) async fn a_released_lease_can_be_acquired(store: &dyn StateStore, _: Shared) {
    let p = partition("released");
    let first = acquire(store, &p, "first", LONG).await;
    for _ in 0..2 {
        let released = store.release(&p, &first).await.expect("release answers");
        assert_eq!(released, RenewOutcome::Released);
    }
    let second = acquire(store, &p, "second", LONG).await;
    assert!(second.epoch > first.epoch);
}

pub(super) async fn epochs_grow_and_follow_the_clock(store: &dyn StateStore, _: Shared) {
    let p = partition("epochs");
    let before = store.now().await.expect("now answers");
    let before = before
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_millis();
    let mut last = 0;
    for _ in 0..5 {
        let fence = acquire(store, &p, "owner", NONE).await;
        assert!(fence.epoch > last, "{} after {last}", fence.epoch);
        assert!(
            u128::from(fence.epoch) >= before,
            "{} is before {before}",
            fence.epoch
        );
        last = fence.epoch;
    }
}

pub(super) async fn a_stale_fence_cannot_write(store: &dyn StateStore, _: Shared) {
    let p = partition("stale");
    let old = acquire(store, &p, "old", NONE).await;
    let new = acquire(store, &p, "new", LONG).await;
    let put = |fence: &Fence| {
        write()
            .fenced(fence.clone())
            .put(key("a"), Expect::Any, vec![1])
    };
    let refused = CommitOutcome::StaleEpoch {
        current: Some(new.epoch),
    };
    assert_eq!(commit(store, &p, put(&old)).await, refused);
    assert_eq!(get(store, &p, "a").await, None);
    assert!(commit(store, &p, put(&new)).await.is_applied());
    assert_eq!(commit(store, &p, put(&old)).await, refused);
    assert_eq!(version(store, &p, "a").await, Some(1));
}

pub(super) async fn the_epoch_alone_is_no_fence(store: &dyn StateStore, _: Shared) {
    let p = partition("token");
    let fence = acquire(store, &p, "owner", LONG).await;
    let mut token = fence.token;
    token[15] ^= 1;
    for forged in [
        Fence {
            epoch: fence.epoch,
            token,
        },
        Fence {
            epoch: fence.epoch + 1,
            token: fence.token,
        },
        Fence {
            epoch: fence.epoch - 1,
            token: fence.token,
        },
    ] {
        let write = write()
            .fenced(forged.clone())
            .put(key("a"), Expect::Any, vec![]);
        let outcome = commit(store, &p, write).await;
        assert_eq!(
            outcome,
            CommitOutcome::StaleEpoch {
                current: Some(fence.epoch)
            }
        );
        let renewed = store.renew(&p, &forged, LONG).await.expect("renew answers");
        assert_eq!(
            renewed,
            RenewOutcome::Lost {
                current_epoch: Some(fence.epoch)
            }
        );
    }
}

pub(super) async fn a_leased_partition_takes_no_write_without_fence(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("unfenced");
    put(store, &p, "a", b"").await;
    let fence = acquire(store, &p, "owner", LONG).await;
    let unfenced = || write().put(key("a"), Expect::Any, vec![]);
    let refused = CommitOutcome::StaleEpoch {
        current: Some(fence.epoch),
    };
    assert_eq!(commit(store, &p, unfenced()).await, refused);
    let released = store.release(&p, &fence).await.expect("release answers");
    assert_eq!(released, RenewOutcome::Released);
    assert_eq!(
        commit(store, &p, unfenced()).await,
        refused,
        "once leased, always fenced"
    );
    assert_eq!(version(store, &p, "a").await, Some(1));
}

pub(super) async fn a_fence_is_refused_where_no_lease_is(store: &dyn StateStore, _: Shared) {
    let p = partition("no-lease");
    let fence = Fence {
        epoch: 1,
        token: [7; 16],
    };
    let write = write()
        .fenced(fence.clone())
        .put(key("a"), Expect::Any, vec![]);
    assert_eq!(
        commit(store, &p, write).await,
        CommitOutcome::StaleEpoch { current: None }
    );
    let lost = RenewOutcome::Lost {
        current_epoch: None,
    };
    assert_eq!(
        store.renew(&p, &fence, LONG).await.expect("renew answers"),
        lost
    );
    assert_eq!(
        store.release(&p, &fence).await.expect("release answers"),
        lost
    );
}

pub(super) async fn a_lease_that_ran_out_still_writes_until_it_is_taken(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("late");
    let fence = acquire(store, &p, "slow", NONE).await;
    let late = write()
        .fenced(fence.clone())
        .put(key("a"), Expect::Any, vec![]);
    assert!(
        commit(store, &p, late).await.is_applied(),
        "nobody else came"
    );
    assert_eq!(
        store.renew(&p, &fence, LONG).await.expect("renew answers"),
        RenewOutcome::Renewed
    );
    let outcome = request(store, &p, LeaseRequest::new("other", LONG)).await;
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
}

pub(super) async fn a_repeat_after_losing_the_lease_is_still_a_duplicate(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("lost");
    let old = acquire(store, &p, "old", NONE).await;
    let base = write().put(key("a"), Expect::Absent, vec![]);
    assert!(
        commit(store, &p, base.clone().fenced(old.clone()))
            .await
            .is_applied()
    );
    let new = acquire(store, &p, "new", LONG).await;
    for fence in [old, new] {
        let again = commit(store, &p, base.clone().fenced(fence)).await;
        assert!(
            matches!(again, CommitOutcome::Duplicate { .. }),
            "{again:?}"
        );
    }
}

pub(super) async fn renewing_moves_the_end_of_a_lease(store: &dyn StateStore, _: Shared) {
    let p = partition("renew");
    let fence = acquire(store, &p, "owner", SHORT).await;
    assert_eq!(
        store.renew(&p, &fence, LONG).await.expect("renew answers"),
        RenewOutcome::Renewed
    );
    pass(store, SHORT).await;
    let lease = store
        .lease(&p)
        .await
        .expect("lease answers")
        .expect("a lease");
    assert!(lease.remaining > LONG / 2, "{lease:?}");
    assert_eq!(lease.epoch, fence.epoch, "a renewal is no new acquisition");
    assert_eq!(
        store.renew(&p, &fence, NONE).await.expect("renew answers"),
        RenewOutcome::Renewed
    );
    let lease = store
        .lease(&p)
        .await
        .expect("lease answers")
        .expect("a lease");
    assert!(lease.is_expired(), "a renewal may also shorten: {lease:?}");
}

pub(super) async fn a_lost_lease_is_neither_renewed_nor_released(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("taken");
    let old = acquire(store, &p, "old", NONE).await;
    let new = acquire(store, &p, "new", LONG).await;
    let lost = RenewOutcome::Lost {
        current_epoch: Some(new.epoch),
    };
    assert_eq!(
        store.renew(&p, &old, LONG).await.expect("renew answers"),
        lost
    );
    assert_eq!(
        store.release(&p, &old).await.expect("release answers"),
        lost
    );
    let lease = store
        .lease(&p)
        .await
        .expect("lease answers")
        .expect("a lease");
    assert!(lease.owner == "new" && !lease.is_expired(), "{lease:?}");
}

pub(super) async fn a_takeover_needs_the_id_of_the_current_lease(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("takeover");
    let first = acquire(store, &p, "first", LONG).await;
    let take = |id: TokenId| LeaseRequest::new("heir", LONG).with_takeover(id);
    let outcome = request(store, &p, take(TokenId::new("0123456789abcdef"))).await;
    assert!(
        matches!(outcome, AcquireOutcome::Held(_)),
        "another lease was named: {outcome:?}"
    );
    let outcome = request(store, &p, take(first.token_id())).await;
    let AcquireOutcome::Acquired {
        fence,
        previous: Some(previous),
    } = outcome
    else {
        panic!("the current lease was named: {outcome:?}");
    };
    assert!(fence.epoch > first.epoch && previous.owner == "first" && !previous.is_expired());
    let outcome = request(store, &p, take(first.token_id())).await;
    assert!(
        matches!(outcome, AcquireOutcome::Held(_)),
        "a takeover works once: {outcome:?}"
    );
    let late = commit(store, &p, write().fenced(first)).await;
    assert_eq!(
        late,
        CommitOutcome::StaleEpoch {
            current: Some(fence.epoch)
        }
    );
}

pub(super) async fn tokens_are_never_drawn_twice(store: &dyn StateStore, _: Shared) {
    let p = partition("tokens");
    let mut tokens = BTreeSet::new();
    for _ in 0..20 {
        tokens.insert(acquire(store, &p, "owner", NONE).await.token);
    }
    assert_eq!(tokens.len(), 20);
}

pub(super) async fn a_first_lease_gives_way_to_any_that_was_there(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("first");
    let first = || LeaseRequest::new("maker", SHORT).only_first();
    let AcquireOutcome::Acquired { fence, previous } = request(store, &p, first()).await else {
        panic!("nobody has it");
    };
    assert_eq!(previous, None);
    pass(store, SHORT).await;
    for _ in 0..2 {
        let AcquireOutcome::Held(lease) = request(store, &p, first()).await else {
            panic!("somebody had it");
        };
        assert!(lease.is_expired() && lease.owner == "maker", "{lease:?}");
        let released = store.release(&p, &fence).await.expect("release answers");
        assert_eq!(released, RenewOutcome::Released);
    }
    let takeover = first().with_takeover(fence.token_id());
    let taken = request(store, &p, takeover).await;
    assert!(
        matches!(taken, AcquireOutcome::Acquired { .. }),
        "{taken:?}"
    );
}
