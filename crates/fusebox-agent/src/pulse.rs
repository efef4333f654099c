//! Signs of life of an agent at work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When an attempt last showed a sign of life. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// The start is the first sign.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(crate) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once there has been no sign for `limit`.
    pub(crate) async fn silent_for(&self, limit: Duration) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(late) = last.checked_add(limit) else {
                return std::future::pending().await;
            };
            if Instant::now() >= late {
                return;
            }
            tokio::time::sleep_until(late).await;
        }
    }
}
