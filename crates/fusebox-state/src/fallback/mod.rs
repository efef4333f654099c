//! A store that may go away, with something to fall back on.

mod adopt;
mod commit;
mod config;
mod forks;
mod journal;
#[cfg(feature = "embedded")]
mod journal_dir;
mod lease;
mod mirror;
mod mode;
mod owned;
mod reconcile;
mod record;
mod status;
mod supervisor;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::config::FallbackConfig;
pub use self::forks::{Fork, forks};
use self::journal::Journal;
use self::mode::Mode;
use self::owned::{Holding, Owned};
use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Entry, Fence, GiveUpOutcome, Head, Health,
    Image, Key, Lease, LeaseMark, LeaseRequest, MemoryStore, Page, Partition, RenewOutcome,
    Restore, RestoreOutcome, StateStore, StoreDescription, StoreError, StoreId, StoreMode,
    StoreStatus,
};

/// A store behind which its owner's own memory stands, and perhaps a journal on the local disk.
///
/// As long as the store answers, everything is done by it, and nothing else is acknowledged. What was
/// acknowledged to a partition's owner through this handle is also kept as an [`Image`], so that
///
/// - a store that was set back (an old snapshot, a replica promoted too early, emptied) is noticed
///   at the next write or by the supervisor, and gets back what it had acknowledged;
/// - while the store is away, its owned partitions can be read and, if the configuration says so,
///   written, for as long as the lease lasts. Such a write is acknowledged with the durability of
///   the journal it went to, and delivered when the store is back;
/// - if another owner took a partition meanwhile, nothing of theirs is overwritten: what is not in
///   the store is kept apart as a [`Fork`], and the commit is answered
///   [`StaleEpoch`](CommitOutcome::StaleEpoch).
///
/// A partition is owned from an `acquire` through this handle on. Nothing can be acquired, and no
/// partition of others read, while the store is away: those calls fail at once.
///
/// [`status`](StateStore::status) tells how sure it is; [`mode_changes`](Self::mode_changes) when
/// that changes. A supervisor task asks a store that is away every 0.1 to 2 s until it answers, for
/// ever. Made and used on a tokio runtime with time enabled; dropping it ends the task. Commits that
/// wait in a journal directory are delivered by the next store opened with it.
pub struct FallbackStore {
    shared: Arc<Shared>,
    supervisor: JoinHandle<()>,
}

struct Shared {
    primary: Arc<dyn StateStore>,
    config: FallbackConfig,
    /// What owners were told, partition by partition.
    mirror: MemoryStore,
    holding: Holding,
    mode: Mode,
    journal: Option<Arc<Journal>>,
    /// The primary's name as of the last time everything was well; none before the first contact.
    known: Mutex<Option<StoreId>>,
}

impl FallbackStore {
    /// Puts a fallback behind `primary`. If it answers, commits that an earlier process left in the
    /// journal directory are delivered before this returns; if it does not, the store starts out
    /// degraded.
    ///
    /// # Errors
    /// As [`StateStore::identity`] of the primary but for [`StoreError::Unavailable`]; what opening
    /// the journal says.
    pub async fn open(
        primary: Arc<dyn StateStore>,
        config: FallbackConfig,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            primary,
            mirror: MemoryStore::new(),
            holding: Holding::new(config.mirror_bytes),
            mode: Mode::new(config.patience),
            journal: Journal::open(&config).await?,
            known: Mutex::default(),
            config,
        });
        shared.adopt().await?;
        shared.first_contact().await?;
        let supervisor = tokio::spawn(supervisor::run(Arc::downgrade(&shared)));
        Ok(Self { shared, supervisor })
    }

    /// Changes with every change of the mode, for whoever logs them.
    pub fn mode_changes(&self) -> watch::Receiver<StoreMode> {
        self.shared.mode.changes()
    }

    /// Waits until no commit waits to be delivered, for at most `limit`. Answers whether that is so.
    pub async fn settle(&self, limit: Duration) -> bool {
        let mut delivered = self.shared.holding.changes();
        let settled = async {
            loop {
                delivered.mark_unchanged();
                if self.status().pending_commits == 0 {
                    return;
                }
                // The sender lives as long as this store.
                let _ = delivered.changed().await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }
}

impl Drop for FallbackStore {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl fmt::Debug for FallbackStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackStore")
            .field("primary", &self.shared.primary)
            .field("config", &self.shared.config)
            .field("mode", &self.shared.mode.now())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Asks the primary, unless it is known to be away.
    async fn ask<T>(
        &self,
        op: &'static str,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.mode.check(op)?;
        let answer = question.await;
        self.mode.note(&answer);
        answer
    }

    /// Reads from the primary; from the mirror if the partition is owned and the primary is away
    /// or has yet to be told something.
    async fn read<T>(
        &self,
        op: &'static str,
        partition: &Partition,
        primary: impl Future<Output = Result<T, StoreError>>,
        mirror: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let readable = self.holding.find(partition).is_some_and(|owned| {
            let data = owned.data();
            data.is_mirrored && (data.pending > 0 || self.mode.is_away())
        });
        if readable {
            return mirror.await;
        }
        self.ask(op, primary).await
    }
}

#[async_trait]
impl StateStore for FallbackStore {
    fn describe(&self) -> StoreDescription {
        self.shared.primary.describe()
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.shared.ask("now", self.shared.primary.now()).await
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        let Shared {
            primary, mirror, ..
        } = &*self.shared;
        let (theirs, ours) = (primary.get(partition, key), mirror.get(partition, key));
        self.shared.read("get", partition, theirs, ours).await
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let Shared {
            primary, mirror, ..
        } = &*self.shared;
        let theirs = primary.scan(partition, prefix, after, limit);
        let ours = mirror.scan(partition, prefix, after, limit);
        self.shared.read("scan", partition, theirs, ours).await
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let list = self.shared.primary.partitions(prefix, cursor, limit);
        self.shared.ask("partitions", list).await
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        commit.check_limits()?;
        match self.shared.holding.of(partition, commit.fence()) {
            Some(owned) => self.shared.commit_owned(&owned, commit).await,
            None => {
                let write = self.shared.primary.commit(partition, commit);
                self.shared.ask("commit", write).await
            }
        }
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        // What waits for delivery under an older lease goes first, or it would be lost to the new one.
        if let Some(owned) = self.shared.holding.find(partition)
            && owned.data().pending > 0
        {
            self.shared.mode.check("acquire")?;
            self.shared.reconcile_one(&owned).await?;
        }
        let sent = Instant::now();
        let (owner, ttl) = (request.owner.clone(), request.ttl);
        let acquire = self.shared.primary.acquire(partition, request);
        let outcome = self.shared.ask("acquire", acquire).await?;
        if let AcquireOutcome::Acquired { fence, previous } = &outcome {
            let predecessor = previous.as_ref().map(LeaseMark::from);
            let owned = Owned::new(partition.clone(), fence.clone(), owner, predecessor);
            owned.data().lease_lasts(sent, ttl);
            if let Some(lease) = self.shared.hold(owned).await? {
                return Ok(AcquireOutcome::Held(lease));
            }
        }
        Ok(outcome)
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        match self.shared.holding.of(partition, Some(fence)) {
            Some(owned) => self.shared.renew_owned(&owned, ttl).await,
            None => {
                let renew = self.shared.primary.renew(partition, fence, ttl);
                self.shared.ask("renew", renew).await
            }
        }
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        match self.shared.holding.of(partition, Some(fence)) {
            Some(owned) => self.shared.release_owned(&owned).await,
            None => {
                let release = self.shared.primary.release(partition, fence);
                self.shared.ask("release", release).await
            }
        }
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        let Shared {
            primary, mirror, ..
        } = &*self.shared;
        let (theirs, ours) = (primary.lease(partition), mirror.lease(partition));
        self.shared.read("lease", partition, theirs, ours).await
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        match self.shared.holding.find(partition) {
            Some(owned) => self.shared.expire_owned(&owned, ttl).await,
            None => {
                let expire = self.shared.primary.expire(partition, ttl);
                self.shared.ask("expire", expire).await
            }
        }
    }

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        let Shared {
            primary, mirror, ..
        } = &*self.shared;
        let (theirs, ours) = (primary.head(partition), mirror.head(partition));
        self.shared.read("head", partition, theirs, ours).await
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        let Shared {
            primary, mirror, ..
        } = &*self.shared;
        let (theirs, ours) = (primary.image(partition), mirror.image(partition));
        self.shared.read("image", partition, theirs, ours).await
    }

    /// Goes to the store itself. A partition that is owned is looked at anew.
    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        let owned = self.shared.holding.find(partition);
        let restore = self.shared.primary.restore(partition, restore);
        let outcome = self.shared.ask("restore", restore).await?;
        if let Some(owned) = owned {
            let _turn = owned.turn().await;
            let is_waiting = owned.data().pending > 0;
            if !is_waiting {
                self.shared.look_anew(&owned).await?;
            }
        }
        Ok(outcome)
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        let give_up = self.shared.primary.give_up(partition, fence);
        self.shared.ask("give_up", give_up).await
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        let watch = self.shared.primary.watch(prefix);
        self.shared.ask("watch", watch).await
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        self.shared
            .ask("identity", self.shared.primary.identity())
            .await
    }

    fn status(&self) -> StoreStatus {
        self.shared.status()
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let mut health = self
            .shared
            .ask("health", self.shared.primary.health())
            .await?;
        let status = self.shared.status();
        if status.mode != StoreMode::Healthy || status.forks > 0 {
            health.warnings.push(status.to_string());
        }
        Ok(health)
    }
}
