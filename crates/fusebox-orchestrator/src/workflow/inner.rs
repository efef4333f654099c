//! A workflow as a step of another one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, Join, Map, OnUnavailable, Step, Work, Workflow, WorkflowError};

/// How deep workflows may be inside each other.
pub(crate) const MAX_DEPTH: usize = 8;

/// A workflow that is a step of another one.
///
/// Building the outer workflow makes the inner steps its own, under the step's name: a step `total` of
/// the workflow that is step `billing` becomes `billing/total`, and so it is called in journals,
/// events and approvals. All that holds of a step holds of it: it is shielded, journaled and resumed
/// like any other. Two steps that call nobody stand around them:
///
/// - `billing/` begins it, when the join and the conditions of the outer step hold. Nothing inside
///   starts before. Its output is the inner workflow's input.
/// - `billing` ends it, once each of its outputs is there or not taken. Its output is that of the inner
///   output, or, where the inner workflow has several, an object of them by name.
///
/// Inner agents are given what they are given where the workflow runs by itself: `input` is the inner
/// workflow's, and `upstream` has the names that it gives its steps.
///
/// The run has one objective, the outermost workflow's; that of an inner one is only compared with it.
/// What to do while an agent is not available is said at the inner steps.
///
/// ```
/// use fusebox_orchestrator::{Feed, Inner, Step, Workflow};
///
/// let billing = Workflow::builder("billing")
///     .step(Step::new("rate"))
///     .step(Step::new("total").requires(["rate"]))
///     .build()?;
/// let outer = Workflow::builder("month")
///     .step(Step::new("orders"))
///     .step(
///         Step::new("billing")
///             .requires(["orders"])
///             .workflow(Inner::new(billing).with_input("orders", Feed::step("orders", "/open"))),
///     )
///     .step(Step::new("mail").requires(["billing"]))
///     .build()?;
/// let names: Vec<&str> = outer.steps().iter().map(Step::name).collect();
/// assert_eq!(names, ["orders", "billing/", "billing/rate", "billing/total", "billing", "mail"]);
/// # Ok::<(), fusebox_orchestrator::WorkflowError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inner {
    pub(super) workflow: Workflow,
    enter: Enter,
}

impl Inner {
    /// `workflow`, whose input is an object of the outputs that the outer step takes, by step, until
    /// [`with_input`](Self::with_input) says otherwise.
    pub fn new(workflow: Workflow) -> Self {
        Self {
            workflow,
            enter: Enter::default(),
        }
    }

    /// Gives it `feed` as the field `name` of its input. An input of which one field is named holds the
    /// named ones only.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, feed: Feed) -> Self {
        let input = self.enter.input.get_or_insert_default();
        input.insert(name.into(), feed);
        self
    }

    /// Gives it an empty object.
    #[cfg(feature = "file")]
    pub(crate) fn without_input(mut self) -> Self {
        self.enter.input = Some(BTreeMap::new());
        self
    }
}

impl From<Workflow> for Inner {
    fn from(workflow: Workflow) -> Self {
        Self::new(workflow)
    }
}

/// The beginning of an inner workflow: where its input is from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enter {
    /// `None`: an object of what the step takes, by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<BTreeMap<String, Feed>>,
}

impl Enter {
    /// The fields of its input; `None`: it is an object of what the step takes, by step.
    pub fn input(&self) -> Option<&BTreeMap<String, Feed>> {
        self.input.as_ref()
    }

    fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.input.iter().flat_map(BTreeMap::values)
    }
}

/// Where one field of an inner workflow's input is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Feed {
    /// A place (a JSON Pointer; empty: the whole) in the output of a step that the outer step takes
    /// from. Where it is not there, the inner workflow cannot begin: its step has failed.
    Step {
        /// The step.
        step: String,
        /// The place.
        at: String,
    },
    /// A place in the input of the outer workflow. Where it is not there, the step has failed.
    Input {
        /// The place.
        at: String,
    },
    /// This value.
    Value(Value),
}

impl Feed {
    /// What is at `at` in the output of `step`.
    pub fn step(step: impl Into<String>, at: impl Into<String>) -> Self {
        let (step, at) = (step.into(), at.into());
        Self::Step { step, at }
    }

    /// What is at `at` in the input of the outer workflow.
    pub fn input(at: impl Into<String>) -> Self {
        Self::Input { at: at.into() }
    }

    fn at(&self) -> Option<&str> {
        match self {
            Self::Step { at, .. } | Self::Input { at } => Some(at),
            Self::Value(_) => None,
        }
    }
}

/// The step that the workflow of the step `name` is in the outer one.
pub(super) fn within(name: &str) -> Option<&str> {
    let name = name.strip_suffix('/').unwrap_or(name);
    name.rsplit_once('/').map(|(within, _)| within)
}

/// How many workflows the step `name` is inside of.
pub(super) fn depth(name: &str) -> usize {
    name.strip_suffix('/').unwrap_or(name).matches('/').count()
}

/// What holds of a step that is to be a workflow.
pub(super) fn check(step: &Step) -> Result<(), WorkflowError> {
    let Some(inner) = &step.inner else {
        return Ok(());
    };
    let name = || step.name.clone();
    let other = match &step.work {
        Work::Map(_) => Some("map"),
        Work::Repeat(_) => Some("repeat"),
        Work::Approval(_) => Some("approval"),
        _ if step.agent != step.name => Some("agent"),
        _ if step.on_unavailable != OnUnavailable::Wait => Some("on_unavailable"),
        _ => None,
    };
    if let Some(other) = other {
        let step = name();
        return Err(WorkflowError::InnerWith { step, other });
    }
    for feed in inner.enter.feeds() {
        if let Feed::Step { step: from, .. } = feed
            && !step.upstream().any(|up| up == from)
        {
            return Err(WorkflowError::FeedOffEdge {
                step: name(),
                from: from.clone(),
            });
        }
        if let Some(at) = feed.at().filter(|at| !super::condition::is_pointer(at)) {
            return Err(WorkflowError::BadPointer {
                step: name(),
                pointer: at.to_owned(),
            });
        }
    }
    Ok(())
}

/// Puts the steps of inner workflows in the place of the steps that they are.
pub(super) fn expand(steps: Vec<Step>) -> Vec<Step> {
    steps.into_iter().flat_map(expanded).collect()
}

fn expanded(mut step: Step) -> Vec<Step> {
    let Some(inner) = step.inner.take() else {
        return vec![step];
    };
    let Inner { workflow, enter } = *inner;
    let prefix = format!("{}/", step.name);
    let outputs: Vec<String> = workflow
        .outputs()
        .iter()
        .map(|o| prefix.clone() + o)
        .collect();
    let leave = Step {
        join: if outputs.len() == 1 {
            Join::All
        } else {
            Join::AllTaken
        },
        work: Work::Leave,
        ..Step::new(&step.name).requires(outputs)
    };
    step.name.clone_from(&prefix);
    step.agent.clone_from(&prefix);
    step.work = Work::Enter(enter);
    let inside = workflow.steps().iter().cloned();
    let inside = inside.map(|inside| put_inside(inside, &prefix));
    std::iter::once(step).chain(inside).chain([leave]).collect()
}

fn put_inside(mut step: Step, prefix: &str) -> Step {
    let put = |name: &mut String| name.insert_str(0, prefix);
    // An agent keeps its name; what calls none is called like its step.
    if step.agent().is_none() {
        put(&mut step.agent);
    }
    put(&mut step.name);
    step.requires.iter_mut().for_each(put);
    step.optional.iter_mut().for_each(put);
    for condition in &mut step.when {
        *condition = Condition::new(
            format!("{prefix}{}", condition.step()),
            condition.predicate().clone(),
        );
    }
    match &mut step.work {
        Work::Map(Map { step, .. }) => put(step),
        Work::Enter(enter) => {
            for feed in enter.input.iter_mut().flat_map(BTreeMap::values_mut) {
                if let Feed::Step { step, .. } = feed {
                    put(step);
                }
            }
        }
        _ => {}
    }
    // Of the others, the join cannot hold before the inner workflow has begun.
    if step.requires.is_empty() || step.join == Join::AllSettled {
        step.requires.insert(0, prefix.to_owned());
    }
    step
}
