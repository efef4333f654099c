//! Keeps a run's lease alive beside the work, and tells the work when it is gone.

use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{Fence, Partition, RenewOutcome, StateStore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Renews a lease every third of its time until dropped.
#[derive(Debug)]
pub(crate) struct LeaseKeeper {
    task: JoinHandle<()>,
}

impl LeaseKeeper {
    /// Starts renewing. `acquired` is when the acquisition was sent: the lease is counted from there,
    /// so that this side gives up before the other side may take over. `lost` is cancelled once the
    /// lease is lost or can no longer be proven.
    pub(crate) fn start(
        store: Arc<dyn StateStore>,
        partition: Partition,
        fence: Fence,
        ttl: Duration,
        acquired: Instant,
        lost: CancellationToken,
    ) -> Self {
        let task = tokio::spawn(renew(store, partition, fence, ttl, acquired, lost));
        Self { task }
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(
    store: Arc<dyn StateStore>,
    partition: Partition,
    fence: Fence,
    ttl: Duration,
    acquired: Instant,
    lost: CancellationToken,
) {
    let margin = ttl / 10;
    let mut valid_until = acquired + ttl - margin;
    let mut pause = ttl / 3;
    loop {
        tokio::time::sleep(pause.min(valid_until.saturating_duration_since(Instant::now()))).await;
        let sent = Instant::now();
        match store.renew(&partition, &fence, ttl).await {
            Ok(RenewOutcome::Renewed) => {
                valid_until = sent + ttl - margin;
                pause = ttl / 3;
            }
            // One failed renewal must not end a healthy run; the lease's own time decides.
            Err(error) if error.is_transient() && Instant::now() < valid_until => pause = ttl / 20,
            Ok(_) | Err(_) => {
                lost.cancel();
                return;
            }
        }
    }
}
