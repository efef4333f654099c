//! Connections for writes that wait: a wait blocks all that follows on its connection.

use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleResult};
use redis::aio::MultiplexedConnection;

use super::RedisConfig;
use super::fault::Fault;
use super::layout::Address;

/// Enough to keep a server busy; more wait in line, within their deadline.
const CONNECTIONS: usize = 16;

/// A pool of connections to one server, made when they are needed.
pub(crate) struct Writers {
    pool: Pool<Maker>,
}

/// Unlike the stock manager it asks for the credentials of each login, and it sends nothing when a
/// connection is taken out again: that would be a round trip for every write. One that broke
/// meanwhile shows at once, and takes the others with it.
struct Maker {
    address: Address,
    config: Arc<RedisConfig>,
}

impl managed::Manager for Maker {
    type Type = MultiplexedConnection;
    type Error = Fault;

    async fn create(&self) -> Result<MultiplexedConnection, Fault> {
        let failed = |error| Fault::Connect(self.address.clone(), error);
        let client = self.config.client(&self.address).map_err(failed)?;
        client
            .get_multiplexed_async_connection_with_config(&self.config.connection())
            .await
            .map_err(failed)
    }

    async fn recycle(&self, _: &mut MultiplexedConnection, _: &Metrics) -> RecycleResult<Fault> {
        Ok(())
    }
}

impl Writers {
    pub(crate) fn new(address: Address, config: Arc<RedisConfig>) -> Self {
        let create = config.connect_timeout();
        let pool = Pool::builder(Maker { address, config })
            .max_size(CONNECTIONS)
            .create_timeout(Some(create))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with a runtime can have time-outs");
        Self { pool }
    }

    /// Waits for a free one as long as the caller does.
    pub(crate) async fn get(&self) -> Result<Writer, Fault> {
        match self.pool.get().await {
            Ok(object) => Ok(Writer(Some(object))),
            Err(PoolError::Backend(fault)) => Err(fault),
            Err(PoolError::Timeout(_)) => {
                let Maker { address, config } = self.pool.manager();
                let limit: Duration = config.connect_timeout();
                Err(Fault::Silent(address.clone(), limit))
            }
            Err(
                PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_),
            ) => {
                unreachable!("never closed, has a runtime and no hooks")
            }
        }
    }

    /// Forgets those that nobody uses.
    pub(crate) fn clear(&self) {
        let _ = self.pool.retain(|_, _| false);
    }
}

/// A connection for one write. It goes back only if it is [kept](Self::keep): one that was left in
/// the middle of a wait would make the next writer wait too.
pub(crate) struct Writer(Option<Object<Maker>>);

impl Writer {
    pub(crate) fn inner(&mut self) -> &mut MultiplexedConnection {
        self.0.as_mut().expect("taken only when kept or dropped")
    }

    pub(crate) fn keep(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
