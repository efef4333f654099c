//! State in one SQLite file.

mod aside;
mod fault;
mod feed;
mod place;
mod schema;
mod tables;
mod whole;
mod worker;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use self::feed::EmbeddedFeed;
use self::place::Place;
use self::worker::Worker;
use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Durability, Entry, Fence, GiveUpOutcome,
    Head, Health, Image, Key, Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore,
    RestoreOutcome, StateStore, StoreDescription, StoreError, StoreId, random, rules,
};

const DURABILITY: Durability = Durability::LocalFsync;

/// State in one SQLite file, shared by the processes of one host.
///
/// A write is answered after its transaction was flushed to disk (`journal_mode=WAL`,
/// `synchronous=FULL`). One thread writes: it takes the requests that wait, up to 64, into one transaction,
/// so that they share one flush; each keeps its own outcome. Another thread reads beside it.
/// A writer of another process is waited for up to 5 s.
///
/// A file that is removed or replaced while it is in use takes no more writes: they could never be
/// found again.
///
/// The file must be on a local disk: SQLite's shared index does not work over network file systems.
/// Next to it SQLite keeps `-wal` and `-shm` files; copy a file in use with `sqlite3 FILE .backup`.
/// Leases run by the host's clock.
///
/// Dropping the store waits for its threads, that is for at most one transaction.
pub struct EmbeddedStore {
    path: PathBuf,
    writer: Worker,
    reader: Arc<Worker>,
    /// Changed with every write of this process, for its feeds.
    news: watch::Sender<u64>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it together with its missing directories. Blocks for some
    /// milliseconds of disk work.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] if the path cannot be written or holds something else;
    /// [`StoreError::Format`] if another version wrote it; [`StoreError::Unavailable`] if another
    /// process kept it locked for 5 s.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let writer = schema::open(path)?;
        let reader = schema::open_reader(path)?;
        let reader = Worker::reader(reader).map_err(|error| fault::no_thread(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer: Worker::writer(writer, Place::of(path))
                .map_err(|error| fault::no_thread(path, error))?,
            reader: Arc::new(reader),
            news: watch::Sender::new(0),
        })
    }

    /// Runs `work` on the writer thread, in a transaction that is on disk when this returns.
    async fn write<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection, u64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer
            .run(op, move |connection| Ok(work(connection, now_ms())?))
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection, u64) -> Result<T, fault::ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader
            .run(op, move |connection| work(connection, now_ms()))
            .await
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl StateStore for EmbeddedStore {
    fn describe(&self) -> StoreDescription {
        StoreDescription::new("embedded", self.path.display().to_string(), DURABILITY)
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(SystemTime::now())
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        let (partition, key) = (partition.clone(), key.clone());
        self.read("get", move |db, now| tables::get(db, &partition, &key, now))
            .await
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let (partition, prefix, after) = (partition.clone(), prefix.to_owned(), after.cloned());
        let limit = rules::page_limit(limit);
        self.read("scan", move |db, now| {
            tables::scan(db, &partition, &prefix, after.as_ref(), limit, now)
        })
        .await
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let (prefix, cursor) = (prefix.to_owned(), cursor.map(str::to_owned));
        let limit = rules::page_limit(limit);
        let (page, has_expired) = self
            .read("partitions", move |db, now| {
                let page = tables::partitions(db, &prefix, cursor.as_deref(), limit, now)?;
                Ok((page, tables::has_expired(db, now)?))
            })
            .await?;
        if has_expired {
            // A listing does not wait for writers, and the next one sees to what is left.
            self.writer
                .post("partitions", |db| Ok(tables::purge(db, now_ms())?));
        }
        Ok(page)
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        commit.check_limits()?;
        let partition = partition.clone();
        // Hashing is done here, beside the one thread that everybody waits for.
        let digest = commit.digest();
        let sealed = tables::Sealed::new(commit);
        let outcome = self
            .write("commit", move |db, now| {
                tables::commit(db, &partition, &sealed, digest, now)
            })
            .await?;
        if matches!(outcome, CommitOutcome::Applied { .. }) {
            self.news.send_modify(|writes| *writes += 1);
        }
        Ok(outcome)
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        request.check_limits()?;
        let (partition, token) = (partition.clone(), random::bytes16());
        self.write("acquire", move |db, now| {
            tables::acquire(db, &partition, &request, token, now)
        })
        .await
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        let (partition, fence) = (partition.clone(), fence.clone());
        self.write("renew", move |db, now| {
            let until = now + rules::ttl_ms(ttl);
            tables::touch_lease(db, &partition, &fence, until, RenewOutcome::Renewed, now)
        })
        .await
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        let (partition, fence) = (partition.clone(), fence.clone());
        self.write("release", move |db, now| {
            tables::touch_lease(db, &partition, &fence, 0, RenewOutcome::Released, now)
        })
        .await
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        let partition = partition.clone();
        self.read("lease", move |db, now| {
            Ok(tables::lease(db, &partition, now)?)
        })
        .await
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let partition = partition.clone();
        self.write("expire", move |db, now| {
            tables::expire(db, &partition, ttl, now)
        })
        .await
    }

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        let partition = partition.clone();
        self.read("head", move |db, now| Ok(whole::head(db, &partition, now)?))
            .await
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        let partition = partition.clone();
        self.read("image", move |db, now| whole::image(db, &partition, now))
            .await
    }

    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        restore.image.check_limits()?;
        let partition = partition.clone();
        let sealed = whole::SealedRestore::new(restore);
        let outcome = self
            .write("restore", move |db, now| {
                whole::restore(db, &partition, &sealed, now)
            })
            .await?;
        self.news.send_modify(|writes| *writes += 1);
        Ok(outcome)
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        let (partition, fence) = (partition.clone(), fence.clone());
        self.write("give_up", move |db, now| {
            whole::give_up(db, &partition, &fence, now)
        })
        .await
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        let news = self.news.subscribe();
        Ok(Box::new(
            EmbeddedFeed::open(&self.reader, news, prefix).await?,
        ))
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        self.read("identity", |db, _| Ok(whole::identity(db)?))
            .await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let asked = Instant::now();
        self.read("health", |db, _| {
            Ok(db.query_row("SELECT 1", [], |_| Ok(()))?)
        })
        .await?;
        let round_trip = asked.elapsed();
        let mut warnings = Vec::new();
        if !self.path.exists() {
            warnings.push(format!(
                "`{}` was removed while in use: nothing written now can be found again; stop, \
                 restore the file, start again",
                self.path.display()
            ));
        }
        Ok(Health::new(round_trip, warnings))
    }
}

fn now_ms() -> u64 {
    rules::unix_ms(SystemTime::now())
}
