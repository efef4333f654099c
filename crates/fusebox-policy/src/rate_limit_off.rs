//! Stands in for the rate limit where its feature is off: there is none, and nothing to get past.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) enum RateLimit {}

#[derive(Debug)]
pub(crate) enum RatePermit {}

#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) retry_after: Option<Duration>,
}

impl RateLimit {
    pub(crate) fn name(&self) -> &std::sync::Arc<str> {
        match *self {}
    }

    pub(crate) async fn acquire(
        &self,
        _units: u32,
        _on_wait: impl FnOnce(Duration),
    ) -> Result<RatePermit, Limited> {
        match *self {}
    }
}

impl RatePermit {
    pub(crate) fn spend(self) {
        match self {}
    }
}
