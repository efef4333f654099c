//! What an owner asks of its lease and its partition's life, with a primary that may be away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::owned::Owned;
use super::reconcile::PutBack;
use crate::{RenewOutcome, StateStore, StoreError};

impl Shared {
    pub(super) async fn renew_owned(
        &self,
        owned: &Arc<Owned>,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        let is_waiting = owned.data().pending > 0;
        if self.mode.is_away() || is_waiting {
            let goes_on = self.config.past_lease && !self.fails_closed();
            return match goes_on {
                true => Ok(RenewOutcome::Renewed),
                false => Err(self.mode.away("renew")),
            };
        }
        let sent = Instant::now();
        let renew = self.primary.renew(&owned.partition, &owned.fence, ttl);
        match self.ask("renew", renew).await? {
            RenewOutcome::Lost { current_epoch } if owned.data().is_mirrored => {
                let _turn = owned.turn().await;
                owned.data().ttl = ttl;
                match self.put_back(owned).await? {
                    PutBack::Done => Ok(RenewOutcome::Renewed),
                    PutBack::Lost { .. } => Ok(RenewOutcome::Lost { current_epoch }),
                }
            }
            RenewOutcome::Lost { current_epoch } => {
                self.forget(owned);
                Ok(RenewOutcome::Lost { current_epoch })
            }
            outcome => {
                owned.data().lease_lasts(sent, ttl);
                let _ = self
                    .mirror
                    .renew(&owned.partition, &owned.fence, ttl)
                    .await?;
                Ok(outcome)
            }
        }
    }

    pub(super) async fn release_owned(
        &self,
        owned: &Arc<Owned>,
    ) -> Result<RenewOutcome, StoreError> {
        let _turn = owned.turn().await;
        if owned.data().pending > 0 {
            owned.data().release = true;
            return Ok(RenewOutcome::Released);
        }
        let release = self.primary.release(&owned.partition, &owned.fence);
        let outcome = self.ask("release", release).await?;
        self.forget(owned);
        Ok(outcome)
    }

    pub(super) async fn expire_owned(
        &self,
        owned: &Arc<Owned>,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let _turn = owned.turn().await;
        if owned.data().pending > 0 {
            owned.data().expire = Some(ttl);
            return Ok(true);
        }
        let expire = self.primary.expire(&owned.partition, ttl);
        let found = self.ask("expire", expire).await?;
        if ttl == Some(Duration::ZERO) {
            self.forget(owned);
        }
        Ok(found)
    }
}
