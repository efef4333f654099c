//! Many tasks count in one place, and nothing of it is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fusebox_state::{Commit, CommitOutcome, Expect, StateStore, WriteId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::words::{key, partition};

/// Tries under way at once. More of them would only meet more conflicts: of those that start from
/// one version, one wins.
const AT_ONCE: usize = 4;

/// How a count went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// What the counter says, its version, and the partition's revision: three witnesses.
    pub ended: [u64; 3],
    /// Tries that another one came before.
    pub conflicts: u64,
    /// For all of it.
    pub took: Duration,
}

/// `tasks` tasks, on these handles in turn, each add one to a counter `times` times by
/// compare-and-swap.
///
/// # Panics
/// If the store does not answer.
pub async fn count(stores: &[Arc<dyn StateStore>], tasks: usize, times: u64) -> Count {
    let began = Instant::now();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut counting = JoinSet::new();
    for task in 0..tasks {
        let store = Arc::clone(&stores[task % stores.len()]);
        counting.spawn(add(store, Arc::clone(&turns), times));
    }
    let conflicts = counting.join_all().await.iter().sum();
    let took = began.elapsed();
    let at = partition("counter");
    let entry = stores[0].get(&at, &key("n")).await.expect("an answer");
    let entry = entry.expect("it was counted");
    let head = stores[0].head(&at).await.expect("an answer");
    Count {
        ended: [
            number(&entry.value),
            entry.version,
            head.expect("it was counted").revision,
        ],
        conflicts,
        took,
    }
}

async fn add(store: Arc<dyn StateStore>, turns: Arc<Semaphore>, times: u64) -> u64 {
    let (at, n) = (partition("counter"), key("n"));
    let mut conflicts = 0;
    for _ in 0..times {
        loop {
            let _turn = turns.acquire().await.expect("it is never closed");
            let found = store.get(&at, &n).await.expect("an answer");
            let (expect, value) = match &found {
                None => (Expect::Absent, 1),
                Some(entry) => (Expect::Version(entry.version), number(&entry.value) + 1),
            };
            let write = Commit::new(WriteId::random());
            let write = write.put(n.clone(), expect, value.to_string().into_bytes());
            match store.commit(&at, write).await.expect("an answer") {
                CommitOutcome::Applied { .. } => break,
                CommitOutcome::Conflict { .. } => conflicts += 1,
                other => panic!("neither counted nor refused: {other:?}"),
            }
        }
    }
    conflicts
}

fn number(text: &[u8]) -> u64 {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).expect("a number")
}
