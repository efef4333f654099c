//! How sure a store is, for operators.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::Durability;

/// Which store an acknowledgement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreMode {
    /// The store itself answers.
    Healthy,
    /// It failed a moment ago and is being asked again.
    Suspect,
    /// It is away; the policy on its loss applies.
    Degraded,
    /// It is back; what it missed or lost is being put right.
    Reconciling,
}

impl fmt::Display for StoreMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Degraded => "degraded",
            Self::Reconciling => "reconciling",
        })
    }
}

/// What a store knows about itself now. Reading it asks nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Who answers.
    pub mode: StoreMode,
    /// Since when, by this machine's clock.
    pub since: SystemTime,
    /// Why it is not healthy; without secrets.
    pub cause: Option<String>,
    /// What a write acknowledged now survives; `None` if none would be.
    pub durability: Option<Durability>,
    /// Partitions owned through this handle.
    pub owned: usize,
    /// Owned partitions that cannot be put back should the store lose them, being too large.
    pub unmirrored: usize,
    /// Owned partitions with commits that the store does not have yet.
    pub pending_partitions: usize,
    /// Such commits.
    pub pending_commits: u64,
    /// Bytes of those partitions.
    pub pending_bytes: u64,
    /// Age of the oldest such commit.
    pub oldest_pending: Option<Duration>,
    /// Such commits that this process alone has: its end would lose them.
    pub at_risk: u64,
    /// Shortest time for which commits to a pending partition are still acknowledged.
    pub lease_valid_for: Option<Duration>,
    /// Partitions put back because the store had lost acknowledged commits.
    pub restored: u64,
    /// Partitions that another owner took meanwhile: what was acknowledged here is kept as a fork.
    pub forks: u64,
}

impl StoreStatus {
    /// A store without any fallback: it answers or it fails.
    pub fn healthy(durability: Durability) -> Self {
        Self {
            mode: StoreMode::Healthy,
            since: SystemTime::now(),
            cause: None,
            durability: Some(durability),
            owned: 0,
            unmirrored: 0,
            pending_partitions: 0,
            pending_commits: 0,
            pending_bytes: 0,
            oldest_pending: None,
            at_risk: 0,
            lease_valid_for: None,
            restored: 0,
            forks: 0,
        }
    }
}

impl fmt::Display for StoreStatus {
    /// One line for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.mode)?;
        if let Some(cause) = &self.cause {
            write!(f, " ({cause})")?;
        }
        if self.pending_commits > 0 {
            write!(
                f,
                "; {} commits of {} partitions wait for it",
                self.pending_commits, self.pending_partitions
            )?;
        }
        if self.at_risk > 0 {
            write!(f, ", {} of them in this process only", self.at_risk)?;
        }
        match self.forks {
            0 => Ok(()),
            forks => write!(f, "; {forks} forks kept apart"),
        }
    }
}
