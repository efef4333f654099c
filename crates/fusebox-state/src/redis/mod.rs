//! State on a Redis or Valkey server.

mod admin;
mod config;
mod fault;
mod feed;
mod link;
mod scripts;
mod whole;

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use self::admin::Admin;
pub use self::config::RedisConfig;
use self::feed::RedisFeed;
use self::link::Link;
use self::scripts::{Call, Reply, Request};
use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Entry, Fence, Head, Health, Image, Key,
    Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore, RestoreOutcome, StateStore,
    StoreDescription, StoreError, StoreId, random, rules,
};

/// State on one Redis (6.2 or later) or Valkey server.
///
/// Every operation is one round trip: a script where something is decided, so that decisions are
/// atomic. All operations share one connection, which is made again when it breaks; listings and
/// health use a pool of up to four others. No call outlasts the deadline of its [`RedisConfig`],
/// connecting included. A request whose connection broke is sent once more within
/// it; no request does harm by that.
///
/// An acknowledged write is in the server's memory ([`Primary`](crate::Durability::Primary)), or on
/// its disk if it runs with `appendonly yes` and `appendfsync always`
/// ([`PrimaryFsync`](crate::Durability::PrimaryFsync)); [`describe`](StateStore::describe) says which, as
/// read when the connection was made. Losing the server, or promoting its replica, may lose
/// acknowledged writes. Run it with `maxmemory-policy noeviction`; [`health`](StateStore::health)
/// warns of what is amiss.
///
/// A partition lies under four keys with one hash tag: `PREFIX:{PARTITION}:` and `m` for the
/// lease, `d` for the values, `k` for their names in order, `w` for write ids. It has no time to
/// live unless [`expire`](StateStore::expire) gave it one. Leases run by the server's clock.
///
/// Made and used on a tokio runtime with I/O and time enabled.
pub struct RedisStore {
    link: Link,
    admin: Admin,
}

impl RedisStore {
    /// Connects, so that a wrong address or password shows at once.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] for what waiting does not mend, such as a refused login;
    /// [`StoreError::Unavailable`] if there is no connection within the connect timeout.
    pub async fn connect(config: RedisConfig) -> Result<Self, StoreError> {
        config.check()?;
        let admin = Admin::new(config.clone())?;
        Ok(Self {
            link: Link::open(config).await?,
            admin,
        })
    }

    fn keys(&self, partition: &Partition) -> Vec<String> {
        scripts::keys(self.link.config().prefix(), partition)
    }

    async fn read(&self, op: &'static str, call: Call) -> Result<Vec<Vec<u8>>, StoreError> {
        self.link.request(op, false, &Request::Script(call)).await
    }

    async fn write(&self, op: &'static str, call: Call) -> Result<Vec<Vec<u8>>, StoreError> {
        self.link.request(op, true, &Request::Script(call)).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("config", self.link.config())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl StateStore for RedisStore {
    fn describe(&self) -> StoreDescription {
        StoreDescription::new(
            "redis",
            self.link.config().location(),
            self.link.durability(),
        )
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        let time = Request::command("TIME", &[]);
        let (seconds, micros): (u64, u64) = self.link.request("now", false, &time).await?;
        Ok(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        let [_, records, ..] = &self.keys(partition)[..] else {
            unreachable!("a partition has four keys");
        };
        let read = Request::command("HGET", &[records, key.as_str()]);
        let stored: Option<Vec<u8>> = self.link.request("get", false, &read).await?;
        stored
            .map(|stored| scripts::entry(partition, key, &stored))
            .transpose()
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let limit = rules::page_limit(limit);
        let call = scripts::scan(self.keys(partition), prefix, after, limit);
        Reply::new("scan", partition, self.read("scan", call).await?).scan()
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        self.admin
            .partitions(prefix, cursor, rules::page_limit(limit))
            .await
    }

    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        commit.check_limits()?;
        let call = scripts::commit(
            self.keys(partition),
            self.link.config().prefix(),
            partition,
            &commit,
        );
        let answer = self.write("commit", call).await?;
        Reply::new("commit", partition, answer).commit(self.link.durability())
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        request.check_limits()?;
        let token = random::bytes16();
        let call = scripts::acquire(self.keys(partition), &request, token);
        Reply::new("acquire", partition, self.write("acquire", call).await?).acquire(token)
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        let call = scripts::renew(self.keys(partition), fence, Some(ttl));
        let answer = self.write("renew", call).await?;
        Reply::new("renew", partition, answer).renew(RenewOutcome::Renewed)
    }

    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError> {
        let call = scripts::renew(self.keys(partition), fence, None);
        let answer = self.write("release", call).await?;
        Reply::new("release", partition, answer).renew(RenewOutcome::Released)
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        let call = scripts::lease(self.keys(partition));
        Reply::new("lease", partition, self.read("lease", call).await?).lease()
    }

    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let call = scripts::expire(self.keys(partition), ttl);
        Reply::new("expire", partition, self.write("expire", call).await?).expire()
    }

    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError> {
        let call = whole::head(self.keys(partition));
        Reply::new("head", partition, self.read("head", call).await?).head()
    }

    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError> {
        let call = whole::image(self.keys(partition));
        Reply::new("image", partition, self.read("image", call).await?).image()
    }

    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError> {
        restore.image.check_limits()?;
        let prefix = self.link.config().prefix();
        let call = whole::restore(self.keys(partition), prefix, partition, &restore);
        let answer = self.write("restore", call).await?;
        Reply::new("restore", partition, answer).restore(self.link.durability())
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        Ok(Box::new(RedisFeed::open(self.link.config(), prefix).await?))
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        let key = format!("{}:store", self.link.config().prefix());
        let request = Request::Script(whole::identity(key));
        let id: String = self.link.request("identity", true, &request).await?;
        Ok(StoreId::new(id))
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let asked = Instant::now();
        let ping = Request::command("PING", &[]);
        self.link.request::<()>("health", false, &ping).await?;
        let round_trip = asked.elapsed();
        Ok(Health::new(round_trip, self.admin.warnings().await?))
    }
}
