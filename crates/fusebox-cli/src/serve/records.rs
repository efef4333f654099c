//! What the store holds, opened when it can be and read no more often than needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fusebox::RunId;
use fusebox::orchestrator::{RunHead, RunRecord, list_runs, load_run};
use fusebox::state::StateStore;
use tokio::sync::Mutex;

use super::problem::Problem;
use crate::args::PlaceArgs;
use crate::place::Place;

/// How old a list of all runs may be. It costs one read per run.
const FRESH: Duration = Duration::from_secs(1);

/// How long a store that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

type Heads = Result<Arc<Vec<RunHead>>, Problem>;

/// The store of this place. It may be away when the server starts, or not be made yet.
pub(super) struct Records {
    args: PlaceArgs,
    store: Mutex<Option<Arc<dyn StateStore>>>,
    heads: Mutex<Option<(Instant, u64, Heads)>>,
}

impl Records {
    pub(super) fn of(args: PlaceArgs) -> Self {
        Self {
            args,
            store: Mutex::default(),
            heads: Mutex::default(),
        }
    }

    /// The store, opened at the first request that finds it there.
    pub(super) async fn store(&self) -> Result<Arc<dyn StateStore>, Problem> {
        let mut open = self.store.lock().await;
        if let Some(store) = &*open {
            return Ok(Arc::clone(store));
        }
        let place = bounded(Place::look(&self.args)).await?;
        let place = place.map_err(|failure| Problem::unavailable(&failure.into_error()))?;
        // Nobody has run anything here yet: what stands in for the store is empty, and the next look is for the store.
        if place.store.describe().kind != "memory" {
            *open = Some(Arc::clone(&place.store));
        }
        Ok(place.store)
    }

    /// The heads of all runs, newest first, at most a second old, and as of this turn of the feed. So is what went
    /// wrong.
    pub(super) async fn heads(&self, turn: u64) -> Heads {
        let mut heads = self.heads.lock().await;
        if let Some((at, since, known)) = &*heads
            && *since == turn
            && at.elapsed() < FRESH
        {
            return known.clone();
        }
        let read = async {
            let store = self.store().await?;
            let heads = bounded(list_runs(&*store)).await?;
            heads.map(Arc::new).map_err(unread)
        };
        let read = read.await;
        *heads = Some((Instant::now(), turn, read.clone()));
        read
    }

    /// Everything the store knows of a run.
    pub(super) async fn run(&self, run: &RunId) -> Result<RunRecord, Problem> {
        let store = self.store().await?;
        let record = bounded(load_run(&*store, run)).await?;
        let record = record.map_err(unread)?;
        record.ok_or_else(|| Problem::missing(format!("there is no run `{run}` in this store")))
    }
}

pub(super) fn unread(error: impl Into<anyhow::Error>) -> Problem {
    Problem::unavailable(&error.into())
}

/// An answer within reason, or the word that there was none.
pub(super) async fn bounded<T>(asked: impl Future<Output = T>) -> Result<T, Problem> {
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    answer.map_err(|_| {
        unread(anyhow::anyhow!(
            "the state store did not answer within {} s; try again",
            PATIENCE.as_secs()
        ))
    })
}
