//! The servers of a cluster: who has which slot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::Value;
use tokio::time::timeout;

use super::RedisConfig;
use super::class::{self, Class};
use super::fault::Fault;
use super::layout::Address;
use super::node::Node;
use super::slots::{self, Range, SLOTS};
use super::turn::Turn;

/// No server.
const NOBODY: u16 = u16::MAX;

pub(crate) struct Cluster {
    config: Arc<RedisConfig>,
    seeds: Vec<Address>,
    /// Held for moments only: whoever asks servers about it does so without.
    map: RwLock<Map>,
    asking: Turn,
    /// Answers so far.
    answers: AtomicUsize,
    /// Tries so far.
    turns: AtomicUsize,
}

/// Who has which slot, as far as we were told.
struct Map {
    nodes: Vec<Arc<Node>>,
    /// Places in `nodes`.
    owners: Box<[u16]>,
}

impl Map {
    fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            owners: vec![NOBODY; SLOTS].into_boxed_slice(),
        }
    }

    fn place_of(&self, address: &Address) -> Option<usize> {
        self.nodes.iter().position(|node| node.address() == address)
    }
}

impl Cluster {
    pub(crate) fn new(config: Arc<RedisConfig>, seeds: Vec<Address>) -> Self {
        Self {
            config,
            seeds,
            map: RwLock::new(Map::empty()),
            asking: Turn::default(),
            answers: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
        }
    }

    /// The server that has the slot of `key`; any, if there is no key.
    pub(crate) async fn node(&self, key: Option<&[u8]>) -> Result<Arc<Node>, Fault> {
        let slot = key.map_or(0, slots::slot_of);
        if let Some(node) = self.known(slot) {
            return Ok(node);
        }
        self.refresh().await?;
        if key.is_none()
            && let Some(any) = self.nodes().into_iter().next()
        {
            return Ok(any);
        }
        self.known(slot).ok_or_else(|| {
            Fault::Nowhere(format!(
                "no server of {} has slot {slot}",
                self.config.location()
            ))
        })
    }

    /// The one at an address, as a server named it.
    pub(crate) fn node_at(&self, address: &Address) -> Arc<Node> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let place = self.place(&mut map, address);
        map.nodes[place].clone()
    }

    /// A server said that another has the slot now. The others are not asked: it is the one that
    /// knows, and they may not have heard yet.
    pub(crate) fn moved(&self, slot: u16, to: &Address) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let place = self.place(&mut map, to);
        if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
            *owner = u16::try_from(place).unwrap_or(NOBODY);
        }
    }

    /// A server does not answer, or answered that it is the wrong one without naming another.
    pub(crate) fn suspect(&self, node: &Node) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = map.place_of(node.address()) {
            for owner in map.owners.iter_mut() {
                if usize::from(*owner) == place {
                    *owner = NOBODY;
                }
            }
        }
    }

    /// Every primary, asked for now.
    pub(crate) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Fault> {
        self.refresh().await?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let own = |place| map.owners.iter().any(|owner| usize::from(*owner) == place);
        let primaries = (0..map.nodes.len()).filter(|place| own(*place));
        let mut primaries: Vec<_> = primaries.map(|place| map.nodes[place].clone()).collect();
        primaries.sort_by(|a, b| a.address().cmp(b.address()));
        Ok(primaries)
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.nodes.clone()
    }

    fn known(&self, slot: u16) -> Option<Arc<Node>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let place = map.owners[usize::from(slot)];
        map.nodes.get(usize::from(place)).cloned()
    }

    fn place(&self, map: &mut Map, address: &Address) -> usize {
        map.place_of(address).unwrap_or_else(|| {
            let node = Node::new(address.clone(), self.config.clone());
            map.nodes.push(Arc::new(node));
            map.nodes.len() - 1
        })
    }

    /// Learns anew who has what.
    async fn refresh(&self) -> Result<(), Fault> {
        let answers = self.answers.load(Ordering::Relaxed);
        let answered = || (self.answers.load(Ordering::Relaxed) != answers).then_some(());
        self.asking.find(answered, self.look()).await
    }

    /// Asks those we know and those we were given, until one answers. Another one first each time:
    /// one that is cut off from the others may answer, and be wrong.
    async fn look(&self) -> Result<(), Fault> {
        let known = self.nodes().into_iter().map(|node| node.address().clone());
        let mut candidates: Vec<Address> = known.collect();
        let unknown = self.seeds.iter().filter(|seed| !candidates.contains(seed));
        candidates.extend(unknown.cloned().collect::<Vec<_>>());
        let first = self.turns.fetch_add(1, Ordering::Relaxed) % candidates.len();
        candidates.rotate_left(first);
        let share = self.share(candidates.len());
        let mut last = None;
        for address in &candidates {
            let node = self.unlisted(address);
            let fault = match timeout(share, ask(&node)).await {
                Ok(Ok(ranges)) if !ranges.is_empty() => {
                    self.learn(&ranges);
                    self.answers.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Ok(_)) => Fault::Nowhere(format!(
                    "{} knows of no server that has slots",
                    self.config.location_of(address)
                )),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::Silent(address.clone(), share),
            };
            // Another would say the same.
            if fault.class() == Class::Configuration {
                return Err(fault);
            }
            last = Some(fault);
        }
        let last = last
            .map(|fault: Fault| fault.words(&self.config))
            .unwrap_or_default();
        let location = self.config.location();
        Err(Fault::Nowhere(format!(
            "no server of {location} answered; the last: {last}"
        )))
    }

    /// So that one that hangs leaves time for the others.
    fn share(&self, candidates: usize) -> Duration {
        let parts = u32::try_from(candidates + 1).unwrap_or(u32::MAX).min(4);
        self.config
            .connect_timeout()
            .min(self.config.deadline() / parts)
    }

    /// Does not put a seed among those that have slots: it may be known by another name there.
    fn unlisted(&self, address: &Address) -> Arc<Node> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        match map.place_of(address) {
            Some(place) => map.nodes[place].clone(),
            None => Arc::new(Node::new(address.clone(), self.config.clone())),
        }
    }

    fn learn(&self, ranges: &[Range]) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut old: BTreeMap<Address, Arc<Node>> = BTreeMap::new();
        for node in map.nodes.drain(..) {
            old.insert(node.address().clone(), node);
        }
        map.owners.fill(NOBODY);
        for range in ranges {
            if map.place_of(&range.primary).is_none()
                && let Some(node) = old.remove(&range.primary)
            {
                map.nodes.push(node);
            }
            let place = self.place(&mut map, &range.primary);
            let slots = usize::from(range.first)..=usize::from(range.last);
            map.owners[slots].fill(u16::try_from(place).unwrap_or(NOBODY));
        }
    }
}

async fn ask(node: &Node) -> Result<Vec<Range>, Fault> {
    let mut connection = node.connection().await?;
    let answer: Result<Value, Fault> = node
        .ask(&mut connection, redis::cmd("CLUSTER").arg("SLOTS"))
        .await;
    match answer {
        Ok(answer) => Ok(slots::read(&answer, node.address())),
        Err(Fault::Answer(at, error)) => {
            if class::ends_connection(&error) {
                node.discard(connection.number());
            }
            let disabled = error
                .detail()
                .is_some_and(|why| why.contains("cluster support disabled"));
            Err(match disabled {
                true => Fault::Unfit(format!(
                    "{at} is not part of a cluster; write `redis://` for `redis+cluster://`"
                )),
                false => Fault::Answer(at, error),
            })
        }
        Err(fault) => Err(fault),
    }
}
