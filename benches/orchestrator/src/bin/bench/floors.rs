//! The least that a run can be: its tasks without anything around them, or its writes without
//! anything that makes them.

use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{AcquireOutcome, Change, Commit, LeaseRequest, Partition, StateStore, WriteId};
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use crate::engine::output;
use crate::shape::Shape;
use crate::turn::{Contender, name};

/// How long an answer of the server may take: 64 large runs at once on a busy machine take their time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One tokio task for each step.
pub(crate) fn tasks(shape: Shape, in_flight: usize) -> Contender {
    Contender::new("tokio tasks", in_flight, move |_| async move {
        match shape {
            Shape::Chain(steps) => {
                for _ in 0..steps {
                    std::hint::black_box(tokio::spawn(async { output() }).await.expect("no panic"));
                }
            }
            Shape::FanOut(steps) => {
                let mut tasks = JoinSet::new();
                for _ in 0..steps {
                    tasks.spawn(async { output() });
                }
                while let Some(output) = tasks.join_next().await {
                    std::hint::black_box(output.expect("no panic"));
                }
            }
        }
    })
}

/// What the engine asks of the store for one run, and nothing else: the lease, the same commits, the
/// removal with the release.
pub(crate) fn store(
    title: &'static str,
    store: &Arc<dyn StateStore>,
    commits: &Arc<Vec<Commit>>,
    in_flight: usize,
) -> Contender {
    let (store, commits) = (Arc::clone(store), Arc::clone(commits));
    Contender::new(title, in_flight, move |_| {
        let (store, commits) = (Arc::clone(&store), Arc::clone(&commits));
        async move { replay(&*store, &commits).await }
    })
}

async fn replay(store: &dyn StateStore, commits: &[Commit]) {
    let partition = Partition::try_new(name("floor")).expect("a name");
    let request = LeaseRequest::new("floor", Duration::from_secs(10)).only_first();
    let acquired = store.acquire(&partition, request).await.expect("an answer");
    let AcquireOutcome::Acquired { fence, .. } = acquired else {
        panic!("nobody else has it");
    };
    for commit in commits {
        let commit = copy(commit).fenced(fence.clone());
        let outcome = store.commit(&partition, commit).await.expect("an answer");
        assert!(outcome.is_applied(), "{outcome:?}");
    }
    let (removed, released) = tokio::join!(
        store.expire(&partition, Some(Duration::ZERO)),
        store.release(&partition, &fence)
    );
    assert!(removed.expect("an answer"));
    // The lease went with the partition.
    let _ = released.expect("an answer");
}

/// The same changes under a write id of their own.
fn copy(commit: &Commit) -> Commit {
    let empty = Commit::new(WriteId::random());
    commit.changes().iter().fold(empty, |copy, change| {
        let Change { key, expect, value } = change.clone();
        match value {
            Some(value) => copy.put(key, expect, value),
            None => copy.delete(key, expect),
        }
    })
}

/// The store's own script, sent by nothing but a connection.
#[derive(Clone)]
pub(crate) struct Script {
    connection: MultiplexedConnection,
    hash: String,
}

impl Script {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a URL");
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let connection = connection.await;
        let mut connection = connection.expect("a connection");
        let text = concat!(
            include_str!("../../../../../crates/fusebox-state/src/redis/lua/prelude.lua"),
            include_str!("../../../../../crates/fusebox-state/src/redis/lua/commit.lua")
        );
        let script = redis::Script::new(text);
        let hash = script.prepare_invoke().load_async(&mut connection).await;
        let hash = hash.expect("a script that loads");
        Self { connection, hash }
    }

    /// The same commits, one after the other, to a partition that each worker has to itself. They
    /// expect nothing of what is there, so that it can be written again and again.
    pub(crate) fn contender(
        &self,
        shape: Shape,
        commits: &Arc<Vec<Commit>>,
        in_flight: usize,
    ) -> Contender {
        let writes: Vec<Write> = commits.iter().map(Write::of).collect();
        let (script, writes) = (self.clone(), Arc::new(writes));
        Contender::new("the commits as bare scripts", in_flight, move |worker| {
            let (script, writes) = (script.clone(), Arc::clone(&writes));
            async move {
                let partition = format!("bare-{shape}-{worker}").replace(' ', "-");
                for write in &*writes {
                    script.send(&partition, write).await;
                }
            }
        })
    }

    async fn send(&self, partition: &str, write: &Write) {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(4);
        for part in ["m", "d", "k", "w"] {
            command.arg(format!("bare:{{{partition}}}:{part}"));
        }
        command.arg(WriteId::random().as_bytes()).arg(&write.digest);
        // No lease, no revision, no predecessor.
        command.arg("").arg("").arg("").arg("");
        command.arg("bare:changes").arg(partition);
        for (key, value) in &write.changes {
            command.arg(key).arg("p").arg("*").arg(value);
        }
        let mut connection = self.connection.clone();
        let answer: Vec<Vec<u8>> = command
            .query_async(&mut connection)
            .await
            .expect("an answer");
        assert_eq!(answer[0], b"APPLIED");
    }
}

/// A commit as the script takes it.
struct Write {
    digest: [u8; 32],
    changes: Vec<(String, Vec<u8>)>,
}

impl Write {
    fn of(commit: &Commit) -> Self {
        let changes = commit.changes().iter().map(|change| {
            let value = change.value.as_deref().expect("a journal only puts");
            // A hash of eight bytes stands before the value.
            (change.key.to_string(), [&[7; 8], value].concat())
        });
        Self {
            digest: commit.digest(),
            changes: changes.collect(),
        }
    }
}
