//! The primary that Sentinels name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redis::Value;
use tokio::time::timeout;

use super::RedisConfig;
use super::class::{self, Class};
use super::fault::Fault;
use super::layout::{Address, listed};
use super::node::{Node, is_not_told};
use super::tls;
use super::turn::Turn;

pub(crate) struct Sentinel {
    config: Arc<RedisConfig>,
    sentinels: Vec<Address>,
    service: String,
    /// Held for moments only: whoever asks Sentinels does so without.
    current: RwLock<Option<Arc<Node>>>,
    asking: Turn,
    /// The servers that were primary, with their connections: it is mostly the same one again.
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// The one that answered last is asked first.
    first: AtomicUsize,
}

impl Sentinel {
    pub(crate) fn new(config: Arc<RedisConfig>, sentinels: Vec<Address>, service: String) -> Self {
        Self {
            config,
            sentinels,
            service,
            current: RwLock::default(),
            asking: Turn::default(),
            nodes: Mutex::default(),
            first: AtomicUsize::new(0),
        }
    }

    /// The primary; asks for it if it is not known.
    pub(crate) async fn node(&self) -> Result<Arc<Node>, Fault> {
        if let Some(node) = self.known() {
            return Ok(node);
        }
        self.asking.find(|| self.known(), self.look()).await
    }

    async fn look(&self) -> Result<Arc<Node>, Fault> {
        let node = self.node_at(self.ask().await?);
        self.verify(&node).await?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
        Ok(node)
    }

    fn node_at(&self, address: Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Node::new(address.clone(), self.config.clone()));
        nodes.entry(address.clone()).or_insert_with(new).clone()
    }

    /// The primary, asked whether it still is: a connection of a pool would not notice.
    pub(crate) async fn primary(&self) -> Result<Arc<Node>, Fault> {
        let node = self.node().await?;
        if self.verify(&node).await.is_ok() {
            return Ok(node);
        }
        self.suspect(&node);
        self.node().await
    }

    pub(crate) fn known(&self) -> Option<Arc<Node>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// This server did not answer, or as a replica: the Sentinels are asked again.
    pub(crate) fn suspect(&self, node: &Node) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|held| held.address() == node.address())
        {
            *current = None;
        }
    }

    /// Asks the Sentinels in turn. Each has its share of the deadline, so that one that hangs
    /// leaves time for the others and for the primary.
    async fn ask(&self) -> Result<Address, Fault> {
        let count = self.sentinels.len();
        let parts = u32::try_from(count + 1).unwrap_or(u32::MAX);
        let share = self
            .config
            .connect_timeout()
            .min(self.config.deadline() / parts);
        let first = self.first.load(Ordering::Relaxed);
        let (mut silent, mut unknown) = (None, None);
        for turn in 0..count {
            let at = (first + turn) % count;
            let sentinel = &self.sentinels[at];
            let fault = match timeout(share, self.ask_one(sentinel)).await {
                Ok(Ok(Some(primary))) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(primary);
                }
                Ok(Ok(None)) => {
                    unknown = Some(sentinel);
                    continue;
                }
                Ok(Err(fault)) => fault,
                Err(_) => Fault::Silent(sentinel.clone(), share),
            };
            if fault.class() == Class::Configuration {
                return Err(self.refused(sentinel, fault));
            }
            silent = Some(fault);
        }
        match (unknown, silent) {
            (Some(sentinel), None) => Err(Fault::Unfit(format!(
                "the Sentinel at {sentinel} knows no service `{}`; name one of SENTINEL MASTERS",
                self.service
            ))),
            (_, Some(fault)) => Err(Fault::Nowhere(format!(
                "none of the Sentinels {} named the primary of `{}`; the last: {}",
                listed(&self.sentinels),
                self.service,
                fault.words(&self.config)
            ))),
            (None, None) => Err(Fault::Nowhere("there are no Sentinels to ask".to_owned())),
        }
    }

    async fn ask_one(&self, sentinel: &Address) -> Result<Option<Address>, Fault> {
        let failed = |error| Fault::Connect(sentinel.clone(), error);
        let client = self.config.sentinel_client(sentinel).map_err(failed)?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&self.config.connection())
            .await
            .map_err(failed)?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let answer: Option<(String, u16)> = question
            .query_async(&mut connection)
            .await
            .map_err(failed)?;
        Ok(answer.map(|(host, port)| Address::tcp(host, port)))
    }

    fn refused(&self, sentinel: &Address, fault: Fault) -> Fault {
        match &fault {
            Fault::Connect(_, error) if tls::advice(error).is_none() => Fault::Unfit(format!(
                "the Sentinel at {sentinel} refuses us ({}); Sentinels have logins of their own: \
                 give sentinel_user and sentinel_password",
                class::said(error)
            )),
            _ => fault,
        }
    }

    /// A Sentinel cut off from the others goes on naming the old primary, and one that is promoted
    /// does not know it yet.
    async fn verify(&self, node: &Node) -> Result<(), Fault> {
        let mut connection = node.connection().await?;
        match node.ask(&mut connection, &redis::cmd("ROLE")).await {
            Ok(Value::Array(parts)) => match parts.first() {
                Some(Value::BulkString(role)) if role == b"master" => Ok(()),
                _ => {
                    node.discard(connection.number());
                    Err(Fault::Nowhere(format!(
                        "{} is named as the primary of `{}` and is none",
                        node.address(),
                        self.service
                    )))
                }
            },
            Ok(_) => Ok(()),
            // A replica refuses writes, and then we ask again.
            Err(Fault::Answer(_, error)) if is_not_told(&error) => Ok(()),
            Err(fault) => {
                if let Fault::Answer(_, error) = &fault
                    && class::ends_connection(error)
                {
                    node.discard(connection.number());
                }
                Err(fault)
            }
        }
    }
}
