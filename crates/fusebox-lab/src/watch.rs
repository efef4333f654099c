//! What is written down of every call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Probe, Reply, Schema, Task};
use fusebox_policy::Spend;
use tokio::time::Instant;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With an answer that is good.
    Good,
    /// With an error, or an answer that its schema refuses.
    Bad,
    /// Without any: given up by whoever made it.
    None,
}

/// A call that is over. Times count from the beginning of the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// The agent, by its place among all.
    pub(crate) agent: usize,
    /// The number of the run it was made for.
    pub(crate) run: usize,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    pub(crate) answer: Answer,
}

/// The calls of one go, in the order in which they ended.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    origin: Instant,
    all: Arc<Mutex<Vec<Call>>>,
}

impl Calls {
    pub(crate) fn since(origin: Instant) -> Self {
        Self {
            origin,
            all: Arc::default(),
        }
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.all())
    }

    fn all(&self) -> MutexGuard<'_, Vec<Call>> {
        // A push leaves nothing half done.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a run, which tells its number again.
pub(crate) fn run_name(number: usize) -> String {
    format!("run-{number}")
}

fn run_number(name: &str) -> usize {
    let number = name
        .strip_prefix("run-")
        .and_then(|digits| digits.parse().ok());
    number.expect("every run of the lab is called by its number")
}

/// An agent whose calls are written down, with the faults inside.
pub(crate) struct Watched {
    agent: Arc<dyn Agent>,
    /// Its place among all.
    place: usize,
    schema: Option<Schema>,
    calls: Calls,
}

impl Watched {
    pub(crate) fn new(agent: Arc<dyn Agent>, place: usize, calls: Calls) -> Self {
        let schema = agent.describe().output_schema.as_ref();
        // One that does not compile fails every guarded call.
        let schema = schema.and_then(|schema| Schema::compile("output schema", schema).ok());
        Self {
            agent,
            place,
            schema,
            calls,
        }
    }

    fn is_good(&self, result: &Result<Reply, AgentError>) -> bool {
        let refused = |reply: &Reply| {
            let schema = self.schema.as_ref();
            schema.is_some_and(|schema| schema.check(&reply.output).is_err())
        };
        result.as_ref().is_ok_and(|reply| !refused(reply))
    }
}

#[async_trait]
impl Agent for Watched {
    fn describe(&self) -> &Description {
        self.agent.describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let mut flight = Flight {
            calls: &self.calls,
            agent: self.place,
            run: run_number(cx.run_id()),
            begun: self.calls.origin.elapsed(),
            answer: Answer::None,
        };
        let result = self.agent.call(task, cx).await;
        flight.answer = match self.is_good(&result) {
            true => Answer::Good,
            false => Answer::Bad,
        };
        result
    }

    fn estimate(&self, task: &Task) -> Spend {
        self.agent.estimate(task)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        self.agent.probe()
    }
}

/// A call under way; however it ends, it is written down.
struct Flight<'a> {
    calls: &'a Calls,
    agent: usize,
    run: usize,
    begun: Duration,
    answer: Answer,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let call = Call {
            agent: self.agent,
            run: self.run,
            begun: self.begun,
            ended: self.calls.origin.elapsed(),
            answer: self.answer,
        };
        self.calls.all().push(call);
    }
}
