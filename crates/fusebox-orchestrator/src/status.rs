//! What became of a run and of its steps, and the exit code that says so.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a run stands. It tells the truth: a run with a missing output is never `Completed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunStatus {
    /// Being executed, or its process died before it could say anything else.
    Running,
    /// Every output exists and none came from a fallback.
    Completed,
    /// Every required output exists, some by fallback or without an optional part.
    Degraded,
    /// A required output is missing, and resuming the run later can still bring it.
    Waiting,
    /// A person must decide.
    Suspended,
    /// A required output is missing and cannot come within the objective.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

impl RunStatus {
    /// The exit code of `fusebox run` and `fusebox resume`.
    ///
    /// | status | code |
    /// |---|---|
    /// | completed | 0 |
    /// | degraded | 3 |
    /// | failed | 4 |
    /// | waiting (and running, seen from outside) | 5 |
    /// | suspended | 6 |
    /// | cancelled | 7 |
    ///
    /// Misuse, where nothing was started, is 2 and has no run.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Completed => 0,
            Self::Degraded => 3,
            Self::Failed => 4,
            Self::Waiting | Self::Running => 5,
            Self::Suspended => 6,
            Self::Cancelled => 7,
        }
    }

    /// Whether every required output exists, so that there is nothing left to resume.
    pub fn is_delivered(self) -> bool {
        matches!(self, Self::Completed | Self::Degraded)
    }

    /// Whether nobody is waited for any more, so that the run's journal may go after its retention. One
    /// that waits for an agent or a person is kept until it is resumed.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Degraded | Self::Failed | Self::Cancelled
        )
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Degraded => "degraded",
            Self::Waiting => "waiting",
            Self::Suspended => "suspended",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// How one step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepStatus {
    /// Its turn has not come.
    #[default]
    Pending,
    /// Handed to its agent; after a crash: the step that was in flight.
    Running,
    /// Its agent answered and the answer is committed.
    Succeeded,
    /// Its fallback answered and the answer is committed.
    Degraded,
    /// Its agent is not available now; it is tried again when the breaker allows.
    Waiting,
    /// A person must decide about it.
    Suspended,
    /// Not called, because a step it requires has no output.
    Shielded,
    /// Left out by its own policy, because its agent was not available.
    Skipped,
    /// Its agent gave no answer, and none can come within the objective.
    Failed,
    /// Stopped while it ran.
    Cancelled,
}

impl StepStatus {
    /// Whether the step's output exists and is committed. Such a step never runs again.
    pub fn has_output(self) -> bool {
        matches!(self, Self::Succeeded | Self::Degraded)
    }

    /// Whether nothing more will happen to the step in this process.
    pub fn is_settled(self) -> bool {
        !matches!(
            self,
            Self::Pending | Self::Running | Self::Waiting | Self::Suspended
        )
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Degraded => "degraded",
            Self::Waiting => "waiting",
            Self::Suspended => "suspended",
            Self::Shielded => "shielded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}
