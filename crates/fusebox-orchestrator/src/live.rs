//! The runs this process works on, and when each last showed a sign of life.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::run_id::RunId;

/// Signs of life of one run.
#[derive(Debug)]
pub(crate) struct Pulse {
    last: Mutex<Instant>,
    calls: AtomicUsize,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            calls: AtomicUsize::new(0),
        }
    }
}

impl Pulse {
    /// The run did something, and has so many calls in flight.
    pub(crate) fn beat(&self, calls: usize) {
        self.calls.store(calls, Ordering::Relaxed);
        self.sign();
    }

    /// One of its agents is at work.
    pub(crate) fn sign(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long a run with calls in flight has been silent; `None` without any.
    fn silence(&self, now: Instant) -> Option<Duration> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (self.calls.load(Ordering::Relaxed) > 0).then(|| now.saturating_duration_since(last))
    }
}

/// The runs of an engine that are worked on.
#[derive(Debug)]
pub(crate) struct LiveRuns {
    stall_after: Duration,
    runs: Mutex<HashMap<RunId, Arc<Pulse>>>,
}

impl LiveRuns {
    pub(crate) fn new(stall_after: Duration) -> Self {
        Self {
            stall_after,
            runs: Mutex::default(),
        }
    }

    /// Counts a run in until the guard is dropped.
    pub(crate) fn enter(&self, run: &RunId, pulse: Arc<Pulse>) -> LiveRun<'_> {
        self.lock().insert(run.clone(), pulse);
        LiveRun {
            runs: self,
            run: run.clone(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The runs that have been silent for too long, each with how long, by name.
    pub(crate) fn stalled(&self) -> Vec<(RunId, Duration)> {
        let now = Instant::now();
        let runs = self.lock();
        let silent = runs
            .iter()
            .filter_map(|(run, pulse)| Some((run, pulse.silence(now)?)));
        let stalled = silent.filter(|(_, silence)| *silence >= self.stall_after);
        let mut stalled: Vec<_> = stalled
            .map(|(run, silence)| (run.clone(), silence))
            .collect();
        stalled.sort();
        stalled
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Pulse>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that is worked on.
pub(crate) struct LiveRun<'a> {
    runs: &'a LiveRuns,
    run: RunId,
}

impl Drop for LiveRun<'_> {
    fn drop(&mut self) {
        self.runs.lock().remove(&self.run);
    }
}
