//! Decisions of a person about a suspended run, recorded from whichever process.

use std::sync::Arc;

use fusebox_state::{StateStore, StoreError};

use crate::event::EventKind;
use crate::journal::{Changes, Journal, JournalError};
use crate::record::{Decision, HistoryError, RunHead, load_run};
use crate::retention::acquire;
use crate::run_id::RunId;
use crate::status::{RunStatus, StepStatus};
use crate::time::now_ms;

/// Why a decision was not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// There is no run of this name.
    #[error("there is no run `{0}` in this store")]
    NotFound(RunId),
    /// The step does not wait for a person.
    #[error("step `{step}` of run `{run}` does not wait for a decision; those that do: {}", list(.waiting))]
    NotAsked {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// The steps that do.
        waiting: Vec<String>,
    },
    /// It is decided.
    #[error("step `{step}` was {} by {}", verb(.decision.approved), .decision.by)]
    Decided {
        /// The step.
        step: String,
        /// How, and by whom.
        decision: Decision,
    },
    /// Its time is over.
    #[error("step `{step}` could be decided until it expired; resume the run to go on")]
    Expired {
        /// The step.
        step: String,
    },
    /// Somebody works on the run.
    #[error("run `{0}` is being worked on; decide when it is suspended")]
    Held(RunId),
    /// The store could not be asked, or did not acknowledge the decision. It may be recorded all the
    /// same: look at the run.
    #[error("the state store could not be reached")]
    Store(#[from] StoreError),
    /// The run's journal could not be read.
    #[error("the run's journal could not be read")]
    History(#[from] HistoryError),
    /// The store holds the decision less firmly than the run asks for, or another process took over.
    #[error("the decision was not acknowledged: {0}")]
    Unacknowledged(String),
}

/// Records a decision about a suspended step, in one commit under the run's lease. Answers the run's
/// head. The run goes on with the next resume.
///
/// # Errors
/// See [`DecideError`]. A step is decided once.
pub async fn decide(
    store: Arc<dyn StateStore>,
    run: &RunId,
    step: &str,
    decision: Decision,
) -> Result<RunHead, DecideError> {
    if load_run(&*store, run).await?.is_none() {
        return Err(DecideError::NotFound(run.clone()));
    }
    let fence = acquire(&*store, run).await?;
    let fence = fence.ok_or_else(|| DecideError::Held(run.clone()))?;
    let recorded = record(&store, run, step, decision, fence.clone()).await;
    // A courtesy: where this fails, the lease runs out.
    let _ = store.release(&run.partition(), &fence).await;
    recorded
}

async fn record(
    store: &Arc<dyn StateStore>,
    run: &RunId,
    step: &str,
    decision: Decision,
    fence: fusebox_state::Fence,
) -> Result<RunHead, DecideError> {
    // Under the lease: the former owner may have written until it lost it.
    let known = load_run(&**store, run).await?;
    let known = known.ok_or_else(|| DecideError::NotFound(run.clone()))?;
    let asked = |name: &String| {
        let record = known.steps.get(name)?;
        let waits = record.status == StepStatus::Suspended && !known.head.status.is_over();
        waits.then_some((record, record.approval.as_ref()?))
    };
    let step = step.to_owned();
    let open = |name: &&String| asked(name).is_some_and(|(_, asked)| asked.decision.is_none());
    let waiting: Vec<String> = known.steps.keys().filter(open).cloned().collect();
    let Some((record, approval)) = asked(&step) else {
        let run = run.clone();
        return Err(DecideError::NotAsked { run, step, waiting });
    };
    if let Some(decision) = approval.decision.clone() {
        return Err(DecideError::Decided { step, decision });
    }
    if approval.is_expired(now_ms()) {
        return Err(DecideError::Expired { step });
    }
    let mut decided = record.clone();
    decided.approval = Some(crate::record::ApprovalRecord {
        decision: Some(decision.clone()),
        ..approval.clone()
    });
    let event = EventKind::StepDecided {
        step: step.clone(),
        approved: decision.approved,
        by: decision.by.clone(),
        reason: decision.reason.clone(),
    };
    let mut changes = Changes {
        steps: vec![decided],
        events: vec![event],
        ..Changes::default()
    };
    let head = (known.head.clone(), known.head_version);
    let mut journal = Journal::of_idle(store, run, fence, head);
    if waiting.len() == 1 {
        let said = format!("{step} was {} by {}", verb(decision.approved), decision.by);
        journal.set_status(RunStatus::Waiting, Some(said), Some(now_ms()));
    }
    match journal.commit(&mut changes).await {
        Ok(()) => Ok(journal.head),
        Err(JournalError::Store(error)) => Err(error.into()),
        Err(other) => Err(DecideError::Unacknowledged(other.to_string())),
    }
}

fn verb(approved: bool) -> &'static str {
    if approved { "approved" } else { "rejected" }
}

fn list(steps: &[String]) -> String {
    if steps.is_empty() {
        return "none".to_owned();
    }
    steps.join(", ")
}
