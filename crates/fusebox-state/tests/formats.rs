//! State written by earlier versions opens, state written by later ones is refused by name.
#![cfg(all(feature = "embedded", feature = "redis"))]

use std::path::Path;

use fusebox_state::{
    Commit, CommitOutcome, EmbeddedStore, Expect, Key, Partition, RedisConfig, RedisStore,
    StateStore, StoreError, WriteId,
};
use fusebox_test_server::TestServer;

fn partition() -> Partition {
    Partition::try_new("run").unwrap()
}

fn put(value: &[u8]) -> Commit {
    let key = Key::try_new("a").unwrap();
    Commit::new(WriteId::random()).put(key, Expect::Any, value.to_vec())
}

/// Commits twice, has the store set to format 1, and goes on.
async fn goes_on_after(store: &dyn StateStore, first: Commit, next: Commit) {
    let head = store.head(&partition()).await.unwrap().unwrap();
    assert_eq!((head.revision, head.keys, head.value_bytes), (1, 1, 5));
    let again = store.commit(&partition(), first).await.unwrap();
    assert!(
        matches!(again, CommitOutcome::Duplicate { revision: 1, .. }),
        "{again:?}"
    );
    let outcome = store.commit(&partition(), next).await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Applied { revision: 2, .. }),
        "{outcome:?}"
    );
    let head = store.head(&partition()).await.unwrap().unwrap();
    assert_eq!((head.revision, head.keys, head.value_bytes), (2, 1, 3));
    assert!(head.changed.is_some());
    assert_eq!(
        store
            .image(&partition())
            .await
            .unwrap()
            .unwrap()
            .writes
            .len(),
        2
    );
}

fn set_to_format_1(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(
        "DROP TABLE store;
         DROP TABLE aside;
         ALTER TABLE partition DROP COLUMN changed_us;
         ALTER TABLE write_id RENAME TO write_id_2;
         CREATE TABLE write_id (
             partition INTEGER NOT NULL,
             id BLOB NOT NULL,
             digest BLOB NOT NULL,
             number INTEGER NOT NULL,
             PRIMARY KEY (partition, id)
         ) STRICT, WITHOUT ROWID;
         INSERT INTO write_id SELECT partition, id, digest, number FROM write_id_2;
         DROP TABLE write_id_2;
         CREATE UNIQUE INDEX write_id_number ON write_id (partition, number);
         PRAGMA user_version = 1;",
    )
    .unwrap();
}

#[tokio::test]
async fn a_file_of_format_1_is_brought_up_to_date_with_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let first = put(b"first");
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(
        store
            .commit(&partition(), first.clone())
            .await
            .unwrap()
            .is_applied()
    );
    drop(store);
    set_to_format_1(&path);
    let store = EmbeddedStore::open(&path).unwrap();
    goes_on_after(&store, first, put(b"two")).await;
    let id = store.identity().await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.identity().await.unwrap(), id, "the name is kept");
}

#[tokio::test]
async fn two_processes_may_bring_a_file_up_to_date_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    drop(EmbeddedStore::open(&path).unwrap());
    set_to_format_1(&path);
    let opens: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || EmbeddedStore::open(path).unwrap())
        })
        .collect();
    let stores: Vec<_> = opens.into_iter().map(|open| open.join().unwrap()).collect();
    let id = stores[0].identity().await.unwrap();
    for store in &stores {
        assert_eq!(store.identity().await.unwrap(), id);
    }
}

#[tokio::test]
async fn a_redis_partition_of_format_1_goes_on() {
    let server = TestServer::start().unwrap();
    let config = RedisConfig::from_url(server.url()).unwrap();
    let prefix = "old";
    let store = RedisStore::connect(config.with_prefix(prefix))
        .await
        .unwrap();
    let first = put(b"first");
    assert!(
        store
            .commit(&partition(), first.clone())
            .await
            .unwrap()
            .is_applied()
    );
    let mut raw = raw(&server).await;
    let head = format!("{prefix}:{{run}}:m");
    let () = redis::pipe()
        .cmd("HSET")
        .arg(&[&*head, "f", "1"])
        .ignore()
        .cmd("HDEL")
        .arg(&[&*head, "b", "c"])
        .ignore()
        .query_async(&mut raw)
        .await
        .unwrap();
    goes_on_after(&store, first, put(b"two")).await;
}

#[tokio::test]
async fn a_redis_partition_of_a_later_format_is_refused_and_left_alone() {
    let server = TestServer::start().unwrap();
    let config = RedisConfig::from_url(server.url()).unwrap();
    let store = RedisStore::connect(config.with_prefix("new"))
        .await
        .unwrap();
    assert!(
        store
            .commit(&partition(), put(b"1"))
            .await
            .unwrap()
            .is_applied()
    );
    let mut raw = raw(&server).await;
    let set: redis::RedisResult<()> = redis::cmd("HSET")
        .arg(&["new:{run}:m", "f", "3"])
        .query_async(&mut raw)
        .await;
    set.unwrap();
    let is_refused = |error: StoreError| {
        assert!(
            matches!(
                error,
                StoreError::Format {
                    found: 3,
                    supported: 2,
                    ..
                }
            ),
            "{error:?}"
        );
    };
    is_refused(store.commit(&partition(), put(b"2")).await.unwrap_err());
    is_refused(store.image(&partition()).await.unwrap_err());
}

async fn raw(server: &TestServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}
