//! What survives a restart.

use crate::outcome::State;
use crate::transition::Reason;

/// A breaker's state in a form that can be stored: remaining durations, never instants.
///
/// Windows and counts are left out on purpose: after a restart they start empty.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// State when it was taken. A half-open breaker is restored as open with its probe due at once, since its probes
    /// are lost with the process.
    pub state: State,
    /// Generation when it was taken; the restored breaker starts above it. More than 2^42 can only be damage, and is
    /// read as 2^42.
    pub generation: u64,
    /// Open: milliseconds until a probe is due. Overridden: until it expires, none if never. Rounded up, so that
    /// storing never shortens a deadline.
    #[cfg_attr(feature = "serde", serde(default))]
    pub remaining_ms: Option<u64>,
    /// Openings without sustained health between them; sets the next open wait.
    #[cfg_attr(feature = "serde", serde(default))]
    pub openings: u32,
    /// Why it is in this state; none if it never moved.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reason: Option<Reason>,
    /// The operator's override, if one is in force.
    #[cfg_attr(feature = "serde", serde(default))]
    pub forced: Option<Forced>,
}

/// An override in force, within a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Forced {
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// If the breaker was open beneath the override: milliseconds until its probe is due. None if it was closed.
    #[cfg_attr(feature = "serde", serde(default))]
    pub open_beneath_ms: Option<u64>,
}
