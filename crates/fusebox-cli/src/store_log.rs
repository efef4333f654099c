//! Tells when a store goes away, comes back, and is being put right.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use fusebox::state::{FallbackStore, StateStore as _, StoreMode, StoreStatus};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A change of a store's mode.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    /// When, in milliseconds since 1970 (UTC).
    at_ms: u64,
    /// The mode from then on.
    mode: String,
    /// The same in words, with the cause and what waits.
    status: String,
}

impl From<StoreStatus> for Change {
    fn from(status: StoreStatus) -> Self {
        let since = status.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at_ms: since.as_millis() as u64,
            mode: status.mode.to_string(),
            status: status.to_string(),
        }
    }
}

/// Follows a store until it is stopped.
pub(crate) struct StoreLog {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Change>>,
}

impl StoreLog {
    /// Has `show` say each change as it comes.
    pub(crate) fn start(
        store: Arc<FallbackStore>,
        show: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(follow(store, show, stopped));
        Self { stop, task }
    }

    /// What happened, the last of it included.
    pub(crate) async fn finish(self) -> Vec<Change> {
        // Whoever does not listen any more has ended.
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

async fn follow(
    store: Arc<FallbackStore>,
    show: impl Fn(&str) + Send + Sync,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<Change> {
    let mut modes = store.mode_changes();
    let (mut told, mut changes) = (StoreMode::Healthy, Vec::new());
    loop {
        // Whether it changed before anybody listened is part of the story.
        modes.mark_unchanged();
        let status = store.status();
        if status.mode != told {
            told = status.mode;
            show(&status.to_string());
            changes.push(Change::from(status));
        }
        tokio::select! {
            biased;
            changed = modes.changed() => if changed.is_err() {
                return changes;
            },
            _ = &mut stopped => return changes,
        }
    }
}
