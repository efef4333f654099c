//! An agent that is watched.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task};
use serde_json::Value;

use crate::call::{Call, Calls};

/// Any agent, with somebody beside it who remembers every call and how many there were at once.
///
/// It describes itself as the agent inside. Put it around faults to see the calls that they strike
/// as well, inside them to see those that get through. Clones share the memory: give one to the
/// engine, keep one for the test.
///
/// ```
/// use std::sync::Arc;
///
/// use fusebox_agent::{Agent, Context, FaultyAgent, Reply, Task, agent_fn};
/// use fusebox_testkit::{Witness, virtual_time};
///
/// virtual_time(1, async |_| {
///     let inside = Witness::new(agent_fn("a", |task: Task, _| async { Ok(Reply::new(task.input)) }));
///     let faulty = FaultyAgent::new(Arc::new(inside.clone()), vec!["api:1".parse().unwrap()], 7);
///     let outside = Witness::new(faulty);
///     assert!(outside.call(Task::new("?"), &Context::new("run", "a")).await.is_err());
///     assert_eq!((outside.calls(), inside.calls()), (1, 0));
///     assert_eq!((outside.in_flight(), outside.most_at_once()), (0, 1));
/// });
/// ```
#[derive(Clone)]
pub struct Witness {
    agent: Arc<dyn Agent>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    calls: Calls,
    in_flight: AtomicUsize,
    most: AtomicUsize,
}

impl Witness {
    /// Watches `agent`.
    pub fn new(agent: impl Agent + 'static) -> Self {
        Self {
            agent: Arc::new(agent),
            shared: Arc::default(),
        }
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.shared.calls.len()
    }

    /// Waits until there have been `calls` calls in all, counted when they begin.
    pub async fn called(&self, calls: usize) {
        self.shared.calls.reached(calls).await;
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

    /// Calls that have begun and not ended. One that was dropped has ended.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// The most calls that were ever in flight at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Agent for Witness {
    fn describe(&self) -> &Description {
        self.agent.describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let _flight = Flight::begin(&self.shared);
        self.shared.calls.record(&task, cx);
        self.agent.call(task, cx).await
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("agent", &self.agent.describe().name)
            .field("calls", &self.calls())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// A call under way; it ends by being dropped, whatever became of it.
struct Flight<'a>(&'a Shared);

impl<'a> Flight<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let now = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
