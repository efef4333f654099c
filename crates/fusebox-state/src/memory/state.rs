//! One partition in memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, UNIX_EPOCH};

use super::DURABILITY;
use crate::commit::REMEMBERED_WRITES;
use crate::rules::{self, LeaseRecord, Stored};
use crate::{
    AcquireOutcome, Change, Commit, CommitOutcome, Entry, Fence, Head, Image, Key, LeaseRequest,
    RememberedWrite, RenewOutcome, Restore, WriteId,
};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) lease: Option<LeaseRecord>,
    pub(super) deadline_ms: Option<u64>,
    /// The store's sequence at the latest write.
    pub(super) changed: u64,
    changed_ms: Option<u64>,
    revision: u64,
    /// The greatest version ever deleted here; see [`StateStore::commit`](crate::StateStore::commit).
    version_floor: u64,
    writes: VecDeque<RememberedWrite>,
}

impl State {
    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_some_and(|deadline| deadline <= now_ms)
    }

    pub(super) fn commit(&mut self, commit: &Commit, now_ms: u64) -> CommitOutcome {
        let digest = commit.digest();
        if let Some(write) = self.writes.iter().find(|write| write.id == commit.id()) {
            return match write.digest == digest {
                true => CommitOutcome::Duplicate {
                    durability: DURABILITY,
                    revision: write.revision,
                },
                false => CommitOutcome::DuplicateDifferent,
            };
        }
        if let Err(current) = rules::admit(self.lease.as_ref(), commit.fence()) {
            return CommitOutcome::StaleEpoch { current };
        }
        if !commit.builds_on(self.revision, self.latest()) {
            return CommitOutcome::RevisionConflict {
                found: self.revision,
            };
        }
        for change in commit.changes() {
            let found = self.entries.get(&change.key).map(|entry| entry.version);
            if !change.expect.holds(found) {
                return CommitOutcome::Conflict {
                    key: change.key.clone(),
                    found,
                };
            }
        }
        // A delete lifts the floor for every key, so the deletes' floor is taken before the puts.
        let floor = self.version_floor;
        for Change { key, value, .. } in commit.changes() {
            match value {
                Some(value) => self.put(key, value.clone(), floor),
                None => self.delete(key),
            }
        }
        self.revision += 1;
        self.changed_ms = Some(now_ms);
        self.writes.push_back(RememberedWrite {
            id: commit.id(),
            digest,
            revision: self.revision,
        });
        if self.writes.len() > REMEMBERED_WRITES {
            self.writes.pop_front();
        }
        CommitOutcome::Applied {
            durability: DURABILITY,
            revision: self.revision,
        }
    }

    fn put(&mut self, key: &Key, value: Vec<u8>, floor: u64) {
        let version = self.entries.get(key).map_or(floor, |entry| entry.version) + 1;
        self.entries.insert(key.clone(), Entry { value, version });
    }

    fn delete(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.version_floor = self.version_floor.max(entry.version);
        }
    }

    pub(super) fn acquire(
        &mut self,
        request: &LeaseRequest,
        token: [u8; 16],
        now_ms: u64,
    ) -> AcquireOutcome {
        let current = self.lease.as_ref();
        match rules::acquire(current, request, token, now_ms) {
            Err(held) => AcquireOutcome::Held(held),
            Ok(lease) => {
                let previous = current.map(|lease| lease.view(now_ms));
                let fence = lease.fence.clone();
                self.lease = Some(lease);
                AcquireOutcome::Acquired { fence, previous }
            }
        }
    }

    /// Changes the lease if `fence` holds it.
    pub(super) fn touch_lease(
        state: Option<&mut Self>,
        fence: &Fence,
        expires_ms: u64,
        done: RenewOutcome,
    ) -> RenewOutcome {
        match state.and_then(|state| state.lease.as_mut()) {
            Some(lease) if lease.fence == *fence => {
                lease.expires_ms = expires_ms;
                done
            }
            other => RenewOutcome::Lost {
                current_epoch: other.map(|lease| lease.fence.epoch),
            },
        }
    }

    pub(super) fn head(&self, now_ms: u64) -> Head {
        Head {
            revision: self.revision,
            keys: self.entries.len() as u64,
            value_bytes: self.entries.values().map(|e| e.value.len() as u64).sum(),
            latest: self.latest(),
            changed: self
                .changed_ms
                .map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
            expires_in: self
                .deadline_ms
                .map(|deadline| Duration::from_millis(deadline.saturating_sub(now_ms))),
            lease: self.lease.as_ref().map(|lease| lease.view(now_ms)),
        }
    }

    pub(super) fn image(&self) -> Image {
        let pair = |(key, entry): (&Key, &Entry)| (key.clone(), entry.clone());
        Image {
            revision: self.revision,
            version_floor: self.version_floor,
            entries: self.entries.iter().map(pair).collect(),
            writes: self.writes.iter().copied().collect(),
            lease: self.lease.as_ref().map(|lease| (&lease.fence).into()),
        }
    }

    pub(super) fn stored(&self) -> Stored<'_> {
        Stored {
            lease: self.lease.as_ref(),
            revision: self.revision,
            last: self.latest(),
        }
    }

    pub(super) fn restore(&mut self, restore: Restore, now_ms: u64) {
        let image = restore.image;
        self.entries = image.entries.into_iter().collect();
        self.version_floor = image.version_floor;
        self.revision = image.revision;
        self.writes = image.writes.into();
        self.changed_ms = Some(now_ms);
        self.lease = Some(LeaseRecord {
            fence: restore.fence,
            owner: restore.owner,
            expires_ms: now_ms + rules::ttl_ms(restore.ttl),
        });
    }

    fn latest(&self) -> Option<WriteId> {
        self.writes.back().map(|write| write.id)
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
}
