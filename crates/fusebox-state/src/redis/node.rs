//! One server and our connections to it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout};

use super::RedisConfig;
use super::class;
use super::exchange::{self, Answer, Asking, Wait};
use super::fault::Fault;
use super::layout::Address;
use super::listings::Listings;
use super::scripts::Request;
use super::turn::Turn;
use super::writers::Writers;
use crate::Durability;

/// A connection that all requests share, made again when it breaks, and pools of others beside it.
/// A `MultiplexedConnection` never reconnects by itself, and a `ConnectionManager` does so outside
/// of any deadline.
pub(crate) struct Node {
    address: Address,
    config: Arc<RedisConfig>,
    current: RwLock<Option<Connection>>,
    connecting: Turn,
    /// Connections made so far.
    made: AtomicU64,
    writers: Writers,
    pub(crate) listings: Listings,
}

/// A connection and what its server was set to when it was made.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Which one of its node's; never 0.
    number: u64,
    inner: MultiplexedConnection,
    pub(crate) settings: Settings,
    /// Hashes of scripts that its server has for sure, unless somebody flushed them.
    loaded: Arc<std::sync::Mutex<HashSet<String>>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Every write is on disk before it is acknowledged.
    flushes: bool,
    /// It can be asked to wait until it is.
    waits_for_flush: bool,
    /// Replicas that had everything when the connection was made, of those that are wanted.
    pub(crate) replicas: u8,
}

impl Settings {
    /// Whether it takes asking to have a write on disk before it is acknowledged.
    pub(crate) fn waits(self) -> bool {
        self.waits_for_flush
    }

    /// What an acknowledgement of this server alone survives.
    pub(crate) fn durability(self, fsynced: bool, replicas: u8) -> Durability {
        match (replicas, self.flushes || fsynced) {
            (0, true) => Durability::PrimaryFsync,
            (0, false) => Durability::Primary,
            (replicas, _) => Durability::Replicated(replicas),
        }
    }
}

impl Node {
    pub(crate) fn new(address: Address, config: Arc<RedisConfig>) -> Self {
        Self {
            writers: Writers::new(address.clone(), config.clone()),
            listings: Listings::new(address.clone(), config.clone()),
            address,
            config,
            current: RwLock::default(),
            connecting: Turn::default(),
            made: AtomicU64::new(0),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// As read when the connection was made; `None` without one.
    pub(crate) fn settings(&self) -> Option<Settings> {
        self.current().map(|connection| connection.settings)
    }

    /// The shared connection, made now if there is none.
    pub(crate) async fn connection(&self) -> Result<Connection, Fault> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        self.connecting
            .find(|| self.current(), self.connect())
            .await
    }

    /// Sends a command on the shared connection.
    pub(crate) async fn ask(&self, connection: &mut Connection, ask: &Cmd) -> Result<Value, Fault> {
        let answer = ask.query_async(&mut connection.inner).await;
        answer.map_err(|error| Fault::Answer(self.address.clone(), error))
    }

    /// Sends a request on the shared connection.
    pub(crate) async fn send(
        &self,
        connection: &mut Connection,
        request: &Request,
        asking: Asking,
    ) -> Result<Value, Fault> {
        exchange::exchange(&mut connection.inner, request, asking)
            .await
            .map_err(|error| Fault::Answer(self.address.clone(), error))
    }

    /// Sends a write on a connection of its own and waits for replicas or disk, until shortly before
    /// the deadline. Before the write is sent `begun` is called.
    pub(crate) async fn write(
        &self,
        shared: &mut Connection,
        request: &Request,
        asking: Asking,
        deadline: Instant,
        begun: impl FnOnce(),
    ) -> Result<(Value, Durability), Fault> {
        let failed = |error| Fault::Answer(self.address.clone(), error);
        shared.load(request).await.map_err(failed)?;
        let mut writer = self.writers.get().await?;
        let replicas = self.config.replicas();
        let fsync = shared.settings.waits_for_flush;
        // A fifth is left for the answer to arrive in time.
        let left = deadline.saturating_duration_since(Instant::now()) * 4 / 5;
        let wait = Wait {
            replicas,
            fsync,
            within: left / (u32::from(fsync) + u32::from(replicas > 0)).max(1),
        };
        begun();
        let answer = exchange::exchange_and_wait(writer.inner(), request, asking, wait).await;
        match answer {
            Err(error) if class::ends_connection(&error) => Err(failed(error)),
            Err(error) => {
                writer.keep();
                Err(failed(error))
            }
            Ok(Answer {
                value,
                replicas,
                fsynced,
            }) => {
                writer.keep();
                Ok((value, shared.settings.durability(fsynced, replicas)))
            }
        }
    }

    /// Uses this connection no more. Others that wait for answers on it still get them.
    pub(crate) fn discard(&self, number: u64) {
        // Those that lie ready were made in the same time, and likely share its fate.
        self.writers.clear();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|held| held.number == number) {
            *current = None;
        }
    }

    fn current(&self) -> Option<Connection> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let limit = self.config.connect_timeout();
        let made = timeout(limit, self.log_in()).await;
        let (inner, settings) = made.unwrap_or(Err(Fault::Silent(self.address.clone(), limit)))?;
        let connection = Connection {
            number: self.made.fetch_add(1, Ordering::Relaxed) + 1,
            inner,
            settings,
            loaded: Arc::default(),
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(connection.clone());
        Ok(connection)
    }

    async fn log_in(&self) -> Result<(MultiplexedConnection, Settings), Fault> {
        let failed = |error| Fault::Connect(self.address.clone(), error);
        let client = self.config.client(&self.address).map_err(failed)?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&self.config.connection())
            .await
            .map_err(failed)?;
        let settings = self.inspect(&mut connection).await?;
        Ok((connection, settings))
    }

    /// Refuses a server that cannot do what the configuration asks of it.
    async fn inspect(&self, connection: &mut MultiplexedConnection) -> Result<Settings, Fault> {
        let failed = |error| Fault::Connect(self.address.clone(), error);
        let mut read = redis::cmd("CONFIG");
        let settings: RedisResult<HashMap<String, String>> =
            read.arg("GET").arg("append*").query_async(connection).await;
        let flushes = match settings {
            Ok(settings) => {
                let is = |name, value| settings.get(name).is_some_and(|found| found == value);
                is("appendonly", "yes") && is("appendfsync", "always")
            }
            // Managed servers forbid the command or do not have it: then the least is promised.
            Err(error) if is_not_told(&error) => false,
            Err(error) => return Err(failed(error)),
        };
        let mut waits_for_flush = false;
        if self.config.fsync() && !flushes {
            let mut probe = redis::cmd("WAITAOF");
            let answer: RedisResult<Value> =
                probe.arg(1).arg(0).arg(1).query_async(connection).await;
            match answer {
                Ok(_) => waits_for_flush = true,
                // As for any write: it will say so in its own words.
                Err(error) if is_replicas(&error) => waits_for_flush = true,
                Err(error) if is_not_told(&error) => return Err(self.no_fsync(&error)),
                Err(error) => return Err(failed(error)),
            }
        }
        let mut replicas = 0;
        if self.config.replicas() > 0 {
            let answer = redis::cmd("WAIT")
                .arg(0)
                .arg(1)
                .query_async(connection)
                .await;
            let reached: u64 = match answer {
                Err(error) if is_replicas(&error) => 0,
                answer => answer.map_err(failed)?,
            };
            replicas = exchange::at_most(self.config.replicas(), reached);
        }
        Ok(Settings {
            flushes,
            waits_for_flush,
            replicas,
        })
    }

    fn no_fsync(&self, error: &RedisError) -> Fault {
        let location = self.config.location_of(&self.address);
        Fault::Unfit(format!(
            "{location} cannot promise that a write is on its disk: it needs `appendonly yes`, and \
             either `appendfsync always` or the command WAITAOF (Redis 7.2, any Valkey), allowed to \
             this user; it answered: {}",
            class::said(error)
        ))
    }
}

impl Connection {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A write that waits had better not find its script missing: it would wait first.
    async fn load(&mut self, request: &Request) -> RedisResult<()> {
        let Some(script) = request.script() else {
            return Ok(());
        };
        let lock = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().contains(script.get_hash()) {
            return Ok(());
        }
        let hash = script.load_async(&mut self.inner).await?;
        lock().insert(hash);
        Ok(())
    }
}

/// The server does not have a command, or not for us.
pub(crate) fn is_not_told(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "ERR"))
}

/// "WAIT cannot be used with replica instances."
fn is_replicas(error: &RedisError) -> bool {
    let is_about = |detail: &str| detail.contains("replica instances");
    error.code() == Some("ERR") && error.detail().is_some_and(is_about)
}
