//! State in this process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::commit::REMEMBERED_WRITES;
use crate::rules::{self, LeaseRecord};
use crate::{
    AcquireOutcome, Change, Commit, CommitOutcome, Durability, Entry, Fence, Health, Key, Lease,
    LeaseRequest, Page, Partition, RenewOutcome, StateStore, StoreDescription, StoreError, WriteId,
    random,
};

const DURABILITY: Durability = Durability::Volatile;

/// State in this process: for tests, and where nothing has to survive a restart.
///
/// Every method answers at once and none fails but for limits. Share it behind an `Arc`.
pub struct MemoryStore {
    partitions: Mutex<BTreeMap<Partition, State>>,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// The greatest version ever deleted here; see [`StateStore::commit`].
    version_floor: u64,
    lease: Option<LeaseRecord>,
    writes: VecDeque<(WriteId, [u8; 32])>,
    deadline_ms: Option<u64>,
}

impl MemoryStore {
    /// An empty store on the system's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemTime::now)
    }

    /// An empty store on another clock, so that a test decides when leases run out. The clock
    /// must not use the store.
    pub fn with_clock(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            partitions: Mutex::default(),
            clock: Box::new(clock),
        }
    }

    fn now_ms(&self) -> u64 {
        rules::unix_ms((self.clock)())
    }

    // Nothing below panics between two changes, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, State>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the partition if it exists, having removed it if it expired.
    fn with<T>(&self, partition: &Partition, work: impl FnOnce(Option<&mut State>, u64) -> T) -> T {
        let now_ms = self.now_ms();
        let mut partitions = self.lock();
        if partitions
            .get(partition)
            .is_some_and(|state| state.is_expired(now_ms))
        {
            partitions.remove(partition);
        }
        work(partitions.get_mut(partition), now_ms)
    }

    /// As [`with`](Self::with), on a partition that comes into being if need be; it stays only
    /// if `keep` says so.
    fn with_new<T>(
        &self,
        partition: &Partition,
        keep: impl FnOnce(&T) -> bool,
        work: impl Fn(&mut State, u64) -> T,
    ) -> T {
        let now_ms = self.now_ms();
        let mut partitions = self.lock();
        if let Some(state) = partitions.get_mut(partition) {
            if state.is_expired(now_ms) {
                *state = State::default();
            }
            return work(state, now_ms);
        }
        let mut state = State::default();
        let answer = work(&mut state, now_ms);
        if keep(&answer) {
            partitions.insert(partition.clone(), state);
        }
        answer
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("partitions", &self.lock().len())
            .finish()
    }
}

impl State {
    fn is_expired(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_some_and(|deadline| deadline <= now_ms)
    }

    fn commit(&mut self, commit: &Commit) -> CommitOutcome {
        let digest = commit.digest();
        if let Some((_, written)) = self.writes.iter().find(|(id, _)| *id == commit.id()) {
            return match *written == digest {
                true => CommitOutcome::Duplicate {
                    durability: DURABILITY,
                },
                false => CommitOutcome::DuplicateDifferent,
            };
        }
        if let Err(current) = rules::admit(self.lease.as_ref(), commit.fence()) {
            return CommitOutcome::StaleEpoch { current };
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
        self.writes.push_back((commit.id(), digest));
        if self.writes.len() > REMEMBERED_WRITES {
            self.writes.pop_front();
        }
        CommitOutcome::Applied {
            durability: DURABILITY,
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

    /// Changes the lease if `fence` holds it.
    fn touch_lease(&mut self, fence: &Fence, expires_ms: u64, done: RenewOutcome) -> RenewOutcome {
        match self.lease.as_mut() {
            Some(lease) if lease.fence == *fence => {
                lease.expires_ms = expires_ms;
                done
            }
            other => RenewOutcome::Lost {
                current_epoch: other.map(|lease| lease.fence.epoch),
            },
        }
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    fn describe(&self) -> StoreDescription {
        StoreDescription::new("memory", "memory:", DURABILITY)
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        Ok((self.clock)())
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.with(partition, |state, _| state?.entries.get(key).cloned()))
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let limit = rules::page_limit(limit);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.with(partition, |state, _| {
            let Some(state) = state else {
                return Page::new(Vec::new(), None);
            };
            let mut matching = state
                .entries
                .range((from, Bound::Unbounded))
                .skip_while(|(key, _)| key.as_str() < prefix)
                .take_while(|(key, _)| key.as_str().starts_with(prefix))
                .map(|(key, entry)| (key.clone(), entry.clone()));
            let items: Vec<_> = matching.by_ref().take(limit).collect();
            let next = matching
                .next()
                .and(items.last())
                .map(|(key, _)| key.to_string());
            Page::new(items, next)
        }))
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let limit = rules::page_limit(limit);
        let now_ms = self.now_ms();
        let mut partitions = self.lock();
        partitions.retain(|_, state| !state.is_expired(now_ms));
        let mut matching = partitions
            .keys()
            .filter(|name| name.as_str().starts_with(prefix))
            .filter(|name| cursor.is_none_or(|cursor| name.as_str() > cursor));
        let items: Vec<_> = matching.by_ref().take(limit).cloned().collect();
        let next = matching.next().and(items.last()).map(Partition::to_string);
        Ok(Page::new(items, next))
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        commit.check_limits()?;
        Ok(
            self.with_new(partition, CommitOutcome::is_applied, |state, _| {
                state.commit(&commit)
            }),
        )
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        request.check_limits()?;
        let token = random::bytes16();
        Ok(self.with_new(
            partition,
            |_| true,
            |state, now_ms| {
                let current = state.lease.as_ref();
                match rules::acquire(current, &request, token, now_ms) {
                    Err(held) => AcquireOutcome::Held(held),
                    Ok(lease) => {
                        let previous = current.map(|lease| lease.view(now_ms));
                        let fence = lease.fence.clone();
                        state.lease = Some(lease);
                        AcquireOutcome::Acquired { fence, previous }
                    }
                }
            },
        ))
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        Ok(self.with(partition, |state, now_ms| match state {
            Some(state) => {
                state.touch_lease(fence, now_ms + rules::ttl_ms(ttl), RenewOutcome::Renewed)
            }
            None => RenewOutcome::Lost {
                current_epoch: None,
            },
        }))
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        Ok(self.with(partition, |state, _| match state {
            Some(state) => state.touch_lease(fence, 0, RenewOutcome::Released),
            None => RenewOutcome::Lost {
                current_epoch: None,
            },
        }))
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        Ok(self.with(partition, |state, now_ms| {
            Some(state?.lease.as_ref()?.view(now_ms))
        }))
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        // A deadline of now is past for whoever comes next, so zero deletes at once.
        Ok(self.with(partition, |state, now_ms| {
            state
                .map(|state| state.deadline_ms = ttl.map(|ttl| now_ms + rules::ttl_ms(ttl)))
                .is_some()
        }))
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let warning = "state ends with this process; use sqlite: or redis:// to keep it";
        Ok(Health::new(Duration::ZERO, vec![warning.to_owned()]))
    }
}
