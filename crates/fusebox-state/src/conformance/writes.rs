//! Versions, expectations, write ids.

use std::sync::Arc;

use super::support::*;
use crate::{CommitOutcome, Expect, MAX_VALUE_BYTES, REMEMBERED_WRITES, StateStore, StoreError};

type Shared = Arc<dyn StateStore>;

pub(super) async fn a_key_never_written_is_absent_and_no_error(store: &dyn StateStore, _: Shared) {
    let p = partition("absent");
    assert_eq!(get(store, &p, "a").await, None);
    put(store, &p, "b", b"").await;
    assert_eq!(get(store, &p, "a").await, None, "another key was written");
}

pub(super) async fn the_first_version_is_one_and_each_write_adds_one(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("versions");
    for expected in 1..=5 {
        put(store, &p, "a", b"same").await;
        assert_eq!(version(store, &p, "a").await, Some(expected));
    }
    put(store, &p, "b", b"").await;
    assert_eq!(
        version(store, &p, "b").await,
        Some(1),
        "each key counts for itself"
    );
}

pub(super) async fn values_come_back_byte_for_byte(store: &dyn StateStore, _: Shared) {
    let p = partition("bytes");
    let every: Vec<u8> = (0..=255).collect();
    for bytes in [&[][..], &every, b"\r\n$-1\r\n", "\u{0}\u{fffd}é".as_bytes()] {
        put(store, &p, "a", bytes).await;
        assert_eq!(value(store, &p, "a").await.as_deref(), Some(bytes));
    }
}

pub(super) async fn a_value_over_the_limit_is_refused_and_one_at_the_limit_is_not(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("limit");
    let big: Vec<u8> = (0..MAX_VALUE_BYTES).map(|i| (i % 251) as u8).collect();
    put(store, &p, "a", &big).await;
    assert!(
        value(store, &p, "a").await == Some(big.clone()),
        "1 MiB comes back as it was"
    );
    let over = write().put(key("a"), Expect::Any, [big, vec![0]].concat());
    let error = store.commit(&p, over).await;
    assert!(
        matches!(error, Err(StoreError::TooLarge { .. })),
        "{error:?}"
    );
    assert_eq!(
        version(store, &p, "a").await,
        Some(1),
        "nothing was written"
    );
}

pub(super) async fn expecting_absence_refuses_a_key_that_exists(store: &dyn StateStore, _: Shared) {
    let p = partition("create");
    let create = |value: &[u8]| write().put(key("a"), Expect::Absent, value.to_vec());
    assert!(commit(store, &p, create(b"first")).await.is_applied());
    assert_eq!(
        commit(store, &p, create(b"second")).await,
        CommitOutcome::Conflict {
            key: key("a"),
            found: Some(1)
        }
    );
    assert_eq!(value(store, &p, "a").await.as_deref(), Some(&b"first"[..]));
}

pub(super) async fn expecting_a_version_refuses_every_other(store: &dyn StateStore, _: Shared) {
    let p = partition("cas");
    let update = |version| write().put(key("a"), Expect::Version(version), b"new".to_vec());
    assert_eq!(
        commit(store, &p, update(1)).await,
        CommitOutcome::Conflict {
            key: key("a"),
            found: None
        }
    );
    put(store, &p, "a", b"old").await;
    put(store, &p, "a", b"old").await;
    for wrong in [0, 1, 3, u64::MAX] {
        assert_eq!(
            commit(store, &p, update(wrong)).await,
            CommitOutcome::Conflict {
                key: key("a"),
                found: Some(2)
            }
        );
    }
    assert_eq!(value(store, &p, "a").await.as_deref(), Some(&b"old"[..]));
    assert!(commit(store, &p, update(2)).await.is_applied());
    assert_eq!(version(store, &p, "a").await, Some(3));
}

pub(super) async fn a_commit_changes_all_its_keys_or_none(store: &dyn StateStore, _: Shared) {
    let p = partition("atomic");
    put(store, &p, "b", b"b").await;
    put(store, &p, "d", b"d").await;
    let mixed = |expect_c| {
        write()
            .put(key("a"), Expect::Absent, b"new".to_vec())
            .put(key("b"), Expect::Version(1), b"new".to_vec())
            .delete(key("d"), Expect::Version(1))
            .put(key("c"), expect_c, b"new".to_vec())
    };
    assert_eq!(
        commit(store, &p, mixed(Expect::Version(7))).await,
        CommitOutcome::Conflict {
            key: key("c"),
            found: None
        }
    );
    assert_eq!(
        get(store, &p, "a").await,
        None,
        "its own expectation held, another's did not"
    );
    assert_eq!(value(store, &p, "b").await.as_deref(), Some(&b"b"[..]));
    assert_eq!(value(store, &p, "d").await.as_deref(), Some(&b"d"[..]));
    assert!(commit(store, &p, mixed(Expect::Absent)).await.is_applied());
    for name in ["a", "b", "c"] {
        assert_eq!(
            value(store, &p, name).await.as_deref(),
            Some(&b"new"[..]),
            "{name}"
        );
    }
    assert_eq!(get(store, &p, "d").await, None);
}

pub(super) async fn deleting_makes_a_key_absent(store: &dyn StateStore, _: Shared) {
    let p = partition("delete");
    put(store, &p, "a", b"").await;
    let delete = |expect| write().delete(key("a"), expect);
    assert_eq!(
        commit(store, &p, delete(Expect::Version(2))).await,
        CommitOutcome::Conflict {
            key: key("a"),
            found: Some(1)
        }
    );
    assert!(
        commit(store, &p, delete(Expect::Version(1)))
            .await
            .is_applied()
    );
    assert_eq!(get(store, &p, "a").await, None);
    assert!(
        commit(store, &p, delete(Expect::Any)).await.is_applied(),
        "nothing left to delete"
    );
}

pub(super) async fn a_version_never_comes_back_after_a_delete(store: &dyn StateStore, _: Shared) {
    let p = partition("aba");
    for _ in 0..3 {
        put(store, &p, "a", b"before").await;
    }
    assert!(
        commit(store, &p, write().delete(key("a"), Expect::Any))
            .await
            .is_applied()
    );
    put(store, &p, "a", b"after").await;
    let late = write().put(key("a"), Expect::Version(1), b"late".to_vec());
    assert!(
        !commit(store, &p, late).await.is_applied(),
        "version 1 was another value"
    );
    let again = version(store, &p, "a").await;
    assert!(
        again > Some(3),
        "versions up to 3 were used before the delete: {again:?}"
    );
}

pub(super) async fn a_repeated_write_id_is_a_duplicate_and_changes_nothing(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("repeat");
    let create = write().put(key("a"), Expect::Absent, b"once".to_vec());
    let first = commit(store, &p, create.clone()).await;
    assert!(matches!(first, CommitOutcome::Applied { .. }), "{first:?}");
    for _ in 0..3 {
        let again = commit(store, &p, create.clone()).await;
        assert!(
            matches!(again, CommitOutcome::Duplicate { .. }),
            "{again:?}"
        );
    }
    put(store, &p, "a", b"later").await;
    assert!(
        commit(store, &p, create).await.is_applied(),
        "the write was made, if long ago"
    );
    assert_eq!(value(store, &p, "a").await.as_deref(), Some(&b"later"[..]));
    assert_eq!(version(store, &p, "a").await, Some(2));
}

pub(super) async fn a_write_id_with_other_content_is_told_apart(store: &dyn StateStore, _: Shared) {
    let p = partition("reused");
    let base = write();
    let put = |value: &[u8]| base.clone().put(key("a"), Expect::Any, value.to_vec());
    assert!(commit(store, &p, put(b"one")).await.is_applied());
    for other in [
        put(b"two"),
        put(b"one").put(key("b"), Expect::Any, vec![]),
        base.clone(),
    ] {
        assert_eq!(
            commit(store, &p, other).await,
            CommitOutcome::DuplicateDifferent
        );
    }
    assert_eq!(version(store, &p, "a").await, Some(1));
    assert_eq!(get(store, &p, "b").await, None);
}

pub(super) async fn a_refused_write_may_be_sent_again_under_its_id(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("refused");
    let update = write().put(key("a"), Expect::Version(1), b"new".to_vec());
    assert!(!commit(store, &p, update.clone()).await.is_applied());
    put(store, &p, "a", b"old").await;
    let outcome = commit(store, &p, update).await;
    assert!(
        matches!(outcome, CommitOutcome::Applied { .. }),
        "{outcome:?}"
    );
}

pub(super) async fn the_last_128_write_ids_are_remembered(store: &dyn StateStore, _: Shared) {
    let p = partition("memory");
    let add = |n: usize| write().put(key(&format!("k{n}")), Expect::Absent, vec![]);
    for n in 0..40 {
        assert!(commit(store, &p, add(1000 + n)).await.is_applied());
    }
    let writes: Vec<_> = (0..REMEMBERED_WRITES).map(add).collect();
    for write in &writes {
        assert!(commit(store, &p, write.clone()).await.is_applied());
    }
    for (n, write) in writes.into_iter().enumerate() {
        let again = commit(store, &p, write).await;
        assert!(
            matches!(again, CommitOutcome::Duplicate { .. }),
            "{n} of 128: {again:?}"
        );
    }
}

pub(super) async fn partitions_do_not_touch_each_other(store: &dyn StateStore, _: Shared) {
    let (p, q) = (partition("one"), partition("one"));
    let create = write().put(key("a"), Expect::Absent, b"p".to_vec());
    assert!(commit(store, &p, create.clone()).await.is_applied());
    assert_eq!(get(store, &q, "a").await, None);
    let there = commit(store, &q, create).await;
    assert!(
        matches!(there, CommitOutcome::Applied { .. }),
        "ids count per partition: {there:?}"
    );
    let _fence = acquire(store, &p, "owner", LONG).await;
    put(store, &q, "a", b"q").await;
    assert_eq!(value(store, &p, "a").await.as_deref(), Some(&b"p"[..]));
}

pub(super) async fn an_empty_commit_is_remembered(store: &dyn StateStore, _: Shared) {
    let p = partition("empty");
    let nothing = write();
    let first = commit(store, &p, nothing.clone()).await;
    assert!(matches!(first, CommitOutcome::Applied { .. }), "{first:?}");
    let again = commit(store, &p, nothing).await;
    assert!(
        matches!(again, CommitOutcome::Duplicate { .. }),
        "{again:?}"
    );
}

pub(super) async fn each_commit_adds_one_to_the_revision(store: &dyn StateStore, _: Shared) {
    let p = partition("revision");
    let writes: Vec<_> = (0..3)
        .map(|_| write().put(key("a"), Expect::Any, Vec::new()))
        .collect();
    for (made, write) in (1..).zip(&writes) {
        let outcome = commit(store, &p, write.clone()).await;
        assert!(
            matches!(outcome, CommitOutcome::Applied { revision, .. } if revision == made),
            "{outcome:?} at {made}"
        );
    }
    for (made, write) in (1..).zip(writes) {
        let outcome = commit(store, &p, write).await;
        assert!(
            matches!(outcome, CommitOutcome::Duplicate { revision, .. } if revision == made),
            "{outcome:?} at {made}"
        );
    }
    let refused = write().put(key("a"), Expect::Absent, Vec::new());
    assert!(!commit(store, &p, refused).await.is_applied());
    let next = commit(store, &p, write()).await;
    assert!(
        matches!(next, CommitOutcome::Applied { revision: 4, .. }),
        "a refused commit makes no revision: {next:?}"
    );
}

pub(super) async fn a_commit_at_another_revision_changes_nothing(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("at-revision");
    let at = |revision| {
        let write = write().put(key("a"), Expect::Any, b"x".to_vec());
        write.at_revision(revision)
    };
    let early = commit(store, &p, at(1)).await;
    assert_eq!(early, CommitOutcome::RevisionConflict { found: 0 });
    assert_eq!(value(store, &p, "a").await, None);
    let first = at(0);
    assert!(commit(store, &p, first.clone()).await.is_applied());
    assert!(commit(store, &p, at(1)).await.is_applied());
    for wrong in [0, 1, 3] {
        let outcome = commit(store, &p, at(wrong)).await;
        assert_eq!(outcome, CommitOutcome::RevisionConflict { found: 2 });
    }
    assert_eq!(version(store, &p, "a").await, Some(2));
    assert!(
        commit(store, &p, first).await.is_applied(),
        "a repetition is recognised before its revision is looked at"
    );
}

pub(super) async fn a_commit_after_another_write_changes_nothing(
    store: &dyn StateStore,
    _: Shared,
) {
    let p = partition("following");
    let first = write().put(key("a"), Expect::Any, b"1".to_vec());
    let second = write().put(key("a"), Expect::Any, b"2".to_vec());
    let early = write().following(first.id());
    assert_eq!(
        commit(store, &p, early).await,
        CommitOutcome::RevisionConflict { found: 0 }
    );
    assert!(commit(store, &p, first.clone()).await.is_applied());
    let next = second.clone().at_revision(1).following(first.id());
    assert!(commit(store, &p, next.clone()).await.is_applied());
    for wrong in [first.id(), write().id()] {
        let stray = write().at_revision(2).following(wrong);
        assert_eq!(
            commit(store, &p, stray).await,
            CommitOutcome::RevisionConflict { found: 2 }
        );
    }
    let repeated = commit(store, &p, next).await;
    assert!(
        matches!(repeated, CommitOutcome::Duplicate { revision: 2, .. }),
        "a repetition is recognised first: {repeated:?}"
    );
    let head = store.head(&p).await.expect("head answers").expect("there");
    assert_eq!((head.revision, head.latest), (2, Some(second.id())));
    let third = write().at_revision(2).following(second.id());
    assert!(commit(store, &p, third).await.is_applied());
}
