//! Putting right what the primary lost or missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::owned::Owned;
use super::{Shared, forks, mode};
use crate::{
    Durability, Image, Restore, RestoreOutcome, StateStore, StoreError, StoreId, StoreStatus,
};

/// What became of a partition that was to be put back.
pub(super) enum PutBack {
    /// The primary has what the owner knows, under the owner's lease.
    Done,
    /// Another owner has it, or somebody removed it. It is not owned any more, and whatever the
    /// primary does not have of it is kept as a fork.
    Lost { current: Option<u64> },
}

impl Shared {
    /// Remembers the primary's name.
    pub(super) fn know(&self, id: StoreId) {
        *self.known() = Some(id);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<StoreId>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes in a partition that was just acquired.
    pub(super) async fn hold(&self, owned: Arc<Owned>) -> Result<(), StoreError> {
        let _turn = owned.turn().await;
        owned.data().store = self.known().clone();
        self.look_anew(&owned).await?;
        for partition in self.holding.insert(Arc::clone(&owned)) {
            let _ = self.mirror.expire(&partition, Some(Duration::ZERO)).await?;
        }
        Ok(())
    }

    /// Has the mirror show what the primary has. Only for an owner whose lease was just proven.
    pub(super) async fn look_anew(&self, owned: &Arc<Owned>) -> Result<(), StoreError> {
        let partition = &owned.partition;
        let image = match self.primary.image(partition).await {
            Ok(image) => image,
            // As good as one that does not fit.
            Err(StoreError::TooLarge { .. }) => None,
            Err(error) => {
                if mode::is_away(&error) {
                    self.mode.suspect(&error);
                }
                return Err(error);
            }
        };
        let _ = self.mirror.expire(partition, Some(Duration::ZERO)).await?;
        let fits = |image: &Image| self.holding.has_room(owned, image.bytes());
        let Some(image) = image.filter(fits) else {
            let mut data = owned.data();
            data.is_mirrored = false;
            data.bytes = 0;
            return Ok(());
        };
        let bytes = image.bytes();
        let ttl = owned.data().ttl;
        let copy = Restore::new(owned.fence.clone(), &*owned.owner, ttl, image).onto_absent();
        let _ = self.mirror.restore(partition, copy).await?;
        let mut data = owned.data();
        data.is_mirrored = true;
        data.bytes = bytes;
        Ok(())
    }

    /// Compares one partition with the primary and puts it right.
    ///
    /// # Errors
    /// The primary is away: to be repeated.
    pub(super) async fn reconcile_one(&self, owned: &Arc<Owned>) -> Result<(), StoreError> {
        let _turn = owned.turn().await;
        if !owned.data().is_mirrored {
            return Ok(());
        }
        if owned.data().pending == 0 && self.is_as_known(owned).await? {
            return Ok(());
        }
        match self.put_back(owned).await {
            Ok(_) => Ok(()),
            Err(error) if mode::is_away(&error) => Err(error),
            // The primary will never take it. Nothing of it is lost, and the others go on.
            Err(_) => self.lose(owned, None).await,
        }
    }

    /// Whether the primary has the owner's lease and everything acknowledged under it.
    async fn is_as_known(&self, owned: &Arc<Owned>) -> Result<bool, StoreError> {
        let known = self.mirrored(&owned.partition).await?.revision;
        let Some(head) = self.primary.head(&owned.partition).await? else {
            return Ok(false);
        };
        let is_ours = head.lease.is_some_and(|lease| {
            lease.epoch == owned.fence.epoch && lease.token_id == owned.fence.token_id()
        });
        if is_ours && head.revision > known {
            // An own write whose answer was lost.
            self.look_anew(owned).await?;
        }
        Ok(is_ours && head.revision >= known)
    }

    /// Gives the primary what the owner knows, if the rule allows it. The turn is the caller's.
    pub(super) async fn put_back(&self, owned: &Arc<Owned>) -> Result<PutBack, StoreError> {
        let partition = &owned.partition;
        let sent = Instant::now();
        let store = self.primary.identity().await?;
        let was_emptied = owned
            .data()
            .store
            .as_ref()
            .is_some_and(|known| *known != store);
        let image = self.mirrored(partition).await?;
        let (ttl, pending) = {
            let data = owned.data();
            (data.ttl, data.pending)
        };
        let restore = Restore::new(owned.fence.clone(), &*owned.owner, ttl, image)
            .over(owned.predecessor.clone());
        let restore = match was_emptied {
            true => restore.onto_absent(),
            false => restore,
        };
        let outcome = self.primary.restore(partition, restore).await?;
        match outcome {
            RestoreOutcome::Restored { .. } | RestoreOutcome::Current { .. } => {
                if pending == 0 && matches!(outcome, RestoreOutcome::Restored { .. }) {
                    self.holding.table().restored += 1;
                }
                {
                    let mut data = owned.data();
                    data.lease_lasts(sent, ttl);
                    data.store = Some(store);
                }
                self.delivered(owned).await?;
                Ok(PutBack::Done)
            }
            RestoreOutcome::Ahead { .. } => {
                self.lose(owned, None).await?;
                Ok(PutBack::Lost { current: None })
            }
            RestoreOutcome::StaleEpoch { current } => {
                self.lose(owned, current).await?;
                Ok(PutBack::Lost { current })
            }
            RestoreOutcome::Absent => {
                self.lose(owned, None).await?;
                Ok(PutBack::Lost { current: None })
            }
        }
    }

    /// Everything of it is with the primary: what was asked for meanwhile is done now.
    async fn delivered(&self, owned: &Arc<Owned>) -> Result<(), StoreError> {
        let (release, expire) = {
            let data = owned.data();
            (data.release, data.expire)
        };
        if let Some(ttl) = expire {
            let _ = self.primary.expire(&owned.partition, ttl).await?;
        }
        if release {
            let _ = self.primary.release(&owned.partition, &owned.fence).await?;
        }
        self.clear(owned).await;
        if release || expire == Some(Some(Duration::ZERO)) {
            self.forget(owned).await?;
        }
        Ok(())
    }

    /// Takes it out of the journal and counts it as delivered.
    async fn clear(&self, owned: &Arc<Owned>) {
        let journal = owned.data().journal.clone();
        if let Some(journal) = journal {
            // A copy that cannot be removed does no harm: the next start finds that it is behind.
            let _ = journal.finish(&owned.partition).await;
        }
        {
            let mut data = owned.data();
            data.journal = None;
            data.pending = 0;
            data.pending_since = None;
            data.release = false;
            data.expire = None;
        }
        self.holding.delivered();
    }

    /// Another owner is in charge. What the primary does not have is kept apart.
    async fn lose(&self, owned: &Arc<Owned>, current: Option<u64>) -> Result<(), StoreError> {
        let image = self.mirrored(&owned.partition).await?;
        if owned.data().pending > 0 || !self.is_included(owned, &image).await? {
            forks::keep(self, owned, image, current).await?;
            self.holding.table().forks += 1;
        }
        self.clear(owned).await;
        self.forget(owned).await
    }

    /// Whether the primary provably has everything that was acknowledged.
    async fn is_included(&self, owned: &Arc<Owned>, image: &Image) -> Result<bool, StoreError> {
        let Some(last) = image.writes.last() else {
            return Ok(image.revision == 0);
        };
        let theirs = self.primary.image(&owned.partition).await?;
        Ok(theirs.is_some_and(|theirs| theirs.writes.contains(last)))
    }

    /// It is not owned through this handle any more.
    pub(super) async fn forget(&self, owned: &Arc<Owned>) -> Result<(), StoreError> {
        owned.data().is_mirrored = false;
        if self.holding.remove(owned) {
            let gone = Some(Duration::ZERO);
            let _ = self.mirror.expire(&owned.partition, gone).await?;
        }
        Ok(())
    }

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
                .is_none_or(|journal| journal.durability() == Durability::Volatile);
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
        use super::config::Policy;
        match (&self.config.policy, &self.journal) {
            (Policy::FailClosed, _) => None,
            (_, Some(journal)) => Some(journal.durability()),
            (_, None) => Some(Durability::Volatile),
        }
    }
}
