//! A breaker's clock on tokio's time.

use std::time::Duration;

use fusebox_breaker::{Clock, Timestamp};
use tokio::time::Instant;

/// Tokio's clock, which stands still while a test pauses it, so that a breaker and the policy around it share one
/// virtual time. Outside of a paused runtime it is the system's monotonic clock. Its origin is its creation.
#[derive(Debug, Clone)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed: Duration = self.origin.elapsed();
        Timestamp::default() + elapsed
    }
}
