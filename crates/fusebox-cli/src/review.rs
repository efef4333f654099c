//! The functions behind `examples/workspace-review`: a review of a Cargo workspace under git.

mod aggregation;
mod completion;
mod data;
mod optimization;
mod supervisor;

use std::path::PathBuf;
use std::sync::Arc;

use fusebox::agent::{Agent, AgentError, Context, Description, Reply, Task};
use serde_json::Value;

type Work =
    fn(Task, Context) -> std::pin::Pin<Box<dyn Future<Output = Result<Reply, AgentError>> + Send>>;

/// Every function a workflow file can name with `kind = "rust"`.
const FUNCTIONS: [(&str, Work); 5] = [
    ("review/supervisor", |task, cx| {
        Box::pin(supervisor::call(task, cx))
    }),
    ("review/data", |task, cx| Box::pin(data::call(task, cx))),
    ("review/optimization", |task, cx| {
        Box::pin(optimization::call(task, cx))
    }),
    ("review/aggregation", |task, cx| {
        Box::pin(aggregation::call(task, cx))
    }),
    ("review/completion", |task, cx| {
        Box::pin(completion::call(task, cx))
    }),
];

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// The function called `function` as an agent called `name`.
pub(crate) fn agent(
    function: &str,
    name: &str,
    output_schema: Option<Value>,
) -> Option<Arc<dyn Agent>> {
    let (_, work) = FUNCTIONS.iter().find(|(known, _)| *known == function)?;
    let mut description = Description::new(name, "rust");
    if let Some(schema) = output_schema {
        description = description.with_output_schema(schema);
    }
    Some(Arc::new(Function {
        description,
        work: *work,
    }))
}

struct Function {
    description: Description,
    work: Work,
}

#[async_trait::async_trait]
impl Agent for Function {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        (self.work)(task, cx.clone()).await
    }
}

/// The workspace under review.
fn path(task: &Task) -> Result<PathBuf, AgentError> {
    let path = task.input["input"]["path"].as_str();
    path.map(PathBuf::from)
        .ok_or_else(|| AgentError::invalid_input("the input `path` is missing"))
}

/// The output of an upstream step, which the graph says is there.
fn upstream<'a>(task: &'a Task, step: &str) -> Result<&'a Value, AgentError> {
    let output = &task.input["upstream"][step];
    if output.is_null() {
        return Err(AgentError::invalid_input(format!(
            "the output of step `{step}` is missing"
        )));
    }
    Ok(output)
}
