//! A witness beside the journal: one line per call of an agent, written before the call is made.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use fusebox::agent::{Agent, AgentError, Context, Description, Reply, Task};

use crate::failure::Failure;

/// A file that lines are appended to. Several processes may share it.
#[derive(Debug)]
pub(crate) struct ExecutionLog {
    file: File,
}

impl ExecutionLog {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| {
                Failure::misuse(format!(
                    "--execution-log {}: {error}; give a file that can be written",
                    path.display()
                ))
            })?;
        Ok(Self { file })
    }

    /// Appends one line in one write, so that lines of several processes do not mix.
    fn append(&self, cx: &Context) -> std::io::Result<()> {
        let (run, step, attempt, key) =
            (cx.run_id(), cx.step(), cx.attempt(), cx.idempotency_key());
        let line = format!(
            "{run} {step} attempt={attempt} key={key} pid={}\n",
            std::process::id()
        );
        (&self.file).write_all(line.as_bytes())
    }
}

/// An agent whose calls are logged.
pub(crate) struct LoggedAgent {
    agent: Arc<dyn Agent>,
    log: Arc<ExecutionLog>,
}

impl LoggedAgent {
    pub(crate) fn new(agent: Arc<dyn Agent>, log: Arc<ExecutionLog>) -> Self {
        Self { agent, log }
    }
}

#[async_trait::async_trait]
impl Agent for LoggedAgent {
    fn describe(&self) -> &Description {
        self.agent.describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let unwritten =
            |error| AgentError::failed("the execution log could not be written").with_source(error);
        self.log.append(cx).map_err(unwritten)?;
        self.agent.call(task, cx).await
    }
}
