//! What the journal of a run holds, and how to read it without owning the run.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_breaker::Snapshot;
use fusebox_state::{Entry, Key, StateStore, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::ledger::RtoEntry;
use crate::run_id::{PARTITION_PREFIX, RunId};
use crate::spending::Spending;
use crate::status::{RunStatus, StepStatus};
use crate::workflow::Workflow;

/// The format this version writes. An older one is read; a newer one is refused with a clear error.
///
/// 2 knows of steps that are not taken, of what a step was given, of steps of several calls, and
/// of approvals.
pub const JOURNAL_FORMAT: u32 = 2;

/// The head of a run's journal: how the run stands, rewritten with every commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHead {
    /// See [`JOURNAL_FORMAT`].
    pub format: u32,
    /// The run.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// [`Workflow::fingerprint`] of the definition the run began with.
    pub fingerprint: String,
    /// How the run stands.
    pub status: RunStatus,
    /// Why, unless it simply goes on or completed.
    pub reason: Option<String>,
    /// What the run was started with.
    pub input: serde_json::Value,
    /// When it began, in milliseconds since 1970 (UTC).
    pub created_ms: u64,
    /// When its journal was last written, in milliseconds since 1970 (UTC).
    pub updated_ms: u64,
    /// When a waiting run is worth resuming, in milliseconds since 1970 (UTC).
    pub due_ms: Option<u64>,
    /// How many processes have worked on it.
    pub processes: u32,
    /// How many events its journal holds.
    pub events: u64,
    /// On whose behalf it runs, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The level below which its commits do not count as acknowledged; see
    /// [`EngineBuilder::min_durability`](crate::EngineBuilder::min_durability).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_durability: Option<String>,
    /// The weakest level at which a commit was acknowledged, over all processes. The commit that says
    /// so is not among them: nobody knew then what would become of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
    /// How long the journal is kept from the last commit on, in milliseconds; only once the run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
    /// What it has spent of its budget, as of the last commit; where it or its tenant has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
}

/// What the journal knows of one step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub name: String,
    /// How it stands.
    pub status: StepStatus,
    /// How often its agent was called for it, over all processes. Raised before each call, so that
    /// after a crash the last one may not have begun.
    pub executions: u32,
    /// Why, unless it simply succeeded.
    pub reason: Option<String>,
    /// From the first hand-out to the end, in the process that settled it, in milliseconds.
    pub duration_ms: Option<u64>,
    /// SHA-256 of the output's bytes, in hex.
    pub output_sha256: Option<String>,
    /// The output's length in bytes.
    pub output_bytes: Option<u64>,
    /// Whether its conditions held, once that is decided; a resume does not ask again. `false` too
    /// where it requires steps that were not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<bool>,
    /// The required steps whose outputs it was given, where its join let it start without all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// What a person was asked about it, and how they decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRecord>,
    /// Its agent's worst outage against its objective, as of the last end of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<RtoEntry>,
}

impl StepRecord {
    /// Whether the step is skipped because a condition did not hold, its own or one upstream: nothing
    /// went wrong.
    pub fn is_left_out(&self) -> bool {
        self.status == StepStatus::Skipped && self.taken == Some(false)
    }
}

/// A question to a person about a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// When it was first asked, in milliseconds since 1970 (UTC).
    pub asked_ms: u64,
    /// Until when it may be decided, in milliseconds since 1970 (UTC); at exactly that time it is over.
    pub expires_ms: Option<u64>,
    /// Whether a run has seen it expire.
    #[serde(default)]
    pub expired: bool,
    /// How it was decided.
    pub decision: Option<Decision>,
}

impl ApprovalRecord {
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expired || self.expires_ms.is_some_and(|at| at <= now_ms)
    }
}

/// How a person decided about a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the run may go on with it.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

impl Decision {
    /// `by` says yes, now.
    pub fn approve(by: impl Into<String>) -> Self {
        Self {
            approved: true,
            by: by.into(),
            reason: None,
            at_ms: crate::time::now_ms(),
        }
    }

    /// `by` says no, now.
    pub fn reject(by: impl Into<String>) -> Self {
        Self {
            approved: false,
            ..Self::approve(by)
        }
    }

    /// Adds their words.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The answer to one call of a step that makes several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) output: serde_json::Value,
    /// Why it is a fallback's, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) degraded: Option<String>,
    /// Which answer it is to an item that is repeated, from 0; each takes the place of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iteration: Option<u32>,
}

/// A breaker's state as the journal keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedBreaker {
    pub(crate) saved_ms: u64,
    /// How long its agent had been away.
    pub(crate) away_ms: Option<u64>,
    pub(crate) snapshot: Snapshot,
}

/// The definition a run began with.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SavedDefinition {
    pub(crate) workflow: Workflow,
    /// Whatever the caller needs to build the same agents again.
    pub(crate) attachment: serde_json::Value,
}

impl SavedDefinition {
    /// As it is written. Most of it is known beforehand.
    pub(crate) fn written(workflow: &Workflow, attachment: &serde_json::Value) -> Vec<u8> {
        let workflow = workflow.canonical();
        format!(r#"{{"workflow":{workflow},"attachment":{attachment}}}"#).into_bytes()
    }
}

/// One event of a run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its place, from 0.
    pub seq: u64,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Which of the run's processes, from 1.
    pub process: u32,
    /// What.
    pub event: EventKind,
}

/// An [`EventRecord`] that is about to be written.
#[derive(Serialize)]
pub(crate) struct EventLine<'a> {
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    pub(crate) process: u32,
    pub(crate) event: &'a EventKind,
}

/// Everything known of a run, read without owning it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// How it stands.
    pub head: RunHead,
    /// The definition it began with.
    pub workflow: Workflow,
    /// What its starter attached, see [`RunOptions::attachment`](crate::RunOptions::attachment).
    pub attachment: serde_json::Value,
    /// Its steps, by name.
    pub steps: BTreeMap<String, StepRecord>,
    pub(crate) breakers: BTreeMap<String, SavedBreaker>,
    pub(crate) head_version: u64,
}

/// Why a run's journal could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The store did not answer, or answered nonsense.
    #[error("the state store could not be read")]
    Store(#[from] StoreError),
    /// A record is not what this version writes.
    #[error(
        "run `{run}`: record `{key}` cannot be read; it was written by another program or damaged"
    )]
    Malformed {
        /// The run.
        run: String,
        /// The record.
        key: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A record is missing that every run has.
    #[error("run `{run}`: record `{key}` is missing; the journal is incomplete")]
    Incomplete {
        /// The run.
        run: String,
        /// The record.
        key: String,
    },
    /// The journal is newer than this program.
    #[error(
        "run `{run}` was written in journal format {found}, this program reads up to {JOURNAL_FORMAT}; use a newer fusebox"
    )]
    NewerFormat {
        /// The run.
        run: String,
        /// Its format.
        found: u32,
    },
}

pub(crate) mod keys {
    use std::sync::{Arc, LazyLock};

    use fusebox_state::Key;

    pub(crate) const STEP: &str = "step.";
    pub(crate) const EVENT: &str = "event.";

    static HEAD: LazyLock<Key> = LazyLock::new(|| key("head"));

    fn key(text: impl Into<Arc<str>>) -> Key {
        Key::try_new(text).expect("journal keys hold only plain characters")
    }

    pub(crate) fn head() -> Key {
        HEAD.clone()
    }

    pub(crate) fn definition() -> Key {
        key("definition")
    }

    pub(crate) fn breakers() -> Key {
        key("breakers")
    }

    pub(crate) fn step(name: &str) -> Key {
        key(format!("{STEP}{name}"))
    }

    pub(crate) fn output(name: &str) -> Key {
        key(format!("output.{name}"))
    }

    pub(crate) fn part(step: &str, part: u32) -> Key {
        key(format!("{}{part:06}", parts_of(step)))
    }

    /// Where the answers of a step are. Those of a step whose name goes on from this one's are there
    /// too; [`part_of`] tells them apart.
    pub(crate) fn parts_of(step: &str) -> String {
        format!("part.{step}.")
    }

    /// Which call of `step` a key belongs to.
    pub(crate) fn part_of(step: &str, key: &Key) -> Option<u32> {
        let digits = key.as_str().strip_prefix(&parts_of(step))?;
        (digits.len() == 6).then(|| digits.parse().ok())?
    }

    /// Zero-padded, so that byte order is the order of events.
    pub(crate) fn event(seq: u64) -> Key {
        let mut text = *b"event.000000000000";
        let mut left = seq;
        for digit in text[EVENT.len()..].iter_mut().rev() {
            *digit += (left % 10) as u8;
            left /= 10;
        }
        match std::str::from_utf8(&text) {
            // By hand, because each step has two and formatting costs more than all else about a key.
            Ok(text) if left == 0 => key(text),
            _ => key(format!("{EVENT}{seq:012}")),
        }
    }
}

/// Reads what the store knows of a run. `None`: there is no such run.
///
/// # Errors
/// See [`HistoryError`]. "No such run" and "could not ask" are different answers.
pub async fn load_run(
    store: &dyn StateStore,
    id: &RunId,
) -> Result<Option<RunRecord>, HistoryError> {
    let partition = id.partition();
    let Some(head) = store.get(&partition, &keys::head()).await? else {
        return Ok(None);
    };
    let head_version = head.version;
    let head: RunHead = parse(id, "head", &head)?;
    if head.format > JOURNAL_FORMAT {
        return Err(HistoryError::NewerFormat {
            run: id.to_string(),
            found: head.format,
        });
    }
    let incomplete = || HistoryError::Incomplete {
        run: id.to_string(),
        key: "definition".into(),
    };
    let definition = store
        .get(&partition, &keys::definition())
        .await?
        .ok_or_else(incomplete)?;
    let SavedDefinition {
        workflow,
        attachment,
    } = parse(id, "definition", &definition)?;
    let mut steps = BTreeMap::new();
    for (key, entry) in scan_all(store, id, keys::STEP).await? {
        let step: StepRecord = parse(id, key.as_str(), &entry)?;
        steps.insert(step.name.clone(), step);
    }
    let breakers = match store.get(&partition, &keys::breakers()).await? {
        Some(entry) => parse(id, "breakers", &entry)?,
        None => BTreeMap::new(),
    };
    Ok(Some(RunRecord {
        head,
        workflow,
        attachment,
        steps,
        breakers,
        head_version,
    }))
}

/// The committed output of a step, byte for byte. `None`: the step has none.
///
/// # Errors
/// See [`HistoryError`].
pub async fn load_output(
    store: &dyn StateStore,
    id: &RunId,
    step: &str,
) -> Result<Option<Vec<u8>>, HistoryError> {
    Ok(store
        .get(&id.partition(), &keys::output(step))
        .await?
        .map(|entry| entry.value))
}

/// The answers that a step of several calls has so far.
pub(crate) async fn load_parts(
    store: &dyn StateStore,
    id: &RunId,
    step: &str,
) -> Result<Vec<(u32, PartRecord)>, HistoryError> {
    let mut parts = Vec::new();
    for (key, entry) in scan_all(store, id, &keys::parts_of(step)).await? {
        if let Some(part) = keys::part_of(step, &key) {
            parts.push((part, parse(id, key.as_str(), &entry)?));
        }
    }
    Ok(parts)
}

/// The events of a run, oldest first.
///
/// # Errors
/// See [`HistoryError`].
pub async fn load_events(
    store: &dyn StateStore,
    id: &RunId,
) -> Result<Vec<EventRecord>, HistoryError> {
    let entries = scan_all(store, id, keys::EVENT).await?;
    entries
        .iter()
        .map(|(key, entry)| parse(id, key.as_str(), entry))
        .collect()
}

/// The heads of all runs in the store, newest first. Costs one read per run.
///
/// # Errors
/// See [`HistoryError`].
pub async fn list_runs(store: &dyn StateStore) -> Result<Vec<RunHead>, HistoryError> {
    let mut heads = Vec::new();
    for id in run_ids(store).await? {
        heads.extend(load_head(store, &id).await?);
    }
    heads.sort_by(|a, b| (b.created_ms, &b.run).cmp(&(a.created_ms, &a.run)));
    Ok(heads)
}

/// The names of all runs in the store, each once.
pub(crate) async fn run_ids(store: &dyn StateStore) -> Result<BTreeSet<RunId>, StoreError> {
    let mut ids = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store
            .partitions(PARTITION_PREFIX, cursor.as_deref(), 256)
            .await?;
        ids.extend(page.items.iter().filter_map(RunId::of));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(ids);
        }
    }
}

/// How a run stands. `None`: there is no such run.
pub(crate) async fn load_head(
    store: &dyn StateStore,
    id: &RunId,
) -> Result<Option<RunHead>, HistoryError> {
    let entry = store.get(&id.partition(), &keys::head()).await?;
    entry.map(|entry| parse(id, "head", &entry)).transpose()
}

async fn scan_all(
    store: &dyn StateStore,
    id: &RunId,
    prefix: &str,
) -> Result<Vec<(Key, Entry)>, HistoryError> {
    let partition = id.partition();
    let mut items = Vec::new();
    loop {
        let after = items.last().map(|(key, _): &(Key, Entry)| key.clone());
        let page = store.scan(&partition, prefix, after.as_ref(), 256).await?;
        let more = page.next.is_some();
        items.extend(page.items);
        if !more {
            return Ok(items);
        }
    }
}

fn parse<T: DeserializeOwned>(id: &RunId, key: &str, entry: &Entry) -> Result<T, HistoryError> {
    serde_json::from_slice(&entry.value).map_err(|source| HistoryError::Malformed {
        run: id.to_string(),
        key: key.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_events_are_in_their_order_and_all_of_one_length() {
        for seq in [0, 9, 10, 1_234, 999_999_999_999] {
            let key = keys::event(seq);
            assert_eq!(key.as_str(), format!("event.{seq:012}"));
        }
        // More than a run can have: told apart all the same.
        assert_eq!(keys::event(u64::MAX).as_str(), "event.18446744073709551615");
    }

    #[test]
    fn a_definition_reads_as_it_was_written() {
        let step = crate::workflow::Step::new("a");
        let workflow = Workflow::builder("a \"name\"").step(step).build();
        let workflow = workflow.expect("it is good");
        let attachment = serde_json::json!({ "file": "C:\\flows\n" });
        let written = SavedDefinition::written(&workflow, &attachment);
        let read: SavedDefinition = serde_json::from_slice(&written).expect("it is JSON");
        assert_eq!((read.workflow, read.attachment), (workflow, attachment));
    }
}
