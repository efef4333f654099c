//! The trait every agent implements, and what goes in and out of it.

use std::sync::Arc;

use async_trait::async_trait;
use fusebox_policy::Spend;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AgentError, Context};

/// Something that turns a [`Task`] into a [`Reply`]: a function, a program, a model, a tool.
///
/// # Contract
///
/// - `call` may run several times at once, and more than once for the same task: a retry and a
///   restart after a crash bring the same [`Context::idempotency_key`].
/// - Dropping the future ends the call: whatever it started is stopped, not left behind. The
///   [`Guard`](crate::Guard) drops it at the deadline and on cancellation; an agent that hands
///   work to others watches [`Context::cancellation`] or [`Context::interrupted`] to stop them.
/// - An agent neither retries nor breaks circuits; it reports what happened, once.
/// - `describe` always gives the same answer and costs nothing.
///
/// Anyone may implement it; [`agent_fn`](crate::agent_fn) does it for a closure.
#[async_trait]
pub trait Agent: Send + Sync {
    /// Who this is and what it takes and gives.
    fn describe(&self) -> &Description;

    /// Does the task once.
    ///
    /// # Errors
    /// An [`AgentError`] that says what went wrong, whether the task may have run, and whether
    /// trying again may help.
    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError>;

    /// What one attempt at the task costs at most, to be reserved in budgets before it; what it
    /// really cost the agent tells by [`Context::spend`]. Default [`Spend::LEAST`]: a budget that
    /// has nothing left refuses it.
    fn estimate(&self, task: &Task) -> Spend {
        let _ = task;
        Spend::LEAST
    }

    /// How the agent can be tried without a task, if it can; default: it cannot.
    fn probe(&self) -> Option<&dyn Probe> {
        None
    }
}

/// A way to ask whether an agent works again that costs less than a task.
///
/// It must ask what a task would need: a model that has room for one token, rather than a page
/// that is served while the model is overloaded. Anyone may implement it.
#[async_trait]
pub trait Probe: Send + Sync {
    /// What one probe costs at most.
    fn cost(&self) -> Spend;

    /// Tries the agent once. Dropping the future ends the probe.
    ///
    /// # Errors
    /// As [`Agent::call`].
    async fn probe(&self, cx: &Context) -> Result<(), AgentError>;
}

#[async_trait]
impl<A: Agent + ?Sized> Agent for Arc<A> {
    fn describe(&self) -> &Description {
        (**self).describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        (**self).call(task, cx).await
    }

    fn estimate(&self, task: &Task) -> Spend {
        (**self).estimate(task)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        (**self).probe()
    }
}

#[async_trait]
impl<A: Agent + ?Sized> Agent for Box<A> {
    fn describe(&self) -> &Description {
        (**self).describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        (**self).call(task, cx).await
    }

    fn estimate(&self, task: &Task) -> Spend {
        (**self).estimate(task)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        (**self).probe()
    }
}

/// Who an agent is and what it takes and gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// The agent's name in graphs, logs and metrics.
    pub name: String,
    /// What sort of agent it is: `rust`, `command`, ...
    pub kind: String,
    /// JSON Schema that inputs must satisfy; none means that any input is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// JSON Schema that replies must satisfy; none means that any reply is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

impl Description {
    /// Describes an agent that takes and gives any JSON.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            input_schema: None,
            output_schema: None,
        }
    }

    /// Sets the JSON Schema that inputs must satisfy. It is compiled, and refused if it is not a
    /// schema, by [`Guard::try_new`](crate::Guard::try_new).
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// Sets the JSON Schema that replies must satisfy. It is compiled, and refused if it is not a
    /// schema, by [`Guard::try_new`](crate::Guard::try_new).
    #[must_use]
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.output_schema = Some(schema);
        self
    }
}

/// What an agent is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The input, any JSON.
    pub input: Value,
}

impl Task {
    /// A task with this input.
    #[must_use]
    pub fn new(input: impl Into<Value>) -> Self {
        Self {
            input: input.into(),
        }
    }
}

/// What an agent answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The output, any JSON.
    pub output: Value,
}

impl Reply {
    /// A reply with this output.
    #[must_use]
    pub fn new(output: impl Into<Value>) -> Self {
        Self {
            output: output.into(),
        }
    }
}
