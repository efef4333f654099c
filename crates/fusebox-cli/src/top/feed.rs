//! What is going on: asked of the engines, which come and go, and read from the store.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fusebox::orchestrator::control::{Client, EngineInfo, Overview, Told, find};
use fusebox::orchestrator::{Event, RunHead, list_runs};
use fusebox::state::StateStore;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::args::PlaceArgs;
use crate::failure::Failure;
use crate::place::Place;

/// How often engines are looked for, each is asked how it is, and the runs are read.
const EVERY: Duration = Duration::from_secs(1);
/// After an event an engine is asked at once, but not for each of many.
const BURST: Duration = Duration::from_millis(100);
/// Reading many runs takes at most this part of the time: one part in so many.
const SHARE: u32 = 10;

#[derive(Debug)]
pub(super) enum Update {
    Engine(Box<Overview>),
    Gone(EngineInfo),
    /// Of the engine in this process.
    Event(u32, Box<Event>),
    /// So many events of the engine in this process.
    Missed(u32, u64),
    Runs(Result<Vec<RunHead>, String>),
    /// What became of an action.
    Done(Result<String, String>),
}

/// Tasks that tell what is going on, until it is dropped.
pub(super) struct Feed {
    tasks: JoinSet<()>,
}

impl Feed {
    pub(super) fn start(
        args: &PlaceArgs,
        place: &Place,
        updates: Sender<Update>,
    ) -> Result<Self, Failure> {
        let mut tasks = JoinSet::new();
        tasks.spawn(engines(Place::engines_in(args)?, updates.clone()));
        let store = Source {
            args: args.clone(),
            store: Arc::clone(&place.store),
        };
        tasks.spawn(runs(store, updates));
        Ok(Self { tasks })
    }

    /// Comes back once one of them has stopped.
    pub(super) async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// Looks for engines and follows each of them.
async fn engines(directory: std::path::PathBuf, updates: Sender<Update>) {
    let known: Arc<Mutex<HashSet<(u32, u64)>>> = Arc::default();
    let mut followers = JoinSet::new();
    while !updates.is_closed() {
        for client in find(&directory).await {
            let name = (client.engine().pid, client.engine().started_ms);
            if lock(&known).insert(name) {
                let (known, updates) = (Arc::clone(&known), updates.clone());
                followers.spawn(async move {
                    // Its end is the end of what is known of it, whatever it was.
                    let _ = follow(&client, &updates).await;
                    let _ = updates.send(Update::Gone(client.engine().clone())).await;
                    lock(&known).remove(&name);
                });
            }
        }
        while followers.try_join_next().is_some() {}
        sleep(EVERY).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(client: &Client, updates: &Sender<Update>) -> anyhow::Result<()> {
    let pid = client.engine().pid;
    let mut watch = client.watch().await?;
    loop {
        let overview = Box::new(client.overview().await?);
        updates.send(Update::Engine(overview)).await?;
        let asked = Instant::now();
        let mut next = asked + EVERY;
        while let Ok(event) = timeout_at(next, watch.next()).await {
            match event? {
                None => return Ok(()),
                Some(Told::Event(event)) => updates.send(Update::Event(pid, event)).await?,
                Some(Told::Missed(missed)) => updates.send(Update::Missed(pid, missed)).await?,
                // Of a kind that is younger than this list.
                Some(_) => continue,
            }
            next = next.min(Instant::now().max(asked + BURST));
        }
    }
}

/// The store of a place that may come into being while it is looked at.
struct Source {
    args: PlaceArgs,
    store: Arc<dyn StateStore>,
}

impl Source {
    async fn runs(&mut self) -> Result<Vec<RunHead>, String> {
        // There was no file yet.
        if self.args.state.is_none() && self.store.describe().kind == "memory" {
            let place = Place::look(&self.args).await;
            self.store = place.map_err(|failure| failure.message())?.store;
        }
        let heads = list_runs(&*self.store).await;
        heads.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }
}

async fn runs(mut source: Source, updates: Sender<Update>) {
    loop {
        let begun = Instant::now();
        let heads = source.runs().await;
        if updates.send(Update::Runs(heads)).await.is_err() {
            return;
        }
        sleep(EVERY.max(begun.elapsed() * SHARE)).await;
    }
}
