//! Maps behind a mutex: the contract of `StateStore`, written down as plainly as it can be.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use fusebox_state::{
    AcquireOutcome, Change, ChangeFeed, Commit, CommitOutcome, Durability, Entry, Fence,
    GiveUpOutcome, Head, Health, Image, Key, Lease, LeaseMark, LeaseRequest, MAX_PAGE, Notice,
    Page, Partition, REMEMBERED_WRITES, RememberedWrite, RenewOutcome, Restore, RestoreOutcome,
    StateStore, StoreDescription, StoreError, StoreId, TokenId,
};
use tokio::sync::watch;

/// All partitions by name.
type Parts = BTreeMap<Partition, Part>;

#[derive(Debug)]
pub struct MapStore {
    parts: Mutex<Parts>,
    /// Removals, and leases given up: both outlive the partition. It is never cleaned up here.
    on_record: Mutex<HashSet<(Partition, Option<TokenId>)>>,
    id: StoreId,
    /// What was written last. Only its latest value is kept, so nobody waits for a watcher.
    news: watch::Sender<Option<(Partition, u64)>>,
}

impl Default for MapStore {
    fn default() -> Self {
        Self {
            parts: Mutex::default(),
            on_record: Mutex::default(),
            id: StoreId::random(),
            news: watch::Sender::new(None),
        }
    }
}

#[derive(Debug, Default)]
struct Part {
    entries: BTreeMap<Key, Entry>,
    /// How many commits were applied.
    revision: u64,
    changed: Option<u64>,
    /// The greatest version that was deleted here; no later value may have it again.
    deleted: u64,
    writes: VecDeque<RememberedWrite>,
    lease: Option<Held>,
    ends: Option<u64>,
}

/// Tells of the latest change; a watcher that is slow learns that it missed some.
#[derive(Debug)]
struct Feed {
    news: watch::Receiver<Option<(Partition, u64)>>,
    prefix: String,
}

#[async_trait]
impl ChangeFeed for Feed {
    async fn next(&mut self) -> Result<Notice, StoreError> {
        loop {
            // The store is gone: so is whatever could change.
            if self.news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let latest = self.news.borrow_and_update().clone();
            match latest {
                Some((partition, revision)) if partition.as_str().starts_with(&self.prefix) => {
                    return Ok(Notice::Changed {
                        partition,
                        revision,
                    });
                }
                // One of ours may have come and been replaced by this one.
                _ => return Ok(Notice::Missed),
            }
        }
    }

    fn lag(&self) -> u64 {
        u64::from(self.news.has_changed().unwrap_or(false))
    }
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
            .parts
            .lock()
            .expect("no method panics while it holds a lock");
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
        if let Some(write) = self.writes.iter().find(|write| write.id == commit.id()) {
            let revision = write.revision;
            return match write.digest == commit.digest() {
                true => CommitOutcome::Duplicate {
                    durability,
                    revision,
                },
                false => CommitOutcome::DuplicateDifferent,
            };
        }
        let current = self.lease.as_ref().map(|held| &held.fence);
        if commit.fence() != current {
            return CommitOutcome::StaleEpoch {
                current: current.map(|fence| fence.epoch),
            };
        }
        let found = self.revision;
        let latest = self.writes.back().map(|write| write.id);
        if !commit.builds_on(found, latest) {
            return CommitOutcome::RevisionConflict { found };
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
        self.revision += 1;
        self.changed = Some(now());
        let revision = self.revision;
        self.writes.push_back(RememberedWrite {
            id: commit.id(),
            digest: commit.digest(),
            revision,
        });
        if self.writes.len() > REMEMBERED_WRITES {
            self.writes.pop_front();
        }
        CommitOutcome::Applied {
            durability,
            revision,
        }
    }

    /// Why `wanted` must not replace this partition, if so.
    fn refusal(&self, wanted: &Restore) -> Option<RestoreOutcome> {
        let lease = self.lease.as_ref();
        let own = lease.is_some_and(|held| held.fence == wanted.fence);
        let current = lease.map(|held| LeaseMark::from(&held.fence));
        // A partition without a lease is nobody's predecessor.
        if !own && (current.is_none() || current != wanted.predecessor) {
            let current = current.map(|lease| lease.epoch);
            return Some(RestoreOutcome::StaleEpoch { current });
        }
        let (revision, image) = (self.revision, &wanted.image);
        if revision > image.revision {
            return Some(RestoreOutcome::Ahead { revision });
        }
        let newest = |write: Option<&RememberedWrite>| write.map(|write| write.id);
        let same = newest(self.writes.back()) == newest(image.writes.last());
        (own && same && revision == image.revision).then_some(RestoreOutcome::Current {
            durability: Durability::Volatile,
        })
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
        // A refused commit brings no partition into being.
        let mut part = parts.remove(partition);
        let outcome = part.get_or_insert_default().commit(&commit);
        if let Some(part) = part
            && (part.revision > 0 || part.lease.is_some())
        {
            parts.insert(partition.clone(), part);
        }
        drop(parts);
        if let CommitOutcome::Applied { revision, .. } = outcome {
            self.news.send_replace(Some((partition.clone(), revision)));
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
            if (request.first || !lease.is_expired()) && !taken_over {
                return Ok(AcquireOutcome::Held(lease.clone()));
            }
        }
        let epoch = previous
            .as_ref()
            .map_or(0, |lease| lease.epoch + 1)
            .max(now);
        let fence = Fence {
            epoch,
            token: *fusebox_state::WriteId::random().as_bytes(),
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
        let Some(part) = parts.get_mut(partition) else {
            return Ok(false);
        };
        part.ends = ttl.map(|ttl| after(now, ttl));
        let removal = (partition.clone(), None);
        let mut on_record = self.on_record.lock().expect("as above");
        match ttl {
            Some(_) => on_record.insert(removal),
            None => on_record.remove(&removal),
        };
        Ok(true)
    }

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        let (parts, now) = self.parts();
        Ok(parts.get(partition).map(|part| {
            let mut head = Head::new(part.revision);
            head.keys = part.entries.len() as u64;
            head.value_bytes = part.entries.values().map(|e| e.value.len() as u64).sum();
            head.latest = part.writes.back().map(|write| write.id);
            head.changed = part
                .changed
                .map(|at| UNIX_EPOCH + Duration::from_millis(at));
            head.expires_in = part.ends.map(|ends| Duration::from_millis(ends - now));
            head.lease = part.lease.as_ref().map(|held| held.view(now));
            head
        }))
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        let (parts, _) = self.parts();
        let image = parts.get(partition).map(|part| Image {
            revision: part.revision,
            version_floor: part.deleted,
            entries: part.entries.clone().into_iter().collect(),
            writes: part.writes.clone().into(),
            lease: part.lease.as_ref().map(|held| LeaseMark::from(&held.fence)),
        });
        if let Some(image) = &image {
            image.check_limits()?;
        }
        Ok(image)
    }

    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        restore.image.check_limits()?;
        let (mut parts, now) = self.parts();
        let has = |token| {
            let mark = (partition.clone(), token);
            self.on_record.lock().expect("as above").contains(&mark)
        };
        if restore
            .decided_for
            .as_ref()
            .is_some_and(|id| *id != self.id)
        {
            return Ok(RestoreOutcome::OtherStore);
        }
        if has(Some(restore.fence.token_id())) {
            return Ok(RestoreOutcome::GivenUp);
        }
        match parts.get(partition) {
            None if !restore.onto_absent || has(None) => return Ok(RestoreOutcome::Absent),
            None => {}
            Some(part) => {
                if let Some(refusal) = part.refusal(&restore) {
                    return Ok(refusal);
                }
            }
        }
        let part = parts.entry(partition.clone()).or_default();
        let revision = restore.image.revision;
        *part = Part {
            entries: restore.image.entries.into_iter().collect(),
            revision,
            changed: Some(now),
            deleted: restore.image.version_floor,
            writes: restore.image.writes.into(),
            lease: Some(Held {
                fence: restore.fence,
                owner: restore.owner,
                until: after(now, restore.ttl),
            }),
            ends: part.ends,
        };
        drop(parts);
        self.news.send_replace(Some((partition.clone(), revision)));
        Ok(RestoreOutcome::Restored {
            durability: Durability::Volatile,
        })
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        let (parts, _) = self.parts();
        let lease = parts.get(partition).and_then(|part| part.lease.as_ref());
        if lease.is_some_and(|held| held.fence == *fence) {
            return Ok(GiveUpOutcome::Current);
        }
        let mark = (partition.clone(), Some(fence.token_id()));
        self.on_record.lock().expect("as above").insert(mark);
        Ok(GiveUpOutcome::Recorded)
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        let mut news = self.news.subscribe();
        news.mark_unchanged();
        Ok(Box::new(Feed {
            news,
            prefix: prefix.to_owned(),
        }))
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        Ok(self.id.clone())
    }

    async fn health(&self) -> Result<Health, StoreError> {
        Ok(Health::new(
            Duration::ZERO,
            vec!["the map ends with this process".to_owned()],
        ))
    }
}
