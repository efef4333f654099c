//! What becomes of a run while its server is away: the flags, the store that does it, its account.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use fusebox::state::{Durability, FallbackConfig, FallbackStore, StateStore, StoreStatus};
use serde::Serialize;

use crate::args::How;
use crate::failure::Failure;
use crate::journals::Journals;
use crate::output;
use crate::store_log::Change;

/// How long the end of a run waits for a server that has yet to take commits: longer than the longest
/// pause between two tries.
const SETTLE: Duration = Duration::from_secs(3);

/// What a run does while its server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnStoreLoss {
    /// Waits for it for a few seconds, then ends as waiting
    Fail,
    /// Goes on, and keeps its commits on this machine's disk until they are delivered
    Durable,
    /// Goes on, and keeps its commits in memory: its end loses those that are not delivered
    Volatile,
}

/// Refuses flags that make no sense with the store that `url` names, before anything is opened.
pub(crate) fn check(how: &How, url: Option<&str>) -> Result<(), Failure> {
    let scheme = url.map_or("sqlite", |url| url.split(':').next().unwrap_or_default());
    let (store, most) = match scheme {
        "sqlite" => ("a SQLite file", Durability::LocalFsync),
        "memory" => ("memory", Durability::Volatile),
        _ => return Ok(()),
    };
    if how.on_store_loss.is_some() {
        return Err(Failure::misuse(format!(
            "--on-store-loss is for a server, and the runs are kept in {store}, which is not lost by \
             itself; leave it out, or name a server with --state redis://HOST"
        )));
    }
    match how.min_durability {
        Some(minimum) if minimum > most => Err(Failure::misuse(format!(
            "--min-durability {minimum} cannot be reached: the runs are kept in {store}, which gives \
             {most}; ask for less, or name another store with --state"
        ))),
        _ => Ok(()),
    }
}

/// A server with something to fall back on.
pub(crate) struct Fallback {
    pub(crate) store: Arc<FallbackStore>,
    on_loss: OnStoreLoss,
    journals: Journals,
}

impl Fallback {
    pub(crate) async fn open(
        server: Arc<dyn StateStore>,
        on_loss: OnStoreLoss,
        journals: Journals,
    ) -> Result<Self, Failure> {
        // The command is the only one to work on its run: another takes it over only when a person
        // says so, and then nothing of theirs is overwritten.
        let config = match on_loss {
            OnStoreLoss::Fail => FallbackConfig::fail_closed(),
            OnStoreLoss::Durable => {
                FallbackConfig::degrade_durable_in(&journals.directory).past_lease(true)
            }
            OnStoreLoss::Volatile => FallbackConfig::degrade_volatile().past_lease(true),
        };
        let store = FallbackStore::open(server, config)
            .await
            .context("the state store could not be opened")
            .map_err(Failure::environment)?;
        Ok(Self {
            store: Arc::new(store),
            on_loss,
            journals,
        })
    }

    /// Waits a moment for commits that have yet to be delivered.
    pub(crate) async fn settle(&self, json: bool) {
        let waiting = self.store.status().pending_commits;
        if waiting > 0 && !json {
            output::remark(&format!(
                "{waiting} commits wait for the state store; it has another {} s",
                SETTLE.as_secs()
            ));
        }
        let _ = self.store.settle(SETTLE).await;
    }

    pub(crate) fn account(&self, changes: Vec<Change>) -> StoreAccount {
        let status = self.store.status();
        let directory = match self.on_loss {
            OnStoreLoss::Durable => Some(self.journals.directory.clone()),
            OnStoreLoss::Fail | OnStoreLoss::Volatile => None,
        };
        StoreAccount {
            on_loss: self.on_loss,
            mode: status.mode.to_string(),
            waiting: Waiting::of(&status, directory),
            forks: status.forks,
            changes,
        }
    }
}

/// How the server fared in the course of a run.
#[derive(Debug, Serialize)]
pub(crate) struct StoreAccount {
    on_loss: OnStoreLoss,
    mode: String,
    pub(crate) waiting: Option<Waiting>,
    forks: u64,
    pub(crate) changes: Vec<Change>,
}

/// Commits that a server does not have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Waiting {
    pub(crate) commits: u64,
    pub(crate) partitions: usize,
    pub(crate) bytes: u64,
    pub(crate) oldest_ms: Option<u64>,
    /// Where they are; absent if they end with the process.
    pub(crate) directory: Option<PathBuf>,
}

impl Waiting {
    pub(crate) fn of(status: &StoreStatus, directory: Option<PathBuf>) -> Option<Self> {
        (status.pending_commits > 0).then(|| Self {
            commits: status.pending_commits,
            partitions: status.pending_partitions,
            bytes: status.pending_bytes,
            oldest_ms: status.oldest_pending.map(|age| age.as_millis() as u64),
            directory,
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.directory {
            Some(directory) => write!(
                f,
                "{} commits wait in {}; the next command that opens this store delivers them",
                self.commits,
                directory.display()
            ),
            None => write!(
                f,
                "{} commits are lost with this process: the state store was away until its end",
                self.commits
            ),
        }
    }
}

impl StoreAccount {
    /// What a person has to know at the end.
    pub(crate) fn remarks(&self, flags: &str) -> Vec<String> {
        let waiting = self.waiting.as_ref().map(ToString::to_string);
        let forks = (self.forks > 0).then(|| {
            format!(
                "another process had taken the run over; what it does not have is kept apart, see \
                 fusebox state forks{flags}"
            )
        });
        waiting.into_iter().chain(forks).collect()
    }
}
