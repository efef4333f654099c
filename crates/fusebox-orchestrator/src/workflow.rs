//! The graph of a workflow: steps, what they need, and the checks that hold before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::sha256_hex;

/// What a step does while its agent is not available: its breaker is open, or its attempts are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Wait for the agent as long as the run's objective allows, then fail. The default.
    #[default]
    Wait,
    /// Fail at once.
    Fail,
    /// Do without: steps that name it `optional` go on, the run ends degraded at best.
    Skip,
}

/// One node of the graph: an agent to call, and the steps whose outputs it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    name: String,
    agent: String,
    requires: Vec<String>,
    optional: Vec<String>,
    on_unavailable: OnUnavailable,
}

impl Step {
    /// A step called `name` that calls the agent of the same name and needs nothing.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            agent: name.clone(),
            name,
            requires: Vec::new(),
            optional: Vec::new(),
            on_unavailable: OnUnavailable::default(),
        }
    }

    /// Calls `agent` instead of the agent that has the step's name.
    #[must_use]
    pub fn with_agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// Takes the outputs of these steps and does not start without them.
    #[must_use]
    pub fn requires<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.requires.extend(steps.into_iter().map(Into::into));
        self
    }

    /// Takes the outputs of these steps where they exist, and starts once each is settled.
    #[must_use]
    pub fn optional<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.optional.extend(steps.into_iter().map(Into::into));
        self
    }

    /// What to do while the agent is not available. Defaults to [`OnUnavailable::Wait`].
    #[must_use]
    pub fn on_unavailable(mut self, policy: OnUnavailable) -> Self {
        self.on_unavailable = policy;
        self
    }

    /// Its name, unique in the workflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The agent it calls.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The steps it cannot do without.
    pub fn required(&self) -> &[String] {
        &self.requires
    }

    /// The steps it takes where they exist.
    pub fn optionals(&self) -> &[String] {
        &self.optional
    }

    /// What it does while its agent is not available.
    pub fn unavailable_policy(&self) -> OnUnavailable {
        self.on_unavailable
    }

    fn upstream(&self) -> impl Iterator<Item = &String> {
        self.requires.iter().chain(&self.optional)
    }
}

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Workflow {
    name: String,
    objective_ms: u64,
    /// In an order in which each step comes after all it takes from.
    steps: Vec<Step>,
    outputs: Vec<String>,
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
        &self.name
    }

    /// The time within which a run must have its outputs, counted from each start or resume.
    pub fn objective(&self) -> Duration {
        Duration::from_millis(self.objective_ms)
    }

    /// The steps in topological order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps whose outputs a run must deliver; unless named, those that nothing takes from.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// SHA-256 over everything that decides what a run does, in hex. A run resumes only under the
    /// fingerprint it began with.
    pub fn fingerprint(&self) -> String {
        let canonical =
            serde_json::to_vec(self).expect("a workflow holds only strings and numbers");
        sha256_hex(&canonical)
    }

    /// The lines in which `other` differs, one per step or setting; empty when nothing does.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.objective_ms != other.objective_ms {
            lines.push(format!(
                "objective: {} ms then, {} ms now",
                self.objective_ms, other.objective_ms
            ));
        }
        if self.outputs != other.outputs {
            lines.push(format!(
                "outputs: {:?} then, {:?} now",
                self.outputs, other.outputs
            ));
        }
        for step in &self.steps {
            match other.step(&step.name) {
                None => lines.push(format!("step `{}`: gone", step.name)),
                Some(now) if now != step => lines.push(format!("step `{}`: changed", step.name)),
                Some(_) => {}
            }
        }
        for step in &other.steps {
            if self.step(&step.name).is_none() {
                lines.push(format!("step `{}`: new", step.name));
            }
        }
        lines
    }

    /// The graph as a Mermaid flow chart; dashed arrows are optional edges.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (index, step) in self.steps.iter().enumerate() {
            let label = if step.agent == step.name {
                step.name.clone()
            } else {
                format!("{} ({})", step.name, step.agent)
            };
            let _ = writeln!(text, "    s{index}[\"{}\"]", label.replace('"', "#quot;"));
        }
        let index_of: BTreeMap<&str, usize> = self
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| (step.name.as_str(), index))
            .collect();
        for (index, step) in self.steps.iter().enumerate() {
            for from in &step.requires {
                let _ = writeln!(text, "    s{} --> s{index}", index_of[from.as_str()]);
            }
            for from in &step.optional {
                let _ = writeln!(text, "    s{} -.-> s{index}", index_of[from.as_str()]);
            }
        }
        text
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
        check_names(&self.steps)?;
        check_edges(&self.steps)?;
        let steps = topological(self.steps)?;
        let outputs = if self.outputs.is_empty() {
            sinks(&steps)
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
        Ok(Workflow {
            name: self.name,
            objective_ms,
            steps,
            outputs,
        })
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

fn check_names(steps: &[Step]) -> Result<(), WorkflowError> {
    let mut seen = BTreeSet::new();
    for step in steps {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if step.name.is_empty() || step.name.len() > 64 || !step.name.chars().all(plain) {
            return Err(WorkflowError::BadName {
                step: step.name.clone(),
            });
        }
        if !seen.insert(&step.name) {
            return Err(WorkflowError::DuplicateStep {
                step: step.name.clone(),
            });
        }
    }
    Ok(())
}

fn check_edges(steps: &[Step]) -> Result<(), WorkflowError> {
    let names: BTreeSet<&String> = steps.iter().map(|step| &step.name).collect();
    for step in steps {
        let mut seen = BTreeSet::new();
        for upstream in step.upstream() {
            let (step, upstream) = (step.name.clone(), upstream.clone());
            if !names.contains(&upstream) {
                return Err(WorkflowError::UnknownUpstream { step, upstream });
            }
            if !seen.insert(upstream.clone()) {
                return Err(WorkflowError::DuplicateEdge { step, upstream });
            }
        }
    }
    Ok(())
}

/// Kahn's algorithm, keeping the given order among steps that are free at the same time.
fn topological(mut rest: Vec<Step>) -> Result<Vec<Step>, WorkflowError> {
    let mut placed: BTreeSet<String> = BTreeSet::new();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let Some(free) = rest
            .iter()
            .position(|step| step.upstream().all(|up| placed.contains(up)))
        else {
            return Err(WorkflowError::Cycle {
                steps: cycle_in(&rest, &placed),
            });
        };
        let step = rest.remove(free);
        placed.insert(step.name.clone());
        ordered.push(step);
    }
    Ok(ordered)
}

/// Walks upstream from any step that could not be placed until a step repeats.
fn cycle_in(rest: &[Step], placed: &BTreeSet<String>) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut at = &rest[0];
    loop {
        if let Some(start) = path.iter().position(|name| *name == at.name) {
            let mut cycle: Vec<String> = path[start..]
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            cycle.reverse();
            cycle.push(cycle[0].clone());
            return cycle;
        }
        path.push(&at.name);
        let next = at
            .upstream()
            .find(|up| !placed.contains(*up))
            .expect("an unplaced step waits for another");
        at = rest
            .iter()
            .find(|step| step.name == *next)
            .expect("edges have two ends, checked before");
    }
}

fn sinks(steps: &[Step]) -> Vec<String> {
    let taken: BTreeSet<&String> = steps.iter().flat_map(Step::upstream).collect();
    steps
        .iter()
        .filter(|step| !taken.contains(&step.name))
        .map(|step| step.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_below_a_millisecond_is_not_zero() {
        let workflow = Workflow::builder("w")
            .step(Step::new("a"))
            .objective(Duration::from_micros(500));
        let workflow = workflow.build().expect("it is good");
        assert_eq!(workflow.objective(), Duration::from_millis(1));
    }

    #[test]
    fn a_stored_workflow_keeps_its_order_and_is_refused_if_an_edge_leads_nowhere() {
        let workflow = Workflow::builder("w")
            .step(Step::new("b").requires(["a"]))
            .step(Step::new("c"))
            .step(Step::new("a"))
            .build()
            .expect("it is good");
        let stored = serde_json::to_string(&workflow).expect("it can be written");
        let read: Workflow = serde_json::from_str(&stored).expect("it was written");
        assert_eq!(read, workflow);
        let damaged = stored.replace("\"requires\":[\"a\"]", "\"requires\":[\"z\"]");
        let error = serde_json::from_str::<Workflow>(&damaged).expect_err("damaged");
        assert!(error.to_string().contains("takes from `z`"), "{error}");
    }

    #[test]
    fn a_cycle_is_named_in_the_direction_of_the_edges() {
        let error = Workflow::builder("w")
            .step(Step::new("a").requires(["c"]))
            .step(Step::new("b").requires(["a"]))
            .step(Step::new("c").requires(["b"]))
            .build()
            .unwrap_err();
        let WorkflowError::Cycle { steps } = error else {
            panic!("{error}")
        };
        assert_eq!(steps.len(), 4);
        for pair in steps.windows(2) {
            let follows = [("a", "b"), ("b", "c"), ("c", "a")];
            assert!(
                follows.contains(&(pair[0].as_str(), pair[1].as_str())),
                "{steps:?}"
            );
        }
    }

    #[test]
    fn steps_come_out_after_what_they_take_from() {
        let workflow = Workflow::builder("w")
            .step(Step::new("c").requires(["b"]).optional(["a"]))
            .step(Step::new("b").requires(["a"]))
            .step(Step::new("a"))
            .build()
            .unwrap();
        let names: Vec<_> = workflow.steps().iter().map(Step::name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(workflow.outputs(), ["c"]);
    }

    #[test]
    fn the_fingerprint_follows_the_definition() {
        let make = |policy| {
            Workflow::builder("w")
                .step(Step::new("a").on_unavailable(policy))
                .build()
                .unwrap()
        };
        let (wait, fail) = (make(OnUnavailable::Wait), make(OnUnavailable::Fail));
        assert_eq!(wait.fingerprint(), make(OnUnavailable::Wait).fingerprint());
        assert_ne!(wait.fingerprint(), fail.fingerprint());
        assert_eq!(wait.differences(&fail), ["step `a`: changed"]);
    }

    #[test]
    fn dangling_and_doubled_edges_are_refused_by_name() {
        let dangling = Workflow::builder("w")
            .step(Step::new("a").requires(["x"]))
            .build()
            .unwrap_err();
        assert_eq!(
            dangling,
            WorkflowError::UnknownUpstream {
                step: "a".into(),
                upstream: "x".into()
            }
        );
        let doubled = Workflow::builder("w")
            .step(Step::new("a"))
            .step(Step::new("b").requires(["a"]).optional(["a"]))
            .build()
            .unwrap_err();
        assert_eq!(
            doubled,
            WorkflowError::DuplicateEdge {
                step: "b".into(),
                upstream: "a".into()
            }
        );
    }

    #[test]
    fn a_drawing_shows_optional_edges_dashed() {
        let workflow = Workflow::builder("w")
            .step(Step::new("a"))
            .step(Step::new("b").optional(["a"]))
            .build()
            .unwrap();
        assert!(workflow.to_mermaid().contains("s0 -.-> s1"));
    }
}
