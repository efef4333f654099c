//! A primary, its replicas and the Sentinels that watch them.

mod builder;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::TestServer;
use crate::error::{SetError, StartError};
#[cfg(feature = "faults")]
use crate::network::Network;
#[cfg(feature = "faults")]
use crate::proxy::Proxy;
use crate::resp::Reply;
use crate::wait::until;

pub use builder::SentinelSetBuilder;

/// How long servers may take to agree. Sentinels speak every second or two, and those before 7.0
/// cannot be told to hurry.
const LIMIT: Duration = Duration::from_secs(60);

/// Data servers, replicating, and Sentinels, all of whom know each other.
///
/// Data servers are numbered as they were started: 0 is the primary at first. Each of them and
/// each Sentinel is a [`TestServer`], to be killed, paused, resumed and restarted as one:
/// `set.node(0).kill()`. A restarted one finds the configuration it wrote itself, so an old
/// primary comes back as the primary and is corrected by the Sentinels, as in production.
///
/// Dropping the set removes all of it.
#[derive(Debug)]
pub struct SentinelSet {
    // Fields drop in order: those who would report a failure first.
    sentinels: Vec<TestServer>,
    nodes: Vec<TestServer>,
    #[cfg(feature = "faults")]
    network: Option<Network>,
    name: String,
}

/// One server of a [`SentinelSet`].
#[cfg(feature = "faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A data server, by its number.
    Node(usize),
    /// A Sentinel, by its number.
    Sentinel(usize),
}

impl SentinelSet {
    /// One primary, two replicas and three Sentinels.
    ///
    /// # Errors
    /// See [`SentinelSetBuilder::start`].
    pub fn start() -> Result<Self, SetError> {
        Self::builder().start()
    }

    /// Choices before the start.
    pub fn builder() -> SentinelSetBuilder {
        SentinelSetBuilder::default()
    }

    /// The name the Sentinels know the primary by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A data server. Its own port leads to it whatever is cut.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn node(&self, number: usize) -> &TestServer {
        &self.nodes[number]
    }

    /// How many data servers there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A Sentinel.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn sentinel(&self, number: usize) -> &TestServer {
        &self.sentinels[number]
    }

    /// Where clients find the Sentinels: through their proxies where there are some.
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        (0..self.sentinels.len())
            .map(|number| local(self.sentinel_port(number)))
            .collect()
    }

    /// Where clients, replicas and Sentinels find a data server: through its proxy where it has one.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn address(&self, number: usize) -> SocketAddr {
        local(self.node_port(number))
    }

    /// The number of the primary that most Sentinels name; those that do not answer count as
    /// naming none.
    ///
    /// # Errors
    /// [`SetError::NotReached`]: no majority names one of ours.
    pub fn primary(&self) -> Result<usize, SetError> {
        self.until("a primary most Sentinels agree on", || self.named_primary())
    }

    /// Waits until most Sentinels name another primary than `old` and it takes writes; gives it.
    ///
    /// # Errors
    /// [`SetError::NotReached`] after a minute.
    pub fn primary_after(&self, old: usize) -> Result<usize, SetError> {
        self.until("another primary", || {
            let named = self.named_primary()?;
            if named == old {
                return Err(format!("node {named} is named"));
            }
            self.has_role(named, "master").map(|()| named)
        })
    }

    /// Has a Sentinel make another data server the primary, in good order, and waits for it.
    ///
    /// # Errors
    /// [`SetError::NotReached`]: no Sentinel does so, or no new primary comes of it.
    pub fn failover(&self) -> Result<usize, SetError> {
        let old = self.primary()?;
        self.until("another primary after a failover", || {
            let refusal = self.order_failover(old);
            match self.named_primary()? {
                same if same == old => Err(format!("node {same} is named, {refusal:?}")),
                new => self.has_role(new, "master").map(|()| new),
            }
        })
    }

    /// Tells the first Sentinel that answers, and none but it: several at once would each promote
    /// a replica. It may give an attempt up, so it is told again for as long as it names the old
    /// primary; during an attempt it refuses.
    fn order_failover(&self, old: usize) -> Result<(), String> {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.name];
        let (sentinel, named) = self
            .sentinels
            .iter()
            .find_map(|sentinel| Some((sentinel, sentinel.ask_briefly(&question).ok()?)))
            .ok_or("no Sentinel answers")?;
        if port_of(&named) != Some(self.node_port(old)) {
            return Ok(());
        }
        let order = ["SENTINEL", "FAILOVER", &self.name];
        sentinel.ask_briefly(&order).map(drop).map_err(shown)
    }

    /// Waits until all is as after the start: every Sentinel that runs sees a healthy primary, the
    /// same one, with every data server that runs following it, and every other Sentinel.
    ///
    /// Paused servers and a cut network never get there.
    ///
    /// # Errors
    /// [`SetError::NotReached`] after a minute, with what is still missing.
    pub fn wait_until_steady(&self) -> Result<usize, SetError> {
        self.until("a steady set", || {
            let primary = self.named_primary()?;
            let replicas: Vec<usize> = (0..self.nodes.len())
                .filter(|n| *n != primary && self.nodes[*n].pid().is_some())
                .collect();
            self.has_role(primary, "master")?;
            for replica in &replicas {
                self.follows(*replica, primary)?;
            }
            for sentinel in self.sentinels.iter().filter(|s| s.pid().is_some()) {
                self.sees(sentinel, primary, &replicas)?;
            }
            Ok(primary)
        })
    }

    /// Waits; the error tells what the Sentinels were at.
    fn until<T>(
        &self,
        wanted: &str,
        question: impl FnMut() -> Result<T, String>,
    ) -> Result<T, SetError> {
        until(wanted, LIMIT, question).map_err(|error| {
            let logs = self.sentinels.iter().map(TestServer::log_tail);
            error.with_logs(&logs.collect::<Vec<_>>())
        })
    }

    fn named_primary(&self) -> Result<usize, String> {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.name];
        let answers: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| port_of(&sentinel.ask_briefly(&question).ok()?))
            .collect();
        (0..self.nodes.len())
            .find(|n| {
                let votes = answers
                    .iter()
                    .filter(|port| **port == Some(self.node_port(*n)));
                votes.count() > self.sentinels.len() / 2
            })
            .ok_or_else(|| format!("the Sentinels name the ports {answers:?}"))
    }

    fn has_role(&self, node: usize, role: &str) -> Result<(), String> {
        let reply = self.nodes[node].ask_briefly(&["ROLE"]).map_err(shown)?;
        match reply.items().first().map(Reply::text).as_deref() {
            Some(found) if found == role => Ok(()),
            found => Err(format!("node {node} is {found:?}")),
        }
    }

    fn follows(&self, replica: usize, primary: usize) -> Result<(), String> {
        let info = self.nodes[replica]
            .ask_briefly(&["INFO", "replication"])
            .map_err(shown)?;
        let follows = info.line("master_port") == Some(self.node_port(primary).to_string())
            && info.line("master_link_status").as_deref() == Some("up");
        match follows {
            true => Ok(()),
            false => Err(format!("node {replica}: {}", info.text())),
        }
    }

    /// Whether the Sentinel could carry a failover through right now.
    fn sees(
        &self,
        sentinel: &TestServer,
        primary: usize,
        replicas: &[usize],
    ) -> Result<(), String> {
        let ask = |what: &str| {
            let reply = sentinel.ask_briefly(&["SENTINEL", what, &self.name]);
            reply.map_err(|error| format!("SENTINEL {what}: {error}"))
        };
        let master = ask("MASTER")?;
        if (port_of_fields(&master), master.field("flags").as_deref())
            != (Some(self.node_port(primary)), Some("master"))
        {
            return Err(format!("the primary as a Sentinel sees it: {master:?}"));
        }
        let known = ask("REPLICAS")?;
        for replica in replicas {
            let port = Some(self.node_port(*replica));
            let healthy = known.items().iter().any(|entry| {
                let is = |name: &str, value: &str| entry.field(name).as_deref() == Some(value);
                port_of_fields(entry) == port
                    && is("flags", "slave")
                    && is("role-reported", "slave")
                    && is("master-link-status", "ok")
                    && entry.field("master-port") == Some(self.node_port(primary).to_string())
            });
            if !healthy {
                return Err(format!("node {replica} as a Sentinel sees it: {known:?}"));
            }
        }
        let peers = ask("SENTINELS")?;
        for (number, peer) in self.sentinels.iter().enumerate() {
            let port = self.sentinel_port(number);
            let known = peers.items().iter().any(|entry| {
                // What it once said of the primary (`master_down`) stays in the flags for long.
                let flags = entry.field("flags").unwrap_or_default();
                let silent = ["s_down", "o_down", "disconnected"];
                port_of_fields(entry) == Some(port)
                    && flags.split(',').all(|flag| !silent.contains(&flag))
            });
            if peer.port() != sentinel.port() && peer.pid().is_some() && !known {
                return Err(format!("Sentinel {number} as another sees it: {peers:?}"));
            }
        }
        Ok(())
    }

    fn node_port(&self, number: usize) -> u16 {
        #[cfg(feature = "faults")]
        if let Some(network) = &self.network {
            return network.proxy(number, 0).port();
        }
        self.nodes[number].port()
    }

    fn sentinel_port(&self, number: usize) -> u16 {
        #[cfg(feature = "faults")]
        if let Some(network) = &self.network {
            return network.proxy(self.nodes.len() + number, 0).port();
        }
        self.sentinels[number].port()
    }
}

/// Cutting the network, in a set started with [`SentinelSetBuilder::proxied`].
///
/// Who is cut off reaches nobody and is reached by nobody but those cut off with it in the same
/// call: not by clients that use [`address`](SentinelSet::address) and
/// [`sentinels`](SentinelSet::sentinels), not by replicas, not by Sentinels. A client that stands
/// on the side of a cut-off node uses that node's own port, `set.node(n).port()`.
///
/// # Panics
/// All of these if the set is not proxied, or if there is no such member.
#[cfg(feature = "faults")]
impl SentinelSet {
    /// Cuts a data server off.
    pub fn cut(&self, node: usize) {
        self.cut_together(&[Member::Node(node)]);
    }

    /// Lets a data server back.
    pub fn heal(&self, node: usize) {
        self.network().heal(&[self.place(Member::Node(node))]);
    }

    /// Cuts these off from all others, and not from each other.
    pub fn cut_together(&self, members: &[Member]) {
        let places: Vec<_> = members.iter().map(|member| self.place(*member)).collect();
        self.network().cut(&places);
    }

    /// Lets everybody back.
    pub fn heal_all(&self) {
        self.network().heal_all();
    }

    /// The fault injector in front of a member, for its other faults.
    pub fn proxy(&self, member: Member) -> &Proxy {
        self.network().proxy(self.place(member), 0)
    }

    fn network(&self) -> &Network {
        let network = self.network.as_ref();
        network.expect("only a set started with `proxied` has a network to cut")
    }

    fn place(&self, member: Member) -> usize {
        match member {
            Member::Node(number) => {
                assert!(number < self.nodes.len(), "there is no node {number}");
                number
            }
            Member::Sentinel(number) => self.nodes.len() + number,
        }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The port in a reply of an address and a port.
fn port_of(reply: &Reply) -> Option<u16> {
    reply.items().get(1)?.text().parse().ok()
}

fn port_of_fields(reply: &Reply) -> Option<u16> {
    reply.field("port")?.parse().ok()
}

fn shown(error: io::Error) -> String {
    error.to_string()
}
