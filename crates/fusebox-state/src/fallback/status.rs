//! How sure the store is, read off what it holds.

use tokio::time::Instant;

use super::Shared;
use super::config::Policy;
use crate::{Durability, StoreStatus};

impl Shared {
    pub(super) fn status(&self) -> StoreStatus {
        let now = Instant::now();
        let (mode, since, cause) = self.mode.since();
        let mut status = StoreStatus::healthy(self.primary.describe().durability);
        (status.mode, status.since, status.cause) = (mode, since, cause);
        if self.mode.is_away() {
            status.durability = self.local_durability();
        }
        let owned = self.holding.all();
        status.owned = owned.len();
        for owned in owned {
            let data = owned.data();
            status.unmirrored += usize::from(!data.is_mirrored);
            if data.pending == 0 {
                continue;
            }
            status.pending_partitions += 1;
            status.pending_commits += data.pending;
            status.pending_bytes += data.bytes as u64;
            let is_volatile = data
                .journal
                .as_ref()
                .is_none_or(|(journal, _)| journal.durability() == Durability::Volatile);
            if is_volatile {
                status.at_risk += data.pending;
            }
            let age = data.pending_since.map(|since| now - since);
            status.oldest_pending = status.oldest_pending.max(age);
            let left = data.valid_until.saturating_duration_since(now);
            let shortest = status.lease_valid_for.unwrap_or(left);
            status.lease_valid_for = Some(shortest.min(left));
        }
        let table = self.holding.table();
        (status.restored, status.forks) = (table.restored, table.forks);
        status
    }

    fn local_durability(&self) -> Option<Durability> {
        match (&self.config.policy, &self.journal) {
            (Policy::FailClosed, _) => None,
            (_, Some(journal)) => Some(journal.durability()),
            (_, None) => Some(Durability::Volatile),
        }
    }
}
