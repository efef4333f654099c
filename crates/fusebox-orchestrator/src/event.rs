//! What happens in a run, as it happens: for progress displays, metrics and tests.

use fusebox_breaker::State;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::ledger::RtoVerdict;
use crate::operate::Action;
use crate::run_id::RunId;
use crate::status::{RunStatus, StepStatus};

/// One thing that happened in a run, or in the engine as a whole. Listeners get it from [`Engine::subscribe`](crate::Engine::subscribe);
/// a slow listener loses the oldest events and holds nobody up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The run; `None` where it concerns the engine: a breaker moved, an agent is back, an objective is missed.
    pub run: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// Where an engine's events go. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Events(broadcast::Sender<Event>);

impl Events {
    /// Keeps `buffer` events for a listener that is behind.
    pub(crate) fn new(buffer: usize) -> Self {
        Self(broadcast::Sender::new(buffer))
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    pub(crate) fn of_run(&self, run: &RunId, kind: EventKind) {
        // Most of what it costs is the name.
        if self.0.receiver_count() > 0 {
            self.send(Some(run.to_string()), kind);
        }
    }

    pub(crate) fn of_engine(&self, kind: EventKind) {
        self.send(None, kind);
    }

    fn send(&self, run: Option<String>, kind: EventKind) {
        // An error only says that nobody listens.
        let _ = self.0.send(Event { run, kind });
    }
}

/// The kinds of [`Event`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum EventKind {
    /// A run began.
    RunStarted {
        /// Its workflow.
        workflow: String,
    },
    /// A run goes on in another process.
    RunResumed {
        /// The steps whose outputs are kept.
        kept: Vec<String>,
    },
    /// The run's former owner still holds its lease; it is waited for.
    LeaseAwaited {
        /// The former owner.
        owner: String,
        /// How long its lease lasts, in milliseconds.
        remaining_ms: u64,
    },
    /// A step is handed to its agent: its first attempt or a further one.
    StepStarted {
        /// The step.
        step: String,
        /// How often its agent has been called for it, this time included, over all processes.
        execution: u32,
    },
    /// An attempt failed and another will be made.
    StepRetrying {
        /// The step.
        step: String,
        /// The number of the attempt to come.
        attempt: u32,
        /// The wait before it, in milliseconds.
        after_ms: u64,
        /// Whether the failed attempt had no answer in time.
        timed_out: bool,
    },
    /// An agent says how far it is.
    StepProgress {
        /// The step.
        step: String,
        /// Its words.
        message: String,
    },
    /// A step's agent is not available; it is tried again later.
    StepWaiting {
        /// The step.
        step: String,
        /// Why.
        reason: String,
        /// When it is tried again, in milliseconds from now.
        due_in_ms: u64,
    },
    /// A person is asked about a step.
    StepSuspended {
        /// The step.
        step: String,
        /// What is asked.
        prompt: String,
        /// How long it may be decided, in milliseconds from now.
        expires_in_ms: Option<u64>,
    },
    /// A person has decided about a step.
    StepDecided {
        /// The step.
        step: String,
        /// How.
        approved: bool,
        /// Who.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// A call was not made: somebody between the step and its agent turned it away.
    CallRefused {
        /// The step.
        step: String,
        /// Its agent.
        agent: String,
        /// Who: the state of the breaker (`open`, `half_open`, `forced_open`), `line`, `bulkhead`, `rate_limit`,
        /// `budget` or `loop`.
        by: String,
    },
    /// A call had to queue for a slot of its agent's bulkhead or pool, and has got one.
    SlotAwaited {
        /// The step.
        step: String,
        /// Its agent.
        agent: String,
        /// How long, in milliseconds.
        waited_ms: u64,
    },
    /// A step is not called because of another.
    StepShielded {
        /// The step.
        step: String,
        /// The unavailable step that shields it.
        by: String,
    },
    /// It is decided whether a step with conditions runs.
    StepRouted {
        /// The step.
        step: String,
        /// Whether it does.
        taken: bool,
        /// What was asked and what was found.
        reason: String,
    },
    /// A call of a step that makes several was answered, and the answer is committed.
    PartEnded {
        /// The step.
        step: String,
        /// The item of a map or the iteration of a repeat, from 0.
        part: u32,
        /// Of an item that is repeated, which answer to it, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        iteration: Option<u32>,
        /// Attempts made.
        attempts: u32,
        /// Why the answer is a fallback's, where it is.
        reason: Option<String>,
    },
    /// A step is settled and its record committed.
    StepEnded {
        /// The step.
        step: String,
        /// How it ended.
        status: StepStatus,
        /// Attempts made in this process.
        attempts: u32,
        /// Time since it was first handed out in this process, in milliseconds.
        duration_ms: u64,
        /// Why, unless it simply succeeded.
        reason: Option<String>,
    },
    /// A breaker moved.
    BreakerMoved {
        /// The breaker's name, which is its agent's.
        breaker: String,
        /// From.
        from: String,
        /// To.
        to: String,
        /// The rule that moved it, with figures.
        reason: String,
    },
    /// An agent is back: its breaker closed again.
    Recovered {
        /// The agent.
        agent: String,
        /// From opening to the success that closed it, in milliseconds.
        took_ms: u64,
        /// The objective, in milliseconds, where one is set.
        objective_ms: Option<u64>,
        /// Whether it was met.
        verdict: RtoVerdict,
        /// From the first failure to the opening, in milliseconds, where it is known.
        #[serde(default)]
        detect_ms: Option<u64>,
        /// From opening to the first success, in milliseconds, where it is known.
        #[serde(default)]
        resume_ms: Option<u64>,
    },
    /// An agent that is away may miss its objective: most of it has passed, or the next probe is due only after it.
    ObjectiveAtRisk {
        /// The agent.
        agent: String,
        /// How long it has been away, in milliseconds.
        away_ms: u64,
        /// The objective, in milliseconds.
        objective_ms: u64,
        /// When the next probe is due, in milliseconds from now.
        probe_in_ms: u64,
    },
    /// An agent has been away for longer than its objective, and still is.
    ObjectiveBreached {
        /// The agent.
        agent: String,
        /// How long it has been away, in milliseconds.
        away_ms: u64,
        /// The objective, in milliseconds.
        objective_ms: u64,
    },
    /// A person moved a breaker.
    Operated {
        /// Whose.
        agent: String,
        /// How.
        action: Action,
        /// Who.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// The store does not answer; the commit is repeated.
    StoreAway {
        /// What it said.
        cause: String,
    },
    /// The store answers again.
    StoreBack,
    /// A commit was acknowledged below the run's minimum; it is repeated.
    DurabilityAwaited {
        /// The level it has reached.
        reached: String,
        /// The level it needs.
        minimum: String,
    },
    /// The run is over in this process.
    RunEnded {
        /// How.
        status: RunStatus,
        /// Why, unless it simply completed.
        reason: Option<String>,
        /// Time since it was taken up in this process, in milliseconds.
        #[serde(default)]
        duration_ms: u64,
    },
}

impl EventKind {
    pub(crate) fn breaker_moved(
        breaker: &str,
        from: State,
        to: State,
        reason: impl ToString,
    ) -> Self {
        Self::BreakerMoved {
            breaker: breaker.to_owned(),
            from: from.to_string(),
            to: to.to_string(),
            reason: reason.to_string(),
        }
    }

    /// Whether the engine tells it, once, rather than each run that it concerns.
    pub(crate) fn is_of_engine(&self) -> bool {
        matches!(self, Self::BreakerMoved { .. } | Self::Recovered { .. })
    }

    /// Whether the event belongs into the journal: what explains the run afterwards does, chatter does not.
    pub(crate) fn is_journaled(&self) -> bool {
        !matches!(
            self,
            Self::StepProgress { .. }
                | Self::CallRefused { .. }
                | Self::SlotAwaited { .. }
                | Self::LeaseAwaited { .. }
                | Self::StoreAway { .. }
                | Self::StoreBack
                | Self::DurabilityAwaited { .. }
                | Self::ObjectiveAtRisk { .. }
                | Self::ObjectiveBreached { .. }
                | Self::Operated { .. }
        )
    }
}
