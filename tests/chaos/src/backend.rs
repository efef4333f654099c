//! Every store there is, on what it needs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{
    EmbeddedStore, FallbackConfig, FallbackStore, MemoryStore, RedisConfig, RedisStore, StateStore,
};
use fusebox_test_server::{ClusterSet, SentinelSet, TestServer};
use tempfile::TempDir;

use crate::words::LONG;

/// Long enough that a busy machine is not taken for a dead server.
const DOWN_AFTER: Duration = Duration::from_secs(4);

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In this process.
    Memory,
    /// One SQLite file.
    Embedded,
    /// One server.
    Redis,
    /// A primary named by three Sentinels, with two replicas.
    Sentinel,
    /// Three primaries.
    Cluster,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Memory,
        Self::Embedded,
        Self::Redis,
        Self::Sentinel,
        Self::Cluster,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
            Self::Redis => "Redis, one server",
            Self::Sentinel => "Redis behind Sentinel",
            Self::Cluster => "Redis Cluster, three nodes",
        })
    }
}

/// A store that can be opened again, and what it stands on.
#[derive(Debug)]
pub struct Backend {
    kind: Kind,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Arc<MemoryStore>),
    Embedded(TempDir),
    Redis(Box<TestServer>),
    Sentinel(SentinelSet),
    Cluster(ClusterSet),
}

impl Backend {
    /// On the default server, where it needs one.
    ///
    /// # Panics
    /// If what it needs does not start.
    pub fn start(kind: Kind) -> Self {
        let place = match kind {
            Kind::Memory => Place::Memory(Arc::new(MemoryStore::new())),
            Kind::Embedded => Place::Embedded(tempfile::tempdir().expect("a directory")),
            Kind::Redis => Place::Redis(Box::new(started(TestServer::start()))),
            Kind::Sentinel => Place::Sentinel(started(
                SentinelSet::builder().down_after(DOWN_AFTER).start(),
            )),
            Kind::Cluster => Place::Cluster(started(
                ClusterSet::builder().node_timeout(DOWN_AFTER).start(),
            )),
        };
        Self { kind, place }
    }

    /// One server of that program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn on(program: PathBuf) -> Self {
        let server = started(TestServer::builder().binary(program).start());
        Self {
            kind: Kind::Redis,
            place: Place::Redis(Box::new(server)),
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Another handle on the same content, with time to spare; in memory the same one.
    ///
    /// # Panics
    /// If it does not open.
    pub async fn open(&self) -> Arc<dyn StateStore> {
        match &self.place {
            Place::Memory(store) => Arc::clone(store) as Arc<dyn StateStore>,
            Place::Embedded(directory) => {
                let store = EmbeddedStore::open(directory.path().join("state.db"));
                Arc::new(started(store))
            }
            Place::Redis(server) => connected(server.url()).await,
            Place::Sentinel(set) => {
                let name = set.name();
                connected(&format!(
                    "redis+sentinel://{}/{name}",
                    listed(&set.sentinels())
                ))
                .await
            }
            Place::Cluster(set) => {
                connected(&format!("redis+cluster://{}", listed(&set.addresses()))).await
            }
        }
    }

    /// The same behind a fallback.
    ///
    /// # Panics
    /// If it does not open.
    pub async fn open_with_fallback(&self) -> Arc<dyn StateStore> {
        let config = FallbackConfig::degrade_volatile();
        Arc::new(started(
            FallbackStore::open(self.open().await, config).await,
        ))
    }
}

/// Several hosts as a URL lists them.
pub(crate) fn listed(addresses: &[std::net::SocketAddr]) -> String {
    let each: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    each.join(",")
}

async fn connected(url: &str) -> Arc<dyn StateStore> {
    let config = started(RedisConfig::from_url(url));
    let config = config.with_deadline(LONG).with_connect_timeout(LONG / 4);
    Arc::new(started(RedisStore::connect(config).await))
}

pub(crate) fn started<T, E: fmt::Display + fmt::Debug>(started: Result<T, E>) -> T {
    started.unwrap_or_else(|error| panic!("{error} {error:?}"))
}
