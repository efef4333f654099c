//! A cluster: primaries that share the slots, and their replicas.

mod builder;
mod migration;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::TestServer;
use crate::error::SetError;
#[cfg(feature = "faults")]
use crate::network::Network;
#[cfg(feature = "faults")]
use crate::proxy::Proxy;
use crate::resp::Reply;
use crate::slot::{SLOTS, key_slot};
use crate::wait::until;

pub use builder::ClusterSetBuilder;
pub use migration::Migration;

/// How long nodes may take to agree.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster of servers that all see it whole.
///
/// Nodes are numbered as they were started: the primaries first, each with an equal share of the
/// slots, then their replicas in the same order. Each is a [`TestServer`], to be killed, paused,
/// resumed and restarted as one: `set.node(0).kill()`.
///
/// Dropping the set removes all of it.
#[derive(Debug)]
pub struct ClusterSet {
    // Fields drop in order: those who would miss a proxy first.
    nodes: Vec<TestServer>,
    /// As each node calls itself.
    ids: Vec<String>,
    #[cfg(feature = "faults")]
    network: Option<Network>,
    primaries: usize,
    replicas: usize,
}

/// What `CLUSTER NODES` says of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: String,
    flags: Vec<String>,
    primary: String,
    connected: bool,
    slots: u16,
}

impl ClusterSet {
    /// Three primaries without replicas.
    ///
    /// # Errors
    /// See [`ClusterSetBuilder::start`].
    pub fn start() -> Result<Self, SetError> {
        Self::builder().start()
    }

    /// Choices before the start.
    pub fn builder() -> ClusterSetBuilder {
        ClusterSetBuilder::default()
    }

    /// A node. Its own port leads to it whatever is cut.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn node(&self, number: usize) -> &TestServer {
        &self.nodes[number]
    }

    /// How many nodes there are, replicas included.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Where clients and other nodes find a node: through its proxy where it has one.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn address(&self, number: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(number)).into()
    }

    /// All addresses, to be given to a client as they are.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.nodes.len()).map(|n| self.address(n)).collect()
    }

    /// `redis://127.0.0.1:PORT` of each node as clients find it, without the password.
    pub fn urls(&self) -> Vec<String> {
        let addresses = self.addresses();
        addresses.iter().map(|it| format!("redis://{it}")).collect()
    }

    /// The replicas of a node that was started as a primary.
    pub fn replicas_of(&self, primary: usize) -> Vec<usize> {
        (0..self.replicas)
            .map(|round| self.primaries * (1 + round) + primary)
            .collect()
    }

    /// The slot of a key.
    pub fn key_slot(key: impl AsRef<[u8]>) -> u16 {
        key_slot(key)
    }

    /// A key of the form `PREFIX{N}` that lies in the slots which `node` had at the start.
    ///
    /// # Panics
    /// If the node was not started as a primary.
    pub fn key_on(&self, node: usize, prefix: &str) -> String {
        let share = share(node, self.primaries);
        (0..)
            .map(|n| format!("{prefix}{{{n}}}"))
            .find(|key| share.contains(&key_slot(key)))
            .expect("one of many keys lies in a share of the slots")
    }

    /// The number of the primary that owns `slot` according to most nodes that answer.
    ///
    /// # Errors
    /// [`SetError::NotReached`]: most of them name none.
    pub fn owner(&self, slot: u16) -> Result<usize, SetError> {
        until("an owner most nodes agree on", LIMIT, || {
            self.named_owner(slot)
        })
    }

    /// Waits until most nodes name another owner of `slot` than `old`, and gives it.
    ///
    /// # Errors
    /// [`SetError::NotReached`] after a minute.
    pub fn owner_after(&self, slot: u16, old: usize) -> Result<usize, SetError> {
        until("another owner", LIMIT, || match self.named_owner(slot)? {
            same if same == old => Err(format!("node {same} is named")),
            new => Ok(new),
        })
    }

    /// Waits until every node that runs finds the cluster whole, sees all nodes that run without a
    /// complaint, and every replica among them follows its primary.
    ///
    /// Paused nodes and a cut network never get there.
    ///
    /// # Errors
    /// [`SetError::NotReached`] after a minute, with what is still missing.
    pub fn wait_until_steady(&self) -> Result<(), SetError> {
        until("a steady cluster", LIMIT, || {
            for number in self.running() {
                self.finds_all_well(number)?;
            }
            Ok(())
        })
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].pid().is_some())
    }

    fn finds_all_well(&self, number: usize) -> Result<(), String> {
        let node = &self.nodes[number];
        let ask = |words: &[&str]| {
            let reply = node.ask_briefly(words);
            reply.map_err(|error| format!("node {number}, {words:?}: {error}"))
        };
        let info = ask(&["CLUSTER", "INFO"])?;
        let entries = read_entries(&ask(&["CLUSTER", "NODES"])?);
        let shared: u32 = entries.iter().map(|entry| u32::from(entry.slots)).sum();
        if info.line("cluster_state").as_deref() != Some("ok") || shared != u32::from(SLOTS) {
            return Err(format!("node {number}: {info:?}, {entries:?}"));
        }
        for other in self.running() {
            let known = entries.iter().find(|entry| entry.id == self.ids[other]);
            if !known.is_some_and(Entry::is_well) {
                return Err(format!("node {number} sees node {other} as {known:?}"));
            }
        }
        let replication = ask(&["INFO", "replication"])?;
        match replication.line("master_link_status").as_deref() {
            None | Some("up") => Ok(()),
            Some(_) => Err(format!("node {number}: {replication:?}")),
        }
    }

    fn named_owner(&self, slot: u16) -> Result<usize, String> {
        let answers: Vec<Option<String>> = self
            .running()
            .map(|n| {
                owner_in(
                    &self.nodes[n].ask_briefly(&["CLUSTER", "SLOTS"]).ok()?,
                    slot,
                )
            })
            .collect();
        let votes = |id: &String| answers.iter().filter(|it| it.as_ref() == Some(id)).count();
        (0..self.nodes.len())
            .find(|n| votes(&self.ids[*n]) > answers.len() / 2)
            .ok_or_else(|| format!("slot {slot} is owned by {answers:?}"))
    }

    /// Waits until every node that runs names `node` as the owner.
    fn wait_for_owner(&self, slot: u16, node: usize) -> Result<(), SetError> {
        until("all nodes agree on the owner", LIMIT, || {
            for number in self.running() {
                let reply = self.nodes[number].ask_briefly(&["CLUSTER", "SLOTS"]);
                let named = owner_in(&reply.map_err(|error| error.to_string())?, slot);
                if named.as_ref() != Some(&self.ids[node]) {
                    return Err(format!("node {number} names {named:?}"));
                }
            }
            Ok(())
        })
    }

    /// The nodes that run and are primaries by their own account.
    fn primaries_now(&self) -> Result<Vec<usize>, SetError> {
        let mut primaries = Vec::new();
        for number in self.running() {
            let role = self.ask(number, &["ROLE"])?;
            if role.items().first().map(Reply::text).as_deref() == Some("master") {
                primaries.push(number);
            }
        }
        Ok(primaries)
    }

    fn ask(&self, number: usize, words: &[&str]) -> Result<Reply, SetError> {
        let reply = self.nodes[number].ask(words);
        reply.map_err(|source| refused(number, words, source))
    }

    fn port(&self, number: usize) -> u16 {
        #[cfg(feature = "faults")]
        if let Some(network) = &self.network {
            return network.proxy(number, builder::CLIENTS).port();
        }
        self.nodes[number].port()
    }
}

/// Cutting the network, in a set started with [`ClusterSetBuilder::proxied`].
///
/// Who is cut off reaches nobody and is reached by nobody but those cut off with it in the same
/// call. A client that stands on the side of a cut-off node uses that node's own port,
/// `set.node(n).port()`.
///
/// # Panics
/// All of these if the set is not proxied, or if there is no such node.
#[cfg(feature = "faults")]
impl ClusterSet {
    /// Cuts a node off.
    pub fn cut(&self, node: usize) {
        self.network().cut(&[node]);
    }

    /// Cuts these off from all others, and not from each other.
    pub fn cut_together(&self, nodes: &[usize]) {
        self.network().cut(nodes);
    }

    /// Lets a node back.
    pub fn heal(&self, node: usize) {
        self.network().heal(&[node]);
    }

    /// Lets everybody back.
    pub fn heal_all(&self) {
        self.network().heal_all();
    }

    /// The fault injector between clients and a node, for its other faults. Nodes among
    /// themselves, replicas apart, use another one.
    pub fn proxy(&self, node: usize) -> &Proxy {
        self.network().proxy(node, builder::CLIENTS)
    }

    fn network(&self) -> &Network {
        let network = self.network.as_ref();
        network.expect("only a set started with `proxied` has a network to cut")
    }
}

impl Entry {
    /// Reads `ID ADDRESS FLAGS PRIMARY PING PONG EPOCH LINK SLOT...`.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            id,
            _address,
            flags,
            primary,
            _ping,
            _pong,
            _epoch,
            link,
            slots @ ..,
        ] = &words[..]
        else {
            return None;
        };
        let slots = slots.iter().filter(|slot| !slot.starts_with('['));
        Some(Self {
            id: (*id).to_owned(),
            flags: flags.split(',').map(str::to_owned).collect(),
            primary: (*primary).to_owned(),
            connected: *link == "connected",
            slots: slots.filter_map(|range| length(range)).sum(),
        })
    }

    fn is_well(&self) -> bool {
        let complaints = ["fail", "fail?", "handshake", "noaddr"];
        self.connected
            && self
                .flags
                .iter()
                .all(|flag| !complaints.contains(&flag.as_str()))
    }
}

fn read_entries(reply: &Reply) -> Vec<Entry> {
    reply.text().lines().filter_map(Entry::read).collect()
}

/// How many slots `7` or `7-9` are.
fn length(range: &str) -> Option<u16> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (last.checked_sub(first)?).checked_add(1)
}

/// The id of the primary in a reply to `CLUSTER SLOTS`.
fn owner_in(reply: &Reply, slot: u16) -> Option<String> {
    reply.items().iter().find_map(|range| {
        let [first, last, primary, ..] = range.items() else {
            return None;
        };
        let range = first.integer()?..=last.integer()?;
        let id = primary.items().get(2)?.text();
        range.contains(&i64::from(slot)).then_some(id)
    })
}

/// The slots a primary gets at the start.
fn share(primary: usize, primaries: usize) -> RangeInclusive<u16> {
    assert!(primary < primaries, "node {primary} began without slots");
    let bound = |n: usize| u16::try_from(usize::from(SLOTS) * n / primaries).expect("a slot");
    bound(primary)..=bound(primary + 1) - 1
}

fn refused(number: usize, words: &[&str], source: io::Error) -> SetError {
    // ADDSLOTS names thousands of slots.
    let words = &words[..words.len().min(5)];
    SetError::Refused {
        command: format!("{} at node {number}", words.join(" ")),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, SLOTS, share};

    #[test]
    fn shares_cover_every_slot_once() {
        for primaries in 1..=7 {
            let mut next = 0;
            for primary in 0..primaries {
                let share = share(primary, primaries);
                assert_eq!(*share.start(), next);
                next = share.end() + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn an_entry_counts_the_slots_it_owns_and_not_those_on_the_move() {
        let line = "aa 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-9 11 [12->-bb]";
        let entry = Entry::read(line).unwrap();
        assert_eq!((entry.slots, entry.is_well()), (11, true));
        let line = "aa :0@0 master,fail? - 0 0 1 connected";
        assert!(!Entry::read(line).unwrap().is_well());
        assert_eq!(Entry::read("vars currentEpoch 1"), None);
    }
}
