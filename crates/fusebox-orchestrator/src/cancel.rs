//! Cancelling a run that no process works on.

use std::sync::Arc;

use fusebox_state::{Fence, StateStore, StoreError};

use crate::event::EventKind;
use crate::journal::{Changes, Journal, JournalError};
use crate::operate::By;
use crate::record::{HistoryError, RunHead, load_run};
use crate::retention::{DEFAULT_RETENTION, acquire, retire};
use crate::run_id::RunId;
use crate::status::RunStatus;
use crate::time::millis;

/// Why a run was not cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// There is no run of this name.
    #[error("there is no run `{0}` in this store")]
    NotFound(RunId),
    /// It is over.
    #[error("run `{run}` is {status} already")]
    Over {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// A process works on it, which has to be told instead; see [`Engine::cancel`](crate::Engine::cancel).
    #[error("run `{0}` is being worked on")]
    Held(RunId),
    /// The store could not be asked, or did not acknowledge it. It may be cancelled all the same: look at the run.
    #[error("the state store could not be reached")]
    Store(#[from] StoreError),
    /// The run's journal could not be read.
    #[error("the run's journal could not be read")]
    History(#[from] HistoryError),
    /// The store holds it less firmly than the run asks for, or a process took the run over.
    #[error("it was not acknowledged: {0}")]
    Unacknowledged(String),
}

/// Ends a run that waits or is suspended, in one commit under its lease. Answers its head. What is finished is kept,
/// for as long as the journals of other runs that are over; a resume would go on with it.
///
/// # Errors
/// See [`CancelError`].
pub async fn cancel(
    store: Arc<dyn StateStore>,
    run: &RunId,
    by: &By,
) -> Result<RunHead, CancelError> {
    if load_run(&*store, run).await?.is_none() {
        return Err(CancelError::NotFound(run.clone()));
    }
    let fence = acquire(&*store, run).await?;
    let fence = fence.ok_or_else(|| CancelError::Held(run.clone()))?;
    let ended = end(&store, run, by, fence.clone()).await;
    // Both are a courtesy: an unlimited run is found by `retire_ended`, an unreleased lease runs out.
    if ended.is_ok() {
        let _ = retire(&*store, run).await;
    }
    let _ = store.release(&run.partition(), &fence).await;
    ended
}

async fn end(
    store: &Arc<dyn StateStore>,
    run: &RunId,
    by: &By,
    fence: Fence,
) -> Result<RunHead, CancelError> {
    // Under the lease: the former owner may have written until it lost it.
    let known = load_run(&**store, run).await?;
    let known = known.ok_or_else(|| CancelError::NotFound(run.clone()))?;
    let status = known.head.status;
    if status.is_over() {
        let run = run.clone();
        return Err(CancelError::Over { run, status });
    }
    let reason = format!(
        "cancelled by {}: {}; what is finished is kept",
        by.actor, by.reason
    );
    let mut changes = Changes {
        events: vec![EventKind::RunEnded {
            status: RunStatus::Cancelled,
            reason: Some(reason.clone()),
            duration_ms: 0,
        }],
        ..Changes::default()
    };
    let head = (known.head, known.head_version);
    let mut journal = Journal::of_idle(store, run, fence, head);
    journal.set_status(RunStatus::Cancelled, Some(reason), None);
    journal.head.keep_ms = Some(millis(DEFAULT_RETENTION));
    match journal.commit(&mut changes).await {
        Ok(()) => Ok(journal.head),
        Err(JournalError::Store(error)) => Err(error.into()),
        Err(other) => Err(CancelError::Unacknowledged(other.to_string())),
    }
}
