//! What an agent was asked, remembered.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fusebox_agent::{Context, Task};
use serde_json::Value;
use tokio::sync::watch;

/// One call as the agent saw it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// [`Task::input`].
    pub input: Value,
    /// [`Context::idempotency_key`].
    pub idempotency_key: String,
    /// [`Context::run_id`].
    pub run: String,
    /// [`Context::step`].
    pub step: String,
    /// [`Context::attempt`].
    pub attempt: u32,
}

/// The calls of one agent, oldest first.
#[derive(Debug)]
pub(crate) struct Calls {
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Calls {
    /// Remembers a call; says how many came before it.
    pub(crate) fn record(&self, task: &Task, cx: &Context) -> usize {
        let mut calls = self.lock();
        calls.push(Call {
            input: task.input.clone(),
            idempotency_key: cx.idempotency_key().to_owned(),
            run: cx.run_id().to_owned(),
            step: cx.step().to_owned(),
            attempt: cx.attempt(),
        });
        self.count.send_replace(calls.len());
        calls.len() - 1
    }

    /// Waits until there have been `calls` calls in all.
    pub(crate) async fn reached(&self, calls: usize) {
        let mut count = self.count.subscribe();
        let reached = count.wait_for(|count| *count >= calls).await;
        reached.expect("the sender lives as long as the agent");
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.lock().clone()
    }

    pub(crate) fn each<T>(&self, of: impl Fn(&Call) -> T) -> Vec<T> {
        self.lock().iter().map(of).collect()
    }

    // A poisoned list is whole: pushing is the only change.
    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
