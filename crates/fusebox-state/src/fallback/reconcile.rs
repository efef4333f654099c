//! Putting right what the primary lost or missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::owned::{Known, Owned};
use super::{Shared, forks, mode};
use crate::{GiveUpOutcome, Image, LeaseMark, Restore, RestoreOutcome, StoreError, StoreId};

/// Times that a partition is put back because something changed meanwhile.
const TRIES: u32 = 4;

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

    pub(super) fn known(&self) -> std::sync::MutexGuard<'_, Option<StoreId>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
            Err(_) => self.lose(owned, None).await.map(drop),
        }
    }

    /// Whether the primary has the owner's lease and everything acknowledged under it.
    async fn is_as_known(&self, owned: &Arc<Owned>) -> Result<bool, StoreError> {
        let Some(head) = self.primary.head(&owned.partition).await? else {
            return Ok(false);
        };
        let lease = head.lease.as_ref().map(LeaseMark::from);
        if lease != Some(LeaseMark::from(&owned.fence)) {
            return Ok(false);
        }
        let found = Known {
            revision: head.revision,
            latest: head.latest,
        };
        let is_same = owned.data().known == found;
        match is_same {
            true => Ok(true),
            // Perhaps an own write whose answer was lost.
            false => self.look_anew(owned).await,
        }
    }

    /// Gives the primary what the owner knows, if the rule allows it. The turn is the caller's.
    pub(super) async fn put_back(&self, owned: &Arc<Owned>) -> Result<PutBack, StoreError> {
        for _ in 0..TRIES {
            let current = match self.try_to_put_back(owned).await? {
                RestoreOutcome::Restored { .. } | RestoreOutcome::Current { .. } => {
                    self.delivered(owned).await?;
                    return Ok(PutBack::Done);
                }
                // Emptied between the two questions.
                RestoreOutcome::OtherStore => continue,
                // It has everything and more: a copy from a journal that could not be cleared.
                RestoreOutcome::Ahead { .. } if self.look_anew(owned).await? => {
                    self.delivered(owned).await?;
                    return Ok(PutBack::Done);
                }
                RestoreOutcome::StaleEpoch { current } => current,
                RestoreOutcome::Ahead { .. } | RestoreOutcome::Absent | RestoreOutcome::GivenUp => {
                    None
                }
            };
            match self.lose(owned, current).await? {
                GiveUpOutcome::Recorded => return Ok(PutBack::Lost { current }),
                // Somebody put the owner's lease back meanwhile.
                GiveUpOutcome::Current => {}
            }
        }
        // Somebody else writes under the owner's lease, or the store is emptied all the time.
        self.keep_apart(owned, None).await?;
        Ok(PutBack::Lost { current: None })
    }

    async fn try_to_put_back(&self, owned: &Arc<Owned>) -> Result<RestoreOutcome, StoreError> {
        let sent = Instant::now();
        let store = self.primary.identity().await?;
        let image = self.mirrored(&owned.partition).await?;
        let (ttl, pending, relied_on) = {
            let data = owned.data();
            (data.ttl, data.pending, data.store.clone())
        };
        let restore = Restore::new(owned.fence.clone(), &*owned.owner, ttl, image)
            .over(owned.predecessor.clone())
            .at_store(store.clone());
        let restore = match relied_on {
            Some(relied_on) if relied_on != store => restore.onto_absent(),
            _ => restore,
        };
        let outcome = self.primary.restore(&owned.partition, restore).await?;
        if matches!(
            outcome,
            RestoreOutcome::Restored { .. } | RestoreOutcome::Current { .. }
        ) {
            let mut data = owned.data();
            data.lease_lasts(sent, ttl);
            data.store = Some(store);
            if pending == 0 && matches!(outcome, RestoreOutcome::Restored { .. }) {
                drop(data);
                self.holding.table().restored += 1;
            }
        }
        Ok(outcome)
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
            self.forget(owned);
        }
        Ok(())
    }

    /// Takes it out of the journal and counts it as delivered.
    async fn clear(&self, owned: &Arc<Owned>) {
        let place = owned.data().journal.clone();
        if let Some((journal, place)) = place {
            // A copy that cannot be removed does no harm: the next start finds that it is behind.
            let _ = journal.finish(&owned.partition, &place).await;
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

    /// Another owner is in charge. Once the primary has it on record that this one has given up,
    /// what it does not have is kept apart.
    async fn lose(
        &self,
        owned: &Arc<Owned>,
        current: Option<u64>,
    ) -> Result<GiveUpOutcome, StoreError> {
        let given_up = self.primary.give_up(&owned.partition, &owned.fence).await?;
        if given_up == GiveUpOutcome::Current {
            return Ok(given_up);
        }
        self.keep_apart(owned, current).await?;
        Ok(given_up)
    }

    /// Forgets the partition, once what the primary does not have of it is kept.
    async fn keep_apart(&self, owned: &Arc<Owned>, current: Option<u64>) -> Result<(), StoreError> {
        let image = self.mirrored(&owned.partition).await?;
        let is_waiting = owned.data().pending > 0;
        if is_waiting || !self.is_included(owned, &image).await? {
            forks::keep(self, owned, image, current).await?;
            self.holding.table().forks += 1;
        }
        self.clear(owned).await;
        self.forget(owned);
        Ok(())
    }

    /// Whether the primary provably has everything that was acknowledged.
    async fn is_included(&self, owned: &Arc<Owned>, image: &Image) -> Result<bool, StoreError> {
        let Some(last) = image.writes.last() else {
            return Ok(image.revision == 0);
        };
        let theirs = self.primary.image(&owned.partition).await?;
        Ok(theirs.is_some_and(|theirs| theirs.writes.contains(last)))
    }
}
