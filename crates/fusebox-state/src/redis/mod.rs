//! State on a Redis or Valkey server.

mod class;
mod cluster;
mod config;
mod credentials;
mod exchange;
mod fault;
mod feed;
mod fleet;
mod health;
mod layout;
mod link;
mod listings;
mod node;
mod scripts;
mod sentinel;
mod servers;
mod slots;
mod tls;
mod turn;
mod url;
mod whole;
mod writers;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use redis::FromRedisValue;

pub use self::config::RedisConfig;
pub use self::credentials::{Credentials, CredentialsProvider};
use self::feed::RedisFeed;
use self::link::{Effect, Link};
use self::scripts::{Call, Reply, Request};
pub(crate) use self::url::is_scheme;
use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Durability, Entry, Fence, GiveUpOutcome,
    Head, Health, Image, Key, Lease, LeaseRequest, Page, Partition, RenewOutcome, Restore,
    RestoreOutcome, StateStore, StoreDescription, StoreError, StoreId, random, rules,
};

/// State on Redis (6.2 or later) or Valkey: one server, a primary named by Sentinels, or a cluster.
///
/// Every operation is one round trip: a script where something is decided, so that decisions are
/// atomic. All operations share one connection to each server, which is made again when it breaks;
/// writes that wait for replicas or a disk, listings and health have small pools of others. No call
/// outlasts the deadline of its [`RedisConfig`], connecting and finding the right server included.
/// Within it a request is sent again when a server is not ready or not the right one, and once when
/// a connection breaks; no request does harm by that.
///
/// An acknowledged write is in the server's memory ([`Primary`]), or on its disk if it runs with
/// `appendonly yes` and `appendfsync always` or [`RedisConfig::with_fsync`] was asked for
/// ([`PrimaryFsync`]), or on replicas too with [`RedisConfig::with_replicas`] ([`Replicated`]). Each
/// [`CommitOutcome`] says which; [`describe`](StateStore::describe) says what is known without a
/// write. Losing a server, or promoting its replica, may lose acknowledged writes that were not
/// replicated. Run it with `maxmemory-policy noeviction`; [`warnings`](Self::warnings) and
/// [`health`](StateStore::health) tell what is amiss.
///
/// A partition lies under five keys with one hash tag: `PREFIX:{PARTITION}:` and `m` for the
/// lease, `d` for the values, `k` for their names in order, `w` for write ids, `x` for what is on
/// record of removals. It has no time to live unless [`expire`](StateStore::expire) gave it one, but
/// for `x`, which lives a week longer. The store's name lies under `PREFIX:store`. In a cluster that
/// is one slot among many: a [`restore`](StateStore::restore) compares the name beforehand there, not
/// in its own atomic step, and a server that lost its slots alone is not told from a removal. Leases run by the clock of the server
/// that has it. While slots move between the servers of a cluster, a listing may miss a partition
/// that moves.
///
/// Made and used on a tokio runtime with I/O and time enabled.
///
/// [`Primary`]: crate::Durability::Primary
/// [`PrimaryFsync`]: crate::Durability::PrimaryFsync
/// [`Replicated`]: crate::Durability::Replicated
pub struct RedisStore {
    link: Arc<Link>,
    warnings: Vec<String>,
}

impl RedisStore {
    /// Connects, so that a wrong address or password shows at once, and looks at the settings of
    /// every server.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] for what waiting does not mend, such as a refused login or a
    /// server that cannot do what the configuration asks of it; [`StoreError::Unavailable`] if there
    /// is no connection within the connect timeout, or the deadline if that is longer.
    pub async fn connect(config: RedisConfig) -> Result<Self, StoreError> {
        config.check()?;
        let link = Arc::new(Link::open(config).await?);
        let warnings = fleet::first_warnings(&link).await?;
        Ok(Self { link, warnings })
    }

    /// What an operator should look at, as found when connecting; one sentence each, with the
    /// server's address if there are several. [`health`](StateStore::health) looks again.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn keys(&self, partition: &Partition) -> Vec<String> {
        scripts::keys(self.link.config().prefix(), partition)
    }

    fn keys_and_record(&self, partition: &Partition) -> Vec<String> {
        scripts::keys_and_record(self.link.config().prefix(), partition)
    }

    async fn read(&self, op: &'static str, call: Call) -> Result<Vec<Vec<u8>>, StoreError> {
        self.ask(op, &Request::Script(call)).await
    }

    async fn ask<T: FromRedisValue>(
        &self,
        op: &'static str,
        request: &Request,
    ) -> Result<T, StoreError> {
        let (answer, _) = self.link.request(op, Effect::Reads, request).await?;
        Ok(answer)
    }

    /// A write whose loss does no harm.
    async fn write(&self, op: &'static str, call: Call) -> Result<Vec<Vec<u8>>, StoreError> {
        let request = Request::Script(call);
        let (answer, _) = self.link.request(op, Effect::Writes, &request).await?;
        Ok(answer)
    }

    async fn settle(
        &self,
        op: &'static str,
        call: Call,
    ) -> Result<(Vec<Vec<u8>>, Durability), StoreError> {
        self.link
            .request(op, Effect::Commits, &Request::Script(call))
            .await
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
        let (seconds, micros): (u64, u64) = self.ask("now", &time).await?;
        Ok(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        let [_, records, ..] = &self.keys(partition)[..] else {
            unreachable!("a partition has four keys");
        };
        let read = Request::command("HGET", &[records, key.as_str()]);
        let stored: Option<Vec<u8>> = self.ask("get", &read).await?;
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
        fleet::partitions(&self.link, prefix, cursor, rules::page_limit(limit)).await
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
        let (answer, durability) = self.settle("commit", call).await?;
        Reply::new("commit", partition, answer).commit(durability)
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        request.check_limits()?;
        let token = random::bytes16();
        let call = scripts::acquire(self.keys(partition), &request, token);
        let (answer, _) = self.settle("acquire", call).await?;
        Reply::new("acquire", partition, answer).acquire(token)
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        let call = scripts::renew(self.keys(partition), fence, Some(ttl));
        let (answer, _) = self.settle("renew", call).await?;
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
        let call = scripts::expire(self.keys_and_record(partition), ttl);
        let (answer, _) = self.settle("expire", call).await?;
        Reply::new("expire", partition, answer).expire()
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
        let mut keys = self.keys_and_record(partition);
        if !self.link.config().is_cluster() {
            keys.push(whole::identity_key(prefix));
        } else if let Some(meant) = &restore.decided_for
            && self.identity().await? != *meant
        {
            return Ok(RestoreOutcome::OtherStore);
        }
        let call = whole::restore(keys, prefix, partition, &restore);
        let (answer, durability) = self.settle("restore", call).await?;
        Reply::new("restore", partition, answer).restore(durability)
    }

    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError> {
        let call = whole::give_up(self.keys_and_record(partition), fence);
        let (answer, _) = self.settle("give_up", call).await?;
        Reply::new("give_up", partition, answer).give_up()
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        Ok(Box::new(RedisFeed::open(&self.link, prefix).await?))
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        let key = whole::identity_key(self.link.config().prefix());
        let request = Request::Script(whole::identity(key));
        let (id, _): (String, _) = self
            .link
            .request("identity", Effect::Writes, &request)
            .await?;
        Ok(StoreId::new(id))
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let asked = Instant::now();
        let ping = Request::command("PING", &[]);
        self.ask::<()>("health", &ping).await?;
        let round_trip = asked.elapsed();
        Ok(Health::new(round_trip, fleet::warnings(&self.link).await?))
    }
}
