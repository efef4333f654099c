//! One node of the graph.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::inner;
use super::{Approval, Condition, Inner, Join, Map, Repeat, Work};
use crate::time::millis;

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
    /// Take the output that the step had in the last run of this workflow with the same input in which
    /// it succeeded, if that is this old at most, as degraded; where there is none, wait as by default.
    LastGood {
        /// The greatest age, in milliseconds; an output of exactly that age still does.
        max_age_ms: u64,
    },
}

impl OnUnavailable {
    /// [`LastGood`](Self::LastGood) up to an age, in whole milliseconds.
    pub fn last_good(max_age: Duration) -> Self {
        Self::LastGood {
            max_age_ms: millis(max_age),
        }
    }
}

/// One node of the graph: an agent to call, and the steps whose outputs it takes.
///
/// What is not set is not written either, so a definition keeps its fingerprint when this type
/// learns more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub(super) name: String,
    pub(super) agent: String,
    pub(super) requires: Vec<String>,
    pub(super) optional: Vec<String>,
    pub(super) on_unavailable: OnUnavailable,
    #[serde(default, skip_serializing_if = "Join::is_all")]
    pub(super) join: Join,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) when: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Work::is_call")]
    pub(super) work: Work,
    /// Until the outer workflow is built; then its steps are steps of that.
    #[serde(skip)]
    pub(super) inner: Option<Box<Inner>>,
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
            join: Join::default(),
            when: Vec::new(),
            work: Work::default(),
            inner: None,
        }
    }

    /// Calls `agent` instead of the agent that has the step's name.
    #[must_use]
    pub fn with_agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// Takes the outputs of these steps and does not start without them, or without as many of them
    /// as its [`join`](Self::join) asks for.
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

    /// How many of the required steps it needs. Defaults to [`Join::All`].
    #[must_use]
    pub fn join(mut self, join: Join) -> Self {
        self.join = join;
        self
    }

    /// Runs only if this holds too, once its join does. A step whose conditions do not all hold is
    /// skipped; see [`Condition`].
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.when.push(condition);
        self
    }

    /// Calls its agent for every item of a list, instead of once. With [`repeat`](Self::repeat) too,
    /// each item is called until its answer will do.
    #[must_use]
    pub fn map(mut self, mut map: Map) -> Self {
        if let Work::Repeat(repeat) = self.work {
            map.repeat = Some(repeat);
        }
        self.work = Work::Map(map);
        self
    }

    /// Calls its agent until its answer will do, instead of once; of a [`map`](Self::map), for each item.
    #[must_use]
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        match &mut self.work {
            Work::Map(map) => map.repeat = Some(repeat),
            work => *work = Work::Repeat(repeat),
        }
        self
    }

    /// Waits for a person's decision, instead of calling an agent.
    #[must_use]
    pub fn approval(mut self, approval: Approval) -> Self {
        self.work = Work::Approval(approval);
        self
    }

    /// Is a workflow of its own, instead of calling an agent; see [`Inner`].
    #[must_use]
    pub fn workflow(mut self, inner: impl Into<Inner>) -> Self {
        self.inner = Some(Box::new(inner.into()));
        self
    }

    /// What to do while the agent is not available. Defaults to [`OnUnavailable::Wait`].
    #[must_use]
    pub fn on_unavailable(mut self, policy: OnUnavailable) -> Self {
        self.on_unavailable = policy;
        self
    }

    #[cfg(feature = "file")]
    pub(super) fn put_agent_under(&mut self, prefix: &str) {
        match &mut self.work {
            Work::Enter(_) | Work::Leave => {}
            Work::Approval(approval) => {
                if let Some(agent) = &mut approval.fallback {
                    agent.insert_str(0, prefix);
                }
            }
            _ => self.agent.insert_str(0, prefix),
        }
    }

    /// Its name, unique in the workflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The agent it calls; of an approval the fallback, if it has one; none where a workflow inside
    /// this one begins or ends.
    pub fn agent(&self) -> Option<&str> {
        match &self.work {
            Work::Approval(approval) => approval.fallback(),
            Work::Enter(_) | Work::Leave => None,
            _ => Some(&self.agent),
        }
    }

    /// The steps it cannot do without, as far as its join goes.
    pub fn required(&self) -> &[String] {
        &self.requires
    }

    /// The steps it takes where they exist.
    pub fn optionals(&self) -> &[String] {
        &self.optional
    }

    /// How many of the required steps it needs.
    pub fn join_rule(&self) -> Join {
        self.join
    }

    /// What must hold for it to run.
    pub fn conditions(&self) -> &[Condition] {
        &self.when
    }

    /// What it does when its turn has come.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// What it does while its agent is not available.
    pub fn unavailable_policy(&self) -> OnUnavailable {
        self.on_unavailable
    }

    /// The step that the workflow it belongs to is in the outer one; `None` for a step of the outermost.
    pub fn within(&self) -> Option<&str> {
        inner::within(&self.name)
    }

    /// How the workflow it belongs to calls the step `name`, from which it takes.
    pub(crate) fn calls<'a>(&self, name: &'a str) -> &'a str {
        let within = self.within();
        let local = within.and_then(|within| name.strip_prefix(within)?.strip_prefix('/'));
        local.unwrap_or(name)
    }

    pub(crate) fn upstream(&self) -> impl Iterator<Item = &String> {
        self.requires.iter().chain(&self.optional)
    }
}
