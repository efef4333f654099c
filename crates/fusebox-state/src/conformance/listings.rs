//! Scans and lists of partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::support::*;
use crate::{Expect, Fence, Key, Partition, StateStore};

type Shared = Arc<dyn StateStore>;

/// Names of all keys with `prefix`, read in pages of `limit`.
async fn keys(store: &dyn StateStore, at: &Partition, prefix: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = store
            .scan(at, prefix, after.as_ref(), limit)
            .await
            .expect("scan answers");
        assert!(
            page.items.len() <= limit,
            "a page of {limit} has {}",
            page.items.len()
        );
        found.extend(page.items.iter().map(|(key, _)| key.to_string()));
        match page.next {
            Some(next) => after = Some(key(&next)),
            None => return found,
        }
    }
}

pub(super) async fn scans_are_in_byte_order(store: &dyn StateStore, _: Shared) {
    let p = partition("order");
    let mut names = vec![
        "b", "a", "B", "a/1", "a-1", "a.1", "a_1", "10", "2", "aa", "Z", "z", "-",
    ];
    for name in &names {
        put(store, &p, name, name.as_bytes()).await;
    }
    names.sort_unstable();
    assert_eq!(keys(store, &p, "", 100).await, names);
    let page = store.scan(&p, "", None, 100).await.expect("scan answers");
    for (key, entry) in page.items {
        assert_eq!(
            (entry.value.as_slice(), entry.version),
            (key.as_str().as_bytes(), 1)
        );
    }
    assert!(
        keys(store, &partition("order"), "", 10).await.is_empty(),
        "nothing there"
    );
}

pub(super) async fn scans_keep_to_their_prefix(store: &dyn StateStore, _: Shared) {
    let p = partition("prefix");
    for name in [
        "step", "step-1", "step/1", "step/10", "step/2", "stepz", "other", "stdo",
    ] {
        put(store, &p, name, b"").await;
    }
    assert_eq!(
        keys(store, &p, "step/", 100).await,
        ["step/1", "step/10", "step/2"]
    );
    assert_eq!(keys(store, &p, "step/1", 100).await, ["step/1", "step/10"]);
    assert!(keys(store, &p, "step/3", 100).await.is_empty());
    assert!(
        keys(store, &p, "*", 100).await.is_empty(),
        "a prefix is not a pattern"
    );
    let before = store
        .scan(&p, "step/", Some(&key("a")), 100)
        .await
        .expect("scan answers");
    assert_eq!(before.items.len(), 3, "`after` may lie before the prefix");
}

pub(super) async fn pages_of_a_scan_join_without_gap_or_repeat(store: &dyn StateStore, _: Shared) {
    let p = partition("pages");
    let names: Vec<_> = (0..23).map(|n| format!("k/{n:02}")).collect();
    let all = names
        .iter()
        .fold(write(), |w, name| w.put(key(name), Expect::Any, vec![]));
    assert!(commit(store, &p, all).await.is_applied());
    for limit in [1, 5, 22, 23, 24] {
        assert_eq!(
            keys(store, &p, "k/", limit).await,
            names,
            "in pages of {limit}"
        );
    }
    let after = store
        .scan(&p, "k/", Some(&key("k/045")), 2)
        .await
        .expect("scan answers");
    let found: Vec<_> = after.items.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(found, ["k/05", "k/06"], "`after` need not exist");
    // Values that do not fit into one page of a store that bounds its pages by bytes.
    let big = partition("pages");
    for n in 0..12 {
        put(store, &big, &format!("{n:02}"), &vec![n; 1 << 20]).await;
    }
    assert_eq!(keys(store, &big, "", 100).await.len(), 12);
}

/// All partitions with `prefix`, read in pages of `limit`.
async fn partitions(store: &dyn StateStore, prefix: &str, limit: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store
            .partitions(prefix, cursor.as_deref(), limit)
            .await
            .expect("partitions answers");
        found.extend(page.items.iter().map(Partition::to_string));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

pub(super) async fn partitions_are_listed_by_prefix_and_page(store: &dyn StateStore, _: Shared) {
    let prefix = partition("list");
    let mut names = BTreeSet::new();
    for n in 0..17 {
        let p = Partition::try_new(format!("{prefix}.{n}")).expect("a valid name");
        match n % 2 {
            0 => put(store, &p, "a", b"").await,
            // Leased and never written is there too.
            _ => assert!(acquire(store, &p, "owner", LONG).await.epoch > 0),
        }
        names.insert(p.to_string());
    }
    put(store, &partition("other"), "a", b"").await;
    for limit in [1, 4, 100] {
        assert_eq!(
            partitions(store, &format!("{prefix}."), limit).await,
            names,
            "pages of {limit}"
        );
    }
    assert!(
        partitions(store, &format!("{prefix}.x"), 10)
            .await
            .is_empty()
    );
}

pub(super) async fn a_refused_write_leaves_no_partition_behind(store: &dyn StateStore, _: Shared) {
    let p = partition("refused");
    let update = write().put(key("a"), Expect::Version(1), vec![]);
    assert!(!commit(store, &p, update).await.is_applied());
    let stray = write().fenced(Fence {
        epoch: 1,
        token: [1; 16],
    });
    assert!(!commit(store, &p, stray).await.is_applied());
    assert!(partitions(store, p.as_str(), 10).await.is_empty());
}
