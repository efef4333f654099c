//! Where a fault happens.

use std::sync::Arc;

use async_trait::async_trait;
use fusebox_state::{Partition, StateStore};

use super::{Answer, Operation};

/// What becomes of acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// They survive the fault.
    All,
    /// The store comes back empty, or somebody emptied it: beyond what its durability promises.
    Nothing,
}

/// What may be answered, by kind of operation.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Acquire, commit, renew, restore.
    pub writes: &'static [Answer],
    /// Get, scan, image.
    pub reads: &'static [Answer],
    /// A new feed.
    pub watch: &'static [Answer],
    /// A write through a fallback that goes on in memory.
    pub fallback: &'static [Answer],
}

impl Allowed {
    /// For one operation.
    pub const fn of(&self, operation: Operation) -> &'static [Answer] {
        match operation {
            Operation::Acquire | Operation::Commit | Operation::Renew | Operation::Restore => {
                self.writes
            }
            Operation::Read | Operation::Image => self.reads,
            Operation::Watch => self.watch,
            Operation::Reconcile => self.fallback,
        }
    }
}

/// A store, and one fault that can be done to it again and again.
#[async_trait]
pub trait Arena: Send + Sync {
    /// The fault, for the table.
    fn fault(&self) -> &'static str;

    /// What the fault leaves.
    fn keeps(&self) -> Keeps {
        Keeps::All
    }

    /// What may be answered under it.
    fn allowed(&self) -> Allowed;

    /// A new store whose requests meet the fault.
    async fn store(&self) -> Arc<dyn StateStore>;

    /// The same content, past the fault; for when it is over.
    async fn witness(&self) -> Arc<dyn StateStore>;

    /// From now on, for this partition.
    async fn begin(&self, at: &Partition);

    /// What is done once a request is under way.
    async fn strike(&self, _at: &Partition) {}

    /// All is well again.
    async fn end(&self, at: &Partition);
}
