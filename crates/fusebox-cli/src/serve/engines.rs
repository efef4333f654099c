//! The engines of this place, as they come and go.

mod counts;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fusebox::metrics::figures::Figures;
use fusebox::orchestrator::control::{Client, ControlError, EngineInfo, Overview, Told, find};
use futures_util::future::join_all;

use self::counts::Counts;
use super::feed::Feed;
use crate::control::PATIENCE;

/// Between two looks for new engines.
const LOOK: Duration = Duration::from_millis(250);

/// The same where there has never been one: the first may live for the blink of an eye, and is only counted if it
/// finds somebody to tell.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// How old an answer may be that several callers share.
const FRESH: Duration = Duration::from_millis(100);

/// Which engine: a process number may come again.
type Id = (u32, u64);

fn id(engine: &EngineInfo) -> Id {
    (engine.pid, engine.started_ms)
}

/// Asks the engines that listen in a directory, and follows what they tell.
pub(super) struct Engines {
    directory: PathBuf,
    pub(super) feed: Arc<Feed>,
    followed: Arc<Mutex<BTreeSet<Id>>>,
    asked: tokio::sync::Mutex<Option<Asked>>,
    counts: tokio::sync::Mutex<Counts>,
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
            counts: tokio::sync::Mutex::default(),
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

    /// What all of them have counted by now, those that have ended included.
    pub(super) async fn figures(&self) -> Figures {
        let mut counts = self.counts.lock().await;
        counts.look(&self.directory).await;
        counts.figures()
    }

    /// Engines that end from now on are counted to their last call.
    pub(super) fn open_inbox(&self) {
        // A look is under way otherwise, which may take long: it has an inbox, or the next call makes one.
        if let Ok(mut counts) = self.counts.try_lock() {
            counts.open_inbox(&self.directory);
        }
    }

    /// Follows every engine there is and will be, and counts them. Never returns.
    pub(super) async fn follow(&self) {
        tokio::join!(self.watch_all(), self.count_all());
    }

    async fn count_all(&self) {
        loop {
            self.counts.lock().await.look(&self.directory).await;
            tokio::time::sleep(counts::LOOK).await;
        }
    }

    async fn watch_all(&self) {
        loop {
            self.open_inbox();
            for client in self.clients().await {
                let id = id(client.engine());
                if lock(&self.followed).insert(id) {
                    let (feed, followed) = (Arc::clone(&self.feed), Arc::clone(&self.followed));
                    tokio::spawn(async move {
                        // What stands in the way of one look may be gone at the next.
                        let _ = watch(&client, &feed).await;
                        lock(&followed).remove(&id);
                    });
                }
            }
            let is_there = self.directory.exists();
            tokio::time::sleep(if is_there { LOOK } else { FIRST_LOOK }).await;
        }
    }
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
            Ok(Some(Told::Event(event))) => feed.event(pid, &event),
            Ok(Some(Told::Missed(missed))) => feed.missed(pid, missed),
            // Of a kind that is younger than this list.
            Ok(Some(_)) => {}
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
