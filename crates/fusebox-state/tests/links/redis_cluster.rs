//! A cluster: each partition where its slot is, wherever that goes.

use std::collections::BTreeSet;
use std::time::Duration;

use fusebox_state::{CommitOutcome, Partition, RedisStore, StateStore, StoreErrorKind};
use fusebox_test_server::{ClusterSet, TestServer};

use crate::support::*;

fn set() -> ClusterSet {
    ClusterSet::start().unwrap_or_else(|error| panic!("{error}"))
}

fn url(set: &ClusterSet) -> String {
    format!("redis+cluster://{}", listed(&set.addresses()))
}

/// One partition on each primary.
fn one_each(set: &ClusterSet) -> Vec<Partition> {
    let on = |node| {
        let numbers = 0..;
        let mut partitions = numbers.map(|n| format!("run-{n}"));
        let here = |name: &String| set.owner(ClusterSet::key_slot(name)).unwrap() == node;
        partition(&partitions.find(here).unwrap())
    };
    (0..3).map(on).collect()
}

async fn listing(store: &RedisStore) -> BTreeSet<Partition> {
    let mut all = BTreeSet::new();
    let mut cursor = None;
    loop {
        let page = store
            .partitions("run-", cursor.as_deref(), 5)
            .await
            .unwrap();
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_holds_in_a_cluster() {
    let set = set();
    keeps_every_rule(config(&url(&set))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_holds_in_a_cluster_while_replicas_have_each_write_too() {
    let set = ClusterSet::builder().replicas(1).start().unwrap();
    keeps_every_rule(config(&url(&set)).with_replicas(1)).await;
}

#[tokio::test]
async fn one_named_server_leads_to_all_and_listings_cover_them() {
    let set = set();
    let store = patient(&format!("redis+cluster://{}", set.address(1))).await;
    let mut written = BTreeSet::new();
    for n in 0..60 {
        let p = partition(&format!("run-{n}"));
        assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
        written.insert(p);
    }
    assert_eq!(listing(&store).await, written);
    for node in 0..3 {
        assert_ne!(
            ask(set.node(node), "DBSIZE").integer(),
            Some(0),
            "node {node}"
        );
    }
    let warnings = store.health().await.unwrap().warnings;
    for node in 0..3 {
        let address = set.address(node).to_string();
        assert!(
            warnings.iter().any(|warning| warning.starts_with(&address)),
            "{warnings:?}"
        );
    }
    assert_eq!(store.warnings(), warnings);
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_at_every_stage() {
    let set = set();
    let store = patient(&url(&set)).await;
    let p = partition("run-1");
    let slot = ClusterSet::key_slot(p.as_str());
    let from = set.owner(slot).unwrap();
    for n in 1..=3 {
        assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
        assert_eq!(version(&store, &p, "a").await, n);
    }
    let moving = set.begin_migration(slot, (from + 1) % 3).unwrap();
    // All still there.
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    // Some there, some here: no script can run, and nothing is written by half.
    moving.move_key("fusebox:{run-1}:d").unwrap();
    let hasty = connected(config(&url(&set)).with_deadline(SHORT)).await;
    let error = hasty.commit(&p, put("a", b"")).await.unwrap_err();
    // Whether there is doubt depends on the moment the deadline met: the version below shows that
    // nothing was written.
    assert!(error.is_transient(), "{error:?}");
    assert!(cause(&error).contains("TRYAGAIN"), "{error:?}");
    // A single key is asked for where it went.
    assert_eq!(version(&store, &p, "a").await, 4);
    // All there, and not yet told to everybody.
    for name in ["m", "k", "w"] {
        moving
            .move_key(&format!("fusebox:{{run-1}}:{name}"))
            .unwrap();
    }
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    moving.finish().unwrap();
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    assert_eq!(version(&store, &p, "a").await, 6);
    assert_ne!(set.owner(slot).unwrap(), from);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_is_replaced_by_its_replica() {
    let set = ClusterSet::builder()
        .replicas(1)
        .node_timeout(Duration::from_secs(2))
        .start()
        .unwrap();
    let config = config(&url(&set)).with_replicas(1);
    let store = connected(config.with_deadline(Duration::from_secs(5))).await;
    let partitions = one_each(&set);
    for p in &partitions {
        loop {
            let outcome = until_answered(&store, p, &put("a", b"")).await;
            let CommitOutcome::Applied { durability, .. } = outcome else {
                panic!("{outcome:?}");
            };
            if durability == fusebox_state::Durability::Replicated(1) {
                break;
            }
        }
    }
    set.node(0).kill();
    for p in &partitions {
        assert!(until_answered(&store, p, &put("b", b"")).await.is_applied());
        assert_ne!(version(&store, p, "a").await, 0, "{p}");
    }
    assert_eq!(listing(&store).await, partitions.into_iter().collect());
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_its_own_slots_only() {
    let set = ClusterSet::builder()
        .config("cluster-require-full-coverage no")
        .start()
        .unwrap();
    let store = connected(config(&url(&set)).with_deadline(SHORT)).await;
    let partitions = one_each(&set);
    for p in &partitions {
        assert!(until_answered(&store, p, &put("a", b"")).await.is_applied());
    }
    set.node(0).pause();
    let write = put("a", b"");
    let error = store
        .commit(&partitions[0], write.clone())
        .await
        .unwrap_err();
    assert!(error.may_have_applied(), "{error:?}");
    for p in &partitions[1..] {
        assert_eq!(store.get(p, &key("a")).await.unwrap().unwrap().version, 1);
    }
    // Who starts now is told, and can do the rest too.
    let late = connected(config(&url(&set)).with_deadline(LONG)).await;
    assert_eq!(version(&late, &partitions[1], "a").await, 1);
    let address = set.address(0).to_string();
    let warned = |warning: &String| warning.starts_with(&address) && warning.contains("answer");
    assert!(late.warnings().iter().any(warned), "{:?}", late.warnings());
    set.node(0).resume();
    assert!(
        until_answered(&store, &partitions[0], &write)
            .await
            .is_applied()
    );
    assert_eq!(version(&store, &partitions[0], "a").await, 2);
}

#[tokio::test]
async fn the_wrong_kind_of_url_is_told_the_right_one() {
    let set = set();
    let plain = patient(&set.urls()[0]).await;
    let elsewhere = &one_each(&set)[1];
    let error = plain.commit(elsewhere, put("a", b"")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("`redis+cluster://`"), "{error}");

    let single = start(TestServer::builder());
    let url = format!("redis+cluster://127.0.0.1:{}", single.port());
    let error = RedisStore::connect(config(&url)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("`redis://`"), "{error}");
}
