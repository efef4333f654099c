//! The one connection that all operations share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::RedisConfig;
use super::fault::{self, Fault};
use super::scripts::Request;
use crate::{Durability, StoreError};

/// A shared connection, made again when it breaks. A `MultiplexedConnection` never reconnects by
/// itself, and a `ConnectionManager` does so outside of any deadline.
pub(crate) struct Link {
    config: RedisConfig,
    client: Client,
    settings: AsyncConnectionConfig,
    current: RwLock<Option<Connection>>,
    /// Held by whoever connects, so that one does; remembers how the last try failed.
    connecting: Mutex<Option<Fault>>,
    /// Tries so far: tells those who waited whether somebody tried meanwhile.
    tries: AtomicU64,
    flushes: AtomicBool,
}

#[derive(Clone)]
struct Connection {
    number: u64,
    inner: MultiplexedConnection,
}

/// How far a request got, for when it is cut short.
#[derive(Default)]
struct Progress {
    /// Number of the connection it was sent on; 0 before that.
    sent_on: AtomicU64,
    /// Sent on a connection that broke: may have been carried out.
    in_doubt: AtomicBool,
}

impl Link {
    pub(crate) async fn open(config: RedisConfig) -> Result<Self, StoreError> {
        let client = config
            .client()
            .map_err(|error| Fault::Redis(error).into_error("connect", &config, false))?;
        let link = Self {
            settings: config.connection(),
            client,
            config,
            current: RwLock::default(),
            connecting: Mutex::default(),
            tries: AtomicU64::new(0),
            flushes: AtomicBool::new(false),
        };
        link.connection()
            .await
            .map_err(|fault| fault.into_error("connect", &link.config, false))?;
        Ok(link)
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// As read when the connection was made.
    pub(crate) fn durability(&self) -> Durability {
        match self.flushes.load(Ordering::Relaxed) {
            true => Durability::PrimaryFsync,
            false => Durability::Primary,
        }
    }

    /// Sends a request and waits for its answer, all within the deadline. It is sent again once if
    /// the connection breaks, so it must not matter how often it is carried out.
    pub(crate) async fn request<T: FromRedisValue>(
        &self,
        op: &'static str,
        writes: bool,
        request: &Request,
    ) -> Result<T, StoreError> {
        let progress = Progress::default();
        let deadline = self.config.deadline();
        match timeout(deadline, self.attempts(&progress, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(fault)) => {
                let begun = match &fault {
                    Fault::Redis(error) => {
                        progress.sent_on.load(Ordering::Relaxed) != 0
                            && !fault::was_not_begun(error)
                    }
                    Fault::NotConnected(_) => false,
                };
                let doubt = begun || progress.in_doubt.load(Ordering::Relaxed);
                Err(fault.into_error(op, &self.config, writes && doubt))
            }
            Err(_) => {
                let sent_on = progress.sent_on.load(Ordering::Relaxed);
                // After lost packets TCP backs off for seconds; a new connection does not.
                self.discard(sent_on);
                let doubt = sent_on != 0 || progress.in_doubt.load(Ordering::Relaxed);
                let location = self.config.location();
                Err(StoreError::Unavailable {
                    op,
                    cause: format!("no answer from {location} within {deadline:?}").into(),
                    may_have_applied: writes && doubt,
                })
            }
        }
    }

    async fn attempts<T: FromRedisValue>(
        &self,
        progress: &Progress,
        request: &Request,
    ) -> Result<T, Fault> {
        loop {
            progress.sent_on.store(0, Ordering::Relaxed);
            let mut connection = self.connection().await?;
            progress.sent_on.store(connection.number, Ordering::Relaxed);
            let error = match request.send(&mut connection.inner).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if fault::breaks_connection(&error) {
                self.discard(connection.number);
            }
            let is_second = progress.in_doubt.load(Ordering::Relaxed);
            if is_second || !fault::is_dropped(&error) {
                return Err(Fault::Redis(error));
            }
            progress.in_doubt.store(true, Ordering::Relaxed);
        }
    }

    async fn connection(&self) -> Result<Connection, Fault> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let tries = self.tries.load(Ordering::Relaxed);
        let mut last_fault = self.connecting.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        if let Some(fault) = &*last_fault
            && self.tries.load(Ordering::Relaxed) != tries
        {
            return Err(fault.clone());
        }
        let limit = self.config.connect_timeout();
        let made = match timeout(limit, self.connect()).await {
            Ok(made) => made.map_err(Fault::Redis),
            Err(_) => Err(Fault::NotConnected(limit)),
        };
        let number = self.tries.fetch_add(1, Ordering::Relaxed) + 1;
        match made {
            Ok(inner) => {
                let connection = Connection { number, inner };
                *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(connection.clone());
                *last_fault = None;
                Ok(connection)
            }
            Err(fault) => {
                *last_fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.settings)
            .await?;
        let settings: RedisResult<HashMap<String, String>> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("append*")
            .query_async(&mut connection)
            .await;
        let flushes = match settings {
            Ok(settings) => {
                let is = |name, value| settings.get(name).is_some_and(|found| found == value);
                is("appendonly", "yes") && is("appendfsync", "always")
            }
            // Managed servers forbid the command or do not have it: then the least is promised.
            Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => false,
            Err(error) => return Err(error),
        };
        self.flushes.store(flushes, Ordering::Relaxed);
        Ok(connection)
    }

    fn current(&self) -> Option<Connection> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Uses connection `number` no more. Others that wait for answers on it still get them.
    fn discard(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|connection| connection.number == number)
        {
            *current = None;
        }
    }
}

/// For errors outside of [`Link::request`] that cannot have written anything.
pub(crate) fn read_error(error: RedisError, op: &'static str, config: &RedisConfig) -> StoreError {
    Fault::Redis(error).into_error(op, config, false)
}
