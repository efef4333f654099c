//! The one writer of a run's journal: every change is one atomic commit under the run's lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{
    Change, Commit, CommitOutcome, Durability, Expect, Fence, Partition, StateStore, StoreError,
    WriteId,
};
use tokio::time::Instant;

use crate::commits::Commits;
use crate::durability::{parse_durability, weakest};
use crate::event::EventKind;
use crate::record::{EventLine, RunHead, SavedBreaker, StepRecord, keys};
use crate::run_id::RunId;
use crate::status::RunStatus;
use crate::time::now_ms;

/// How long a store that does not answer is asked for the sake of a person who waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one commit changes besides the head.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Of a new run, with its first commit.
    pub(crate) definition: Option<Vec<u8>>,
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) outputs: Vec<(String, Vec<u8>)>,
    /// Answers of steps that make several calls.
    pub(crate) parts: Vec<(String, u32, Vec<u8>)>,
    pub(crate) events: Vec<EventKind>,
    pub(crate) breakers: Option<BTreeMap<String, SavedBreaker>>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.definition.is_none()
            && self.steps.is_empty()
            && self.outputs.is_empty()
            && self.parts.is_empty()
            && self.events.is_empty()
            && self.breakers.is_none()
    }

    /// Whether nothing of it is the run's own doing.
    pub(crate) fn are_passive(&self) -> bool {
        self.steps.is_empty()
            && self.outputs.is_empty()
            && self.parts.is_empty()
            && self.events.iter().all(EventKind::is_of_engine)
    }
}

/// Why a change was not acknowledged. Nothing of it may be relied on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// Another process owns the run, or its journal moved on without us.
    #[error("another process has taken the run over")]
    Lost,
    /// The store did not acknowledge in time.
    #[error("the state store did not acknowledge the commit")]
    Store(#[source] StoreError),
    /// The store has the commit, but not as firmly as the run asks for.
    #[error(
        "the state store acknowledged the commit as {reached} only, and the run asks for {minimum}"
    )]
    Weak {
        /// The firmest level it was acknowledged at.
        reached: Durability,
        /// The run's minimum.
        minimum: Durability,
    },
}

/// Told when the store goes away and comes back.
pub(crate) type Notify = Box<dyn Fn(EventKind) + Send + Sync>;

/// The journal of a run that this process owns.
pub(crate) struct Journal {
    store: Arc<dyn StateStore>,
    partition: Partition,
    fence: Fence,
    pub(crate) head: RunHead,
    head_version: u64,
    patience: Duration,
    notify: Notify,
    /// The weakest level any commit of this process was acknowledged at.
    pub(crate) durability: Option<Durability>,
    /// The same of the processes before.
    durability_before: Option<Durability>,
    minimum: Option<Durability>,
    commits: Arc<Commits>,
}

impl Journal {
    /// That of a run which nobody works on, for one commit of a person's: tells nobody, and asks a store that does not
    /// answer for a few seconds.
    pub(crate) fn of_idle(
        store: &Arc<dyn StateStore>,
        run: &RunId,
        fence: Fence,
        head: (RunHead, u64),
    ) -> Self {
        let (store, quiet) = (Arc::clone(store), Box::new(|_| {}));
        Self::new(store, run.partition(), fence, head, PATIENCE, quiet)
    }

    /// The journal of a run whose lease is held; `head_version` 0 for a new one.
    pub(crate) fn new(
        store: Arc<dyn StateStore>,
        partition: Partition,
        fence: Fence,
        (head, head_version): (RunHead, u64),
        patience: Duration,
        notify: Notify,
    ) -> Self {
        let level = |text: &Option<String>| text.as_deref().and_then(parse_durability);
        Self {
            store,
            partition,
            fence,
            durability_before: level(&head.durability),
            minimum: level(&head.min_durability),
            head,
            head_version,
            patience,
            notify,
            durability: None,
            commits: Arc::default(),
        }
    }

    /// Counts what is acknowledged where the engine counts it.
    pub(crate) fn counted_in(mut self, commits: Arc<Commits>) -> Self {
        self.commits = commits;
        self
    }

    /// Commits `changes` and the head, all or nothing. The first commit of a new run fails with `Lost`
    /// where a run of this name exists.
    ///
    /// A commit the store did not answer is repeated under the same write id until `patience` is
    /// over, so it is applied at most once. So is one that was acknowledged below the run's minimum.
    ///
    /// Of `changes` the steps and events are left.
    pub(crate) async fn commit(&mut self, changes: &mut Changes) -> Result<(), JournalError> {
        let commit = self.prepare(changes);
        self.send(commit).await
    }

    pub(crate) fn set_status(
        &mut self,
        status: RunStatus,
        reason: Option<String>,
        due_ms: Option<u64>,
    ) {
        self.head.status = status;
        self.head.reason = reason;
        self.head.due_ms = due_ms;
    }

    fn prepare(&mut self, changes: &mut Changes) -> Commit {
        let count = changes.steps.len() + changes.outputs.len() + changes.events.len() + 4;
        let mut puts = Vec::with_capacity(count);
        let mut put = |key, expect, value| {
            let value = Some(value);
            puts.push(Change { key, expect, value });
        };
        for step in &changes.steps {
            put(keys::step(&step.name), Expect::Any, json(step));
        }
        for (step, bytes) in changes.outputs.drain(..) {
            put(keys::output(&step), Expect::Any, bytes);
        }
        for (step, part, bytes) in changes.parts.drain(..) {
            put(keys::part(&step, part), Expect::Any, bytes);
        }
        let at_ms = now_ms();
        for event in &changes.events {
            let record = EventLine {
                seq: self.head.events,
                at_ms,
                process: self.head.processes,
                event,
            };
            put(keys::event(record.seq), Expect::Any, json(&record));
            self.head.events += 1;
        }
        if let Some(breakers) = &changes.breakers {
            put(keys::breakers(), Expect::Any, json(breakers));
        }
        if let Some(definition) = changes.definition.take() {
            put(keys::definition(), Expect::Absent, definition);
        }
        let weakest = weakest(self.durability, self.durability_before);
        self.head.durability = weakest.map(|level| level.to_string());
        self.head.updated_ms = at_ms;
        let head = match self.head_version {
            0 => Expect::Absent,
            version => Expect::Version(version),
        };
        put(keys::head(), head, json(&self.head));
        Commit::of(WriteId::random(), puts).fenced(self.fence.clone())
    }

    async fn send(&mut self, commit: Commit) -> Result<(), JournalError> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(50);
        let (mut away, mut weak) = (false, None);
        // Of all that was said, that a try may have been applied matters most.
        let mut unknown = None;
        loop {
            let answer = self.store.commit(&self.partition, commit.clone()).await;
            let is_last = begun.elapsed() + pause >= self.patience;
            match answer {
                Ok(
                    CommitOutcome::Applied { durability, .. }
                    | CommitOutcome::Duplicate { durability, .. },
                ) => {
                    if std::mem::take(&mut away) {
                        (self.notify)(EventKind::StoreBack);
                    }
                    let Some(minimum) = self.minimum.filter(|minimum| durability < *minimum) else {
                        self.head_version += 1;
                        self.commits.acknowledged(durability);
                        self.durability = weakest(self.durability, Some(durability));
                        return Ok(());
                    };
                    if weak.is_none() {
                        (self.notify)(EventKind::DurabilityAwaited {
                            reached: durability.to_string(),
                            minimum: minimum.to_string(),
                        });
                    }
                    let reached = weak.map_or(durability, |(reached, _)| durability.max(reached));
                    weak = Some((reached, minimum));
                    if is_last {
                        return Err(JournalError::Weak { reached, minimum });
                    }
                }
                Ok(_) => return Err(JournalError::Lost),
                Err(error) if error.is_transient() && !is_last => {
                    if !std::mem::replace(&mut away, true) {
                        (self.notify)(EventKind::StoreAway {
                            cause: error.to_string(),
                        });
                    }
                    if error.may_have_applied() {
                        unknown.get_or_insert(error);
                    }
                }
                Err(error) => {
                    return Err(match weak {
                        Some((reached, minimum)) => JournalError::Weak { reached, minimum },
                        None => JournalError::Store(unknown.unwrap_or(error)),
                    });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Most records have less; growing by doubling from nothing costs more than the rest.
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, value).expect("journal records are plain data");
    bytes
}
