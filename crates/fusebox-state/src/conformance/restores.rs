//! Whole partitions: looked at, taken along, put back.
//!
//! No store is set back here. A partition made from an older image is the same to a store as one
//! that forgot its latest commits.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::{
    AcquireOutcome, CommitOutcome, Expect, Fence, GiveUpOutcome, Image, LeaseMark, LeaseRequest,
    Partition, Restore, RestoreOutcome, StateStore, StoreId, TokenId, WriteId,
};

type Shared = Arc<dyn StateStore>;

async fn image(store: &dyn StateStore, at: &Partition) -> Image {
    let image = store.image(at).await.expect("image answers");
    image.expect("the partition is there")
}

async fn restore(store: &dyn StateStore, at: &Partition, restore: Restore) -> RestoreOutcome {
    store.restore(at, restore).await.expect("restore answers")
}

fn back(fence: &Fence, image: &Image) -> Restore {
    Restore::new(fence.clone(), "restorer", LONG, image.clone())
}

fn is_restored(outcome: &RestoreOutcome) -> bool {
    matches!(outcome, RestoreOutcome::Restored { .. })
}

/// A lease that no store ever gave.
fn other_fence(epoch: u64) -> Fence {
    Fence {
        epoch,
        token: *WriteId::random().as_bytes(),
    }
}

/// A leased partition after one commit of its owner's and after two: the fence and both images.
async fn history(store: &dyn StateStore, at: &Partition) -> (Fence, Image, Image) {
    put(store, at, "before", b"unleased").await;
    let fence = acquire(store, at, "owner", LONG).await;
    let step = |name, value: &[u8]| {
        let write = write().fenced(fence.clone());
        write.put(key(name), Expect::Any, value.to_vec())
    };
    assert!(commit(store, at, step("a", b"1")).await.is_applied());
    let early = image(store, at).await;
    let second = step("a", b"2").delete(key("before"), Expect::Any);
    assert!(commit(store, at, second).await.is_applied());
    let late = image(store, at).await;
    (fence, early, late)
}

/// A partition that has forgotten the latest commit of [`history`].
async fn set_back(store: &dyn StateStore, label: &str) -> (Partition, Fence, Image) {
    let (fence, early, late) = history(store, &partition(label)).await;
    let p = partition(label);
    let made = restore(store, &p, back(&fence, &early).onto_absent()).await;
    assert!(is_restored(&made), "{made:?}");
    (p, fence, late)
}

pub(super) async fn a_head_tells_what_a_partition_holds(store: &dyn StateStore, _: Shared) {
    let p = partition("head");
    assert_eq!(store.head(&p).await.expect("head answers"), None);
    put(store, &p, "a", b"12345").await;
    put(store, &p, "b", b"678").await;
    put(store, &p, "a", b"90").await;
    let head = store.head(&p).await.expect("head answers").expect("there");
    assert_eq!((head.revision, head.keys, head.value_bytes), (3, 2, 5));
    assert_eq!((head.lease, head.expires_in), (None, None));
    assert!(head.changed.expect("it was written") <= store.now().await.expect("now answers"));

    let outcome = commit(store, &p, write().delete(key("a"), Expect::Any)).await;
    assert!(outcome.is_applied());
    let fence = acquire(store, &p, "owner", LONG).await;
    assert!(store.expire(&p, Some(LONG)).await.expect("expire answers"));
    let head = store.head(&p).await.expect("head answers").expect("there");
    assert_eq!((head.revision, head.keys, head.value_bytes), (4, 1, 3));
    assert_eq!(head.lease.expect("leased").epoch, fence.epoch);
    let left = head.expires_in.expect("it expires");
    assert!(left <= LONG && !left.is_zero(), "{left:?}");

    let leased = partition("head-leased");
    let _ = acquire(store, &leased, "owner", LONG).await;
    let head = store.head(&leased).await.expect("head answers");
    let head = head.expect("a leased partition is there");
    assert_eq!((head.revision, head.keys, head.changed), (0, 0, None));
}

pub(super) async fn an_image_holds_everything(store: &dyn StateStore, _: Shared) {
    let p = partition("image");
    assert_eq!(store.image(&p).await.expect("image answers"), None);
    let first =
        write()
            .put(key("b"), Expect::Any, b"2".to_vec())
            .put(key("a"), Expect::Any, b"1".to_vec());
    let second = write().delete(key("b"), Expect::Any);
    assert!(commit(store, &p, first.clone()).await.is_applied());
    assert!(commit(store, &p, second.clone()).await.is_applied());
    put(store, &p, "a", b"3").await;
    let image = image(store, &p).await;
    assert_eq!((image.revision, image.version_floor), (3, 1));
    let [(name, entry)] = &image.entries[..] else {
        panic!("one key is left: {image:?}");
    };
    assert_eq!(
        (name.as_str(), entry.version, &entry.value[..]),
        ("a", 2, &b"3"[..])
    );
    let writes: Vec<_> = image.writes.iter().map(|write| write.revision).collect();
    assert_eq!(writes, [1, 2, 3], "oldest first");
    for (remembered, write) in image.writes.iter().zip([&first, &second]) {
        assert_eq!(remembered.id, write.id());
        assert_eq!(remembered.digest, write.digest());
    }
    assert_eq!(image.lease, None);
    let fence = acquire(store, &p, "owner", LONG).await;
    let image = self::image(store, &p).await;
    assert_eq!(image.lease, Some(LeaseMark::from(&fence)));
}

pub(super) async fn a_partition_set_back_is_restored_exactly(store: &dyn StateStore, _: Shared) {
    let (p, fence, late) = set_back(store, "set-back").await;
    assert_eq!(value(store, &p, "a").await.as_deref(), Some(&b"1"[..]));
    let outcome = restore(store, &p, back(&fence, &late)).await;
    assert!(is_restored(&outcome), "{outcome:?}");
    assert_eq!(image(store, &p).await, late);
    assert_eq!(value(store, &p, "a").await.as_deref(), Some(&b"2"[..]));
    let lease = store.lease(&p).await.expect("lease answers");
    let lease = lease.expect("leased");
    assert_eq!((lease.epoch, &*lease.owner), (fence.epoch, "restorer"));
    assert!(!lease.is_expired());
    // It goes on where it was: versions and revisions never come back.
    let next = write().fenced(fence).at_revision(late.revision).put(
        key("before"),
        Expect::Absent,
        Vec::new(),
    );
    assert!(commit(store, &p, next).await.is_applied());
    assert_eq!(version(store, &p, "before").await, Some(2));
}

pub(super) async fn a_restored_partition_recognises_repeated_writes(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("remembered");
    let fence = acquire(store, &p, "owner", LONG).await;
    let write = write()
        .fenced(fence.clone())
        .put(key("a"), Expect::Any, b"once".to_vec());
    assert!(commit(store, &p, write.clone()).await.is_applied());
    let image = image(store, &p).await;
    let q = partition("remembered");
    let made = restore(store, &q, back(&fence, &image).onto_absent()).await;
    assert!(is_restored(&made), "{made:?}");
    let again = commit(store, &q, write).await;
    assert!(
        matches!(again, CommitOutcome::Duplicate { revision: 1, .. }),
        "{again:?}"
    );
    assert_eq!(version(store, &q, "a").await, Some(1));
}

pub(super) async fn a_repeated_restore_changes_nothing(store: &dyn StateStore, _: Shared) {
    let (p, fence, late) = set_back(store, "again").await;
    assert!(is_restored(&restore(store, &p, back(&fence, &late)).await));
    let again = restore(store, &p, back(&fence, &late)).await;
    assert!(matches!(again, RestoreOutcome::Current { .. }), "{again:?}");
    assert_eq!(image(store, &p).await, late);
}

pub(super) async fn a_restore_never_undoes_commits(store: &dyn StateStore, _: Shared) {
    let p = partition("ahead");
    let (fence, early, late) = history(store, &p).await;
    assert_eq!(
        restore(store, &p, back(&fence, &early)).await,
        RestoreOutcome::Ahead {
            revision: late.revision
        }
    );
    assert_eq!(image(store, &p).await, late);
}

pub(super) async fn a_restore_replaces_a_write_that_was_never_acknowledged(
    store: &dyn StateStore,
    _: Shared,
) {
    let (p, fence, late) = set_back(store, "in-doubt").await;
    // The owner gave up on this one; what it knows to be the next revision is another write.
    let in_doubt = write()
        .fenced(fence.clone())
        .put(key("a"), Expect::Any, b"given up".to_vec());
    assert!(commit(store, &p, in_doubt.clone()).await.is_applied());
    let outcome = restore(store, &p, back(&fence, &late)).await;
    assert!(is_restored(&outcome), "{outcome:?}");
    assert_eq!(image(store, &p).await, late);
    let late_arrival = in_doubt.at_revision(late.revision - 1);
    assert_eq!(
        commit(store, &p, late_arrival).await,
        CommitOutcome::RevisionConflict {
            found: late.revision
        }
    );
}

pub(super) async fn a_restore_needs_the_own_lease_or_the_one_it_replaced(
    store: &dyn StateStore,
    _: Shared,
) {
    // Owner one wrote, owner two took over and wrote, the store forgot both take-over and write.
    let p = partition("replaced");
    let (one, early, _) = history(store, &p).await;
    let _ = store.release(&p, &one).await.expect("release answers");
    let request = LeaseRequest::new("two", LONG);
    let taken = store.acquire(&p, request).await.expect("acquire answers");
    let AcquireOutcome::Acquired {
        fence: two,
        previous: Some(previous),
    } = taken
    else {
        panic!("a released lease can be taken: {taken:?}");
    };
    let write = write()
        .fenced(two.clone())
        .put(key("b"), Expect::Any, b"two".to_vec());
    assert!(commit(store, &p, write).await.is_applied());
    let newest = image(store, &p).await;

    let q = partition("replaced");
    let made = restore(store, &q, back(&one, &early).onto_absent()).await;
    assert!(is_restored(&made), "{made:?}");
    let stale = RestoreOutcome::StaleEpoch {
        current: Some(one.epoch),
    };
    let own_only = restore(store, &q, back(&two, &newest)).await;
    assert_eq!(own_only, stale, "the own lease is not there any more");
    let right = LeaseMark::from(&previous);
    for wrong in [
        LeaseMark {
            epoch: right.epoch + 1,
            ..right.clone()
        },
        LeaseMark {
            token_id: TokenId::new("0000000000000000"),
            ..right.clone()
        },
    ] {
        let over = back(&two, &newest).over(Some(wrong));
        assert_eq!(restore(store, &q, over).await, stale);
    }
    let over = back(&two, &newest).over(Some(right));
    assert!(is_restored(&restore(store, &q, over).await));
    assert_eq!(image(store, &q).await, newest);
}

pub(super) async fn a_greater_epoch_alone_restores_nothing(store: &dyn StateStore, _: Shared) {
    let p = partition("greater");
    let (fence, _, late) = history(store, &p).await;
    let mut newer = late.clone();
    newer.revision += 10;
    let stranger = other_fence(fence.epoch + 1_000_000);
    let outcome = restore(store, &p, back(&stranger, &newer)).await;
    assert_eq!(
        outcome,
        RestoreOutcome::StaleEpoch {
            current: Some(fence.epoch)
        }
    );
    assert_eq!(image(store, &p).await, late);
}

pub(super) async fn a_restore_fences_the_lease_it_replaced(store: &dyn StateStore, _: Shared) {
    let (p, one, late) = set_back(store, "fenced").await;
    let lease = store.lease(&p).await.expect("lease answers");
    let predecessor = lease.as_ref().map(LeaseMark::from);
    let two = other_fence(one.epoch + 1);
    let outcome = restore(store, &p, back(&two, &late).over(predecessor)).await;
    assert!(is_restored(&outcome), "{outcome:?}");
    let stray = write().fenced(one).put(key("a"), Expect::Any, Vec::new());
    assert_eq!(
        commit(store, &p, stray).await,
        CommitOutcome::StaleEpoch {
            current: Some(two.epoch)
        }
    );
    let next = write().fenced(two).put(key("a"), Expect::Any, Vec::new());
    assert!(commit(store, &p, next).await.is_applied());
}

pub(super) async fn a_partition_that_is_not_there_is_restored_only_on_request(
    store: &dyn StateStore,
    _: Shared,
) {
    let (fence, _, late) = history(store, &partition("there")).await;
    let p = partition("not-there");
    let outcome = restore(store, &p, back(&fence, &late)).await;
    assert_eq!(outcome, RestoreOutcome::Absent);
    assert_eq!(store.head(&p).await.expect("head answers"), None);
    let outcome = restore(store, &p, back(&fence, &late).onto_absent()).await;
    assert!(is_restored(&outcome), "{outcome:?}");
    assert_eq!(image(store, &p).await, late);
}

pub(super) async fn a_removal_is_never_undone(store: &dyn StateStore, _: Shared) {
    let p = partition("removed");
    let (fence, _, late) = history(store, &p).await;
    let removed = store.expire(&p, Some(Duration::ZERO)).await;
    assert!(removed.expect("expire answers"));
    let outcome = restore(store, &p, back(&fence, &late).onto_absent()).await;
    assert_eq!(outcome, RestoreOutcome::Absent);
    assert_eq!(store.head(&p).await.expect("head answers"), None);

    let q = partition("expired");
    let (fence, _, late) = history(store, &q).await;
    assert!(store.expire(&q, Some(SHORT)).await.expect("expire answers"));
    pass(store, SHORT).await;
    let outcome = restore(store, &q, back(&fence, &late).onto_absent()).await;
    assert_eq!(outcome, RestoreOutcome::Absent, "it ran out of its time");
}

pub(super) async fn a_partition_without_a_lease_is_nobodys_to_restore(
    store: &dyn StateStore,
    _: Shared,
) {
    let (fence, _, late) = history(store, &partition("leased")).await;
    let p = partition("unleased");
    put(store, &p, "a", b"somebody's").await;
    // Its restorer had replaced no lease either.
    let outcome = restore(store, &p, back(&fence, &late)).await;
    assert_eq!(outcome, RestoreOutcome::StaleEpoch { current: None });
    assert_eq!(
        value(store, &p, "a").await.as_deref(),
        Some(&b"somebody's"[..])
    );
}

pub(super) async fn a_restore_meant_for_another_store_changes_nothing(
    store: &dyn StateStore,
    _: Shared,
) {
    let (p, fence, late) = set_back(store, "meant").await;
    let before = image(store, &p).await;
    let elsewhere = back(&fence, &late).at_store(StoreId::random());
    let outcome = restore(store, &p, elsewhere).await;
    assert_eq!(outcome, RestoreOutcome::OtherStore);
    assert_eq!(image(store, &p).await, before);
    let here = store.identity().await.expect("identity answers");
    let outcome = restore(store, &p, back(&fence, &late).at_store(here)).await;
    assert!(is_restored(&outcome), "{outcome:?}");
}

pub(super) async fn nothing_is_restored_under_a_lease_given_up(store: &dyn StateStore, _: Shared) {
    let (p, one, late) = set_back(store, "given-up").await;
    let lease = store.lease(&p).await.expect("lease answers");
    let predecessor = lease.as_ref().map(LeaseMark::from);
    let current = store.give_up(&p, &one).await.expect("give_up answers");
    assert_eq!(
        current,
        GiveUpOutcome::Current,
        "there is nothing to give up"
    );
    let two = other_fence(one.epoch + 1);
    let over = || back(&two, &late).over(predecessor.clone());
    for _ in 0..2 {
        let given_up = store.give_up(&p, &two).await.expect("give_up answers");
        assert_eq!(given_up, GiveUpOutcome::Recorded);
    }
    let outcome = restore(store, &p, over()).await;
    assert_eq!(outcome, RestoreOutcome::GivenUp);
    // It outlives the partition.
    let absent = partition("given-up");
    let given_up = store.give_up(&absent, &two).await;
    assert_eq!(given_up.expect("give_up answers"), GiveUpOutcome::Recorded);
    let outcome = restore(store, &absent, back(&two, &late).onto_absent()).await;
    assert_eq!(outcome, RestoreOutcome::GivenUp);
    // The current lease goes on.
    let outcome = restore(store, &p, back(&one, &late)).await;
    assert!(is_restored(&outcome), "{outcome:?}");
}

pub(super) async fn a_restore_keeps_the_time_to_live(store: &dyn StateStore, _: Shared) {
    let (p, fence, late) = set_back(store, "kept").await;
    assert!(store.expire(&p, Some(SHORT)).await.expect("expire answers"));
    let outcome = restore(store, &p, back(&fence, &late)).await;
    // The deadline may have come already.
    assert!(
        is_restored(&outcome) || outcome == RestoreOutcome::Absent,
        "{outcome:?}"
    );
    pass(store, SHORT).await;
    assert_eq!(store.head(&p).await.expect("head answers"), None);
    assert_eq!(value(store, &p, "a").await, None, "every part is gone");
}
