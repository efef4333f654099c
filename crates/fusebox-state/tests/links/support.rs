//! What the tests of this program share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{
    Commit, CommitOutcome, Expect, Key, Partition, RedisConfig, RedisStore, StateStore, StoreError,
    WriteId, conformance,
};
use fusebox_test_server::{Builder, Reply, TestServer};

/// For tests in which an answer comes: never what ends them.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// For tests in which it does not: long enough for a loaded machine, short enough to run into.
pub(crate) const SHORT: Duration = Duration::from_millis(1500);

pub(crate) fn start(builder: Builder) -> TestServer {
    builder.start().unwrap_or_else(|error| panic!("{error}"))
}

/// Asks a server, past the store.
pub(crate) fn ask(server: &TestServer, words: &str) -> Reply {
    let words: Vec<&str> = words.split(' ').collect();
    server
        .ask(&words)
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

pub(crate) fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap_or_else(|error| panic!("{error}"))
}

/// With time to spare.
pub(crate) async fn patient(url: &str) -> RedisStore {
    let config = config(url)
        .with_deadline(LONG)
        .with_connect_timeout(LONG / 4);
    connected(config).await
}

pub(crate) async fn connected(config: RedisConfig) -> RedisStore {
    let shown = format!("{config:?}");
    RedisStore::connect(config)
        .await
        .unwrap_or_else(|error| panic!("{shown}: {error} {error:?}"))
}

/// Several hosts as a URL lists them.
pub(crate) fn listed(addresses: &[SocketAddr]) -> String {
    let each: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    each.join(",")
}

pub(crate) fn partition(name: &str) -> Partition {
    Partition::try_new(name).unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::try_new(name).unwrap()
}

pub(crate) fn put(name: &str, value: &[u8]) -> Commit {
    Commit::new(WriteId::random()).put(key(name), Expect::Any, value.to_vec())
}

/// Asks until the store answers. It must not take for an answer what it cannot know.
pub(crate) async fn until_answered(
    store: &RedisStore,
    at: &Partition,
    commit: &Commit,
) -> CommitOutcome {
    loop {
        match store.commit(at, commit.clone()).await {
            Ok(outcome) => return outcome,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
}

pub(crate) async fn version(store: &RedisStore, at: &Partition, name: &str) -> u64 {
    let entry = store.get(at, &key(name)).await.unwrap();
    entry.map_or(0, |entry| entry.version)
}

pub(crate) fn cause(error: &StoreError) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// All of an error that anybody might print.
pub(crate) fn all_of(error: &StoreError) -> String {
    format!("{error} {error:?} {}", cause(error))
}

/// Every rule, each on a connection of its own: the servers are too costly to start for each.
pub(crate) async fn keeps_every_rule(config: RedisConfig) {
    let config = config.with_deadline(LONG).with_connect_timeout(LONG / 4);
    conformance::run(|| {
        let config = config.clone();
        async { Arc::new(connected(config).await) as Arc<dyn StateStore> }
    })
    .await;
}
