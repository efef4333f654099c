//! The graph of a workflow: steps, what they need, and the checks that hold before anything starts.

mod approval;
mod check;
mod condition;
mod draw;
mod graph;
mod inner;
mod join;
mod ports;
mod step;
mod work;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

pub use self::approval::Approval;
pub use self::condition::{Condition, Predicate, Test};
pub use self::draw::Drawing;
use self::graph::Graph;
#[cfg(feature = "file")]
pub(crate) use self::inner::MAX_DEPTH;
pub use self::inner::{Enter, Feed, Inner};
pub use self::join::Join;
pub(crate) use self::join::{Readiness, Tally};
pub use self::ports::PortError;
pub(crate) use self::ports::Ports;
pub use self::step::{OnUnavailable, Step};
pub use self::work::{Exhausted, Map, Repeat, Work};
use crate::time::short;

/// A checked graph of steps: names are unique, every edge has two ends, there is no cycle.
///
/// ```
/// use fusebox_orchestrator::{Step, Workflow};
///
/// let workflow = Workflow::builder("review")
///     .step(Step::new("triage"))
///     .step(Step::new("data").requires(["triage"]))
///     .build()?;
/// assert_eq!(workflow.outputs(), ["data"]);
/// # Ok::<(), fusebox_orchestrator::WorkflowError>(())
/// ```
///
/// Cheap to clone: the clones share the graph.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Workflow {
    graph: Arc<Graph>,
}

impl Serialize for Workflow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.graph.serialize(serializer)
    }
}

/// A workflow as a store gives it back, checked like one that a program builds. The order of one that was built is kept,
/// and so its fingerprint.
#[derive(Deserialize)]
struct Written {
    name: String,
    objective_ms: u64,
    steps: Vec<Step>,
    outputs: Vec<String>,
}

impl TryFrom<Written> for Workflow {
    type Error = WorkflowError;

    fn try_from(written: Written) -> Result<Self, WorkflowError> {
        let empty =
            Self::builder(written.name).objective(Duration::from_millis(written.objective_ms));
        let steps = written.steps.into_iter();
        steps
            .fold(empty, WorkflowBuilder::step)
            .outputs(written.outputs)
            .build()
    }
}

/// How long a run may take unless its workflow says otherwise.
pub const DEFAULT_OBJECTIVE: Duration = Duration::from_secs(300);

impl Workflow {
    /// Starts a workflow called `name`.
    pub fn builder(name: impl Into<String>) -> WorkflowBuilder {
        WorkflowBuilder {
            name: name.into(),
            objective: DEFAULT_OBJECTIVE,
            steps: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// The time within which a run must have its outputs, counted from each start or resume.
    pub fn objective(&self) -> Duration {
        Duration::from_millis(self.graph.objective_ms)
    }

    /// The steps in topological order.
    pub fn steps(&self) -> &[Step] {
        &self.graph.steps
    }

    /// The steps whose outputs a run must deliver; unless named, those that nothing takes from.
    pub fn outputs(&self) -> &[String] {
        &self.graph.outputs
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.graph.step(name)
    }

    /// Every agent under `prefix`, as those of a file inside another are.
    #[cfg(feature = "file")]
    pub(crate) fn with_agents_under(self, prefix: &str) -> Self {
        let Graph {
            name,
            objective_ms,
            outputs,
            ..
        } = &*self.graph;
        let mut steps = self.graph.steps.clone();
        for step in &mut steps {
            step.put_agent_under(prefix);
        }
        let graph = Graph::new(name.clone(), *objective_ms, steps, outputs.clone());
        Self {
            graph: Arc::new(graph),
        }
    }

    /// SHA-256 over everything that decides what a run does, in hex. A run resumes only under the
    /// fingerprint it began with.
    pub fn fingerprint(&self) -> String {
        self.graph.fingerprint().to_owned()
    }

    /// The definition as a journal keeps it: JSON, and what the fingerprint is of.
    pub(crate) fn canonical(&self) -> &str {
        self.graph.canonical()
    }

    /// The lines in which `other` differs, one per step or setting; empty when nothing does.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.graph.objective_ms != other.graph.objective_ms {
            lines.push(format!(
                "objective: {} ms then, {} ms now",
                self.graph.objective_ms, other.graph.objective_ms
            ));
        }
        if self.graph.outputs != other.graph.outputs {
            lines.push(format!(
                "outputs: {:?} then, {:?} now",
                self.graph.outputs, other.graph.outputs
            ));
        }
        for step in &self.graph.steps {
            match other.step(&step.name) {
                None => lines.push(format!("step `{}`: gone", step.name)),
                Some(now) if now != step => lines.push(format!("step `{}`: changed", step.name)),
                Some(_) => {}
            }
        }
        for step in &other.graph.steps {
            if self.step(&step.name).is_none() {
                lines.push(format!("step `{}`: new", step.name));
            }
        }
        lines
    }
}

/// Collects the steps of a [`Workflow`].
#[derive(Debug, Clone)]
#[must_use]
pub struct WorkflowBuilder {
    name: String,
    objective: Duration,
    steps: Vec<Step>,
    outputs: Vec<String>,
}

impl WorkflowBuilder {
    /// Adds a step. The order in which steps are added does not matter.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The time within which a run must have its outputs, kept in whole milliseconds, rounded up. Defaults to
    /// [`DEFAULT_OBJECTIVE`].
    pub fn objective(mut self, objective: Duration) -> Self {
        self.objective = objective;
        self
    }

    /// Names the steps whose outputs a run must deliver. Defaults to the steps that nothing takes from.
    pub fn outputs<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.outputs.extend(steps.into_iter().map(Into::into));
        self
    }

    /// Checks the graph.
    ///
    /// # Errors
    /// The first fault found, naming the steps it concerns.
    pub fn build(self) -> Result<Workflow, WorkflowError> {
        if self.steps.is_empty() {
            return Err(WorkflowError::Empty);
        }
        if self.objective.is_zero() {
            return Err(WorkflowError::ZeroObjective);
        }
        check::steps(&self.steps)?;
        self.check_objectives()?;
        let steps = inner::expand(self.steps);
        check::check_names(&steps)?;
        let steps = check::topological(steps)?;
        let outputs = if self.outputs.is_empty() {
            check::sinks(&steps)
        } else {
            self.outputs
        };
        if let Some(missing) = outputs
            .iter()
            .find(|name| !steps.iter().any(|step| step.name == **name))
        {
            return Err(WorkflowError::UnknownOutput {
                step: missing.clone(),
            });
        }
        let objective_ms = self.objective.as_nanos().div_ceil(1_000_000);
        let objective_ms = u64::try_from(objective_ms).unwrap_or(u64::MAX);
        let graph = Graph::new(self.name, objective_ms, steps, outputs);
        Ok(Workflow {
            graph: Arc::new(graph),
        })
    }

    /// A run has the objective of the outermost workflow. One inside that was given a longer one could
    /// not have it; the default is nobody's wish.
    fn check_objectives(&self) -> Result<(), WorkflowError> {
        for step in &self.steps {
            let Some(inner) = &step.inner else {
                continue;
            };
            let asked = inner.workflow.objective();
            if asked > self.objective && asked != DEFAULT_OBJECTIVE {
                return Err(WorkflowError::InnerObjective {
                    step: step.name.clone(),
                    inner: asked,
                    outer: self.objective,
                });
            }
        }
        Ok(())
    }
}

/// Why a graph is not a workflow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// There is no step.
    #[error("the workflow has no steps; add at least one")]
    Empty,
    /// The objective is zero.
    #[error("the objective is zero; give the time within which a run must have its outputs")]
    ZeroObjective,
    /// A step's name cannot be used as a key.
    #[error("step name `{step}` is not allowed; use 1 to 64 letters, digits, `-`, `_` or `.`")]
    BadName {
        /// The name as given.
        step: String,
    },
    /// A step's name is too long, or too many workflows are inside each other.
    #[error(
        "step `{step}` is too deep: at most 8 workflows inside each other, and 160 characters for a name with those before it"
    )]
    TooDeep {
        /// Its name, with those of the workflows it is inside of.
        step: String,
    },
    /// A step inside of a workflow could start before that begins; only of a definition that is damaged.
    #[error("step `{step}` is inside of a workflow and does not wait for its beginning")]
    NotBegun {
        /// The step.
        step: String,
    },
    /// A step is a workflow and something else too.
    #[error(
        "step `{step}` is a workflow of its own and cannot have `{other}` too; give it to the steps inside"
    )]
    InnerWith {
        /// The step.
        step: String,
        /// What it cannot have.
        other: &'static str,
    },
    /// An inner workflow's input is from a step that the outer step does not take from.
    #[error(
        "step `{step}` gives its workflow an input from `{from}`, which is neither under its `requires` nor under its `optional`"
    )]
    FeedOffEdge {
        /// The step that is a workflow.
        step: String,
        /// Where the input is from.
        from: String,
    },
    /// An inner workflow asks for more time than there is.
    #[error(
        "the workflow that is step `{step}` has an objective of {}, the one around it only {}; shorten the first or lengthen the second",
        short(*.inner),
        short(*.outer)
    )]
    InnerObjective {
        /// The step that is a workflow.
        step: String,
        /// What it asks for.
        inner: Duration,
        /// The objective of the workflow around it.
        outer: Duration,
    },
    /// Two steps have one name.
    #[error("step `{step}` is defined twice; names must be unique")]
    DuplicateStep {
        /// The name.
        step: String,
    },
    /// An edge begins at a step that does not exist.
    #[error("step `{step}` takes from `{upstream}`, which is not a step of this workflow")]
    UnknownUpstream {
        /// The step with the edge.
        step: String,
        /// What it names.
        upstream: String,
    },
    /// One step is both required and optional for another.
    #[error("step `{step}` names `{upstream}` twice; keep it under `requires` or under `optional`")]
    DuplicateEdge {
        /// The step with the edges.
        step: String,
        /// What it names twice.
        upstream: String,
    },
    /// A join has nothing to choose from.
    #[error(
        "step `{step}` has a join and requires nothing; name the steps it chooses from under `requires`"
    )]
    JoinOfNothing {
        /// The step.
        step: String,
    },
    /// A quorum that is always or never there.
    #[error(
        "step `{step}` needs {quorum} of {required} required steps; give a quorum from 1 to {required}"
    )]
    BadQuorum {
        /// The step.
        step: String,
        /// How many it asks for.
        quorum: u32,
        /// How many it requires.
        required: usize,
    },
    /// A condition asks a step that is not upstream.
    #[error(
        "step `{step}` asks the output of `{asked}`, which is neither under its `requires` nor under its `optional`"
    )]
    ConditionOffEdge {
        /// The step with the condition.
        step: String,
        /// The step it asks.
        asked: String,
    },
    /// A map takes its list from a step that it can start without.
    #[error("step `{step}` maps over the output of `{over}`, which is not under its `requires`")]
    MapOffEdge {
        /// The step with the map.
        step: String,
        /// Where its list is from.
        over: String,
    },
    /// A step may never make a call.
    #[error("step `{step}`: `{field}` is 0; give 1 or more")]
    ZeroCalls {
        /// The step.
        step: String,
        /// What is zero: `concurrency` or `at_most`.
        field: &'static str,
    },
    /// A last good output that is always too old.
    #[error(
        "step `{step}`: its last good output may be 0 old; give the greatest age that still does"
    )]
    ZeroAge {
        /// The step.
        step: String,
    },
    /// An approval that nobody could give.
    #[error(
        "step `{step}`: its approval expires at once; give the time within which a person can decide"
    )]
    ZeroExpiry {
        /// The step.
        step: String,
    },
    /// An approval's fallback that would never be called.
    #[error(
        "step `{step}`: its approval has a fallback and never expires; say after which time it does"
    )]
    FallbackWithoutExpiry {
        /// The step.
        step: String,
    },
    /// A place is no JSON Pointer.
    #[error(
        "step `{step}`: `{pointer}` is not a JSON Pointer; begin it with `/`, as in `/items/0/price`, or leave it empty for the whole output"
    )]
    BadPointer {
        /// The step.
        step: String,
        /// What was given.
        pointer: String,
    },
    /// Steps wait for each other.
    #[error("the steps wait for each other: {}; remove one of these edges", .steps.join(" -> "))]
    Cycle {
        /// The cycle, its first step repeated at the end.
        steps: Vec<String>,
    },
    /// An output names no step.
    #[error("output `{step}` is not a step of this workflow")]
    UnknownOutput {
        /// What it names.
        step: String,
    },
}

#[cfg(test)]
mod tests;
