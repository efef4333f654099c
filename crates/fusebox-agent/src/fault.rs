//! Fault injection: rules in a line of text, and an agent that follows them.
//!
//! A rule is `kind:ratio` with options: `timeout:0.6`, `timeout:1.0,until=6s`,
//! `latency:0.5,delay=300ms`. The ratio is the share of attempts the fault strikes, in
//! `0.0..=1.0`; `from` and `until` bound it in time, counted from the making of the
//! [`FaultyAgent`]; at exactly `from` the rule is on, at exactly `until` it is off again.
//!
//! | kind | what the attempt sees |
//! |---|---|
//! | `timeout` | no answer until the deadline or cancellation, then `timed_out` |
//! | `hang` | no answer, ever; only dropping the call ends it |
//! | `exhaustion` | `resource_exhausted` at once |
//! | `api` | `api` at once |
//! | `dependency` | `dependency_unavailable` at once |
//! | `breaker-open` | `breaker_open` at once |
//! | `latency` | the agent's own answer, `delay` later |
//! | `corruption` | the agent's own answer, mangled so that its output schema refuses it |

mod corrupt;
mod faulty;
mod parse;
mod plan;

use std::fmt;
use std::time::Duration;

pub use faulty::FaultyAgent;
pub use parse::FaultParseError;
pub use plan::FaultPlan;

/// What a fault does to an attempt; see the table of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultKind {
    /// No answer until the deadline or cancellation.
    Timeout,
    /// Out of resources.
    Exhaustion,
    /// The model's API fails.
    Api,
    /// The answer arrives mangled.
    Corruption,
    /// A dependency cannot be reached.
    Dependency,
    /// A breaker inside the agent is open.
    BreakerOpen,
    /// The answer comes late.
    Latency,
    /// No answer, ever.
    Hang,
}

impl FaultKind {
    /// Every kind, in the order in which the documentation lists them.
    pub const ALL: &'static [Self] = &[
        Self::Timeout,
        Self::Hang,
        Self::Exhaustion,
        Self::Api,
        Self::Dependency,
        Self::BreakerOpen,
        Self::Latency,
        Self::Corruption,
    ];

    /// The kind as it is written in a rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Exhaustion => "exhaustion",
            Self::Api => "api",
            Self::Corruption => "corruption",
            Self::Dependency => "dependency",
            Self::BreakerOpen => "breaker-open",
            Self::Latency => "latency",
            Self::Hang => "hang",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One fault: what, how often, when. Read from text with [`str::parse`].
///
/// ```
/// use fusebox_agent::{FaultKind, FaultRule};
/// use std::time::Duration;
///
/// let rule: FaultRule = "timeout:0.6,until=6s".parse()?;
/// assert_eq!(rule.kind(), FaultKind::Timeout);
/// assert_eq!(rule.ratio(), 0.6);
/// assert_eq!(rule.until(), Some(Duration::from_secs(6)));
/// assert_eq!(rule.to_string(), "timeout:0.6,until=6s");
///
/// let error = "timeot:0.6".parse::<FaultRule>().unwrap_err();
/// assert!(error.to_string().starts_with("unknown fault `timeot`"));
/// # Ok::<(), fusebox_agent::FaultParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    kind: FaultKind,
    ratio: f64,
    from: Duration,
    until: Option<Duration>,
    delay: Duration,
}

impl FaultRule {
    /// A fault that strikes this share of attempts at all times.
    ///
    /// # Errors
    /// If the ratio is not within `0.0..=1.0`, or for [`FaultKind::Latency`], which needs a
    /// delay: see [`latency`](Self::latency).
    pub fn try_new(kind: FaultKind, ratio: f64) -> Result<Self, FaultParseError> {
        Self::checked(kind, ratio, Duration::ZERO, None, None)
    }

    /// A delay that strikes this share of attempts at all times.
    ///
    /// # Errors
    /// If the ratio is not within `0.0..=1.0`.
    pub fn latency(ratio: f64, delay: Duration) -> Result<Self, FaultParseError> {
        Self::checked(FaultKind::Latency, ratio, Duration::ZERO, None, Some(delay))
    }

    /// Starts the fault this long after the making of the agent; default zero.
    ///
    /// # Errors
    /// If that is not before [`until`](Self::until).
    pub fn with_from(self, from: Duration) -> Result<Self, FaultParseError> {
        Self::checked(self.kind, self.ratio, from, self.until, self.given_delay())
    }

    /// Ends the fault this long after the making of the agent; default never.
    ///
    /// # Errors
    /// If that is not after [`from`](Self::from).
    pub fn with_until(self, until: Duration) -> Result<Self, FaultParseError> {
        let delay = self.given_delay();
        Self::checked(self.kind, self.ratio, self.from, Some(until), delay)
    }

    /// What the fault does.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The share of attempts it strikes, in `0.0..=1.0`.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// When it starts, counted from the making of the agent.
    #[must_use]
    pub fn from(&self) -> Duration {
        self.from
    }

    /// When it ends, counted from the making of the agent.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// How late a [`FaultKind::Latency`] makes the answer; zero for the others.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Whether the fault is on at this age of the agent.
    #[must_use]
    pub fn is_on(&self, age: Duration) -> bool {
        age >= self.from && self.until.is_none_or(|until| age < until)
    }

    fn given_delay(&self) -> Option<Duration> {
        (self.kind == FaultKind::Latency).then_some(self.delay)
    }
}
