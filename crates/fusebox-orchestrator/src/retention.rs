//! How long the journal of a run is kept once the run is over.
//!
//! The end of a run gives its journal the time it is kept. That is a write of its own after the last
//! commit, so a process that dies between the two, or whose last commits reached the store only after
//! its end, leaves a journal that nothing would remove. [`retire_ended`] finds those.

use std::time::Duration;

use fusebox_state::{AcquireOutcome, LeaseRequest, StateStore, StoreError};

use crate::owner::{Life, Owner};
use crate::record::{HistoryError, RunHead, load_head, run_ids};
use crate::run_id::RunId;
use crate::time::{millis, now_ms};

/// How long the journal of a run that is over is kept, unless the engine says otherwise: 30 days.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// A lease only for the moment of one write.
const LEASE: Duration = Duration::from_secs(5);

/// Gives every run that is over its end of retention where it has none. Answers how many there were.
///
/// A run keeps the rule it ended under, counted from its last commit. Runs that somebody works on, that
/// wait or are suspended are left alone. Costs one read per run, and three writes per run retired.
///
/// # Errors
/// See [`HistoryError`]. What was retired before stays so.
pub async fn retire_ended(store: &dyn StateStore) -> Result<u64, HistoryError> {
    let mut retired = 0;
    for id in run_ids(store).await? {
        retired += u64::from(retire(store, &id).await?);
    }
    Ok(retired)
}

/// Retires one run. Answers whether it had to be.
pub(crate) async fn retire(store: &dyn StateStore, id: &RunId) -> Result<bool, HistoryError> {
    let partition = id.partition();
    let kept_for_ever = |head: &fusebox_state::Head| head.expires_in.is_none();
    if !store
        .head(&partition)
        .await?
        .is_some_and(|head| kept_for_ever(&head))
    {
        return Ok(false);
    }
    if !load_head(store, id)
        .await?
        .is_some_and(|head| head.status.is_over())
    {
        return Ok(false);
    }
    // A resume takes the end of retention back under the run's lease: so does this set it.
    let Some(fence) = acquire(store, id).await? else {
        return Ok(false);
    };
    let head = load_head(store, id).await?;
    let over = head.filter(|head| head.status.is_over());
    if let Some(head) = &over {
        store
            .expire(&partition, Some(remaining(head, now_ms())))
            .await?;
    }
    // Where this fails, the lease runs out.
    let _ = store.release(&partition, &fence).await;
    Ok(over.is_some())
}

/// The lease of a run that nobody works on, for the moment of one write.
pub(crate) async fn acquire(
    store: &dyn StateStore,
    id: &RunId,
) -> Result<Option<fusebox_state::Fence>, StoreError> {
    let mut request = LeaseRequest::new(Owner::current().to_string(), LEASE);
    for _ in 0..2 {
        let lease = match store.acquire(&id.partition(), request.clone()).await? {
            AcquireOutcome::Acquired { fence, .. } => return Ok(Some(fence)),
            AcquireOutcome::Held(lease) => lease,
        };
        let owner = Owner::parse(&lease.owner);
        if owner.is_none_or(|owner| owner.life() != Life::Dead) {
            return Ok(None);
        }
        request.takeover = Some(lease.token_id);
    }
    Ok(None)
}

/// What is left of a run's retention, but never nothing: at zero a store removes before it answers.
fn remaining(head: &RunHead, now_ms: u64) -> Duration {
    let keep = head.keep_ms.unwrap_or_else(|| millis(DEFAULT_RETENTION));
    // A clock that was ahead when the run ended must not prolong it for ever.
    let age = now_ms.saturating_sub(head.updated_ms);
    Duration::from_millis(keep.saturating_sub(age).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> serde_json::Value {
        serde_json::json!({
            "format": 1, "run": "r", "workflow": "w", "fingerprint": "", "status": "completed",
            "reason": null, "input": null, "created_ms": 0, "updated_ms": 0, "due_ms": null,
            "processes": 1, "events": 0,
        })
    }

    #[test]
    fn the_time_that_has_passed_since_the_end_counts() {
        let head = |keep_ms: Option<u64>| RunHead {
            keep_ms,
            updated_ms: 1_000,
            ..serde_json::from_value(sample()).unwrap()
        };
        assert_eq!(
            remaining(&head(Some(500)), 1_200),
            Duration::from_millis(300)
        );
        assert_eq!(remaining(&head(Some(500)), 9_000), Duration::from_millis(1));
        assert_eq!(remaining(&head(Some(500)), 0), Duration::from_millis(500));
        assert_eq!(remaining(&head(None), 1_000), DEFAULT_RETENTION);
    }
}
