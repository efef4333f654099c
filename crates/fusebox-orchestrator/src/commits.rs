//! How firmly the journals' commits were acknowledged, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use fusebox_state::Durability;
use serde::{Deserialize, Serialize};

/// Commits of an engine's journals since it was built, by the level each was acknowledged at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommitCounts {
    /// In memory only.
    pub volatile: u64,
    /// On this machine's disk.
    pub local_fsync: u64,
    /// Taken by the primary.
    pub primary: u64,
    /// On the primary's disk.
    pub primary_fsync: u64,
    /// Taken by replicas too, however many.
    pub replicated: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Commits {
    volatile: AtomicU64,
    local_fsync: AtomicU64,
    primary: AtomicU64,
    primary_fsync: AtomicU64,
    replicated: AtomicU64,
}

impl Commits {
    pub(crate) fn acknowledged(&self, durability: Durability) {
        let count = match durability {
            Durability::Volatile => &self.volatile,
            Durability::LocalFsync => &self.local_fsync,
            Durability::Primary => &self.primary,
            Durability::PrimaryFsync => &self.primary_fsync,
            _ => &self.replicated,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn told(&self) -> CommitCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CommitCounts {
            volatile: read(&self.volatile),
            local_fsync: read(&self.local_fsync),
            primary: read(&self.primary),
            primary_fsync: read(&self.primary_fsync),
            replicated: read(&self.replicated),
        }
    }
}
