//! What needs a connection of its own: listing keys and asking the server about itself.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolError, Runtime, TimeoutType};
use tokio::time::timeout;

use super::RedisConfig;
use super::link::read_error;
use crate::{Page, Partition, StoreError};

const CONNECTIONS: usize = 4;
const WAIT: Duration = Duration::from_millis(200);
const CREATE: Duration = Duration::from_millis(700);
const RECYCLE: Duration = Duration::from_millis(200);
/// Keys that one SCAN looks at. Each partition has up to four.
const SCAN_COUNT: usize = 1000;
/// SCANs per page, so that a page of a large foreign database ends within the deadline.
const SCANS: usize = 16;

/// A small pool beside the shared connection, so that slow questions do not stand in its way.
pub(crate) struct Admin {
    pool: Pool,
    config: RedisConfig,
}

impl Admin {
    pub(crate) fn new(config: RedisConfig) -> Result<Self, StoreError> {
        let manager = Manager::new_with_config(config.info(), config.connection())
            .map_err(|error| read_error(error, "connect", &config))?;
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CREATE))
            .recycle_timeout(Some(RECYCLE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Misconfigured {
                message: "the connection pool could not be set up".to_owned(),
                cause: Some(error.into()),
            })?;
        Ok(Self { pool, config })
    }

    /// One page of SCAN. It may hold more than `limit`: the server hands out whole buckets, and what
    /// it handed out cannot be asked for again.
    pub(crate) async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        let op = "partitions";
        let mut cursor: u64 = cursor.unwrap_or("0").parse().map_err(|_| {
            StoreError::misconfigured("the cursor is not one of this store; start without cursor")
        })?;
        let pattern = format!("{}:{{{}*}}:m", self.config.prefix(), escaped(prefix));
        let count = SCAN_COUNT.min(limit.saturating_mul(4).max(64));
        self.within(op, async {
            let mut connection = self.pool.get().await.map_err(|e| self.pool_error(e, op))?;
            let mut items: Vec<Partition> = Vec::new();
            for _ in 0..SCANS {
                let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                    .arg(cursor)
                    .arg("MATCH")
                    .arg(&pattern)
                    .arg("COUNT")
                    .arg(count)
                    .query_async(&mut connection)
                    .await
                    .map_err(|error| read_error(error, op, &self.config))?;
                items.extend(keys.iter().filter_map(|key| self.partition_of(key)));
                cursor = next;
                if cursor == 0 || items.len() >= limit {
                    break;
                }
            }
            items.sort_unstable();
            items.dedup();
            Ok(Page::new(items, (cursor != 0).then(|| cursor.to_string())))
        })
        .await
    }

    /// What an operator should know, one sentence each.
    pub(crate) async fn warnings(&self) -> Result<Vec<String>, StoreError> {
        let op = "health";
        let info: Result<String, _> = self
            .within(op, async {
                let mut connection = self.pool.get().await.map_err(|e| self.pool_error(e, op))?;
                Ok(redis::cmd("INFO").query_async(&mut connection).await)
            })
            .await?;
        match info {
            Ok(info) => Ok(warnings(&fields(&info))),
            Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => {
                Ok(warnings(&HashMap::new()))
            }
            Err(error) => Err(read_error(error, op, &self.config)),
        }
    }

    async fn within<T>(
        &self,
        op: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.config.deadline();
        let late = |_| StoreError::Unavailable {
            op,
            cause: format!(
                "no answer from {} within {deadline:?}",
                self.config.location()
            )
            .into(),
            may_have_applied: false,
        };
        timeout(deadline, work).await.map_err(late)?
    }

    fn pool_error(&self, error: PoolError, op: &'static str) -> StoreError {
        let cause = match error {
            PoolError::Backend(error) => return read_error(error, op, &self.config),
            PoolError::Timeout(TimeoutType::Wait) => {
                format!("all {CONNECTIONS} connections for listings were in use for {WAIT:?}")
            }
            PoolError::Timeout(_) => {
                format!("no connection to {} in time", self.config.location())
            }
            other => self.config.redact(other.to_string()),
        };
        StoreError::Unavailable {
            op,
            cause: cause.into(),
            may_have_applied: false,
        }
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

/// `name:value` lines of INFO.
fn fields(info: &str) -> HashMap<&str, &str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .collect()
}

fn warnings(info: &HashMap<&str, &str>) -> Vec<String> {
    let mut warnings = Vec::new();
    match info.get("maxmemory_policy") {
        Some(&"noeviction") => {}
        Some(policy) => warnings.push(format!(
            "maxmemory-policy is {policy}: a full server throws state away; set noeviction"
        )),
        None => warnings.push(
            "maxmemory-policy is unknown, the server does not tell; make sure it is noeviction"
                .to_owned(),
        ),
    }
    match info.get("aof_enabled") {
        Some(&"1") => {}
        Some(_) => warnings.push(
            "appendonly is no: a server that ends loses what its last snapshot lacks; set yes"
                .to_owned(),
        ),
        None => warnings.push(
            "appendonly is unknown, the server does not tell; make sure it is yes".to_owned(),
        ),
    }
    if info.get("role") == Some(&"slave") {
        warnings.push("the server is a replica and takes no writes; connect to its primary".into());
    }
    let has_replicas = info
        .get("connected_slaves")
        .is_some_and(|count| *count != "0");
    if has_replicas && !info.contains_key("min_slaves_good_slaves") {
        warnings.push(
            "min-replicas-to-write is 0: a primary cut off from its replicas goes on \
             acknowledging writes that a fail-over drops; set at least 1"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_kept_server_gives_no_warning() {
        let info = "# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n\
                    connected_slaves:0\r\n";
        assert_eq!(warnings(&fields(info)), Vec::<String>::new());
    }

    #[test]
    fn every_risk_has_its_warning() {
        let info = "maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nrole:slave\r\n\
                    connected_slaves:2\r\n";
        let found = warnings(&fields(info));
        for word in ["allkeys-lru", "appendonly", "replica and", "min-replicas"] {
            assert!(
                found.iter().any(|warning| warning.contains(word)),
                "{word}: {found:?}"
            );
        }
        assert!(
            warnings(&HashMap::new())
                .iter()
                .all(|warning| warning.contains("unknown"))
        );
    }

    #[test]
    fn prefixes_are_no_patterns() {
        assert_eq!(escaped("a*b[c]?\\"), "a\\*b\\[c\\]\\?\\\\");
    }
}
