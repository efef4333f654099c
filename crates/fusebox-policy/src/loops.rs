//! Calls that repeat themselves: an agent that asks the same thing again and again.

mod memory;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::memory::Memory;

/// Fingerprints remembered until told otherwise: more than a run makes calls of its own in a while, in a few
/// hundred kilobytes at most.
const CAPACITY: usize = 1_024;

/// How long a fingerprint is remembered until told otherwise.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Which call it is: its name and its arguments, in 64 bits.
///
/// Two calls with the same fingerprint are taken for the same. It is meant for one process: the same call may have
/// another fingerprint in another build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of a call and its arguments, which may be anything that hashes: a string, a struct, a JSON value.
    pub fn of(call: &str, arguments: &(impl Hash + ?Sized)) -> Self {
        let mut hasher = DefaultHasher::new();
        call.hash(&mut hasher);
        arguments.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// From a digest of one's own.
    pub const fn from_digest(digest: u64) -> Self {
        Self(digest)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Refuses calls that repeat themselves. Clones share what they remember; one detector per run is usual.
///
/// Two rules, each with its own count per [`Fingerprint`]:
/// - the same call has failed `max_failures` times in a row; one success starts the count again;
/// - the same call was made `max_repeats` times since [`progress`](Self::progress) was last told, whatever came of it.
///
/// A call counts when its operation starts; the retries within it do not count again, and a call turned away by a
/// later stage not at all. Calls that run at the same time do not know yet of each other's failures.
///
/// A refusal ends with [`progress`](Self::progress), or when the fingerprint has not been called for a while and is
/// forgotten. Of more distinct calls than it may remember, the one asked for longest ago is forgotten: a loop through
/// more calls than that is not seen.
#[derive(Debug, Clone)]
pub struct LoopDetector {
    rules: Rules,
    memory: Arc<Mutex<Memory>>,
}

/// What is refused.
#[derive(Debug, Clone, Copy)]
struct Rules {
    max_failures: u32,
    max_repeats: Option<u32>,
    capacity: usize,
    forget_after: Duration,
}

impl LoopDetector {
    /// Refuses a call that has failed this many times in a row (0 is read as 1).
    pub fn new(max_failures: u32) -> Self {
        Self {
            rules: Rules {
                max_failures: max_failures.max(1),
                max_repeats: None,
                capacity: CAPACITY,
                forget_after: FORGET_AFTER,
            },
            memory: Arc::default(),
        }
    }

    /// Refuses a call that was made this many times without progress (0 is read as 1), successful or not. Default: no
    /// such limit, since only the caller knows what progress is.
    pub fn with_max_repeats(mut self, max_repeats: u32) -> Self {
        self.rules.max_repeats = Some(max_repeats.max(1));
        self
    }

    /// How many fingerprints to remember (0 is read as 1). Default 1,024.
    pub fn with_capacity(mut self, capacity: usize) -> Self {
        self.rules.capacity = capacity.max(1);
        self
    }

    /// After how long without a call a fingerprint is forgotten. Default 10 minutes.
    pub fn with_forget_after(mut self, forget_after: Duration) -> Self {
        self.rules.forget_after = forget_after;
        self
    }

    /// Tells that something new has come out: every count starts again.
    pub fn progress(&self) {
        self.memory().clear();
    }

    /// Fingerprints remembered now.
    pub fn remembered(&self) -> usize {
        self.memory().len()
    }

    /// Counts a call and lets it go on.
    ///
    /// # Errors
    /// [`LoopDetected`] if it repeats itself; it is not counted then.
    pub fn enter(&self, fingerprint: Fingerprint) -> Result<Visit, LoopDetected> {
        self.memory()
            .enter(fingerprint, &self.rules, Instant::now())?;
        Ok(Visit {
            detector: self.clone(),
            fingerprint,
            has_begun: false,
            failed: None,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing that can panic runs under this lock.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that a [`LoopDetector`] let go on.
///
/// Dropped before [`begin`](Self::begin) it is not counted. Dropped afterwards without [`end`](Self::end) it counts as
/// a repeat that neither failed nor succeeded.
#[derive(Debug)]
#[must_use = "dropping it takes the call out of the count"]
pub struct Visit {
    detector: LoopDetector,
    fingerprint: Fingerprint,
    has_begun: bool,
    failed: Option<bool>,
}

impl Visit {
    /// The operation starts, or starts again: how it ends is open.
    pub fn begin(&mut self) {
        self.has_begun = true;
        self.failed = None;
    }

    /// The operation has ended. It counts once, with the last end before this is dropped.
    pub fn end(&mut self, failed: bool) {
        self.failed = Some(failed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let rules = self.detector.rules;
        let mut memory = self.detector.memory();
        match self.failed {
            _ if !self.has_begun => memory.withdraw(self.fingerprint),
            Some(failed) => memory.end(self.fingerprint, failed, &rules, Instant::now()),
            None => {}
        }
    }
}

/// Why a call was taken for a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoopKind {
    /// The same call failed again and again.
    SameFailure,
    /// The same call was made again and again without progress.
    NoProgress,
}

impl fmt::Display for LoopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameFailure => "failed",
            Self::NoProgress => "was made without progress",
        })
    }
}

/// A call repeats itself; it was not made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "call {fingerprint} {kind} {repeats} times with the same arguments; change them, or wait {retry_after:?} until it is forgotten"
)]
pub struct LoopDetected {
    /// The call and its arguments.
    pub fingerprint: Fingerprint,
    /// Which rule.
    pub kind: LoopKind,
    /// How often it has failed in a row, or was made without progress.
    pub repeats: u32,
    /// When it will be forgotten.
    pub retry_after: Duration,
}
