//! What takes a server longer: listing keys and asking it about itself.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_redis::{Manager, Pool, PoolError, Runtime};

use super::RedisConfig;
use super::credentials::Credentials;
use super::fault::Fault;
use super::layout::Address;
use crate::Partition;

const CONNECTIONS: usize = 4;
/// Keys that one SCAN looks at. Each partition has up to four.
const SCAN_COUNT: usize = 1000;
/// SCANs per page, so that a page of a large foreign database ends within the deadline.
const SCANS: usize = 16;

/// A small pool beside the other connections, so that slow questions do not stand in their way.
pub(crate) struct Listings {
    address: Address,
    config: Arc<RedisConfig>,
    /// The manager keeps the credentials it was made with.
    pool: Mutex<Option<(Credentials, Pool)>>,
}

impl Listings {
    pub(crate) fn new(address: Address, config: Arc<RedisConfig>) -> Self {
        Self {
            address,
            config,
            pool: Mutex::default(),
        }
    }

    /// One page of SCAN and where to go on, 0 at the end. It may hold more than `limit`: the
    /// server hands out whole buckets, and what it handed out cannot be asked for again.
    pub(crate) async fn scan(
        &self,
        prefix: &str,
        mut cursor: u64,
        limit: usize,
    ) -> Result<(Vec<Partition>, u64), Fault> {
        let pattern = format!("{}:{{{}*}}:m", self.config.prefix(), escaped(prefix));
        let count = SCAN_COUNT.min(limit.saturating_mul(4).max(64));
        let mut connection = self.connection().await?;
        let mut found: Vec<Partition> = Vec::new();
        for _ in 0..SCANS {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(count)
                .query_async(&mut connection)
                .await
                .map_err(|error| Fault::Answer(self.address.clone(), error))?;
            found.extend(keys.iter().filter_map(|key| self.partition_of(key)));
            cursor = next;
            if cursor == 0 || found.len() >= limit {
                break;
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok((found, cursor))
    }

    /// INFO.
    pub(crate) async fn info(&self) -> Result<String, Fault> {
        let mut connection = self.connection().await?;
        let info = redis::cmd("INFO").query_async(&mut connection).await;
        info.map_err(|error| Fault::Answer(self.address.clone(), error))
    }

    async fn connection(&self) -> Result<deadpool_redis::Connection, Fault> {
        let limit = self.config.connect_timeout();
        let pool = self.pool()?;
        pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Fault::Connect(self.address.clone(), error),
            PoolError::Timeout(_) => Fault::Silent(self.address.clone(), limit),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                unreachable!("never closed, has a runtime and no hooks")
            }
        })
    }

    fn pool(&self) -> Result<Pool, Fault> {
        let credentials = self.config.login().credentials();
        let mut held = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, pool)) = &*held
            && *made_with == credentials
        {
            return Ok(pool.clone());
        }
        let failed = |error| Fault::Connect(self.address.clone(), error);
        let client = self.config.client(&self.address).map_err(failed)?;
        let info = client.get_connection_info().clone();
        let manager = Manager::new_with_config(info, self.config.connection()).map_err(failed)?;
        let limit = Some(self.config.connect_timeout());
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(limit)
            .create_timeout(limit)
            .recycle_timeout(limit)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with a runtime can have time-outs");
        *held = Some((credentials, pool.clone()));
        Ok(pool)
    }

    fn partition_of(&self, key: &str) -> Option<Partition> {
        let rest = key.strip_prefix(self.config.prefix())?.strip_prefix(":{")?;
        Partition::try_new(rest.strip_suffix("}:m")?).ok()
    }
}

/// `text` as a pattern that matches only itself.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn prefixes_are_no_patterns() {
        assert_eq!(super::escaped("a*b[c]?\\"), "a\\*b\\[c\\]\\?\\\\");
    }
}
