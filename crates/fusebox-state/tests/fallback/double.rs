//! A store that can be taken away, set back and emptied: a fault injector.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fusebox_state::*;
use tokio::time::Instant;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// It does not arrive.
    Away,
    /// It is carried out and its answer lost.
    AnswerLost,
    /// It is refused.
    Refusing,
}

/// A memory store behind a switch. Clones are handles on the same one.
#[derive(Clone)]
pub(crate) struct Faulty(Arc<Mutex<State>>);

struct State {
    inner: Arc<MemoryStore>,
    weather: Weather,
    asked: u64,
}

impl Faulty {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            inner: Arc::new(memory()),
            weather: Weather::Fair,
            asked: 0,
        })))
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.0.lock().unwrap().weather = weather;
    }

    /// Requests so far, those that did not arrive included.
    pub(crate) fn asked(&self) -> u64 {
        self.0.lock().unwrap().asked
    }

    /// Past the switch, for the test to look and to play other parties.
    pub(crate) fn inner(&self) -> Arc<MemoryStore> {
        self.0.lock().unwrap().inner.clone()
    }

    /// What a replica has that has seen everything up to now: to be promoted later.
    pub(crate) async fn replica(&self, partition: &Partition, fence: &Fence) -> Replica {
        let inner = self.inner();
        let owner = inner.lease(partition).await.unwrap().unwrap().owner;
        Replica {
            id: inner.identity().await.unwrap(),
            partition: partition.clone(),
            copy: Restore::new(
                fence.clone(),
                owner,
                Duration::from_secs(30),
                inner.image(partition).await.unwrap().unwrap(),
            ),
        }
    }

    /// The primary is lost and the replica takes its place.
    pub(crate) async fn promote(&self, replica: Replica) {
        let store = memory().with_identity(replica.id);
        let made = store
            .restore(&replica.partition, replica.copy.onto_absent())
            .await
            .unwrap();
        assert!(matches!(made, RestoreOutcome::Restored { .. }));
        self.0.lock().unwrap().inner = Arc::new(store);
    }

    /// It comes back with nothing, under another name.
    pub(crate) fn empty(&self) {
        self.0.lock().unwrap().inner = Arc::new(memory());
    }

    async fn meet<T>(
        &self,
        op: &'static str,
        writes: bool,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let weather = {
            let mut state = self.0.lock().unwrap();
            state.asked += 1;
            state.weather
        };
        let lost = |may_have_applied| StoreError::Unavailable {
            op,
            cause: "the cable is out".into(),
            may_have_applied,
        };
        match weather {
            Weather::Fair => work.await,
            Weather::Away => Err(lost(false)),
            Weather::AnswerLost => {
                work.await?;
                Err(lost(writes))
            }
            Weather::Refusing if writes => Err(StoreError::Refused {
                op,
                cause: "full".into(),
            }),
            Weather::Refusing => work.await,
        }
    }
}

pub(crate) struct Replica {
    id: StoreId,
    partition: Partition,
    copy: Restore,
}

/// On the runtime's clock, which a test may have paused.
fn memory() -> MemoryStore {
    let start = Instant::now();
    let wall = SystemTime::now();
    MemoryStore::with_clock(move || wall + start.elapsed())
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl StateStore for Faulty {
    fn describe(&self) -> StoreDescription {
        StoreDescription::new("fault-injector", "memory", Durability::Primary)
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.meet("now", false, self.inner().now()).await
    }

    async fn get(&self, p: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.meet("get", false, self.inner().get(p, key)).await
    }

    async fn scan(
        &self,
        p: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let inner = self.inner();
        self.meet("scan", false, inner.scan(p, prefix, after, limit))
            .await
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let inner = self.inner();
        self.meet("partitions", false, inner.partitions(prefix, cursor, limit))
            .await
    }

    async fn commit(&self, p: &Partition, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let inner = self.inner();
        let outcome = self.meet("commit", true, inner.commit(p, commit)).await?;
        Ok(match outcome {
            CommitOutcome::Applied { revision, .. } => CommitOutcome::Applied {
                durability: Durability::Primary,
                revision,
            },
            CommitOutcome::Duplicate { revision, .. } => CommitOutcome::Duplicate {
                durability: Durability::Primary,
                revision,
            },
            other => other,
        })
    }

    async fn acquire(
        &self,
        p: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        self.meet("acquire", true, self.inner().acquire(p, request))
            .await
    }

    async fn renew(
        &self,
        p: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        self.meet("renew", true, self.inner().renew(p, fence, ttl))
            .await
    }

    async fn release(&self, p: &Partition, fence: &Fence) -> Result<RenewOutcome, StoreError> {
        self.meet("release", true, self.inner().release(p, fence))
            .await
    }

    async fn lease(&self, p: &Partition) -> Result<Option<Lease>, StoreError> {
        self.meet("lease", false, self.inner().lease(p)).await
    }

    async fn expire(&self, p: &Partition, ttl: Option<Duration>) -> Result<bool, StoreError> {
        self.meet("expire", true, self.inner().expire(p, ttl)).await
    }

    async fn head(&self, p: &Partition) -> Result<Option<Head>, StoreError> {
        self.meet("head", false, self.inner().head(p)).await
    }

    async fn image(&self, p: &Partition) -> Result<Option<Image>, StoreError> {
        self.meet("image", false, self.inner().image(p)).await
    }

    async fn restore(&self, p: &Partition, wanted: Restore) -> Result<RestoreOutcome, StoreError> {
        self.meet("restore", true, self.inner().restore(p, wanted))
            .await
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        self.meet("watch", false, self.inner().watch(prefix)).await
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        self.meet("identity", true, self.inner().identity()).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.meet("health", false, self.inner().health()).await
    }
}
