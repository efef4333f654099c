//! Faults of one Redis or Valkey server, and of the way to it.

mod allowed;
mod fault;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fusebox_state::{Partition, RedisConfig, RedisStore, StateStore};
use fusebox_test_server::{Connection, Proxy, TestServer};

use super::{Allowed, Arena, Keeps};
use crate::words::LONG;

pub use fault::RedisFault;

/// Of an operation under a fault that has no answer: short enough to run into.
const DEADLINE: Duration = Duration::from_millis(1500);
const CONNECT: Duration = Duration::from_millis(1000);

/// Of one that has an answer, on however busy a machine.
const ANSWERED: Duration = Duration::from_secs(20);

/// A server behind a proxy, and one fault.
#[derive(Debug)]
pub struct RedisArena {
    fault: RedisFault,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    server: TestServer,
    proxy: Proxy,
    /// A server that others than ours vouch for.
    stranger: Option<TestServer>,
    held: std::sync::Mutex<Held>,
}

/// What lasts from the beginning of a fault to its end.
#[derive(Debug, Default)]
struct Held {
    admin: Option<Connection>,
    /// Requests that had gone through when the fault began.
    requests: u64,
}

impl RedisArena {
    /// Starts the servers that the fault needs.
    ///
    /// # Panics
    /// If they do not start.
    pub fn start(fault: RedisFault) -> Self {
        let server = start(fault.server());
        fault.prepare(&server);
        let stranger = fault.needs_stranger().then(|| start(fault.server()));
        let proxy = Proxy::to_port(fault.port(&server)).expect("a proxy starts");
        let parts = Arc::new(Parts {
            server,
            proxy,
            stranger,
            held: std::sync::Mutex::default(),
        });
        Self { fault, parts }
    }

    async fn connect(
        &self,
        url: &str,
        deadline: Duration,
        connect: Duration,
    ) -> Arc<dyn StateStore> {
        let config = RedisConfig::from_url(url).unwrap_or_else(|error| panic!("{error}"));
        let config = config.with_deadline(deadline).with_connect_timeout(connect);
        let store = RedisStore::connect(config).await;
        Arc::new(store.unwrap_or_else(|error| panic!("{url}: {error:?}")))
    }

    /// Servers are told what to do by blocking calls.
    async fn told(&self, work: fn(RedisFault, &Parts)) {
        let (fault, parts) = (self.fault, Arc::clone(&self.parts));
        let done = tokio::task::spawn_blocking(move || work(fault, &parts));
        done.await.expect("the servers do as they are told");
    }
}

#[async_trait]
impl Arena for RedisArena {
    fn fault(&self) -> &'static str {
        self.fault.name()
    }

    fn keeps(&self) -> Keeps {
        match self.fault {
            RedisFault::KilledEmpty | RedisFault::Emptied => Keeps::Nothing,
            _ => Keeps::All,
        }
    }

    fn allowed(&self) -> Allowed {
        allowed::under(self.fault)
    }

    async fn store(&self) -> Arc<dyn StateStore> {
        let url = self.fault.url(&self.parts.server, self.parts.proxy.port());
        match self.fault.is_answered() {
            true => self.connect(&url, ANSWERED, ANSWERED / 2).await,
            false => self.connect(&url, DEADLINE, CONNECT).await,
        }
    }

    async fn witness(&self) -> Arc<dyn StateStore> {
        self.connect(self.parts.server.url(), LONG, LONG / 2).await
    }

    async fn begin(&self, _at: &Partition) {
        self.told(|fault, parts| {
            parts.held().requests = parts.proxy.requests();
            fault.begin(parts);
        })
        .await;
    }

    async fn strike(&self, _at: &Partition) {
        self.told(RedisFault::strike).await;
    }

    async fn end(&self, _at: &Partition) {
        self.told(RedisFault::end).await;
    }
}

impl Parts {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().expect("no fault panics with this")
    }

    /// Returns when a request has gone through that was sent after the fault began.
    fn wait_for_request(&self) {
        let before = self.held().requests;
        self.proxy.wait_for_requests(before + 1);
    }

    fn ask(&self, words: &str) {
        ask(&self.server, words);
    }

    /// Over the connection that is kept.
    fn ask_as_admin(&self, words: &str) {
        let mut held = self.held();
        let admin = held.admin.as_mut().expect("kept since the fault began");
        let words: Vec<&str> = words.split(' ').collect();
        let reply = admin.ask(&words);
        reply.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }

    fn keep_admin(&self) {
        let admin = self.server.connect().expect("the server answers");
        admin.set_patience(LONG).expect("more than zero");
        self.held().admin = Some(admin);
    }
}

fn start(builder: fusebox_test_server::Builder) -> TestServer {
    builder.start().unwrap_or_else(|error| panic!("{error}"))
}

fn ask(server: &TestServer, words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    let reply = server.ask(&words);
    reply.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}
