//! Choices before the start of a cluster, and the start.

use std::path::PathBuf;
use std::time::Duration;

use super::{ClusterSet, LIMIT, SetError, read_entries, share};
use crate::TestServer;
use crate::builder::{Builder, Role};
use crate::error::StartError;
#[cfg(feature = "faults")]
use crate::network::Network;
#[cfg(feature = "faults")]
use crate::port::BUS;
use crate::wait::until;

/// The proxy for clients and replicas.
#[cfg(feature = "faults")]
pub(super) const CLIENTS: usize = 0;
/// The proxy for what nodes tell each other.
#[cfg(feature = "faults")]
const GOSSIP: usize = 1;

/// What a [`ClusterSet`] is started with.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct ClusterSetBuilder {
    primaries: usize,
    replicas: usize,
    node_timeout: Duration,
    append_only: bool,
    password: Option<String>,
    binary: Option<PathBuf>,
    config: Vec<(Option<usize>, String)>,
    #[cfg(feature = "faults")]
    proxied: bool,
}

impl Default for ClusterSetBuilder {
    fn default() -> Self {
        Self {
            primaries: 3,
            replicas: 0,
            node_timeout: Duration::from_secs(1),
            append_only: false,
            password: None,
            binary: None,
            config: Vec::new(),
            #[cfg(feature = "faults")]
            proxied: false,
        }
    }
}

impl ClusterSetBuilder {
    /// How many primaries share the slots; a cluster that is to replace a lost one needs three.
    /// Default: 3.
    pub fn primaries(mut self, count: usize) -> Self {
        self.primaries = count;
        self
    }

    /// How many replicas each primary has. Default: 0.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// How long a node must be silent to count as failing, in whole milliseconds. Default: 1 s.
    pub fn node_timeout(mut self, silence: Duration) -> Self {
        self.node_timeout = silence;
        self
    }

    /// Nodes keep an append-only file, so that data outlives a restart. Default: `false`.
    pub fn append_only(mut self, on: bool) -> Self {
        self.append_only = on;
        self
    }

    /// The password of all nodes: letters and digits. Default: none.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// One line of configuration for every node: `cluster-require-full-coverage no`.
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

    /// Puts a [`Proxy`](crate::Proxy) in front of each port of every node and lets nobody know
    /// another address, so that the network can be cut. Linux only. Default: no proxies.
    #[cfg(feature = "faults")]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Starts all and returns when the cluster is steady: see
    /// [`wait_until_steady`](ClusterSet::wait_until_steady).
    ///
    /// # Errors
    /// [`SetError`]; what was started is stopped again.
    pub fn start(self) -> Result<ClusterSet, SetError> {
        let nodes = self.primaries * (1 + self.replicas);
        let mut set = ClusterSet {
            nodes: Vec::new(),
            ids: Vec::new(),
            #[cfg(feature = "faults")]
            network: match self.proxied {
                true => Some(Network::start(nodes, 2)?),
                false => None,
            },
            primaries: self.primaries,
            replicas: self.replicas,
        };
        for number in 0..nodes {
            let node = set.place_server(number, self.node(&set, number))?;
            set.nodes.push(node);
            set.ids.push(set.ask(number, &["CLUSTER", "MYID"])?.text());
        }
        set.assign_slots()?;
        set.introduce()?;
        set.replicate()?;
        set.wait_until_steady()?;
        Ok(set)
    }

    fn node(&self, set: &ClusterSet, number: usize) -> Builder {
        let mut node = TestServer::builder()
            .role(Role::ClusterNode)
            .append_only(self.append_only)
            .config(format!(
                "cluster-node-timeout {}",
                self.node_timeout.as_millis()
            ))
            // A replica asks for its primary at once, and a primary does not wait for more of them.
            .config("repl-diskless-sync-delay 0");
        let ours = |only: &Option<usize>| only.is_none_or(|only| only == number);
        let lines = self.config.iter().filter(|(only, _)| ours(only));
        let lines = lines.map(|(_, line)| line.clone());
        for line in lines.chain(set.announcement(number)) {
            node = node.config(line);
        }
        if let Some(password) = &self.password {
            node = node
                .password(password)
                .config(format!("masterauth {password}"));
        }
        match &self.binary {
            Some(binary) => node.binary(binary),
            None => node,
        }
    }
}

impl ClusterSet {
    fn assign_slots(&self) -> Result<(), SetError> {
        for primary in 0..self.primaries {
            // Different from the start, so that nobody has to sort out equal ones.
            let epoch = (primary + 1).to_string();
            self.ask(primary, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?;
            let slots = share(primary, self.primaries).map(|slot| slot.to_string());
            let slots: Vec<String> = slots.collect();
            let mut words = vec!["CLUSTER", "ADDSLOTS"];
            words.extend(slots.iter().map(String::as_str));
            self.ask(primary, &words)?;
        }
        Ok(())
    }

    /// The first node meets the others, who then hear of each other.
    fn introduce(&self) -> Result<(), SetError> {
        until("all nodes know each other", LIMIT, || {
            let mut strangers = Vec::new();
            for number in 0..self.nodes.len() {
                let reply = self.nodes[number].ask_briefly(&["CLUSTER", "NODES"]);
                let entries = read_entries(&reply.map_err(|error| error.to_string())?);
                let known = |id: &String| entries.iter().any(|it| it.id == *id && it.is_well());
                let unknown = (0..self.nodes.len()).filter(|other| !known(&self.ids[*other]));
                strangers.extend(unknown.map(|other| (number, other)));
            }
            // A meeting that takes too long is given up, so it is asked for again; while it lasts,
            // asking changes nothing.
            for (_, other) in strangers.iter().filter(|(number, _)| *number == 0) {
                let port = self.port(*other).to_string();
                let bus = self.bus_port(*other).to_string();
                let words = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
                let met = self.nodes[0].ask_briefly(&words);
                met.map_err(|error| error.to_string())?;
            }
            match strangers.is_empty() {
                true => Ok(()),
                false => Err(format!("who does not know whom: {strangers:?}")),
            }
        })
    }

    fn replicate(&self) -> Result<(), SetError> {
        for primary in 0..self.primaries {
            for replica in self.replicas_of(primary) {
                self.ask(replica, &["CLUSTER", "REPLICATE", &self.ids[primary]])?;
            }
        }
        until("all replicas are known as such", LIMIT, || {
            for number in 0..self.nodes.len() {
                let reply = self.nodes[number].ask_briefly(&["CLUSTER", "NODES"]);
                let entries = read_entries(&reply.map_err(|error| error.to_string())?);
                let replicas = entries.iter().filter(|it| it.primary != "-").count();
                if replicas != self.primaries * self.replicas {
                    return Err(format!("node {number} knows {entries:?}"));
                }
            }
            Ok(())
        })
    }
}

#[cfg(feature = "faults")]
impl ClusterSet {
    fn place_server(&self, number: usize, server: Builder) -> Result<TestServer, StartError> {
        let Some(network) = &self.network else {
            return server.start();
        };
        let started = server.source(network.source(number)).start()?;
        let local = |port: u16| (std::net::Ipv4Addr::LOCALHOST, port);
        network
            .proxy(number, CLIENTS)
            .lead_to(local(started.port()));
        network
            .proxy(number, GOSSIP)
            .lead_to(local(started.port() + BUS));
        Ok(started)
    }

    fn announcement(&self, number: usize) -> Vec<String> {
        let Some(network) = &self.network else {
            return Vec::new();
        };
        let port = |which| network.proxy(number, which).port();
        vec![
            "cluster-announce-ip 127.0.0.1".to_owned(),
            format!("cluster-announce-port {}", port(CLIENTS)),
            format!("cluster-announce-bus-port {}", port(GOSSIP)),
            // A primary lists its replicas by what they announce to it.
            "replica-announce-ip 127.0.0.1".to_owned(),
            format!("replica-announce-port {}", port(CLIENTS)),
        ]
    }

    fn bus_port(&self, number: usize) -> u16 {
        match &self.network {
            Some(network) => network.proxy(number, GOSSIP).port(),
            None => self.nodes[number].port() + BUS,
        }
    }
}

#[cfg(not(feature = "faults"))]
impl ClusterSet {
    fn place_server(&self, _: usize, server: Builder) -> Result<TestServer, StartError> {
        server.start()
    }

    fn announcement(&self, _: usize) -> Vec<String> {
        Vec::new()
    }

    fn bus_port(&self, number: usize) -> u16 {
        self.nodes[number].port() + crate::port::BUS
    }
}
