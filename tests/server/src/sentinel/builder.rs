//! Choices before the start of a set.

use std::path::PathBuf;
use std::time::Duration;

use super::{SentinelSet, SetError, StartError};
use crate::TestServer;
use crate::builder::{Builder, Role};
#[cfg(feature = "faults")]
use crate::network::Network;

/// What a [`SentinelSet`] is started with.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct SentinelSetBuilder {
    name: String,
    replicas: usize,
    sentinels: usize,
    quorum: Option<usize>,
    down_after: Duration,
    failover_timeout: Duration,
    append_only: bool,
    password: Option<String>,
    sentinel_password: Option<String>,
    binary: Option<PathBuf>,
    config: Vec<(Option<usize>, String)>,
    #[cfg(feature = "faults")]
    proxied: bool,
}

impl Default for SentinelSetBuilder {
    fn default() -> Self {
        Self {
            name: "fusebox".to_owned(),
            replicas: 2,
            sentinels: 3,
            quorum: None,
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(5),
            append_only: false,
            password: None,
            sentinel_password: None,
            binary: None,
            config: Vec::new(),
            #[cfg(feature = "faults")]
            proxied: false,
        }
    }
}

impl SentinelSetBuilder {
    /// The name Sentinels and their clients know the primary by: letters, digits and `.-_`.
    /// Default: `fusebox`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// How many replicas the primary has. Default: 2.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// How many Sentinels there are, at least one. Default: 3.
    pub fn sentinels(mut self, count: usize) -> Self {
        self.sentinels = count;
        self
    }

    /// How many Sentinels must find the primary down. Default: more than half of them.
    pub fn quorum(mut self, count: usize) -> Self {
        self.quorum = Some(count);
        self
    }

    /// How long a server must be silent to count as down, in whole milliseconds. Default: 1 s.
    pub fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }

    /// Sentinel's `failover-timeout`: after a failed attempt the next one comes no earlier than
    /// twice this. Default: 5 s.
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.failover_timeout = timeout;
        self
    }

    /// Data servers keep an append-only file, so that data outlives a restart. Default: `false`.
    pub fn append_only(mut self, on: bool) -> Self {
        self.append_only = on;
        self
    }

    /// A primary refuses writes with fewer than `replicas` of them heard from in the last
    /// `max_lag`, in whole seconds. Default: it does not.
    pub fn min_replicas(self, replicas: usize, max_lag: Duration) -> Self {
        self.config(format!("min-replicas-to-write {replicas}"))
            .config(format!("min-replicas-max-lag {}", max_lag.as_secs()))
    }

    /// The password of the data servers, for clients, replicas and Sentinels: letters and digits.
    /// Default: none.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The password of the Sentinels themselves, for clients and each other: letters and digits.
    /// Default: none.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel_password = Some(password.to_owned());
        self
    }

    /// One line of configuration for every data server: `user app on >secret ~app:* &* +@all`.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push((None, line.into()));
        self
    }

    /// One line of configuration for the node of this number: `replica-priority 0`.
    pub fn config_of(mut self, node: usize, line: impl Into<String>) -> Self {
        self.config.push((Some(node), line.into()));
        self
    }

    /// The server program of all. Default: [`find_binary`](crate::find_binary).
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Puts a [`Proxy`](crate::Proxy) in front of every member and lets nobody know another
    /// address, so that the network can be cut. Linux only. Default: no proxies.
    #[cfg(feature = "faults")]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Starts all and returns when the set is steady: see
    /// [`wait_until_steady`](SentinelSet::wait_until_steady).
    ///
    /// # Errors
    /// [`SetError`]; what was started is stopped again.
    pub fn start(self) -> Result<SentinelSet, SetError> {
        let mut set = SentinelSet {
            sentinels: Vec::new(),
            nodes: Vec::new(),
            #[cfg(feature = "faults")]
            network: match self.proxied {
                true => Some(Network::start(1 + self.replicas + self.sentinels, 1)?),
                false => None,
            },
            name: self.name.clone(),
        };
        for number in 0..=self.replicas {
            let node = set.place_server(number, self.node(&set, number))?;
            set.nodes.push(node);
        }
        for number in 0..self.sentinels {
            let member = set.nodes.len() + number;
            let sentinel = set.place_server(member, self.sentinel(&set, member))?;
            hurry(&sentinel);
            set.sentinels.push(sentinel);
        }
        set.wait_until_steady()?;
        Ok(set)
    }

    fn node(&self, set: &SentinelSet, number: usize) -> Builder {
        let mut node = self.server(self.password.as_deref(), Role::Data);
        node = node
            .append_only(self.append_only)
            // A replica asks for its primary at once, and a primary does not wait for more of them.
            .config("repl-diskless-sync-delay 0");
        let ours = |only: &Option<usize>| only.is_none_or(|only| only == number);
        let lines = self.config.iter().filter(|(only, _)| ours(only));
        let lines = lines.map(|(_, line)| line.clone());
        for line in lines.chain(set.announcement(number)) {
            node = node.config(line);
        }
        if let Some(password) = &self.password {
            node = node.config(format!("masterauth {password}"));
        }
        if number > 0 {
            node = node.config(format!("replicaof 127.0.0.1 {}", set.node_port(0)));
        }
        node
    }

    fn sentinel(&self, set: &SentinelSet, member: usize) -> Builder {
        let (name, port) = (&self.name, set.node_port(0));
        let quorum = self.quorum.unwrap_or(self.sentinels / 2 + 1);
        let mut lines = vec![
            format!("sentinel monitor {name} 127.0.0.1 {port} {quorum}"),
            format!(
                "sentinel down-after-milliseconds {name} {}",
                self.down_after.as_millis()
            ),
            format!(
                "sentinel failover-timeout {name} {}",
                self.failover_timeout.as_millis()
            ),
            format!("sentinel parallel-syncs {name} {}", self.replicas.max(1)),
        ];
        if let Some(password) = &self.password {
            lines.push(format!("sentinel auth-pass {name} {password}"));
        }
        if let Some(password) = &self.sentinel_password {
            lines.push(format!("sentinel sentinel-pass {password}"));
        }
        lines.extend(set.sentinel_announcement(member));
        let sentinel = self.server(self.sentinel_password.as_deref(), Role::Sentinel);
        lines.into_iter().fold(sentinel, Builder::config)
    }

    fn server(&self, password: Option<&str>, role: Role) -> Builder {
        let mut server = TestServer::builder().role(role);
        if let Some(binary) = &self.binary {
            server = server.binary(binary);
        }
        match password {
            Some(password) => server.password(password),
            None => server,
        }
    }
}

#[cfg(feature = "faults")]
impl SentinelSet {
    fn place_server(&self, member: usize, server: Builder) -> Result<TestServer, StartError> {
        let Some(network) = &self.network else {
            return server.start();
        };
        let started = server.source(network.source(member)).start()?;
        network
            .proxy(member, 0)
            .lead_to(super::local(started.port()));
        Ok(started)
    }

    fn announcement(&self, member: usize) -> Vec<String> {
        self.announced(member, "replica-announce")
    }

    fn sentinel_announcement(&self, member: usize) -> Vec<String> {
        self.announced(member, "sentinel announce")
    }

    fn announced(&self, member: usize, what: &str) -> Vec<String> {
        let port = self.network.as_ref().map(|it| it.proxy(member, 0).port());
        port.map_or_else(Vec::new, |port| {
            vec![
                format!("{what}-ip 127.0.0.1"),
                format!("{what}-port {port}"),
            ]
        })
    }
}

#[cfg(not(feature = "faults"))]
impl SentinelSet {
    fn place_server(&self, _: usize, server: Builder) -> Result<TestServer, StartError> {
        server.start()
    }

    fn announcement(&self, _: usize) -> Vec<String> {
        Vec::new()
    }

    fn sentinel_announcement(&self, _: usize) -> Vec<String> {
        Vec::new()
    }
}

/// Sentinels of 7.0 and later can speak and look more often than every 2 and 10 s, and need not
/// stop to act for half a minute whenever a busy machine held them up for 2 s. Older ones refuse,
/// and are merely slower.
fn hurry(sentinel: &TestServer) {
    let words =
        "SENTINEL DEBUG PUBLISH-PERIOD 250 INFO-PERIOD 500 TILT-TRIGGER 60000 TILT-PERIOD 1000";
    let words: Vec<&str> = words.split(' ').collect();
    let _ = sentinel.ask(&words);
}
