//! How the values of several processes become one.

/// How one metric of several processes is read as one. Counters and histograms add up.
///
/// What several breakers or agents share because of the bound on labels ([`OTHER`](crate::OTHER)) adds up where one
/// word would stand for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Together {
    /// Values add up.
    Sum,
    /// The largest counts.
    Largest,
    /// The least counts.
    Least,
    /// Of one series per word, 1 where it holds: the last of these words that holds anywhere, alone.
    Worst(&'static [&'static str]),
    /// The largest of those processes in which the named metric, one of [`Worst`](Self::Worst), shows the word that
    /// counts: how long something has been open says only who has it open.
    WhereWorst(&'static str),
    /// Of what all have counted, the share of decided outages that met their objective; the least, where nothing was
    /// counted.
    MetShare,
}

/// States of a breaker, from the best to the worst.
pub(crate) const STATES: &[&str] = &[
    "closed",
    "metrics_only",
    "disabled",
    "half_open",
    "open",
    "forced_open",
];

/// The status of the whole, from the best to the worst.
pub(crate) const STATUSES: &[&str] = &["healthy", "degraded", "unhealthy"];

/// Modes of a store, from the best to the worst.
pub(crate) const MODES: &[&str] = &["healthy", "suspect", "reconciling", "degraded"];
