//! The servers behind one store, whatever their layout.

use std::sync::Arc;

use super::RedisConfig;
use super::cluster::Cluster;
use super::fault::Fault;
use super::layout::{Address, Layout};
use super::node::Node;
use super::sentinel::Sentinel;

pub(crate) enum Servers {
    Single(Arc<Node>),
    Sentinel(Sentinel),
    Cluster(Cluster),
}

impl Servers {
    pub(crate) fn new(config: &Arc<RedisConfig>) -> Self {
        match config.layout().clone() {
            Layout::Single(address) => Self::Single(Arc::new(Node::new(address, config.clone()))),
            Layout::Sentinel { sentinels, service } => {
                Self::Sentinel(Sentinel::new(config.clone(), sentinels, service))
            }
            Layout::Cluster { seeds } => Self::Cluster(Cluster::new(config.clone(), seeds)),
        }
    }

    /// The primary to ask about `key`.
    pub(crate) async fn node(&self, key: Option<&[u8]>) -> Result<Arc<Node>, Fault> {
        match self {
            Self::Single(node) => Ok(node.clone()),
            Self::Sentinel(sentinel) => sentinel.node().await,
            Self::Cluster(cluster) => cluster.node(key).await,
        }
    }

    /// Where an answer sends us, if we may follow.
    pub(crate) fn redirected(&self, to: &Address) -> Option<Arc<Node>> {
        match self {
            Self::Cluster(cluster) => Some(cluster.node_at(to)),
            Self::Single(_) | Self::Sentinel(_) => None,
        }
    }

    pub(crate) fn moved(&self, slot: u16, to: &Address) {
        if let Self::Cluster(cluster) = self {
            cluster.moved(slot, to);
        }
    }

    /// The next request looks for the primary again.
    pub(crate) fn suspect(&self, node: &Node) {
        match self {
            Self::Single(_) => {}
            Self::Sentinel(sentinel) => sentinel.suspect(node),
            Self::Cluster(cluster) => cluster.suspect(node),
        }
    }

    /// Whether another server may take over from one that is gone or a replica.
    pub(crate) fn may_change(&self) -> bool {
        !matches!(self, Self::Single(_))
    }

    /// Every primary there is now, in order of address.
    pub(crate) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Fault> {
        match self {
            Self::Single(node) => Ok(vec![node.clone()]),
            Self::Sentinel(sentinel) => Ok(vec![sentinel.primary().await?]),
            Self::Cluster(cluster) => cluster.primaries().await,
        }
    }

    /// Those we know, without asking.
    pub(crate) fn known(&self) -> Vec<Arc<Node>> {
        match self {
            Self::Single(node) => vec![node.clone()],
            Self::Sentinel(sentinel) => sentinel.known().into_iter().collect(),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }
}
