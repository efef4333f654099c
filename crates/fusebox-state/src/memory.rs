//! State in this process.

mod feed;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use self::feed::MemoryFeed;
use self::state::State;
use crate::rules::{self, RestoreRefusal};
use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Durability, Entry, Fence, Head, Health,
    Image, Key, Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore, RestoreOutcome,
    StateStore, StoreDescription, StoreError, StoreId, random,
};

const DURABILITY: Durability = Durability::Volatile;

/// State in this process: for tests, and where nothing has to survive a restart.
///
/// Every method answers at once and none fails but for limits. Share it behind an `Arc`.
pub struct MemoryStore {
    shared: Arc<Shared>,
    id: StoreId,
}

struct Shared {
    table: Mutex<Table>,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// The table's sequence, for those who wait for changes.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    partitions: BTreeMap<Partition, State>,
    /// Partitions by the sequence of their latest change.
    changed: BTreeMap<u64, Partition>,
    /// Counts changes.
    sequence: u64,
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
            shared: Arc::new(Shared {
                table: Mutex::default(),
                clock: Box::new(clock),
                news: watch::Sender::new(0),
            }),
            id: StoreId::random(),
        }
    }

    /// The same store under another name: for doubles that stand in for a store that was lost.
    pub fn with_identity(mut self, id: StoreId) -> Self {
        self.id = id;
        self
    }

    /// Runs `work` on the partition if it exists, having removed it if it expired.
    fn with<T>(&self, partition: &Partition, work: impl FnOnce(Option<&mut State>, u64) -> T) -> T {
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.purge(partition, now_ms);
        work(table.partitions.get_mut(partition), now_ms)
    }

    /// As [`with`](Self::with), on a partition that comes into being if need be. A partition that
    /// `work` made stays, and one that it wrote to is told of, only if it says `true`.
    fn change<T>(
        &self,
        partition: &Partition,
        work: impl FnOnce(&mut State, u64) -> (T, Change),
    ) -> T {
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.purge(partition, now_ms);
        let mut new = State::default();
        let known = table.partitions.get_mut(partition);
        let is_new = known.is_none();
        let (answer, change) = work(known.unwrap_or(&mut new), now_ms);
        if is_new && change != Change::None {
            table.partitions.insert(partition.clone(), new);
        }
        if change == Change::Written {
            let sequence = table.wrote(partition);
            drop(table);
            // Nobody may be watching.
            self.shared.news.send_replace(sequence);
        }
        answer
    }
}

/// What became of a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Leased,
    Written,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        rules::unix_ms((self.clock)())
    }

    // Nothing panics between two changes, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn purge(&mut self, partition: &Partition, now_ms: u64) {
        let expired = |state: &State| state.is_expired(now_ms);
        if self.partitions.get(partition).is_some_and(expired) {
            self.remove(partition);
        }
    }

    fn purge_all(&mut self, now_ms: u64) {
        let expired =
            |(name, state): (&Partition, &State)| state.is_expired(now_ms).then(|| name.clone());
        let expired: Vec<_> = self.partitions.iter().filter_map(expired).collect();
        for partition in &expired {
            self.remove(partition);
        }
    }

    fn remove(&mut self, partition: &Partition) {
        if let Some(state) = self.partitions.remove(partition) {
            self.changed.remove(&state.changed);
        }
    }

    /// Notes that the partition was written to.
    fn wrote(&mut self, partition: &Partition) -> u64 {
        self.sequence += 1;
        if let Some(state) = self.partitions.get_mut(partition) {
            let before = std::mem::replace(&mut state.changed, self.sequence);
            self.changed.remove(&before);
            self.changed.insert(self.sequence, partition.clone());
        }
        self.sequence
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
            .field("partitions", &self.shared.lock().partitions.len())
            .finish()
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    fn describe(&self) -> StoreDescription {
        StoreDescription::new("memory", "memory:", DURABILITY)
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        Ok((self.shared.clock)())
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
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.purge_all(now_ms);
        let mut matching = table
            .partitions
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
        Ok(self.change(partition, |state, now_ms| {
            let outcome = state.commit(&commit, now_ms);
            let change = match outcome {
                CommitOutcome::Applied { .. } => Change::Written,
                _ => Change::None,
            };
            (outcome, change)
        }))
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        request.check_limits()?;
        let token = random::bytes16();
        Ok(self.change(partition, |state, now_ms| {
            (state.acquire(&request, token, now_ms), Change::Leased)
        }))
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        Ok(self.with(partition, |state, now_ms| {
            let until = now_ms + rules::ttl_ms(ttl);
            State::touch_lease(state, fence, until, RenewOutcome::Renewed)
        }))
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        Ok(self.with(partition, |state, _| {
            State::touch_lease(state, fence, 0, RenewOutcome::Released)
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

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        Ok(self.with(partition, |state, now_ms| Some(state?.head(now_ms))))
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        let image = self.with(partition, |state, _| Some(state?.image()));
        image
            .map(|image| image.check_limits().map(|()| image))
            .transpose()
    }

    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        restore.image.check_limits()?;
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.purge(partition, now_ms);
        let stored = table.partitions.get(partition);
        if let Err(refusal) = rules::restore(stored.map(State::stored).as_ref(), &restore) {
            return Ok(RestoreRefusal::outcome(refusal, DURABILITY));
        }
        let state = table.partitions.entry(partition.clone()).or_default();
        state.restore(restore, now_ms);
        let sequence = table.wrote(partition);
        drop(table);
        self.shared.news.send_replace(sequence);
        Ok(RestoreOutcome::Restored {
            durability: DURABILITY,
        })
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        Ok(Box::new(MemoryFeed::new(&self.shared, prefix)))
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        Ok(self.id.clone())
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let warning = "state ends with this process; use sqlite: or redis:// to keep it";
        Ok(Health::new(Duration::ZERO, vec![warning.to_owned()]))
    }
}
