//! Why a run did not start.

use std::time::Duration;

use fusebox_state::StoreError;

use crate::record::HistoryError;
use crate::run_id::RunId;
use crate::time::millis;
use crate::workflow::PortError;

/// Why a run did not start. Nothing was called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A step names an agent the engine does not have.
    #[error("step `{step}` calls agent `{agent}`, which this engine does not have; it has: {}", .known.join(", "))]
    UnknownAgent {
        /// The step.
        step: String,
        /// The agent it names.
        agent: String,
        /// The agents there are.
        known: Vec<String>,
    },
    /// By their agents' schemas, what one step gives can never be what another takes.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// Two agents have one name, or an agent and a dependency.
    #[error(
        "agent `{0}` is registered twice; names must be unique, those of dependencies included"
    )]
    DuplicateAgent(String),
    /// A fallback is given for an agent that is not registered.
    #[error("a fallback is given for agent `{0}`, which is not registered")]
    FallbackWithoutAgent(String),
    /// A failover names a target that is not registered, or that is a failover registered later.
    #[error("agent `{agent}` names the target `{target}`, which is not registered before it")]
    UnknownTarget {
        /// The failover.
        agent: String,
        /// The target it names.
        target: String,
    },
    /// A failover has no targets.
    #[error("agent `{0}` has no target to ask")]
    NoTarget(String),
    /// An agent takes the slots of a pool that there is not.
    #[error("agent `{agent}` is in pool `{pool}`, which this engine does not have; it has: {}", .known.join(", "))]
    UnknownPool {
        /// The agent.
        agent: String,
        /// The pool it names.
        pool: String,
        /// The pools there are.
        known: Vec<String>,
    },
    /// An agent stands behind a dependency that there is not.
    #[error("agent `{agent}` stands behind `{dependency}`, which this engine does not have; it has: {}", .known.join(", "))]
    UnknownDependency {
        /// The agent.
        agent: String,
        /// The dependency it names.
        dependency: String,
        /// The dependencies there are.
        known: Vec<String>,
    },
    /// A run of this name exists.
    #[error("run `{0}` exists already; resume it, or choose another name")]
    Exists(RunId),
    /// There is no run of this name.
    #[error("there is no run `{0}` in this store")]
    NotFound(RunId),
    /// Another process works on the run.
    #[error("run `{run}` is being worked on by {owner}; its lease lasts another {} ms", millis(*.remaining))]
    Held {
        /// The run.
        run: RunId,
        /// Who holds it.
        owner: String,
        /// How long its lease lasts unless renewed.
        remaining: Duration,
    },
    /// The run began under another definition.
    #[error("run `{run}` began under another definition: {}", .differences.join("; "))]
    DefinitionChanged {
        /// The run.
        run: RunId,
        /// What differs.
        differences: Vec<String>,
    },
    /// The store could not be asked.
    #[error("the state store could not be reached")]
    Store(#[from] StoreError),
    /// The run's journal could not be read.
    #[error("the run's journal could not be read")]
    History(#[from] HistoryError),
}
