//! State in this process.

mod aside;
mod feed;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use self::aside::Aside;
use self::feed::MemoryFeed;
use self::state::State;
use crate::rules::{self, RestoreRefusal};
use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Durability, Entry, Fence, GiveUpOutcome,
    Head, Health, Image, Key, Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore,
    RestoreOutcome, StateStore, StoreDescription, StoreError, StoreId, random,
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
    /// Those that expire, soonest first.
    ends: BTreeSet<(u64, Partition)>,
    /// Counts changes.
    sequence: u64,
    /// Removals and leases given up.
    aside: Aside,
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

    /// Has the partition be as `restore` says, whatever is there: for a mirror, which follows and
    /// does not decide.
    pub(crate) fn put(&self, partition: &Partition, restore: Restore) {
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.remove(partition);
        self.put_in(table, partition, restore, now_ms);
    }

    /// Removes the partition without a record.
    pub(crate) fn drop_partition(&self, partition: &Partition) {
        self.shared.lock().remove(partition);
    }

    fn put_in(
        &self,
        mut table: MutexGuard<'_, Table>,
        partition: &Partition,
        restore: Restore,
        now_ms: u64,
    ) {
        let state = table.partitions.entry(partition.clone()).or_default();
        state.restore(restore, now_ms);
        let sequence = table.wrote(partition);
        drop(table);
        self.shared.tell(sequence);
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
        table.purge_some(now_ms);
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
            self.shared.tell(sequence);
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

    /// Whoever begins to watch later looks at the table first.
    fn tell(&self, sequence: u64) {
        if self.news.receiver_count() > 0 {
            self.news.send_replace(sequence);
        }
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

    /// Removes a few that have expired: more than one write can add, so that nothing piles up.
    fn purge_some(&mut self, now_ms: u64) {
        for _ in 0..2 {
            match self.ends.first() {
                Some((end, partition)) if *end <= now_ms => {
                    let partition = partition.clone();
                    self.remove(&partition);
                }
                _ => return,
            }
        }
    }

    fn purge_all(&mut self, now_ms: u64) {
        while self.ends.first().is_some_and(|(end, _)| *end <= now_ms) {
            self.purge_some(now_ms);
        }
    }

    fn remove(&mut self, partition: &Partition) {
        if let Some(state) = self.partitions.remove(partition) {
            self.changed.remove(&state.changed);
            if let Some(end) = state.deadline_ms {
                self.ends.remove(&(end, partition.clone()));
            }
        }
    }

    /// Has the partition end at a moment, or never.
    fn end(&mut self, partition: &Partition, deadline_ms: Option<u64>) {
        let Some(state) = self.partitions.get_mut(partition) else {
            return;
        };
        let before = std::mem::replace(&mut state.deadline_ms, deadline_ms);
        if let Some(end) = before {
            self.ends.remove(&(end, partition.clone()));
        }
        if let Some(end) = deadline_ms {
            self.ends.insert((end, partition.clone()));
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
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.purge(partition, now_ms);
        if !table.partitions.contains_key(partition) {
            return Ok(false);
        }
        table.end(partition, ttl.map(|ttl| now_ms + rules::ttl_ms(ttl)));
        match ttl {
            Some(_) => table.aside.removed(partition),
            None => table.aside.kept(partition),
        }
        // At zero the deadline is past.
        table.purge(partition, now_ms);
        Ok(true)
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
        let stored = table.partitions.get(partition).map(State::stored);
        let on_record = table.aside.on_record(partition, &restore.fence);
        let allowed = rules::restore(stored.as_ref(), on_record, &self.id, &restore);
        if let Err(refusal) = allowed {
            return Ok(RestoreRefusal::outcome(refusal, DURABILITY));
        }
        self.put_in(table, partition, restore, now_ms);
        Ok(RestoreOutcome::Restored {
            durability: DURABILITY,
        })
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        let now_ms = self.shared.now_ms();
        let mut table = self.shared.lock();
        table.purge(partition, now_ms);
        let current = table.partitions.get(partition);
        let lease = current.and_then(|state| state.lease.as_ref());
        if lease.is_some_and(|lease| lease.fence == *fence) {
            return Ok(GiveUpOutcome::Current);
        }
        table.aside.given_up(partition, fence);
        Ok(GiveUpOutcome::Recorded)
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
