//! What to do while the store is away.

use std::fmt;
#[cfg(feature = "embedded")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::StateStore;

const PATIENCE: Duration = Duration::from_secs(1);
const MIRROR_BYTES: usize = 256 << 20;

/// How a [`FallbackStore`](crate::FallbackStore) behaves while its store is away.
///
/// | policy | a write to an owned partition, its lease still running | acknowledged as |
/// |---|---|---|
/// | [`fail_closed`](Self::fail_closed) | fails | |
/// | [`degrade_durable`](Self::degrade_durable) | goes to a journal | the journal's durability |
/// | [`degrade_volatile`](Self::degrade_volatile) | stays in this process | `Volatile` |
#[derive(Clone)]
pub struct FallbackConfig {
    pub(super) policy: Policy,
    pub(super) patience: Duration,
    pub(super) past_lease: bool,
    pub(super) mirror_bytes: usize,
}

#[derive(Clone)]
pub(super) enum Policy {
    FailClosed,
    Volatile,
    /// A store for this process alone.
    Journal(Arc<dyn StateStore>),
    #[cfg(feature = "embedded")]
    JournalDir(PathBuf),
}

impl FallbackConfig {
    /// Nothing is acknowledged that the store itself has not. For workers of a fleet.
    pub fn fail_closed() -> Self {
        Self::of(Policy::FailClosed)
    }

    /// Writes are acknowledged once `journal` has them, and delivered when the store is back. The
    /// journal must be this process's alone; what is left in it is delivered by the next
    /// [`FallbackStore`](crate::FallbackStore) opened with it.
    pub fn degrade_durable(journal: Arc<dyn StateStore>) -> Self {
        Self::of(Policy::Journal(journal))
    }

    /// As [`degrade_durable`](Self::degrade_durable), in SQLite files of this directory. Several
    /// processes of one host may share the directory: each has a file of its own and delivers those
    /// that ended processes left.
    #[cfg(feature = "embedded")]
    pub fn degrade_durable_in(directory: impl Into<PathBuf>) -> Self {
        Self::of(Policy::JournalDir(directory.into()))
    }

    /// Writes are acknowledged from memory, as `Volatile`: the end of this process loses those that
    /// were not delivered by then.
    pub fn degrade_volatile() -> Self {
        Self::of(Policy::Volatile)
    }

    fn of(policy: Policy) -> Self {
        Self {
            policy,
            patience: PATIENCE,
            past_lease: false,
            mirror_bytes: MIRROR_BYTES,
        }
    }

    /// How long a call repeats a write under its id before the store counts as away, beside the
    /// store's own deadline. Defaults to 1 s.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Also acknowledge writes of an owner whose lease has run out while the store is away. For a
    /// lone process: elsewhere another owner may be at work by then, and what was acknowledged here
    /// becomes a fork. Off by default.
    pub fn past_lease(mut self, allowed: bool) -> Self {
        self.past_lease = allowed;
        self
    }

    /// Most bytes of owned partitions kept in memory; what does not fit can be neither written while
    /// the store is away nor put back, and is counted in
    /// [`StoreStatus::unmirrored`](crate::StoreStatus::unmirrored). Defaults to 256 MiB.
    pub fn with_mirror_bytes(mut self, bytes: usize) -> Self {
        self.mirror_bytes = bytes;
        self
    }
}

impl fmt::Debug for FallbackConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = match &self.policy {
            Policy::FailClosed => "fail closed".to_owned(),
            Policy::Volatile => "degrade to memory".to_owned(),
            Policy::Journal(journal) => format!("degrade to {}", journal.describe()),
            #[cfg(feature = "embedded")]
            Policy::JournalDir(directory) => format!("degrade to {}", directory.display()),
        };
        f.debug_struct("FallbackConfig")
            .field("policy", &policy)
            .field("patience", &self.patience)
            .field("past_lease", &self.past_lease)
            .field("mirror_bytes", &self.mirror_bytes)
            .finish()
    }
}
