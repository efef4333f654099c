//! Maps behind a mutex: the contract of `StateStore`, written down as plainly as it can be.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use fusebox_state::{
    AcquireOutcome, Change, Commit, CommitOutcome, Durability, Entry, Fence, Health, Key, Lease,
    LeaseRequest, MAX_PAGE, Page, Partition, REMEMBERED_WRITES, RenewOutcome, StateStore,
    StoreDescription, StoreError, WriteId,
};

/// All partitions by name.
type Parts = BTreeMap<Partition, Part>;

#[derive(Debug, Default)]
pub struct MapStore(Mutex<Parts>);

#[derive(Debug, Default)]
struct Part {
    entries: BTreeMap<Key, Entry>,
    /// The greatest version that was deleted here; no later value may have it again.
    deleted: u64,
    writes: VecDeque<(WriteId, [u8; 32])>,
    lease: Option<Held>,
    ends: Option<u64>,
}

#[derive(Clone, Debug)]
struct Held {
    fence: Fence,
    owner: String,
    until: u64,
}

impl Held {
    fn view(&self, now: u64) -> Lease {
        Lease {
            epoch: self.fence.epoch,
            owner: self.owner.clone(),
            remaining: Duration::from_millis(self.until.saturating_sub(now)),
            token_id: self.fence.token_id(),
        }
    }
}

/// Milliseconds since 1970, the resolution of the contract.
fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

fn after(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(
        ttl.as_nanos()
            .div_ceil(1_000_000)
            .try_into()
            .unwrap_or(u64::MAX),
    )
}

impl MapStore {
    /// Every partition that has not expired at the moment that is given back too.
    fn parts(&self) -> (MutexGuard<'_, Parts>, u64) {
        let mut parts = self
            .0
            .lock()
            .expect("no method panics while it holds the lock");
        let now = now();
        parts.retain(|_, part| part.ends.is_none_or(|ends| ends > now));
        (parts, now)
    }

    fn extend(
        &self,
        partition: &Partition,
        fence: &Fence,
        until: impl Fn(u64) -> u64,
    ) -> Result<(), RenewOutcome> {
        let (mut parts, now) = self.parts();
        let held = parts
            .get_mut(partition)
            .and_then(|part| part.lease.as_mut());
        match held {
            Some(held) if held.fence == *fence => {
                held.until = until(now);
                Ok(())
            }
            held => Err(RenewOutcome::Lost {
                current_epoch: held.map(|held| held.fence.epoch),
            }),
        }
    }
}

impl Part {
    fn commit(&mut self, commit: &Commit) -> CommitOutcome {
        let durability = Durability::Volatile;
        if let Some((_, digest)) = self.writes.iter().find(|(id, _)| *id == commit.id()) {
            return match *digest == commit.digest() {
                true => CommitOutcome::Duplicate { durability },
                false => CommitOutcome::DuplicateDifferent,
            };
        }
        let current = self.lease.as_ref().map(|held| &held.fence);
        if commit.fence() != current {
            return CommitOutcome::StaleEpoch {
                current: current.map(|fence| fence.epoch),
            };
        }
        for Change { key, expect, .. } in commit.changes() {
            let found = self.entries.get(key).map(|entry| entry.version);
            if !expect.holds(found) {
                return CommitOutcome::Conflict {
                    key: key.clone(),
                    found,
                };
            }
        }
        let floor = self.deleted;
        for Change { key, value, .. } in commit.changes() {
            let old = self.entries.remove(key).map(|entry| entry.version);
            match value {
                Some(value) => {
                    let entry = Entry {
                        value: value.clone(),
                        version: old.unwrap_or(floor) + 1,
                    };
                    self.entries.insert(key.clone(), entry);
                }
                None => self.deleted = self.deleted.max(old.unwrap_or(0)),
            }
        }
        self.writes.push_back((commit.id(), commit.digest()));
        if self.writes.len() > REMEMBERED_WRITES {
            self.writes.pop_front();
        }
        CommitOutcome::Applied { durability }
    }
}

/// One page of what comes in order, and where the next one starts.
fn page<T>(
    mut rest: impl Iterator<Item = T>,
    limit: usize,
    name: impl Fn(&T) -> String,
) -> Page<T> {
    let items: Vec<T> = rest.by_ref().take(limit.clamp(1, MAX_PAGE)).collect();
    let next = rest.next().and(items.last()).map(name);
    Page::new(items, next)
}

#[async_trait]
impl StateStore for MapStore {
    fn describe(&self) -> StoreDescription {
        StoreDescription::new("map", "this process", Durability::Volatile)
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(UNIX_EPOCH + Duration::from_millis(now()))
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        let (parts, _) = self.parts();
        Ok(parts
            .get(partition)
            .and_then(|part| part.entries.get(key))
            .cloned())
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let (parts, _) = self.parts();
        let entries = parts
            .get(partition)
            .into_iter()
            .flat_map(|part| &part.entries);
        let matching = entries
            .filter(|(key, _)| {
                key.as_str().starts_with(prefix) && after.is_none_or(|after| *key > after)
            })
            .map(|(key, entry)| (key.clone(), entry.clone()));
        Ok(page(matching, limit, |(key, _)| key.to_string()))
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let cursor = cursor.map(Partition::try_new).transpose()?;
        let (parts, _) = self.parts();
        let matching = parts.keys().filter(|name| {
            name.as_str().starts_with(prefix) && cursor.as_ref().is_none_or(|cursor| *name > cursor)
        });
        Ok(page(matching.cloned(), limit, Partition::to_string))
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        commit.check_limits()?;
        let (mut parts, _) = self.parts();
        if let Some(part) = parts.get_mut(partition) {
            return Ok(part.commit(&commit));
        }
        // A refused commit brings no partition into being.
        let mut part = Part::default();
        let outcome = part.commit(&commit);
        if outcome.is_applied() {
            parts.insert(partition.clone(), part);
        }
        Ok(outcome)
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        request.check_limits()?;
        let (mut parts, now) = self.parts();
        let part = parts.entry(partition.clone()).or_default();
        let previous = part.lease.as_ref().map(|held| held.view(now));
        if let Some(lease) = &previous {
            let taken_over = request.takeover.as_ref() == Some(&lease.token_id);
            if !lease.is_expired() && !taken_over {
                return Ok(AcquireOutcome::Held(lease.clone()));
            }
        }
        let epoch = previous
            .as_ref()
            .map_or(0, |lease| lease.epoch + 1)
            .max(now);
        let fence = Fence {
            epoch,
            token: *WriteId::random().as_bytes(),
        };
        let until = after(now, request.ttl);
        part.lease = Some(Held {
            fence: fence.clone(),
            owner: request.owner,
            until,
        });
        Ok(AcquireOutcome::Acquired { fence, previous })
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        let renewed = self.extend(partition, fence, |now| after(now, ttl));
        Ok(renewed.map_or_else(|lost| lost, |()| RenewOutcome::Renewed))
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        let released = self.extend(partition, fence, |now| now);
        Ok(released.map_or_else(|lost| lost, |()| RenewOutcome::Released))
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        let (parts, now) = self.parts();
        Ok(parts
            .get(partition)
            .and_then(|part| part.lease.as_ref())
            .map(|held| held.view(now)))
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let (mut parts, now) = self.parts();
        let part = parts.get_mut(partition);
        Ok(part
            .map(|part| part.ends = ttl.map(|ttl| after(now, ttl)))
            .is_some())
    }

    async fn health(&self) -> Result<Health, StoreError> {
        Ok(Health::new(
            Duration::ZERO,
            vec!["the map ends with this process".to_owned()],
        ))
    }
}
