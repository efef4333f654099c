//! What a person may do to a running engine: move a breaker by hand, stop a run.

use std::fmt;
use std::time::Duration;

use fusebox_breaker::Override;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::event::EventKind;
use crate::run_id::RunId;

/// What is done to an agent's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Opens it as a failure would: it comes back by itself, after the usual wait.
    Trip,
    /// Refuses every call until it is released or the time is over.
    ForceOpen,
    /// Lets every call through, unjudged, until it is released or the time is over.
    Disable,
    /// Lets every call through and judges it, without consequence, until it is released or the time is over.
    MetricsOnly,
    /// Lifts an override; an automatic opening gets its probe at once.
    Release,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Trip,
        Self::ForceOpen,
        Self::Disable,
        Self::MetricsOnly,
        Self::Release,
    ];

    /// The action in snake case, as in events and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trip => "trip",
            Self::ForceOpen => "force_open",
            Self::Disable => "disable",
            Self::MetricsOnly => "metrics_only",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who does something, why, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// How long an override holds, in milliseconds; `None`: until released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

impl By {
    /// Without an end.
    pub fn new(actor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            reason: reason.into(),
            for_ms: None,
        }
    }
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// The engine has no such agent.
    #[error("this engine has no agent `{agent}`; it has: {}", .known.join(", "))]
    UnknownAgent {
        /// The agent asked for.
        agent: String,
        /// The agents there are.
        known: Vec<String>,
    },
    /// The engine does not work on such a run.
    #[error("this engine does not work on run `{0}`")]
    UnknownRun(String),
    /// The breaker is in no state in which the action means anything.
    #[error("the breaker of agent `{agent}` is {state}: nothing to {action}")]
    Nothing {
        /// The agent.
        agent: String,
        /// The action.
        action: Action,
        /// The breaker's state.
        state: String,
    },
}

impl Engine {
    /// Moves the breaker of an agent by hand. It is told to listeners with who and why, and everything that waits for
    /// the agent looks again.
    ///
    /// # Errors
    /// If there is no such agent, or nothing to do: a trip of one that is open, a release of one that nobody holds.
    pub fn operate(&self, agent: &str, action: Action, by: &By) -> Result<(), OperateError> {
        let breaker = self
            .breaker(agent)
            .ok_or_else(|| OperateError::UnknownAgent {
                agent: agent.to_owned(),
                known: self.breakers().map(|it| it.name().to_string()).collect(),
            })?;
        let held = || {
            let mut held = Override::new(&by.reason, &by.actor);
            held.expires_in = by.for_ms.map(Duration::from_millis);
            held
        };
        let done = match action {
            Action::Trip => breaker.trip(&format!("{} by {}", by.reason, by.actor)),
            Action::Release => breaker.release(&by.actor),
            Action::ForceOpen => {
                breaker.force_open(held());
                true
            }
            Action::Disable => {
                breaker.disable(held());
                true
            }
            Action::MetricsOnly => {
                breaker.metrics_only(held());
                true
            }
        };
        if !done {
            return Err(OperateError::Nothing {
                agent: agent.to_owned(),
                action,
                state: breaker.state().to_string(),
            });
        }
        self.shared.events.of_engine(EventKind::Operated {
            agent: agent.to_owned(),
            action,
            by: by.actor.clone(),
            reason: by.reason.clone(),
        });
        self.shared.pump_transitions();
        self.shared.recovery.look_again();
        self.shared.dependency_moved.notify_waiters();
        Ok(())
    }

    /// Stops a run that this engine works on, as its own cancellation would. What is finished stays finished.
    ///
    /// # Errors
    /// If this engine does not work on it.
    pub fn cancel(&self, run: &RunId, by: &By) -> Result<(), OperateError> {
        let why = format!("cancelled by {}: {}", by.actor, by.reason);
        let found = self.shared.runs.cancel(run, why);
        found
            .then_some(())
            .ok_or_else(|| OperateError::UnknownRun(run.to_string()))
    }
}
