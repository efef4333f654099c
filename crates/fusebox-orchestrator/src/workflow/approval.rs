//! A step that a person decides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::millis;

/// What a person is asked, and until when.
///
/// When its turn has come the step is suspended, and so is the run once nothing else can be done. The
/// decision is recorded with [`decide`](crate::decide), whenever it comes and from whichever process;
/// the next resume goes on from there. An approved step's output is `approved`, `by`, `reason` and
/// `at_ms`; one that was rejected has failed, and what requires it is shielded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    prompt: String,
    pub(super) expires_ms: Option<u64>,
    pub(super) fallback: Option<String>,
}

impl Approval {
    /// Asks `prompt`, for as long as it takes.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            expires_ms: None,
            fallback: None,
        }
    }

    /// Nobody can decide any more after this time from the question on, in whole milliseconds; the step
    /// has failed then, unless there is a [`fallback`](Self::with_fallback). Time goes by the calendar,
    /// while no process works on the run too.
    #[must_use]
    pub fn with_expiry(mut self, after: Duration) -> Self {
        self.expires_ms = Some(millis(after));
        self
    }

    /// Once expired, `agent` is called for the step; its answer is a degraded output.
    #[must_use]
    pub fn with_fallback(mut self, agent: impl Into<String>) -> Self {
        self.fallback = Some(agent.into());
        self
    }

    /// What is asked.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// How long it may be decided.
    pub fn expiry(&self) -> Option<Duration> {
        self.expires_ms.map(Duration::from_millis)
    }

    /// The agent that is called once nobody can decide any more.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }
}
