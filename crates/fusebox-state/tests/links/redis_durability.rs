//! What an acknowledged write survives, as its outcome says.

use std::time::Duration;

use fusebox_state::{Commit, CommitOutcome, Durability, RedisStore, StateStore, StoreErrorKind};
use fusebox_test_server::TestServer;

use crate::support::*;

/// A primary and a replica that has what it has.
fn pair() -> (TestServer, TestServer) {
    let primary = start(TestServer::builder());
    let replica = TestServer::builder()
        .arg("--replicaof")
        .arg(format!("127.0.0.1 {}", primary.port()));
    let replica = start(replica);
    let mut connection = primary.connect().unwrap();
    connection.set_patience(LONG).unwrap();
    let reached = connection.ask(&["WAIT", "1", "50000"]).unwrap();
    assert_eq!(reached.integer(), Some(1));
    (primary, replica)
}

fn durability(outcome: &CommitOutcome) -> Durability {
    match outcome {
        CommitOutcome::Applied { durability, .. } | CommitOutcome::Duplicate { durability, .. } => {
            *durability
        }
        other => panic!("{other:?}"),
    }
}

async fn commit(store: &RedisStore, commit: Commit) -> Durability {
    durability(&store.commit(&partition("run"), commit).await.unwrap())
}

#[tokio::test]
async fn every_rule_holds_while_a_replica_has_each_write_too() {
    let (primary, _replica) = pair();
    keeps_every_rule(config(primary.url()).with_replicas(1)).await;
}

#[tokio::test]
async fn a_commit_says_how_many_replicas_have_it() {
    let (primary, replica) = pair();
    let store = connected(config(primary.url()).with_replicas(1).with_deadline(LONG)).await;
    assert_eq!(store.describe().durability, Durability::Replicated(1));
    assert_eq!(
        commit(&store, put("a", b"")).await,
        Durability::Replicated(1)
    );
    // It did, before the answer came.
    let there = replica.ask(&["HEXISTS", "fusebox:{run}:d", "a"]).unwrap();
    assert_eq!(there.integer(), Some(1));
    // And nobody waits who did not ask for it.
    let plain = patient(primary.url()).await;
    assert_eq!(commit(&plain, put("a", b"")).await, Durability::Primary);
}

#[tokio::test]
async fn more_replicas_than_were_asked_for_are_not_promised() {
    let (primary, _one) = pair();
    let two = TestServer::builder()
        .arg("--replicaof")
        .arg(format!("127.0.0.1 {}", primary.port()));
    let _two = start(two);
    let mut connection = primary.connect().unwrap();
    connection.set_patience(LONG).unwrap();
    let reached = connection.ask(&["WAIT", "2", "50000"]).unwrap();
    assert_eq!(reached.integer(), Some(2));
    let config = config(primary.url()).with_replicas(1);
    let store = connected(config.with_deadline(LONG)).await;
    for _ in 0..10 {
        assert_eq!(
            commit(&store, put("a", b"")).await,
            store.describe().durability
        );
    }
    assert_eq!(store.describe().durability, Durability::Replicated(1));
}

#[tokio::test]
async fn a_replica_that_does_not_answer_is_not_counted_not_even_for_a_repeat() {
    let (primary, replica) = pair();
    let config = config(primary.url()).with_replicas(1);
    let store = connected(config.with_deadline(SHORT)).await;
    assert!(
        until_answered(&store, &partition("run"), &put("a", b""))
            .await
            .is_applied()
    );
    replica.pause();
    let write = put("a", b"");
    assert_eq!(commit(&store, write.clone()).await, Durability::Primary);
    assert_eq!(store.describe().durability, Durability::Primary);
    // The repeat writes nothing, and what it stands for is still nowhere else.
    assert_eq!(commit(&store, write.clone()).await, Durability::Primary);
    replica.resume();
    while commit(&store, write.clone()).await != Durability::Replicated(1) {}
    assert_eq!(version(&store, &partition("run"), "a").await, 2);
}

#[tokio::test]
async fn reads_do_not_wait_behind_a_write_that_waits() {
    let (primary, replica) = pair();
    let store = connected(config(primary.url()).with_replicas(1).with_deadline(LONG)).await;
    let p = partition("run");
    assert!(store.commit(&p, put("a", b"1")).await.unwrap().is_applied());
    replica.pause();
    let write = store.commit(&p, put("a", b"2"));
    tokio::pin!(write);
    // Everybody sees the write while its writer waits for the replica.
    let seen = async { while version(&store, &p, "a").await != 2 {} };
    tokio::select! {
        biased;
        outcome = &mut write => panic!("nobody had it: {outcome:?}"),
        () = seen => {}
    }
    replica.resume();
    assert_eq!(durability(&write.await.unwrap()), Durability::Replicated(1));
}

#[tokio::test]
async fn many_writers_wait_side_by_side() {
    let (primary, _replica) = pair();
    let store = connected(config(primary.url()).with_replicas(1).with_deadline(LONG)).await;
    let store = std::sync::Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let store = store.clone();
        tasks.spawn(async move {
            let outcome = store
                .commit(&partition(&format!("run-{n}")), put("a", b""))
                .await;
            durability(&outcome.unwrap())
        });
    }
    let all = tasks.join_all().await;
    assert_eq!(all, vec![Durability::Replicated(1); 100]);
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again_for_writes_that_wait() {
    let (primary, _replica) = pair();
    let store = connected(config(primary.url()).with_replicas(1).with_deadline(LONG)).await;
    for n in 1..=3 {
        assert_eq!(
            commit(&store, put("a", b"")).await,
            Durability::Replicated(1)
        );
        ask(&primary, "SCRIPT FLUSH");
        assert_eq!(version(&store, &partition("run"), "a").await, n);
    }
}

#[tokio::test]
async fn a_restarted_server_takes_no_writer_by_surprise() {
    let server = start(TestServer::builder().append_only(true));
    let store = connected(config(server.url()).with_fsync().with_deadline(LONG)).await;
    for n in 1..=3 {
        assert_eq!(
            commit(&store, put("a", b"")).await,
            Durability::PrimaryFsync
        );
        assert_eq!(version(&store, &partition("run"), "a").await, n);
        server.kill();
        server.restart().unwrap();
    }
}

#[tokio::test]
async fn a_server_asked_to_wait_for_its_disk_does_and_one_that_cannot_is_refused() {
    let keeps = start(TestServer::builder().append_only(true));
    let url = format!("{}?fsync=1&deadline_ms=60000", keeps.url());
    let store = connected(config(&url)).await;
    assert_eq!(store.describe().durability, Durability::PrimaryFsync);
    assert_eq!(
        commit(&store, put("a", b"")).await,
        Durability::PrimaryFsync
    );
    let plain = patient(keeps.url()).await;
    assert_eq!(commit(&plain, put("a", b"")).await, Durability::Primary);

    let forgets = start(TestServer::builder());
    let error = RedisStore::connect(config(forgets.url()).with_fsync())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("appendonly yes"), "{error}");
}

#[tokio::test]
async fn the_start_up_check_counts_replicas_and_looks_at_the_settings() {
    let (primary, _replica) = pair();
    let store = connected(config(primary.url()).with_replicas(2).with_deadline(LONG)).await;
    for risk in [
        "appendonly is no",
        "min-replicas-to-write is 0",
        "2 replicas",
    ] {
        let found = store
            .warnings()
            .iter()
            .any(|warning| warning.contains(risk));
        assert!(found, "{risk}: {:?}", store.warnings());
    }
}

#[tokio::test]
async fn an_unmet_wait_ends_before_the_deadline() {
    let lonely = start(TestServer::builder());
    let config = config(lonely.url()).with_replicas(1);
    let store = connected(config.with_deadline(Duration::from_secs(3))).await;
    // An answer, not an error: it is written, and nobody else has it.
    assert_eq!(commit(&store, put("a", b"")).await, Durability::Primary);
}
