//! What an owner was told, kept in memory.

use std::sync::Arc;

use super::owned::{Known, Owned};
use super::{Shared, mode};
use crate::{
    Change, Commit, CommitOutcome, Expect, Image, Lease, LeaseMark, Partition, Restore, StateStore,
    StoreError,
};

impl Shared {
    /// Takes in a partition that was just acquired; answers the lease if somebody else has it by now.
    pub(super) async fn hold(&self, owned: Arc<Owned>) -> Result<Option<Lease>, StoreError> {
        let _turn = owned.turn().await;
        owned.data().store = self.known().clone();
        self.mirror.drop_partition(&owned.partition);
        if !self.look_anew(&owned).await?
            && let Some(lease) = self.primary.lease(&owned.partition).await?
        {
            return Ok(Some(lease));
        }
        for partition in self.holding.insert(Arc::clone(&owned)) {
            self.mirror.drop_partition(&partition);
        }
        Ok(None)
    }

    /// Has the mirror show what the primary has under the owner's lease, if that goes on from what
    /// the owner knows. Answers whether it does; if not, everything stays as it is.
    pub(super) async fn look_anew(&self, owned: &Arc<Owned>) -> Result<bool, StoreError> {
        let partition = &owned.partition;
        let image = match self.primary.image(partition).await {
            Ok(Some(image)) => image,
            Ok(None) => return Ok(false),
            Err(StoreError::TooLarge { .. }) => {
                return self.look_without_mirror(owned, false).await;
            }
            Err(error) => {
                if mode::is_away(&error) {
                    self.mode.suspect(&error);
                }
                return Err(error);
            }
        };
        let known = owned.data().known;
        let goes_on = known
            .latest
            .is_none_or(|latest| image.writes.iter().any(|write| write.id == latest));
        if image.lease != Some(LeaseMark::from(&owned.fence)) || !goes_on {
            return Ok(false);
        }
        let bytes = image.bytes();
        if !self.holding.has_room(owned, bytes) {
            return self.look_without_mirror(owned, true).await;
        }
        let (ttl, known) = (owned.data().ttl, Known::of(&image));
        let copy = Restore::new(owned.fence.clone(), &*owned.owner, ttl, image);
        self.mirror.put(partition, copy);
        let mut data = owned.data();
        data.is_mirrored = true;
        data.known = known;
        data.bytes = bytes;
        Ok(true)
    }

    /// For a partition that does not fit: where it is is all that is known. That it goes on from what
    /// was known before is `certain`, or holds if nothing has changed.
    async fn look_without_mirror(
        &self,
        owned: &Arc<Owned>,
        certain: bool,
    ) -> Result<bool, StoreError> {
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
        let mut data = owned.data();
        if !certain && data.known.latest.is_some() && data.known != found {
            return Ok(false);
        }
        data.is_mirrored = false;
        data.bytes = 0;
        data.known = found;
        drop(data);
        self.mirror.drop_partition(&owned.partition);
        Ok(true)
    }

    /// Has the mirror follow a commit that the primary took as `revision`.
    pub(super) async fn follow(
        &self,
        owned: &Arc<Owned>,
        commit: &Commit,
        revision: u64,
    ) -> Result<(), StoreError> {
        owned.data().known = Known {
            revision,
            latest: Some(commit.id()),
        };
        if !owned.data().is_mirrored {
            return Ok(());
        }
        let mut copy = Commit::new(commit.id());
        if let Some(fence) = commit.fence() {
            copy = copy.fenced(fence.clone());
        }
        for change in commit.changes() {
            copy = match &change.value {
                Some(value) => copy.put(change.key.clone(), change.expect, value.clone()),
                None => copy.delete(change.key.clone(), change.expect),
            };
        }
        let followed = self.mirror.commit(&owned.partition, copy).await?;
        let made = match followed {
            CommitOutcome::Applied { revision, .. } => revision,
            _ => 0,
        };
        let bytes = {
            let mut data = owned.data();
            data.bytes += bytes(commit);
            data.bytes
        };
        // More than fits is measured exactly before it is given up: writing a key again takes no
        // more room.
        if (made != revision || !self.holding.has_room(owned, bytes))
            && !self.look_anew(owned).await.unwrap_or(false)
        {
            // The commit stands. What the owner knows will be looked up with the next lease.
            owned.data().is_mirrored = false;
        }
        Ok(())
    }

    pub(super) async fn mirrored(&self, partition: &Partition) -> Result<Image, StoreError> {
        let image = self.mirror.image(partition).await?;
        Ok(image.unwrap_or_default())
    }

    /// It is not owned through this handle any more.
    pub(super) fn forget(&self, owned: &Arc<Owned>) {
        owned.data().is_mirrored = false;
        if self.holding.remove(owned) {
            self.mirror.drop_partition(&owned.partition);
        }
    }
}

/// Bytes that a commit adds at most.
pub(super) fn bytes(commit: &Commit) -> usize {
    let change = |change: &Change| match (&change.value, change.expect) {
        (Some(value), Expect::Absent | Expect::Any | Expect::Version(_)) => {
            change.key.as_str().len() + value.len()
        }
        (None, _) => 0,
    };
    commit.changes().iter().map(change).sum()
}
