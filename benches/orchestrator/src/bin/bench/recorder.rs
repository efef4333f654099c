//! Writes down what the engine commits, so that the floors can send the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fusebox_state::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Entry, Fence, GiveUpOutcome, Head, Health,
    Image, Key, Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore, RestoreOutcome,
    StateStore, StoreDescription, StoreError, StoreId,
};
use tokio::runtime::Runtime;

use crate::engine;
use crate::shape::Shape;
use crate::turn::name;

/// How often a run is recorded. Steps that end together are committed together, and how many do is
/// up to the scheduler: the run with the median number of commits stands for all.
const RECORDED: usize = 9;

pub(crate) fn commits_of_a_run(
    runtime: &Runtime,
    store: &Arc<dyn StateStore>,
    shape: Shape,
) -> Arc<Vec<Commit>> {
    let mut runs: Vec<Vec<Commit>> = (0..RECORDED)
        .map(|_| record(runtime, Arc::clone(store), shape))
        .collect();
    runs.sort_by_key(Vec::len);
    Arc::new(runs.swap_remove(RECORDED / 2))
}

fn record(runtime: &Runtime, store: Arc<dyn StateStore>, shape: Shape) -> Vec<Commit> {
    let recorder = Arc::new(Recorder {
        inner: store,
        commits: Mutex::default(),
    });
    let engine = engine::engine(&(Arc::clone(&recorder) as Arc<dyn StateStore>), shape);
    let workflow = shape.workflow();
    // On a worker, where the measured runs are as well.
    let run = runtime.spawn(async move { engine::run(&engine, &workflow, name("record")).await });
    runtime.block_on(run).expect("no panic");
    let mut commits = recorder
        .commits
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *commits)
}

#[derive(Debug)]
struct Recorder {
    inner: Arc<dyn StateStore>,
    commits: Mutex<Vec<Commit>>,
}

impl Recorder {
    fn note(&self, commit: Commit) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push(commit);
    }
}

#[async_trait]
impl StateStore for Recorder {
    fn describe(&self) -> StoreDescription {
        self.inner.describe()
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.inner.now().await
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.inner.get(partition, key).await
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        self.inner.scan(partition, prefix, after, limit).await
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        self.inner.partitions(prefix, cursor, limit).await
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        self.note(commit.clone());
        self.inner.commit(partition, commit).await
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        self.inner.acquire(partition, request).await
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        self.inner.renew(partition, fence, ttl).await
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        self.inner.release(partition, fence).await
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        self.inner.lease(partition).await
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.inner.expire(partition, ttl).await
    }

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        self.inner.head(partition).await
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        self.inner.image(partition).await
    }

    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        self.inner.restore(partition, restore).await
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        self.inner.give_up(partition, fence).await
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        self.inner.watch(prefix).await
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        self.inner.identity().await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.inner.health().await
    }
}
