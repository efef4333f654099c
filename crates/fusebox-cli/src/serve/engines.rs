//! The engines of this place, as they come and go.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fusebox::orchestrator::control::{Client, ControlError, Overview, Request, find};
use futures_util::future::join_all;

use super::feed::Feed;

/// Between two looks for new engines.
const LOOK: Duration = Duration::from_millis(250);

/// How long an engine that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How old an answer may be that several callers share.
const FRESH: Duration = Duration::from_millis(100);

/// Which engine: a process number may come again.
type Id = (u32, u64);

/// Asks the engines that listen in a directory, and follows what they tell.
pub(super) struct Engines {
    directory: PathBuf,
    pub(super) feed: Arc<Feed>,
    followed: Arc<Mutex<BTreeSet<Id>>>,
    asked: tokio::sync::Mutex<Option<Asked>>,
}

/// What they answered, when, and in which turn of the feed.
struct Asked {
    at: Instant,
    turn: u64,
    overviews: Arc<Vec<Overview>>,
}

impl Engines {
    pub(super) fn of(directory: PathBuf) -> Self {
        Self {
            directory,
            feed: Arc::new(Feed::new()),
            followed: Arc::default(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    pub(super) async fn clients(&self) -> Vec<Client> {
        find(&self.directory).await
    }

    /// How they are, or were a moment ago. One that does not answer in time is left out.
    pub(super) async fn overviews(&self) -> Arc<Vec<Overview>> {
        let mut asked = self.asked.lock().await;
        let turn = self.feed.turns();
        if let Some(known) = &*asked
            && known.turn == turn
            && known.at.elapsed() < FRESH
        {
            return Arc::clone(&known.overviews);
        }
        let clients = self.clients().await;
        let answers = clients.iter().map(|client| async {
            let answer = tokio::time::timeout(PATIENCE, client.overview()).await;
            answer.ok().and_then(Result::ok)
        });
        let overviews: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
        let overviews = Arc::new(overviews);
        *asked = Some(Asked {
            at: Instant::now(),
            turn,
            overviews: Arc::clone(&overviews),
        });
        overviews
    }

    /// Follows every engine there is and will be. Never returns.
    pub(super) async fn follow(&self) {
        loop {
            for client in self.clients().await {
                let engine = client.engine();
                let id = (engine.pid, engine.started_ms);
                if lock(&self.followed).insert(id) {
                    let (feed, followed) = (Arc::clone(&self.feed), Arc::clone(&self.followed));
                    tokio::spawn(async move {
                        // What stands in the way of one look may be gone at the next.
                        let _ = watch(&client, &feed).await;
                        lock(&followed).remove(&id);
                    });
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Has an engine do something. One that does not answer in time may do it yet.
pub(super) async fn tell(client: &Client, request: &Request) -> Result<(), ControlError> {
    let told = tokio::time::timeout(PATIENCE, client.tell(request)).await;
    told.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

fn lock(followed: &Mutex<BTreeSet<Id>>) -> std::sync::MutexGuard<'_, BTreeSet<Id>> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(client: &Client, feed: &Feed) -> Result<(), ControlError> {
    let pid = client.engine().pid;
    let mut events = client.watch().await?;
    feed.remark("engine_found", pid, None, &format!("process {pid} is here"));
    let told = loop {
        match events.next().await {
            Ok(Some(event)) => feed.event(pid, &event),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    feed.remark(
        "engine_gone",
        pid,
        None,
        &format!("process {pid} has ended"),
    );
    told
}
