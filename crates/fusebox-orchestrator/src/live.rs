//! The runs this process works on, and when each last showed a sign of life.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::run_id::RunId;

/// Signs of life of one run, and the way to stop it.
#[derive(Debug)]
pub(crate) struct Pulse {
    last: Mutex<Instant>,
    calls: AtomicUsize,
    cancellation: CancellationToken,
    /// Who stopped it and why, where that was said.
    cancelled: OnceLock<String>,
}

impl Pulse {
    pub(crate) fn new(cancellation: CancellationToken) -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            calls: AtomicUsize::new(0),
            cancellation,
            cancelled: OnceLock::new(),
        }
    }

    /// Who stopped the run and why, where that was said.
    pub(crate) fn cancelled(&self) -> Option<&str> {
        self.cancelled.get().map(String::as_str)
    }

    /// The run did something, and has so many calls in flight.
    pub(crate) fn beat(&self, calls: usize) {
        self.calls.store(calls, Ordering::Relaxed);
        self.sign();
    }

    /// One of its agents is at work.
    pub(crate) fn sign(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// How long since it last did something.
    fn quiet(&self, now: Instant) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(last)
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
        let busy = runs.iter().filter(|(_, pulse)| pulse.calls() > 0);
        let silent = busy.map(|(run, pulse)| (run.clone(), pulse.quiet(now)));
        let mut stalled: Vec<_> = silent
            .filter(|(_, silence)| *silence >= self.stall_after)
            .collect();
        stalled.sort();
        stalled
    }

    /// Every run with its calls in flight and how long it has been quiet, by name.
    #[cfg(feature = "control")]
    pub(crate) fn all(&self) -> Vec<(RunId, usize, Duration)> {
        let now = Instant::now();
        let runs = self.lock();
        let all = runs
            .iter()
            .map(|(run, pulse)| (run.clone(), pulse.calls(), pulse.quiet(now)));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    }

    /// Stops a run; `false` where it is not worked on.
    pub(crate) fn cancel(&self, run: &RunId, why: String) -> bool {
        let pulse = self.lock().get(run).cloned();
        let Some(pulse) = pulse else {
            return false;
        };
        // The first one who said why is believed.
        let _ = pulse.cancelled.set(why);
        pulse.cancellation.cancel();
        true
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
