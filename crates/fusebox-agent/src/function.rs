//! Agents written as a closure.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;
use serde_json::Value;

use crate::{Agent, AgentError, Context, Description, Reply, Task};

/// Makes an agent of kind `rust` out of an async closure.
///
/// ```
/// use fusebox_agent::{Agent, Context, Reply, Task, agent_fn};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), fusebox_agent::AgentError> {
/// let double = agent_fn("double", |task: Task, _cx: Context| async move {
///     Ok(Reply::new(task.input.as_i64().unwrap_or(0) * 2))
/// });
/// let reply = double.call(Task::new(21), &Context::new("run", "double")).await?;
/// assert_eq!(reply.output, json!(42));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn agent_fn<F, Fut>(name: impl Into<String>, call: F) -> FnAgent<F>
where
    F: Fn(Task, Context) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Reply, AgentError>> + Send,
{
    FnAgent {
        description: Description::new(name, "rust"),
        call,
    }
}

/// An agent that is a closure; made by [`agent_fn`].
pub struct FnAgent<F> {
    description: Description,
    call: F,
}

impl<F> FnAgent<F> {
    /// Sets the JSON Schema that inputs must satisfy.
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_input_schema(schema);
        self
    }

    /// Sets the JSON Schema that replies must satisfy.
    #[must_use]
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_output_schema(schema);
        self
    }
}

impl<F> fmt::Debug for FnAgent<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnAgent")
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<F, Fut> Agent for FnAgent<F>
where
    F: Fn(Task, Context) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Reply, AgentError>> + Send,
{
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        (self.call)(task, cx.clone()).await
    }
}
