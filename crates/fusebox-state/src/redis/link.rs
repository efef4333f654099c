//! One request, from the moment it is asked for to its answer or its deadline.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{FromRedisValue, Value, from_redis_value};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::RedisConfig;
use super::class::{self, Class};
use super::exchange::Asking;
use super::fault::Fault;
use super::layout::Address;
use super::node::Node;
use super::scripts::Request;
use super::servers::Servers;
use crate::{Durability, StoreError, random};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);
/// Redirections that are followed at once: to learn of a move, and of one that is under way.
const HOPS: u32 = 3;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
    /// Its answer is only as good as what it survives.
    Commits,
}

/// The way to the servers.
pub(crate) struct Link {
    config: Arc<RedisConfig>,
    servers: Servers,
    /// Replicas that had the last commit.
    replicas: AtomicU8,
}

/// How far a request got, for when it is cut short.
#[derive(Default)]
struct Progress(Mutex<Stage>);

#[derive(Default)]
struct Stage {
    /// Where its answer is awaited, and on which connection.
    sent: Option<(Arc<Node>, u64)>,
    /// Sent on a connection that broke: may have been carried out.
    in_doubt: bool,
    /// What went wrong before.
    last: Option<Fault>,
}

impl Progress {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Connects to every primary there is, so that what will never work shows at once.
    pub(crate) async fn open(config: RedisConfig) -> Result<Self, StoreError> {
        let config = Arc::new(config);
        let link = Self {
            servers: Servers::new(&config),
            replicas: AtomicU8::new(0),
            config,
        };
        let limit = link.config.deadline().max(link.config.connect_timeout());
        let opened = timeout(limit, link.connect_all()).await;
        let opened = opened.unwrap_or_else(|_| {
            let location = link.config.location();
            Err(Fault::Nowhere(format!(
                "no connection to {location} within {limit:?}"
            )))
        });
        opened.map_err(|fault| fault.into_error("connect", &link.config, false))?;
        Ok(link)
    }

    /// One server of a cluster may be missing just now; its slots may have moved by the time they
    /// are needed.
    async fn connect_all(&self) -> Result<(), Fault> {
        let mut replicas = None;
        let mut missing = None;
        for node in self.servers.primaries().await? {
            match node.connection().await {
                Ok(connection) => {
                    let here = connection.settings.replicas;
                    replicas = Some(replicas.map_or(here, |least: u8| least.min(here)));
                }
                Err(fault) if fault.class() == Class::Configuration => return Err(fault),
                Err(fault) => missing = Some(fault),
            }
        }
        match (replicas, missing) {
            (None, Some(fault)) => Err(fault),
            (replicas, _) => {
                self.replicas
                    .store(replicas.unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }
        }
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// As far as known now: the weakest of the servers, and what the last commit reached.
    pub(crate) fn durability(&self) -> Durability {
        let replicas = match self.config.replicas() {
            0 => 0,
            _ => self.replicas.load(Ordering::Relaxed),
        };
        let known = self.servers.known();
        let known = known.iter().filter_map(|node| node.settings());
        let each = known.map(|settings| settings.durability(self.config.fsync(), replicas));
        each.min().unwrap_or(Durability::Primary)
    }

    /// Sends a request and waits for its answer, all within the deadline. It may be sent again when
    /// a server is not ready, is the wrong one, or the connection breaks, so it must not matter how
    /// often it is carried out.
    pub(crate) async fn request<T: FromRedisValue>(
        &self,
        op: &'static str,
        effect: Effect,
        request: &Request,
    ) -> Result<(T, Durability), StoreError> {
        let progress = Progress::default();
        let limit = self.config.deadline();
        let deadline = Instant::now() + limit;
        let attempts = self.attempts(&progress, effect, request, deadline);
        let writes = effect != Effect::Reads;
        match timeout_at(deadline, attempts).await {
            Ok(Ok((value, durability))) => {
                let value = from_redis_value(value).map_err(|error| {
                    Fault::Nowhere(format!("`{op}` got an answer of another shape: {error}"))
                        .into_error(op, &self.config, writes)
                })?;
                Ok((value, durability))
            }
            Ok(Err(fault)) => {
                let begun = matches!(fault, Fault::Answer(..)) && !fault.class().is_not_begun();
                let doubt = begun || progress.stage().in_doubt;
                Err(fault.into_error(op, &self.config, writes && doubt))
            }
            Err(_) => Err(self.late(op, limit, writes, &progress)),
        }
    }

    /// The deadline has passed.
    fn late(
        &self,
        op: &'static str,
        limit: Duration,
        writes: bool,
        progress: &Progress,
    ) -> StoreError {
        let Stage {
            sent,
            in_doubt,
            last,
        } = std::mem::take(&mut *progress.stage());
        let may_have_applied = writes && (in_doubt || sent.is_some());
        let Some((node, number)) = sent else {
            let location = self.config.location();
            let none = || Fault::Nowhere(format!("no connection to {location} within {limit:?}"));
            return last
                .unwrap_or_else(none)
                .into_error(op, &self.config, may_have_applied);
        };
        // After lost packets TCP backs off for seconds; a new connection does not. And another
        // server may have taken over.
        node.discard(number);
        self.servers.suspect(&node);
        let location = self.config.location_of(node.address());
        let mut cause = format!("no answer from {location} within {limit:?}");
        if let Some(fault) = last {
            cause += &format!("; before that: {}", fault.words(&self.config));
        }
        StoreError::Unavailable {
            op,
            cause: self.config.redact(cause).into(),
            may_have_applied,
        }
    }

    async fn attempts(
        &self,
        progress: &Progress,
        effect: Effect,
        request: &Request,
        deadline: Instant,
    ) -> Result<(Value, Durability), Fault> {
        let mut next = None;
        let mut hops = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let (node, asking) = match next.take() {
                Some(redirected) => redirected,
                None => match self.servers.node(request.key()).await {
                    Ok(node) => (node, Asking::No),
                    Err(fault) if fault.class() == Class::NotYet => {
                        progress.stage().last = Some(fault);
                        rest(&mut pause).await;
                        continue;
                    }
                    Err(fault) => return Err(fault),
                },
            };
            let attempt = self.attempt(progress, &node, asking, effect, request, deadline);
            let fault = match attempt.await {
                Ok(answered) => return Ok(answered),
                Err(fault) => fault,
            };
            let is_repeated = progress.stage().last.is_some();
            match fault.class() {
                Class::Elsewhere => {
                    next = self.follow(&node, &fault);
                    if next.is_none() {
                        return Err(fault);
                    }
                    hops += 1;
                    if hops > HOPS {
                        rest(&mut pause).await;
                    }
                }
                // Its name may lead to another one by now, but not for ever.
                Class::NotPrimary if is_repeated && !self.servers.may_change() => {
                    return Err(fault);
                }
                Class::NotPrimary => {
                    self.servers.suspect(&node);
                    rest(&mut pause).await;
                }
                Class::NotYet => {
                    if fault.is_unsettled() {
                        self.servers.suspect(&node);
                    }
                    rest(&mut pause).await;
                }
                Class::Dropped => {
                    self.servers.suspect(&node);
                    let was_in_doubt = std::mem::replace(&mut progress.stage().in_doubt, true);
                    if was_in_doubt {
                        return Err(fault);
                    }
                }
                Class::Broken => {
                    self.servers.suspect(&node);
                    return Err(fault);
                }
                Class::Policy | Class::Configuration | Class::Failed => return Err(fault),
            }
            progress.stage().last = Some(fault);
        }
    }

    async fn attempt(
        &self,
        progress: &Progress,
        node: &Arc<Node>,
        asking: Asking,
        effect: Effect,
        request: &Request,
        deadline: Instant,
    ) -> Result<(Value, Durability), Fault> {
        let mut connection = node.connection().await?;
        let number = connection.number();
        let begun = || progress.stage().sent = Some((node.clone(), number));
        let waits = self.config.replicas() > 0 || connection.settings.waits();
        let answered = if effect == Effect::Commits && waits {
            let written = node.write(&mut connection, request, asking, deadline, begun);
            written
                .await
                .inspect(|(_, durability)| self.reached(*durability))
        } else {
            begun();
            let answer = node.send(&mut connection, request, asking).await;
            answer.map(|value| (value, connection.settings.durability(false, 0)))
        };
        progress.stage().sent = None;
        if let Err(Fault::Answer(_, error)) = &answered
            && class::ends_connection(error)
        {
            node.discard(number);
        }
        answered
    }

    fn reached(&self, durability: Durability) {
        let replicas = match durability {
            Durability::Replicated(replicas) => replicas,
            _ => 0,
        };
        self.replicas.store(replicas, Ordering::Relaxed);
    }

    /// Where a server sends us: for good, or for this once.
    fn follow(&self, from: &Node, fault: &Fault) -> Option<(Arc<Node>, Asking)> {
        let Fault::Answer(_, error) = fault else {
            return None;
        };
        let (to, slot) = error.redirect_node()?;
        let to = match (Address::parse(to), from.address()) {
            (Some(to), _) => to,
            // A server that does not know its name means the one we reached it by.
            (None, Address::Tcp { host, .. }) => {
                Address::tcp(host.clone(), to.strip_prefix(':')?.parse().ok()?)
            }
            (None, Address::Unix(_)) => return None,
        };
        let node = self.servers.redirected(&to)?;
        if class::code(error) == "ASK" {
            return Some((node, Asking::Yes));
        }
        self.servers.moved(slot, &to);
        Some((node, Asking::No))
    }
}

/// Waits a while, the next time longer; not all callers for the same while.
async fn rest(pause: &mut Duration) {
    let drawn = u32::from(random::bytes16()[0]);
    sleep(*pause / 2 + *pause / 2 * drawn / 256).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}
