//! Any store, with chosen operations failing.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fusebox_state::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Entry, Fence, GiveUpOutcome, Head, Health,
    Image, Key, Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore, RestoreOutcome,
    StateStore, StoreDescription, StoreError, StoreId, StoreStatus,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fault::{Effect, Operation, Planned, StoreFault};

/// A store with another behind it, failing as planned: a fault injector, and it says so in
/// [`describe`](StateStore::describe).
///
/// Faults may be added and taken back while it is in use. Where several would strike one call, the
/// one added first does.
///
/// ```
/// use fusebox_state::{Commit, CommitOutcome, MemoryStore, Partition, StateStore, WriteId};
/// use fusebox_testkit::{FailingStore, Operation, StoreFault, virtual_time};
///
/// virtual_time(1, async |_| {
///     let store = FailingStore::new(MemoryStore::new());
///     store.inject(StoreFault::unavailable_after().on(Operation::Commit).times(1));
///     let (run, commit) = (Partition::try_new("run").unwrap(), Commit::new(WriteId::random()));
///
///     let lost = store.commit(&run, commit.clone()).await.unwrap_err();
///     assert!(lost.may_have_applied());
///     let again = store.commit(&run, commit).await.unwrap();
///     assert!(matches!(again, CommitOutcome::Duplicate { .. })); // it had been
///     store.assert_struck();
/// });
/// ```
pub struct FailingStore<S> {
    inner: S,
    made: Instant,
    plan: Mutex<Plan>,
    /// Whether the process that uses it counts as dead.
    dead: watch::Sender<bool>,
}

#[derive(Default)]
struct Plan {
    faults: Vec<Planned>,
    calls: BTreeMap<Operation, u64>,
}

impl<S: StateStore> FailingStore<S> {
    /// A store that does what `inner` does, until it is told otherwise.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            made: Instant::now(),
            plan: Mutex::default(),
            dead: watch::Sender::new(false),
        }
    }

    /// Plans a fault.
    pub fn inject(&self, fault: StoreFault) {
        self.lock().faults.push(Planned::new(fault));
    }

    /// Takes every fault back: the store is well from now on, for another process where one died.
    pub fn heal(&self) {
        self.lock().faults.clear();
        self.dead.send_replace(false);
    }

    /// Waits until a fault has the process die, see [`StoreFault::dies_before`].
    pub async fn died(&self) {
        let mut dead = self.dead.subscribe();
        let died = dead.wait_for(|dead| *dead).await;
        died.expect("the sender lives as long as the store");
    }

    /// How often an operation was called, failed calls included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.lock().calls.get(&operation).copied().unwrap_or(0)
    }

    /// How many calls the planned faults have struck.
    pub fn struck(&self) -> u64 {
        self.lock().faults.iter().map(Planned::struck).sum()
    }

    /// Asserts that every planned fault has struck: one that never did proves nothing.
    ///
    /// # Panics
    /// One has not; the message names it and the calls there were.
    #[track_caller]
    pub fn assert_struck(&self) {
        let plan = self.lock();
        if let Some(idle) = plan.faults.iter().find(|fault| fault.struck() == 0) {
            panic!(
                "no call was struck by {:?}\ncalls: {:?}",
                idle.fault(),
                plan.calls
            );
        }
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn strikes(&self, operation: Operation) -> Option<Effect> {
        let age = self.made.elapsed();
        let mut plan = self.lock();
        *plan.calls.entry(operation).or_default() += 1;
        plan.faults
            .iter_mut()
            .find_map(|fault| fault.strikes(operation, age))
    }

    async fn with<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if *self.dead.borrow() {
            return pending().await;
        }
        match self.strikes(operation) {
            None => work.await,
            Some(Effect::After) => {
                work.await?;
                Err(Effect::After.error(operation))
            }
            Some(effect @ (Effect::DiesBefore | Effect::DiesAfter)) => {
                if effect == Effect::DiesAfter {
                    work.await?;
                }
                self.dead.send_replace(true);
                pending().await
            }
            Some(effect) => Err(effect.error(operation)),
        }
    }

    // Nothing below panics in the middle of a change, `assert_struck` after none.
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: StateStore> fmt::Debug for FailingStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingStore")
            .field("inner", &self.inner)
            .field("struck", &self.struck())
            .finish()
    }
}

#[async_trait]
impl<S: StateStore> StateStore for FailingStore<S> {
    fn describe(&self) -> StoreDescription {
        let inner = self.inner.describe();
        StoreDescription::new(
            "fault-injector",
            format!("{}: {}", inner.kind, inner.location),
            inner.durability,
        )
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.with(Operation::Now, self.inner.now()).await
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.with(Operation::Get, self.inner.get(partition, key))
            .await
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let work = self.inner.scan(partition, prefix, after, limit);
        self.with(Operation::Scan, work).await
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let work = self.inner.partitions(prefix, cursor, limit);
        self.with(Operation::Partitions, work).await
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        self.with(Operation::Commit, self.inner.commit(partition, commit))
            .await
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        self.with(Operation::Acquire, self.inner.acquire(partition, request))
            .await
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        self.with(Operation::Renew, self.inner.renew(partition, fence, ttl))
            .await
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        self.with(Operation::Release, self.inner.release(partition, fence))
            .await
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        self.with(Operation::Lease, self.inner.lease(partition))
            .await
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.with(Operation::Expire, self.inner.expire(partition, ttl))
            .await
    }

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        self.with(Operation::Head, self.inner.head(partition)).await
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        self.with(Operation::Image, self.inner.image(partition))
            .await
    }

    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        let work = self.inner.restore(partition, restore);
        self.with(Operation::Restore, work).await
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        self.with(Operation::GiveUp, self.inner.give_up(partition, fence))
            .await
    }

    /// A feed that was opened is not failed.
    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        self.with(Operation::Watch, self.inner.watch(prefix)).await
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        self.with(Operation::Identity, self.inner.identity()).await
    }

    fn status(&self) -> StoreStatus {
        self.inner.status()
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.with(Operation::Health, self.inner.health()).await
    }
}
