//! The partitions that were acquired through a handle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::journal::Journal;
use crate::{Commit, Fence, Image, LeaseMark, Partition, StoreId, WriteId};

/// Kept back from the end of a lease, so that this side stops before another may start.
const MARGIN: Duration = Duration::from_secs(1);
const MARGIN_PART: u32 = 20;

/// One partition and the lease it is owned under.
pub(super) struct Owned {
    pub(super) partition: Partition,
    pub(super) fence: Fence,
    /// The lease's owner, as it is written.
    pub(super) owner: String,
    pub(super) predecessor: Option<LeaseMark>,
    /// Held while a write to the partition is under way, so that the mirror follows in order.
    turn: tokio::sync::Mutex<()>,
    data: Mutex<Data>,
}

pub(super) struct Data {
    /// Whether the mirror has what was acknowledged.
    pub(super) is_mirrored: bool,
    /// Where the partition is, as far as acknowledged; none if it has no commit.
    pub(super) known: Known,
    /// Bytes of it, at most.
    pub(super) bytes: usize,
    /// Commits acknowledged that the primary does not have.
    pub(super) pending: u64,
    pub(super) pending_since: Option<Instant>,
    /// Where they are, if they are in a journal.
    pub(super) journal: Option<(Arc<Journal>, Partition)>,
    pub(super) ttl: Duration,
    /// Until when writes may be acknowledged without the primary.
    pub(super) valid_until: Instant,
    /// The primary's name when it last had everything.
    pub(super) store: Option<StoreId>,
    /// Asked for while the primary was away.
    pub(super) release: bool,
    pub(super) expire: Option<Option<Duration>>,
}

impl Owned {
    pub(super) fn new(
        partition: Partition,
        fence: Fence,
        owner: String,
        predecessor: Option<LeaseMark>,
    ) -> Arc<Self> {
        Arc::new(Self {
            partition,
            fence,
            owner,
            predecessor,
            turn: tokio::sync::Mutex::default(),
            data: Mutex::new(Data {
                is_mirrored: false,
                known: Known::default(),
                bytes: 0,
                pending: 0,
                pending_since: None,
                journal: None,
                ttl: Duration::ZERO,
                valid_until: Instant::now(),
                release: false,
                store: None,
                expire: None,
            }),
        })
    }

    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(super) fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    /// The lease was proven by a request sent at `sent`, for `ttl`.
    pub(super) fn lease_lasts(&mut self, sent: Instant, ttl: Duration) {
        // A short lease keeps most of itself.
        let margin = MARGIN.max(ttl / MARGIN_PART).min(ttl / 4);
        self.ttl = ttl;
        self.valid_until = sent + ttl - margin;
    }
}

/// Where a partition is: how many commits it has taken, and the latest of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) revision: u64,
    pub(super) latest: Option<WriteId>,
}

impl Known {
    pub(super) fn of(image: &Image) -> Self {
        Self {
            revision: image.revision,
            latest: image.writes.last().map(|write| write.id),
        }
    }

    /// The commit, to be applied only where the owner knows the partition to be. What the caller
    /// expects stands.
    pub(super) fn expected_by(self, commit: &Commit) -> Commit {
        let mut commit = commit.clone();
        if commit.revision().is_none() {
            commit = commit.at_revision(self.revision);
        }
        match (commit.follows(), self.latest) {
            (None, Some(latest)) => commit.following(latest),
            _ => commit,
        }
    }
}

/// All of them, with what is counted across them.
pub(super) struct Holding {
    table: Mutex<Table>,
    /// Changed when commits were delivered.
    delivered: watch::Sender<()>,
    limit: usize,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) owned: HashMap<Partition, Arc<Owned>>,
    pub(super) restored: u64,
    pub(super) forks: u64,
}

impl Holding {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            table: Mutex::default(),
            delivered: watch::Sender::new(()),
            limit,
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.delivered.subscribe()
    }

    pub(super) fn delivered(&self) {
        self.delivered.send_replace(());
    }

    pub(super) fn find(&self, partition: &Partition) -> Option<Arc<Owned>> {
        self.table().owned.get(partition).cloned()
    }

    /// The partition as owned under exactly this fence.
    pub(super) fn of(&self, partition: &Partition, fence: Option<&Fence>) -> Option<Arc<Owned>> {
        self.find(partition)
            .filter(|owned| Some(&owned.fence) == fence)
    }

    pub(super) fn all(&self) -> Vec<Arc<Owned>> {
        self.table().owned.values().cloned().collect()
    }

    /// Takes it in, in place of an older lease on the same partition. Those whose lease ran out long
    /// ago, its owner having gone without a word, are dropped meanwhile.
    pub(super) fn insert(&self, owned: Arc<Owned>) -> Vec<Partition> {
        let now = Instant::now();
        let mut table = self.table();
        let forgotten = |owned: &Owned| {
            let data = owned.data();
            data.pending == 0 && now > data.valid_until + 10 * data.ttl + MARGIN
        };
        let old: Vec<_> = table
            .owned
            .values()
            .filter(|owned| forgotten(owned))
            .map(|owned| owned.partition.clone())
            .collect();
        for partition in &old {
            table.owned.remove(partition);
        }
        table.owned.insert(owned.partition.clone(), owned);
        old
    }

    /// Forgets it, unless it was acquired anew.
    pub(super) fn remove(&self, owned: &Arc<Owned>) -> bool {
        let mut table = self.table();
        let same = table
            .owned
            .get(&owned.partition)
            .is_some_and(|held| Arc::ptr_eq(held, owned));
        if same {
            table.owned.remove(&owned.partition);
        }
        same
    }

    /// Whether `more` bytes fit beside what the others have.
    pub(super) fn has_room(&self, owned: &Owned, bytes: usize) -> bool {
        let others: usize = self
            .table()
            .owned
            .values()
            .filter(|other| other.partition != owned.partition)
            .map(|other| other.data().bytes)
            .sum();
        others + bytes <= self.limit
    }
}
