//! An agent behind the breaker of something it shares with others.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use fusebox_breaker::{Breaker, CallNotPermitted};
use fusebox_policy::{Classify, Spend};

use crate::{
    Agent, AgentClassify, AgentError, Context, Description, ErrorKind, Probe, Reply, Task,
};

/// Whether an error is the fault of what the agent depends on.
type IsShared = fn(&AgentError) -> bool;

/// An agent behind the breaker of something it shares with others: the server of a tool, the
/// provider of a model. The agents of one server stand behind clones of one breaker.
///
/// What is the fault of the shared thing is charged to its breaker and to no other: the error is
/// marked as [charged](AgentError::charged), so that the breaker of the guard around the agent
/// takes it as neutral. Everything else the agent answered is a success of the shared thing, and
/// charged around it as always; a time-out and a cancellation say nothing about it.
///
/// While the breaker is open, the agent is not called: the error is of the kind `breaker_open`,
/// says when to come back, and is retryable, but not by the guard, which has nothing to wait for.
///
/// ```
/// use std::sync::Arc;
///
/// use fusebox_agent::{Agent, AgentError, Behind, Context, Guard, Reply, Task, agent_fn};
/// use fusebox_breaker::{Breaker, Config};
/// use fusebox_policy::Policy;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let search = agent_fn("search", |_: Task, _: Context| async {
///     Err::<Reply, _>(AgentError::unavailable("files server"))
/// });
/// let server = Breaker::new("files server", Config::builder().build()?);
/// let tool = Breaker::new("search", Config::builder().build()?);
/// let agent = Behind::new(Arc::new(search), server.clone());
/// let guard = Guard::try_new(Arc::new(agent), Policy::builder(tool.clone()).build())?;
///
/// assert!(guard.call(Task::default(), Context::new("run", "step"), &()).await.is_err());
/// assert_eq!((server.counts().failed, tool.counts().failed), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Behind {
    agent: Arc<dyn Agent>,
    breaker: Breaker,
    is_shared: IsShared,
}

impl Behind {
    /// Puts `agent` behind `breaker`, which is charged for the kinds `dependency_unavailable`,
    /// `rate_limited`, `overloaded` and `unauthorized`.
    #[must_use]
    pub fn new(agent: Arc<dyn Agent>, breaker: Breaker) -> Self {
        let is_shared = |error: &AgentError| {
            matches!(
                error.kind,
                ErrorKind::DependencyUnavailable
                    | ErrorKind::RateLimited
                    | ErrorKind::Overloaded
                    | ErrorKind::Unauthorized
            )
        };
        Self {
            agent,
            breaker,
            is_shared,
        }
    }

    /// Sets which errors are the fault of what the agent shares. It is not asked about time-outs
    /// and cancellations.
    #[must_use]
    pub fn with_shared_faults(mut self, is_shared: IsShared) -> Self {
        self.is_shared = is_shared;
        self
    }

    /// The breaker of what the agent shares.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }
}

#[async_trait]
impl Agent for Behind {
    fn describe(&self) -> &Description {
        self.agent.describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let permit = self.breaker.try_acquire().map_err(refused)?;
        let error = match self.agent.call(task, cx).await {
            Ok(reply) => {
                permit.success();
                return Ok(reply);
            }
            Err(error) => error,
        };
        match error.kind {
            ErrorKind::TimedOut | ErrorKind::Cancelled => {
                permit.ignore();
                Err(error)
            }
            _ if (self.is_shared)(&error) => {
                let judged = Err(error);
                permit.record(AgentClassify.classify(&judged).verdict);
                judged.map_err(AgentError::charged)
            }
            _ => {
                permit.success();
                Err(error)
            }
        }
    }

    fn estimate(&self, task: &Task) -> Spend {
        self.agent.estimate(task)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        self.agent.probe()
    }
}

fn refused(refusal: CallNotPermitted) -> AgentError {
    AgentError::breaker_open(refusal.breaker(), refusal.retry_after)
        .retryable(refusal.retry_after.is_some())
        .with_source(refusal)
        .charged()
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind")
            .field("agent", &self.agent.describe().name)
            .field("breaker", &self.breaker.name())
            .finish_non_exhaustive()
    }
}
