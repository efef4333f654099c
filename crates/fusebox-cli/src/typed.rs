//! An agent of any kind that says what it takes.

use std::sync::Arc;

use async_trait::async_trait;
use fusebox::agent::{Agent, AgentError, Context, Description, Reply, Task};
use serde_json::Value;

/// An agent, and the schema that its tasks must satisfy; its guard checks them.
pub(crate) struct Typed {
    agent: Arc<dyn Agent>,
    description: Description,
}

impl Typed {
    pub(crate) fn new(agent: Arc<dyn Agent>, input_schema: Value) -> Self {
        let description = agent.describe().clone().with_input_schema(input_schema);
        Self { agent, description }
    }
}

#[async_trait]
impl Agent for Typed {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        self.agent.call(task, cx).await
    }
}
