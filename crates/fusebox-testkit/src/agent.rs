//! An agent that does what its script says.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::call::{Call, Calls};

/// An agent that answers and fails by a script, line by line, then repeats the last line; one
/// without a script answers `null`. It remembers every call.
///
/// Clones share the script and the memory: give one to the engine, keep one for the test.
///
/// ```
/// use fusebox_agent::{Agent, AgentError, Context, Task};
/// use fusebox_testkit::{ScriptedAgent, virtual_time};
/// use serde_json::json;
///
/// virtual_time(1, async |_| {
///     let agent = ScriptedAgent::new("a").fails(AgentError::api("503")).times(2).answers(json!("at last"));
///     let cx = Context::new("run", "a");
///     for works in [false, false, true, true] {
///         assert_eq!(agent.call(Task::new("?"), &cx).await.is_ok(), works);
///     }
///     assert_eq!(agent.calls(), 4);
///     assert_eq!(agent.inputs(), vec![json!("?"); 4]);
/// });
/// ```
#[derive(Clone)]
pub struct ScriptedAgent {
    description: Description,
    script: Vec<Line>,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Line {
    outcome: Result<Value, AgentError>,
    held: bool,
}

struct Shared {
    calls: Calls,
    releases: Semaphore,
}

impl ScriptedAgent {
    /// An agent called `name`, of kind `scripted`, with an empty script.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            description: Description::new(name, "scripted"),
            script: Vec::new(),
            shared: Arc::new(Shared {
                calls: Calls::default(),
                releases: Semaphore::new(0),
            }),
        }
    }

    /// Adds a line: answer with `output`.
    #[must_use]
    pub fn answers(self, output: impl Into<Value>) -> Self {
        self.line(Ok(output.into()))
    }

    /// Adds a line: fail with `error`.
    #[must_use]
    pub fn fails(self, error: AgentError) -> Self {
        self.line(Err(error))
    }

    /// Makes the last line stand for `times` calls instead of one. Without effect on an empty script.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        if let Some(last) = self.script.pop() {
            self.script.extend(std::iter::repeat_n(last, times));
        }
        self
    }

    /// Makes the last line wait for [`release`](Self::release) before it comes to its end. Without
    /// effect on an empty script.
    #[must_use]
    pub fn held(mut self) -> Self {
        if let Some(last) = self.script.last_mut() {
            last.held = true;
        }
        self
    }

    /// Promises replies of this JSON Schema, for the guard to check.
    #[must_use]
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_output_schema(schema);
        self
    }

    /// Lets one held call go on: the one that waits, or else the next that would.
    pub fn release(&self) {
        self.shared.releases.add_permits(1);
    }

    /// Waits until there have been `calls` calls in all, counted when they begin.
    pub async fn called(&self, calls: usize) {
        self.shared.calls.reached(calls).await;
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.shared.calls.len()
    }

    /// Every call, oldest first.
    pub fn recorded(&self) -> Vec<Call> {
        self.shared.calls.all()
    }

    /// The input of every call, oldest first.
    pub fn inputs(&self) -> Vec<Value> {
        self.shared.calls.each(|call| call.input.clone())
    }

    /// The idempotency key of every call, oldest first.
    pub fn idempotency_keys(&self) -> Vec<String> {
        self.shared.calls.each(|call| call.idempotency_key.clone())
    }

    fn line(mut self, outcome: Result<Value, AgentError>) -> Self {
        self.script.push(Line {
            outcome,
            held: false,
        });
        self
    }

    /// Remembers the call; answers with the line it gets.
    fn record(&self, task: &Task, cx: &Context) -> Line {
        let before = self.shared.calls.record(task, cx);
        let line = self.script.get(before).or(self.script.last());
        line.cloned().unwrap_or(Line {
            outcome: Ok(Value::Null),
            held: false,
        })
    }
}

#[async_trait]
impl Agent for ScriptedAgent {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let line = self.record(&task, cx);
        if line.held {
            let permit = self.shared.releases.acquire().await;
            permit.expect("it is never closed").forget();
        }
        line.outcome.map(Reply::new)
    }
}

impl fmt::Debug for ScriptedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedAgent")
            .field("name", &self.description.name)
            .field("lines", &self.script.len())
            .field("calls", &self.calls())
            .finish()
    }
}
