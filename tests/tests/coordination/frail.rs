//! An agent with an outage, which comes back cold: at first it takes few calls at once, and more as it answers them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fusebox::agent::{Agent, AgentError, Context, Description, Reply, Task};
use serde_json::json;
use tokio::time::Instant;

/// How long it takes for an answer.
const TAKES: Duration = Duration::from_millis(100);

/// Calls it takes at once when it is cold.
const COLD: usize = 4;

/// Clones are one agent.
#[derive(Clone)]
pub(crate) struct Frail {
    description: Description,
    seen: Arc<Mutex<Seen>>,
}

/// What the agent saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    back_at: Option<Instant>,
    in_flight: usize,
    /// Calls during the outage.
    pub(crate) in_vain: usize,
    /// The most calls at once during the outage.
    pub(crate) most_in_vain: usize,
    /// Calls after it.
    pub(crate) after: usize,
    /// Calls answered after it.
    pub(crate) answered: usize,
    /// Calls it could not take.
    pub(crate) overrun: usize,
    /// The most calls at once after it.
    pub(crate) burst: usize,
    /// The most calls at once beyond those answered before.
    pub(crate) ahead: usize,
    last: Option<Instant>,
}

impl Frail {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            description: Description::new(name, "rust"),
            seen: Arc::default(),
        }
    }

    /// The outage is over.
    pub(crate) fn comes_back(&self) {
        self.seen.lock().unwrap().back_at = Some(Instant::now());
    }

    /// Whether no call can still be out that began during the outage.
    pub(crate) fn is_well(&self) -> bool {
        let back = self.seen.lock().unwrap().back_at;
        back.is_some_and(|back| back.elapsed() > TAKES)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    fn begin(&self) -> Option<Result<(), AgentError>> {
        let mut seen = self.seen.lock().unwrap();
        seen.in_flight += 1;
        if seen.back_at.is_none() {
            seen.in_vain += 1;
            seen.most_in_vain = seen.most_in_vain.max(seen.in_flight);
            return Some(Err(AgentError::api("503")));
        }
        seen.after += 1;
        seen.burst = seen.burst.max(seen.in_flight);
        seen.ahead = seen.ahead.max(seen.in_flight.saturating_sub(seen.answered));
        if seen.in_flight > COLD + seen.answered {
            seen.overrun += 1;
            return Some(Err(AgentError::api("overrun")));
        }
        None
    }

    fn end(&self, answered: bool) {
        let mut seen = self.seen.lock().unwrap();
        seen.in_flight -= 1;
        seen.answered += usize::from(answered);
        seen.last = Some(Instant::now());
    }
}

impl Seen {
    /// From the end of the outage to the last answer.
    pub(crate) fn drained(&self) -> Duration {
        self.last.unwrap() - self.back_at.unwrap()
    }
}

#[async_trait]
impl Agent for Frail {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _task: Task, _cx: &Context) -> Result<Reply, AgentError> {
        let refused = self.begin();
        tokio::time::sleep(TAKES).await;
        self.end(refused.is_none());
        match refused {
            Some(refused) => refused.map(|()| Reply::default()),
            None => Ok(Reply::new(json!("served"))),
        }
    }
}
