//! The words for how a call ended, the states, and the exact account of calls.

use std::fmt;
use std::time::Duration;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum State {
    /// Calls flow and are judged.
    Closed,
    /// Calls are refused until a probe is due.
    Open,
    /// A few trial calls decide whether to close.
    HalfOpen,
    /// An operator refuses all calls.
    ForcedOpen,
    /// An operator lets all calls through, unjudged.
    Disabled,
    /// An operator lets all calls through; they are judged, and nothing trips.
    MetricsOnly,
}

impl State {
    /// The name in logs, metrics and files: `closed`, `open`, `half_open`, `forced_open`, `disabled`, `metrics_only`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// Whether an operator put the breaker there, so that no outcome moves it.
    pub const fn is_override(self) -> bool {
        matches!(self, Self::ForcedOpen | Self::Disabled | Self::MetricsOnly)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a failure was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The call answered with an error, or panicked.
    Error,
    /// The call gave no answer in time.
    TimedOut,
    /// The dependency said that it has too much to do, for instance HTTP 503 or 529. Counted as failed.
    Overloaded,
    /// The call answered, and the answer was no good, for instance JSON that breaks its schema. Counted as failed.
    Quality,
}

/// How a finished call is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The dependency did its work.
    Success,
    /// The dependency is to blame.
    Failure(FailureKind),
    /// Says nothing about the dependency, for instance a bad request: counted as ignored, moves no state.
    Neutral,
    /// The dependency asked to be left alone for at least this long from now, for instance by `Retry-After`.
    /// Counted as failed; opens the breaker, and the hint is a floor of the open time.
    TripUntil(Duration),
}

impl Verdict {
    /// Whether the verdict blames the dependency.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure(_) | Self::TripUntil(_))
    }
}

/// Calls since the breaker was built, each counted once.
///
/// `admitted = succeeded + failed + timed_out + ignored + cancelled + in_flight()` at every moment, whatever the
/// order of events. Outcomes of an older generation are counted here although they move no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Counts {
    /// Permits given out.
    pub admitted: u64,
    /// Judged a success.
    pub succeeded: u64,
    /// Judged a failure other than a time-out, or ended by a panic.
    pub failed: u64,
    /// Judged a failure by time-out.
    pub timed_out: u64,
    /// Judged neutral.
    pub ignored: u64,
    /// Permit dropped without a verdict.
    pub cancelled: u64,
    /// Refused; nothing was called.
    pub rejected: u64,
}

impl Counts {
    /// Admitted calls that have not ended yet.
    pub const fn in_flight(&self) -> u64 {
        let ended = self.succeeded + self.failed + self.timed_out + self.ignored + self.cancelled;
        self.admitted.saturating_sub(ended)
    }

    /// Admitted and rejected calls together.
    pub const fn total(&self) -> u64 {
        self.admitted + self.rejected
    }
}

/// What [`try_acquire`](crate::Breaker::try_acquire) would meet now. Asking changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Calls flow.
    Ready,
    /// The next call would be a probe.
    ProbeReady,
    /// Refused at least this long. While every probe slot is taken the answer may come at any moment, so this is
    /// then a hint when to look again (see [`CallNotPermitted::retry_after`](crate::CallNotPermitted)).
    NotBefore(Duration),
    /// Forced open until an operator releases it.
    Never,
}
