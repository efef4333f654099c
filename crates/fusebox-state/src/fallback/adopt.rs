//! The start: what earlier processes left, and the first words with the primary.

use super::journal::Journal;
use super::owned::{Known, Owned};
use super::{Shared, mode};
use crate::{Restore, StoreError};

impl Shared {
    /// Takes over what lies in the journal, and in those of processes that have ended.
    pub(super) async fn adopt(&self) -> Result<(), StoreError> {
        let own = self.journal.iter().cloned();
        for journal in own.chain(Journal::left_behind(&self.config)?) {
            for (partition, record, image) in journal.load().await? {
                // Two processes cannot have owned it at once; should it be so all the same, the other
                // journal is left for the next start.
                if self.holding.find(&partition).is_some() {
                    continue;
                }
                let (fence, owner) = (record.fence, record.owner);
                let owned = Owned::new(
                    partition.clone(),
                    fence.clone(),
                    owner.clone(),
                    record.predecessor,
                );
                {
                    let mut data = owned.data();
                    data.ttl = record.ttl;
                    data.is_mirrored = true;
                    data.known = Known::of(&image);
                    data.bytes = image.bytes();
                    data.pending = image.revision.saturating_sub(record.base);
                    data.pending_since = Some(tokio::time::Instant::now());
                    data.store = record.store;
                    data.journal = Some((journal.clone(), record.place.clone()));
                }
                if image.revision == record.base {
                    // The process ended between taking the partition in and its first commit.
                    journal.finish(&partition, &record.place).await?;
                    continue;
                }
                let copy = Restore::new(fence, owner, record.ttl, image).onto_absent();
                self.mirror.put(&partition, copy);
                self.holding.insert(owned);
            }
        }
        Ok(())
    }

    /// Learns the primary's name and delivers what was adopted; if it is away, starts degraded.
    pub(super) async fn first_contact(&self) -> Result<(), StoreError> {
        let contact = async {
            let id = self.primary.identity().await?;
            self.know(id);
            for owned in self.holding.all() {
                self.reconcile_one(&owned).await?;
            }
            Ok(())
        };
        match contact.await {
            Err(error) if mode::is_away(&error) => {
                self.mode.degrade(&error);
                Ok(())
            }
            other => other,
        }
    }
}
