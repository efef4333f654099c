//! Changes told by a server's publish and subscribe.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::aio::PubSub;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fault::Fault;
use super::link::Link;
use super::scripts::channel;
use crate::{ChangeFeed, Notice, Partition, StoreError};

/// Partitions that wait to be read; more of them become [`Notice::Missed`].
const ROOM: usize = 4096;
/// Between two tries to subscribe again.
const PAUSE: Duration = Duration::from_millis(200);

/// A task that listens on a connection of its own, and what it has heard.
pub(super) struct RedisFeed {
    heard: Arc<Heard>,
    news: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

struct Heard {
    waiting: Mutex<Waiting>,
    news: watch::Sender<u64>,
    prefix: String,
}

#[derive(Default)]
struct Waiting {
    changed: BTreeMap<Partition, u64>,
    missed: bool,
}

impl RedisFeed {
    pub(super) async fn open(link: &Arc<Link>, prefix: &str) -> Result<Self, StoreError> {
        let first = subscribe(link)
            .await
            .map_err(|fault| fault.into_error("watch", link.config(), false))?;
        let heard = Arc::new(Heard {
            waiting: Mutex::default(),
            news: watch::Sender::new(0),
            prefix: prefix.to_owned(),
        });
        let task = tokio::spawn(listen(Arc::clone(link), first, Arc::clone(&heard)));
        Ok(Self {
            news: heard.news.subscribe(),
            heard,
            task,
        })
    }
}

impl Drop for RedisFeed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for RedisFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFeed")
            .field("prefix", &self.heard.prefix)
            .field("lag", &self.lag())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ChangeFeed for RedisFeed {
    async fn next(&mut self) -> Result<Notice, StoreError> {
        loop {
            self.news.mark_unchanged();
            {
                let mut waiting = self.heard.lock();
                if std::mem::take(&mut waiting.missed) {
                    return Ok(Notice::Missed);
                }
                if let Some((partition, revision)) = waiting.changed.pop_first() {
                    return Ok(Notice::Changed {
                        partition,
                        revision,
                    });
                }
            }
            // The sender lives in what this feed shares, so it is there.
            let _ = self.news.changed().await;
        }
    }

    fn lag(&self) -> u64 {
        let waiting = self.heard.lock();
        waiting.changed.len() as u64 + u64::from(waiting.missed)
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is a revision and a partition.
    fn tell(&self, message: &str) {
        let Some((revision, name)) = message.split_once(' ') else {
            return;
        };
        let (Ok(revision), Ok(partition)) = (revision.parse(), Partition::try_new(name)) else {
            return;
        };
        if !partition.as_str().starts_with(&self.prefix) {
            return;
        }
        let mut waiting = self.lock();
        waiting.changed.insert(partition, revision);
        if waiting.changed.len() > ROOM {
            waiting.changed.clear();
            waiting.missed = true;
        }
        drop(waiting);
        self.news.send_modify(|count| *count += 1);
    }

    fn miss(&self) {
        self.lock().missed = true;
        self.news.send_modify(|count| *count += 1);
    }
}

/// To a primary; every server of a cluster tells what is published at any.
async fn subscribe(link: &Link) -> Result<PubSub, Fault> {
    let config = link.config();
    let limit = config.deadline();
    let look = async {
        let node = link.servers().node(None).await?;
        let failed = |error| {
            link.servers().suspect(&node);
            Fault::Connect(node.address().clone(), error)
        };
        let client = config.client(node.address()).map_err(failed)?;
        let mut connection = client.get_async_pubsub().await.map_err(failed)?;
        let subscribed = connection.subscribe(channel(config.prefix())).await;
        subscribed.map_err(failed)?;
        Ok(connection)
    };
    let late = |_| {
        let location = config.location();
        Err(Fault::Nowhere(format!(
            "no answer from {location} within {limit:?}"
        )))
    };
    timeout(limit, look).await.unwrap_or_else(late)
}

async fn listen(link: Arc<Link>, first: PubSub, heard: Arc<Heard>) {
    let mut connection = first;
    loop {
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            if let Ok(text) = message.get_payload::<String>() {
                heard.tell(&text);
            }
        }
        connection = loop {
            match subscribe(&link).await {
                Ok(connection) => break connection,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        heard.miss();
    }
}
