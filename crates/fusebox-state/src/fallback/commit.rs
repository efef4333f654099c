//! Writes of an owner: to the primary while it answers, to the fallback while it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::Policy;
use super::journal::Journal;
use super::mirror::bytes;
use super::owned::{Known, Owned};
use super::reconcile::PutBack;
use super::{Shared, mode};
use crate::{Commit, CommitOutcome, Durability, Partition, StateStore, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Times that a commit is sent again because what it met was put right. Each needs another fault.
const REPAIRS: u32 = 4;

impl Shared {
    pub(super) async fn commit_owned(
        &self,
        owned: &Arc<Owned>,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        let _turn = owned.turn().await;
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut repairs = 0;
        let mut last = None;
        loop {
            if owned.data().pending > 0 || self.mode.is_away() {
                return self.commit_locally(owned, commit, last).await;
            }
            let known = owned.data().known;
            let sent = known.expected_by(&commit);
            let settled = match self.primary.commit(&owned.partition, sent).await {
                Ok(outcome) => {
                    self.mode.answered();
                    repairs += 1;
                    self.settle_commit(owned, &commit, outcome, known).await
                }
                Err(error) => Err(error),
            };
            match settled {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) if repairs > REPAIRS => return Err(self.mode.away("commit")),
                Ok(None) => {}
                Err(error) if mode::is_away(&error) => {
                    let is_refusal = matches!(error, StoreError::Refused { .. });
                    let is_over = self.mode.suspect(&error) || is_refusal;
                    let is_late = begun.elapsed() + pause >= self.config.patience;
                    if is_over || is_late {
                        self.mode.degrade(&error);
                    } else {
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                    }
                    // Of all that was said, that a try may have been applied matters most.
                    if last
                        .as_ref()
                        .is_none_or(|earlier: &StoreError| !earlier.may_have_applied())
                    {
                        last = Some(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What the primary's answer means to the owner; none if the commit is to be sent again.
    async fn settle_commit(
        &self,
        owned: &Arc<Owned>,
        commit: &Commit,
        outcome: CommitOutcome,
        known: Known,
    ) -> Result<Option<CommitOutcome>, StoreError> {
        let known = known.revision;
        match outcome {
            CommitOutcome::Applied { revision, .. } | CommitOutcome::Duplicate { revision, .. } => {
                if revision > known {
                    self.follow(owned, commit, revision).await?;
                }
                Ok(Some(outcome))
            }
            // An own write whose answer was lost has been applied after all.
            CommitOutcome::RevisionConflict { found }
                if found > known && self.look_anew(owned).await? =>
            {
                let is_ours = commit.revision().is_none() && commit.follows().is_none();
                Ok((!is_ours).then_some(outcome))
            }
            // The caller's own expectation was wrong.
            CommitOutcome::RevisionConflict { found }
                if found == known && commit.revision().is_some_and(|at| at != known) =>
            {
                Ok(Some(outcome))
            }
            CommitOutcome::RevisionConflict { .. } | CommitOutcome::StaleEpoch { .. } => {
                // Without a mirror there is nothing to put back, but the owner is told.
                if !owned.data().is_mirrored {
                    self.forget(owned);
                    let current = match outcome {
                        CommitOutcome::StaleEpoch { current } => current,
                        _ => Some(owned.fence.epoch),
                    };
                    return Ok(Some(CommitOutcome::StaleEpoch { current }));
                }
                match self.put_back(owned).await? {
                    PutBack::Done => Ok(None),
                    PutBack::Lost { current } => Ok(Some(CommitOutcome::StaleEpoch { current })),
                }
            }
            other => Ok(Some(other)),
        }
    }

    /// Acknowledges without the primary, if the policy, the lease and the mirror allow it.
    async fn commit_locally(
        &self,
        owned: &Arc<Owned>,
        commit: Commit,
        last: Option<StoreError>,
    ) -> Result<CommitOutcome, StoreError> {
        if self.fails_closed() {
            return Err(last.unwrap_or_else(|| self.mode.away("commit")));
        }
        let (is_mirrored, pending, has_lease) = {
            let data = owned.data();
            let has_lease = self.config.past_lease || Instant::now() < data.valid_until;
            (data.is_mirrored, data.pending, has_lease)
        };
        let obstacle = match (is_mirrored, has_lease) {
            (true, true) => None,
            (false, _) => Some("the store is away, and the partition does not fit into memory"),
            (_, false) => Some("the store is away, and the lease has run out meanwhile"),
        };
        if let Some(reason) = obstacle {
            return Err(last.unwrap_or_else(|| StoreError::Unavailable {
                op: "commit",
                cause: reason.into(),
                may_have_applied: false,
            }));
        }
        let durability = match self.place_of(owned, pending).await? {
            Some((journal, place)) => {
                let outcome = journal.commit(&place, commit.clone()).await?;
                if !outcome.is_applied() {
                    return Ok(outcome);
                }
                journal.durability()
            }
            None => Durability::Volatile,
        };
        let (id, bytes) = (commit.id(), bytes(&commit));
        let outcome = self.mirror.commit(&owned.partition, commit).await?;
        Ok(match outcome {
            CommitOutcome::Applied { revision, .. } => {
                let mut data = owned.data();
                data.known = Known {
                    revision,
                    latest: Some(id),
                };
                data.pending += 1;
                data.bytes += bytes;
                data.pending_since.get_or_insert_with(Instant::now);
                CommitOutcome::Applied {
                    durability,
                    revision,
                }
            }
            CommitOutcome::Duplicate { revision, .. } => CommitOutcome::Duplicate {
                durability,
                revision,
            },
            other => other,
        })
    }

    /// Where the partition's commits go, which is made for the first of them; none for memory.
    async fn place_of(
        &self,
        owned: &Arc<Owned>,
        pending: u64,
    ) -> Result<Option<(Arc<Journal>, Partition)>, StoreError> {
        let known = owned.data().journal.clone();
        match (known, &self.journal) {
            // A place without commits is from a try that failed, and may be behind.
            (Some(place), _) if pending > 0 => Ok(Some(place)),
            (_, Some(journal)) => {
                let image = self.mirrored(&owned.partition).await?;
                let place = (Arc::clone(journal), journal.begin(owned, image).await?);
                owned.data().journal = Some(place.clone());
                Ok(Some(place))
            }
            (_, None) => Ok(None),
        }
    }

    pub(super) fn fails_closed(&self) -> bool {
        matches!(self.config.policy, Policy::FailClosed)
    }
}
