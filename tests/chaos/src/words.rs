//! Short words for everything here.

use std::path::PathBuf;
use std::time::Duration;

use fusebox_state::{
    AcquireOutcome, Commit, CommitOutcome, Expect, Fence, Key, LeaseRequest, Partition, StateStore,
    WriteId,
};
use fusebox_test_server::{ENV_ALL, named_servers};

/// For what must happen, on however busy a machine: running into it is a failure.
pub const LONG: Duration = Duration::from_secs(60);

/// A partition of that name.
///
/// # Panics
/// If it is none.
pub fn partition(name: &str) -> Partition {
    Partition::try_new(name).expect("a valid name")
}

/// A key of that name.
///
/// # Panics
/// If it is none.
pub fn key(name: &str) -> Key {
    Key::try_new(name).expect("a valid name")
}

/// A write of one key, whatever it holds.
pub fn put(name: &str, value: &[u8]) -> Commit {
    Commit::new(WriteId::random()).put(key(name), Expect::Any, value.to_vec())
}

/// Waits for what must happen.
///
/// # Panics
/// If it has not within [`LONG`].
pub async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {LONG:?}"),
    }
}

/// Owns a partition that nobody else wants.
///
/// # Panics
/// If somebody does, or the store does not answer.
pub async fn acquire(store: &dyn StateStore, at: &Partition, owner: &str, ttl: Duration) -> Fence {
    match store.acquire(at, LeaseRequest::new(owner, ttl)).await {
        Ok(AcquireOutcome::Acquired { fence, .. }) => fence,
        other => panic!("{at} is not acquired: {other:?}"),
    }
}

/// Sends a commit until it is answered.
///
/// # Panics
/// For an error that does not pass by itself, and after [`LONG`].
pub async fn until_answered(
    store: &dyn StateStore,
    at: &Partition,
    commit: &Commit,
) -> CommitOutcome {
    let asked = async {
        loop {
            match store.commit(at, commit.clone()).await {
                Ok(outcome) => return outcome,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    bounded("a commit is answered", asked).await
}

/// The server program of that name, or none and a line that says what is not tested.
///
/// # Panics
/// If the variable that names servers is wrong.
#[expect(clippy::print_stderr, reason = "what is not tested must be said")]
pub fn named(name: &str, untested: &str) -> Option<PathBuf> {
    let all = named_servers().unwrap_or_else(|error| panic!("{error}"));
    let found = all.into_iter().find(|server| server.name == name);
    if found.is_none() {
        eprintln!("NOT RUN, {untested}: {ENV_ALL} names no `{name}`");
    }
    found.map(|server| server.path)
}
