//! Calls as they are made.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Operation;

/// Writes down what many callers do.
#[derive(Debug)]
pub struct Recorder<C, A> {
    clock: AtomicU64,
    operations: Mutex<Vec<Operation<C, A>>>,
}

impl<C, A> Default for Recorder<C, A> {
    fn default() -> Self {
        Self {
            clock: AtomicU64::new(0),
            operations: Mutex::default(),
        }
    }
}

impl<C, A: Clone> Recorder<C, A> {
    /// Makes a call and writes it down. `made` answers none if there is no telling what came of it.
    pub async fn call(&self, call: C, made: impl Future<Output = Option<A>>) -> Option<A> {
        let began = self.tick();
        let answer = made.await;
        let ended = answer.clone().map(|answer| (self.tick(), answer));
        let operation = Operation { began, ended, call };
        self.operations
            .lock()
            .expect("no panic holds it")
            .push(operation);
        answer
    }

    /// Everything so far.
    pub fn into_operations(self) -> Vec<Operation<C, A>> {
        self.operations.into_inner().expect("no panic holds it")
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}
