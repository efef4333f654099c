//! The same on every release: the rules, and the classes of errors, which old servers word
//! differently.

use std::path::PathBuf;

use fusebox_state::{CommitOutcome, Durability, RedisStore, StateStore, StoreErrorKind};
use fusebox_test_server::{ClusterSet, TestServer, named_servers};

use crate::named;
use crate::support::*;

const NAMES: [&str; 5] = [
    "redis-6.2",
    "redis-7.0",
    "redis-8.2",
    "valkey-8.1",
    "valkey-9.1",
];

/// Those that are there, and the others by name.
fn releases() -> Vec<(String, PathBuf)> {
    for name in NAMES {
        named(name, "one release");
    }
    let all = named_servers().unwrap().into_iter();
    all.map(|server| (server.name, server.path)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_holds_on_every_release() {
    for (_name, program) in releases() {
        let server = start(TestServer::builder().binary(program));
        keeps_every_rule(config(server.url())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_every_release_is_found_and_followed() {
    for (name, program) in releases() {
        let set = ClusterSet::builder().binary(program).start().unwrap();
        let store = patient(&format!("redis+cluster://{}", set.address(0))).await;
        let p = partition("run-1");
        assert!(
            store.commit(&p, put("a", b"")).await.unwrap().is_applied(),
            "{name}"
        );
        let slot = ClusterSet::key_slot("run-1");
        let from = set.owner(slot).unwrap();
        let moving = set.begin_migration(slot, (from + 1) % 3).unwrap();
        for part in ["d", "k", "m", "w"] {
            moving
                .move_key(&format!("fusebox:{{run-1}}:{part}"))
                .unwrap();
        }
        assert!(
            store.commit(&p, put("a", b"")).await.unwrap().is_applied(),
            "{name}"
        );
        moving.finish().unwrap();
        assert!(
            store.commit(&p, put("a", b"")).await.unwrap().is_applied(),
            "{name}"
        );
        assert_eq!(version(&store, &p, "a").await, 3, "{name}");
    }
}

#[tokio::test]
async fn every_release_refuses_in_words_that_are_understood() {
    for (name, program) in releases() {
        let server = start(TestServer::builder().binary(program));
        let store = patient(server.url()).await;
        let p = partition("run");
        assert!(store.commit(&p, put("a", b"")).await.unwrap().is_applied());
        for (set, reset, code) in [
            ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM"),
            (
                "CONFIG SET min-replicas-to-write 1",
                "CONFIG SET min-replicas-to-write 0",
                "NOREPLICAS",
            ),
        ] {
            ask(&server, set);
            let error = store.commit(&p, put("a", b"")).await.unwrap_err();
            assert_eq!(
                error.kind(),
                StoreErrorKind::Refused,
                "{name} {code}: {error:?}"
            );
            assert!(cause(&error).contains(code), "{name}: {error:?}");
            assert_eq!(version(&store, &p, "a").await, 1, "{name} {code}");
            ask(&server, reset);
        }
        ask(&server, "REPLICAOF 127.0.0.1 1");
        let error = store.commit(&p, put("a", b"")).await.unwrap_err();
        assert!(
            error.is_transient() && !error.may_have_applied(),
            "{name}: {error:?}"
        );
        ask(&server, "REPLICAOF NO ONE");

        ask(
            &server,
            "ACL SETUSER worker on >password ~fusebox:* &* +@all -hset",
        );
        let url = format!("redis://worker:password@127.0.0.1:{}", server.port());
        let error = patient(&url)
            .await
            .commit(&p, put("a", b""))
            .await
            .unwrap_err();
        assert_eq!(
            error.kind(),
            StoreErrorKind::Misconfigured,
            "{name}: {error:?}"
        );
        assert_eq!(version(&store, &p, "a").await, 1, "{name}");
    }
}

#[tokio::test]
async fn every_release_waits_for_its_disk_or_is_refused() {
    for (name, program) in releases() {
        let server = TestServer::builder().binary(&program).append_only(true);
        let server = start(server);
        let waits = config(server.url()).with_fsync().with_deadline(LONG);
        let waits = waits.with_connect_timeout(LONG / 4);
        if ["redis-6.2", "redis-7.0"].contains(&&*name) {
            let error = RedisStore::connect(waits).await.unwrap_err();
            assert!(error.to_string().contains("WAITAOF"), "{name}: {error}");
        } else {
            fsynced(&name, &connected(waits).await).await;
        }
        let always = TestServer::builder().binary(&program).append_only(true);
        let always = start(always.arg("--appendfsync").arg("always"));
        fsynced(&name, &connected(config(always.url()).with_fsync()).await).await;
    }
}

async fn fsynced(name: &str, store: &RedisStore) {
    let outcome = until_answered(store, &partition("run"), &put("a", b"")).await;
    let CommitOutcome::Applied { durability, .. } = outcome else {
        panic!("{name}: {outcome:?}");
    };
    assert_eq!(durability, Durability::PrimaryFsync, "{name}");
}
