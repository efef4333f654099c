//! Whether the store is there, as far as known.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::{StoreError, StoreMode};

/// The mode, and why and since when it is what it is.
pub(super) struct Mode {
    state: Mutex<State>,
    changes: watch::Sender<StoreMode>,
    patience: Duration,
}

struct State {
    mode: StoreMode,
    since: SystemTime,
    /// When it was first suspected, on the clock that waits go by.
    suspected: Instant,
    cause: Option<String>,
}

impl Mode {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                mode: StoreMode::Healthy,
                since: SystemTime::now(),
                suspected: Instant::now(),
                cause: None,
            }),
            changes: watch::Sender::new(StoreMode::Healthy),
            patience,
        }
    }

    pub(super) fn now(&self) -> StoreMode {
        self.lock().mode
    }

    pub(super) fn changes(&self) -> watch::Receiver<StoreMode> {
        self.changes.subscribe()
    }

    pub(super) fn since(&self) -> (StoreMode, SystemTime, Option<String>) {
        let state = self.lock();
        (state.mode, state.since, state.cause.clone())
    }

    /// Whether it is not worth asking.
    pub(super) fn is_away(&self) -> bool {
        self.now() == StoreMode::Degraded
    }

    /// Fails at once while the store is away.
    pub(super) fn check(&self, op: &'static str) -> Result<(), StoreError> {
        match self.is_away() {
            true => Err(self.away(op)),
            false => Ok(()),
        }
    }

    /// The error of a call that was not even sent.
    pub(super) fn away(&self, op: &'static str) -> StoreError {
        let cause = self.lock().cause.clone();
        let cause = cause.unwrap_or_else(|| "it gave no answer".to_owned());
        StoreError::Unavailable {
            op,
            cause: format!("the store is away and nothing else may answer: {cause}").into(),
            may_have_applied: false,
        }
    }

    /// Learns from an answer.
    pub(super) fn note<T>(&self, answer: &Result<T, StoreError>) {
        match answer {
            Ok(_) => self.answered(),
            Err(error) if is_away(error) => {
                self.suspect(error);
            }
            Err(_) => {}
        }
    }

    /// The store answered: it is not suspect any more. A degraded one has to be reconciled first.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        if state.mode == StoreMode::Suspect {
            self.set(&mut state, StoreMode::Healthy, None);
        }
    }

    /// The store did not answer. Answers whether it has not for longer than the patience lasts.
    pub(super) fn suspect(&self, error: &StoreError) -> bool {
        let mut state = self.lock();
        match state.mode {
            StoreMode::Healthy => {
                state.suspected = Instant::now();
                self.set(&mut state, StoreMode::Suspect, Some(describe(error)));
                self.patience.is_zero()
            }
            StoreMode::Suspect => state.suspected.elapsed() >= self.patience,
            StoreMode::Reconciling | StoreMode::Degraded => true,
        }
    }

    pub(super) fn degrade(&self, error: &StoreError) {
        let mut state = self.lock();
        if state.mode == StoreMode::Degraded {
            state.cause = Some(describe(error));
        } else {
            self.set(&mut state, StoreMode::Degraded, Some(describe(error)));
        }
    }

    pub(super) fn reconcile(&self) {
        let mut state = self.lock();
        let cause = state.cause.take();
        self.set(&mut state, StoreMode::Reconciling, cause);
    }

    /// Reconciled, unless it went away again meanwhile.
    pub(super) fn recovered(&self) {
        let mut state = self.lock();
        if state.mode == StoreMode::Reconciling {
            self.set(&mut state, StoreMode::Healthy, None);
        }
    }

    fn set(&self, state: &mut State, mode: StoreMode, cause: Option<String>) {
        state.mode = mode;
        state.since = SystemTime::now();
        state.cause = cause;
        self.changes.send_replace(mode);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the error says that the store cannot do its work, and not that the request is wrong.
pub(super) fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable { .. } | StoreError::Refused { .. }
    )
}

/// The error with its causes, in one line.
fn describe(error: &StoreError) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    if source.is_none() {
        return error.to_string();
    }
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
