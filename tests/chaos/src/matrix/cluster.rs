//! Faults of a cluster, and slots on the move, which are none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fusebox_state::{Partition, RedisConfig, RedisStore, StateStore};
use fusebox_test_server::ClusterSet;

use super::Answer::{InDoubt, Ok, Unavailable};
use super::{Allowed, Arena};
use crate::backend::{listed, started};
use crate::words::LONG;

/// Slots take their time to move, and a client has to find out.
const DEADLINE: Duration = Duration::from_secs(5);
/// Long enough that a killed node is back before it counts as lost.
const NODE_TIMEOUT: Duration = Duration::from_secs(30);

/// What happens to the slot of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterFault {
    /// It has moved, and the client does not know.
    Moved,
    /// Its keys have moved, and the slot has not yet.
    Asking,
    /// Some of its keys have moved; the others follow while a request waits.
    HalfMoved,
    /// Its node is killed and comes back with its append-only file.
    OwnerKilled,
}

/// Three nodes, and one fault.
#[derive(Debug)]
pub struct ClusterArena {
    fault: ClusterFault,
    set: Arc<ClusterSet>,
}

impl ClusterArena {
    /// Starts the nodes.
    ///
    /// # Panics
    /// If they do not start.
    pub fn start(fault: ClusterFault) -> Self {
        let set = ClusterSet::builder()
            .append_only(true)
            .node_timeout(NODE_TIMEOUT);
        Self {
            fault,
            set: Arc::new(started(set.start())),
        }
    }

    async fn connect(&self, deadline: Duration) -> Arc<dyn StateStore> {
        let url = format!("redis+cluster://{}", listed(&self.set.addresses()));
        let config = started(RedisConfig::from_url(&url));
        let config = config
            .with_deadline(deadline)
            .with_connect_timeout(deadline / 4);
        Arc::new(started(RedisStore::connect(config).await))
    }

    /// Nodes are told what to do by blocking calls.
    async fn told(&self, at: &Partition, work: fn(ClusterFault, &ClusterSet, &str)) {
        let (fault, set, at) = (self.fault, Arc::clone(&self.set), at.to_string());
        let done = tokio::task::spawn_blocking(move || work(fault, &set, &at));
        done.await.expect("the nodes do as they are told");
    }
}

#[async_trait]
impl Arena for ClusterArena {
    fn fault(&self) -> &'static str {
        match self.fault {
            ClusterFault::Moved => "the slot has moved (`MOVED`)",
            ClusterFault::Asking => "the keys have moved, the slot not yet (`ASK`)",
            ClusterFault::HalfMoved => "some keys have moved, others follow (`TRYAGAIN`)",
            ClusterFault::OwnerKilled => "the node is killed, restarted with its append-only file",
        }
    }

    fn allowed(&self) -> Allowed {
        match self.fault {
            // Keys that are not there yet are on neither side: a script that names one is told to try
            // again until the slot has moved.
            ClusterFault::Asking => Allowed {
                writes: &[Ok, Unavailable],
                reads: &[Ok, Unavailable],
                watch: &[Ok],
                fallback: &[Ok],
            },
            ClusterFault::Moved | ClusterFault::HalfMoved => Allowed {
                writes: &[Ok],
                reads: &[Ok],
                watch: &[Ok],
                fallback: &[Ok],
            },
            ClusterFault::OwnerKilled => Allowed {
                writes: &[Ok, InDoubt, Unavailable],
                reads: &[Ok, Unavailable],
                watch: &[Ok, Unavailable],
                fallback: &[Ok],
            },
        }
    }

    async fn store(&self) -> Arc<dyn StateStore> {
        self.connect(DEADLINE).await
    }

    async fn witness(&self) -> Arc<dyn StateStore> {
        self.connect(LONG).await
    }

    async fn begin(&self, at: &Partition) {
        self.told(at, ClusterFault::begin).await;
    }

    async fn strike(&self, at: &Partition) {
        self.told(at, ClusterFault::strike).await;
    }

    async fn end(&self, at: &Partition) {
        self.told(at, ClusterFault::end).await;
    }
}

impl ClusterFault {
    fn begin(self, set: &ClusterSet, at: &str) {
        match self {
            Self::Moved => finish(set, at),
            Self::Asking => move_keys(set, at, &["m", "d", "k", "w"]),
            Self::HalfMoved => move_keys(set, at, &["m", "d"]),
            Self::OwnerKilled => set.node(owner(set, at)).kill(),
        }
    }

    fn strike(self, set: &ClusterSet, at: &str) {
        match self {
            Self::Moved | Self::Asking => {}
            Self::HalfMoved => finish(set, at),
            Self::OwnerKilled => {
                for node in (0..set.nodes()).filter(|node| set.node(*node).pid().is_none()) {
                    started(set.node(node).restart());
                }
            }
        }
    }

    fn end(self, set: &ClusterSet, at: &str) {
        match self {
            Self::Moved | Self::HalfMoved => {}
            Self::Asking => finish(set, at),
            Self::OwnerKilled => started(set.wait_until_steady()),
        }
    }
}

fn owner(set: &ClusterSet, at: &str) -> usize {
    started(set.owner(ClusterSet::key_slot(at)))
}

fn next(set: &ClusterSet, at: &str) -> usize {
    (owner(set, at) + 1) % set.nodes()
}

/// Leaves the slot half-way.
fn move_keys(set: &ClusterSet, at: &str, keys: &[&str]) {
    let moving = started(set.begin_migration(ClusterSet::key_slot(at), next(set, at)));
    for key in keys {
        started(moving.move_key(&format!("fusebox:{{{at}}}:{key}")));
    }
}

/// Begins again where it was left.
fn finish(set: &ClusterSet, at: &str) {
    let moving = set.begin_migration(ClusterSet::key_slot(at), next(set, at));
    started(started(moving).finish());
}
