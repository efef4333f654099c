//! A primary named by Sentinels: it changes, and nothing acknowledged by replicas is lost.

use std::time::Duration;

use fusebox_state::{Durability, RedisStore, StateStore, StoreErrorKind};
use fusebox_test_server::SentinelSet;

use crate::support::*;

/// Long enough that a busy machine is not taken for a dead server.
const DOWN_AFTER: Duration = Duration::from_secs(2);

fn set() -> SentinelSet {
    let set = SentinelSet::builder().down_after(DOWN_AFTER).start();
    set.unwrap_or_else(|error| panic!("{error}"))
}

fn url(set: &SentinelSet) -> String {
    format!(
        "redis+sentinel://{}/{}",
        listed(&set.sentinels()),
        set.name()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_holds_through_sentinels() {
    let set = set();
    keeps_every_rule(config(&url(&set))).await;
    keeps_every_rule(config(&url(&set)).with_replicas(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_across_a_planned_failover() {
    let set = set();
    let config = config(&url(&set)).with_replicas(1);
    let store = connected(config.with_deadline(Duration::from_secs(5))).await;
    let p = partition("run");
    assert!(
        until_answered(&store, &p, &put("a", b""))
            .await
            .is_applied()
    );
    let old = set.primary().unwrap();
    let (new, written) = tokio::join!(
        async { tokio::task::block_in_place(|| set.failover().unwrap()) },
        async {
            for _ in 0..50 {
                assert!(
                    until_answered(&store, &p, &put("a", b""))
                        .await
                        .is_applied()
                );
            }
            51
        }
    );
    assert_ne!(new, old);
    assert!(
        until_answered(&store, &p, &put("a", b""))
            .await
            .is_applied()
    );
    assert_eq!(version(&store, &p, "a").await, written + 1);
    let now = set.node(set.primary().unwrap());
    assert_eq!(
        now.ask(&["HEXISTS", "fusebox:{run}:d", "a"])
            .unwrap()
            .integer(),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_costs_no_write_that_every_replica_has() {
    let set = set();
    let config = config(&url(&set)).with_replicas(2);
    let store = connected(config.with_deadline(Duration::from_secs(5))).await;
    let p = partition("run");
    let mut replicated = 0;
    while replicated < 20 {
        let name = format!("k{replicated:02}");
        let outcome = until_answered(&store, &p, &put(&name, b"")).await;
        if let fusebox_state::CommitOutcome::Applied { durability, .. } = outcome
            && durability == Durability::Replicated(2)
        {
            replicated += 1;
        }
    }
    set.node(set.primary().unwrap()).kill();
    assert!(
        until_answered(&store, &p, &put("after", b""))
            .await
            .is_applied()
    );
    let kept = store.scan(&p, "k", None, 100).await.unwrap();
    assert_eq!(kept.items.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_left_for_its_successor() {
    let set = set();
    let store = connected(config(&url(&set)).with_deadline(SHORT)).await;
    let p = partition("run");
    assert!(
        until_answered(&store, &p, &put("a", b""))
            .await
            .is_applied()
    );
    let old = set.primary().unwrap();
    set.node(old).pause();
    let write = put("b", b"");
    assert!(until_answered(&store, &p, &write).await.is_applied());
    let location = set.node(set.primary_after(old).unwrap());
    assert_eq!(
        location
            .ask(&["HEXISTS", "fusebox:{run}:d", "b"])
            .unwrap()
            .integer(),
        Some(1)
    );
    set.node(old).resume();
}

/// Linux, where the sets know how to cut a network.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_off_primary_acknowledges_alone_is_lost_and_was_never_called_replicated() {
    let set = SentinelSet::builder()
        .proxied()
        .down_after(DOWN_AFTER)
        .start()
        .unwrap();
    // One store stays with the old primary, the other asks the Sentinels.
    let alone = format!("redis://127.0.0.1:{}?replicas=1", set.node(0).port());
    let alone = connected(config(&alone).with_deadline(SHORT)).await;
    let many = config(&url(&set)).with_replicas(1);
    let many = connected(many.with_deadline(SHORT * 2)).await;
    let (lost, kept) = (partition("lost"), partition("kept"));
    assert!(
        until_answered(&alone, &lost, &put("a", b""))
            .await
            .is_applied()
    );
    assert!(
        until_answered(&many, &kept, &put("a", b""))
            .await
            .is_applied()
    );

    set.cut(0);
    for name in ["b", "c"] {
        let outcome = alone.commit(&lost, put(name, b"")).await.unwrap();
        let fusebox_state::CommitOutcome::Applied { durability, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(durability, Durability::Primary);
    }
    set.primary_after(0).unwrap();
    let write = put("b", b"");
    loop {
        match until_answered(&many, &kept, &write).await {
            fusebox_state::CommitOutcome::Applied { durability, .. }
            | fusebox_state::CommitOutcome::Duplicate { durability, .. }
                if durability == Durability::Replicated(1) =>
            {
                break;
            }
            _ => {}
        }
    }
    set.heal(0);
    set.wait_until_steady().unwrap();
    let names = async |p| {
        let found = many.scan(p, "", None, 10).await.unwrap().items;
        found
            .into_iter()
            .map(|(key, _)| key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&kept).await, ["a", "b"]);
    assert!(!names(&lost).await.contains(&"b".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_needed_to_find_the_primary_and_not_to_use_it() {
    let set = set();
    set.sentinel(0).kill();
    set.sentinel(1).pause();
    let store = patient(&url(&set)).await;
    set.sentinel(2).kill();
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
    let error = RedisStore::connect(config(&url(&set))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert!(cause(&error).contains("none of the Sentinels"), "{error:?}");
    set.sentinel(1).resume();
}

#[tokio::test]
async fn a_service_that_no_sentinel_knows_is_named() {
    let set = set();
    let url = format!("redis+sentinel://{}/nobody", listed(&set.sentinels()));
    let config = config(&url)
        .with_deadline(LONG)
        .with_connect_timeout(LONG / 4);
    let error = RedisStore::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("`nobody`"), "{error}");
}

#[tokio::test]
async fn sentinels_have_a_login_of_their_own() {
    let set = SentinelSet::builder()
        .down_after(DOWN_AFTER)
        .password("correcthorse")
        .sentinel_password("battery")
        .start()
        .unwrap();
    let hosts = listed(&set.sentinels());
    let url = format!("redis+sentinel://:correcthorse@{hosts}/{}", set.name());
    let store = patient(&format!("{url}?sentinel_password=battery")).await;
    store.now().await.unwrap();
    assert!(!format!("{store:?}").contains("battery"));
    let without = config(&url)
        .with_deadline(LONG)
        .with_connect_timeout(LONG / 4);
    let error = RedisStore::connect(without).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("sentinel_password"), "{error}");
}
