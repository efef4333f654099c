//! How one run is to be run.

use std::path::PathBuf;
use std::time::Duration;

use fusebox_policy::{Priority, RetryBudget};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::run_id::RunId;
use crate::spending::Allowance;

/// How one run is to be run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// The run's name. Defaults to a generated one.
    pub id: Option<RunId>,
    /// What the workflow starts with; every step sees it under `input`.
    pub input: Value,
    /// Anything the caller needs to build the same agents again when the run is resumed.
    pub attachment: Value,
    /// Replaces the workflow's objective for this process.
    pub objective: Option<Duration>,
    /// Whether to wait for unavailable agents while the objective allows. Defaults to `true`.
    pub wait: bool,
    /// A directory for files the agents make.
    pub artifacts: Option<PathBuf>,
    /// On whose behalf it runs. In the queue of a pool or of an agent the tenants take turns, however many calls each
    /// has waiting. Kept with the run. Defaults to none; all runs without take turns as one.
    pub tenant: Option<String>,
    /// How urgent its calls are where they have to queue. Defaults to [`Priority::NORMAL`]; not kept with the run.
    pub priority: Priority,
    /// The purse for all its retries, those of agents inside agents included where they pass their context on. It may
    /// be shared by several runs. Defaults to one of its own: 10 retries or 2 per step, whichever is more, and one
    /// more for every five calls.
    pub retry_budget: Option<RetryBudget>,
    /// What all its calls may cost together, over all processes that work on it; what was spent is on record. Each
    /// attempt's [estimate](fusebox_agent::Agent::estimate) has to fit, and counts for what it really cost once it is
    /// over. A step that does not fit fails, or takes its stand-in. Kept with the run; given to a resume, it takes the
    /// place of the one before. Defaults to none.
    pub budget: Option<Allowance>,
    /// Cancelling it stops the run; what is finished stays finished.
    pub cancellation: CancellationToken,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            id: None,
            input: Value::Null,
            attachment: Value::Null,
            objective: None,
            wait: true,
            artifacts: None,
            tenant: None,
            priority: Priority::NORMAL,
            retry_budget: None,
            budget: None,
            cancellation: CancellationToken::new(),
        }
    }
}

impl RunOptions {
    /// Names the run.
    #[must_use]
    pub fn with_id(mut self, id: RunId) -> Self {
        self.id = Some(id);
        self
    }

    /// Gives the run its input.
    #[must_use]
    pub fn with_input(mut self, input: Value) -> Self {
        self.input = input;
        self
    }

    /// Limits what all its calls may cost together.
    #[must_use]
    pub fn with_budget(mut self, budget: Allowance) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Says on whose behalf it runs.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Ends the run as waiting, instead of waiting, when an agent is not available.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }
}
