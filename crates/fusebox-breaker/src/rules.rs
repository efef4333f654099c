//! Trip rules beside the row of failures and the count window, how they combine, and the ramp after recovery.

use std::time::Duration;

use crate::outcome::FailureKind;
use crate::transition::{Reason, millis_up};

/// Trip rule over the calls that ended in the last `size` of time, kept in `buckets` equal parts.
///
/// Opens when at least `minimum_number_of_calls` judged calls ended within the window and the ratio of failures among
/// them is at or above `failure_rate_threshold`. The window moves on bucket by bucket, so it covers between
/// `size - size / buckets` and `size`. A record costs the same however many calls are inside: the window is the
/// difference of two running totals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeWindow {
    /// Time the window covers, at least 1 ms per bucket.
    pub size: Duration,
    /// Parts it moves on by, `1..=1_000`; 10 is a good choice.
    pub buckets: u32,
    /// Calls that must be known before the rule may open, at least 1.
    pub minimum_number_of_calls: u32,
    /// Ratio in `(0, 1]`; exactly at it the breaker opens.
    pub failure_rate_threshold: f64,
}

/// Trip rule over slow calls: a call that takes `slow_call_duration_threshold` or longer is slow, whatever its
/// outcome, and so is a call still in flight past it.
///
/// Calls are those of the time window if there is one, else of the count window; calls in flight past the limit are
/// added to both the slow ones and to all. They are noticed at the next acquire, outcome or
/// [`tick`](crate::Breaker::tick), at most an eighth of the limit late. Needs two clock reads per call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowCalls {
    /// A call is slow from here on; at least 1 µs.
    pub slow_call_duration_threshold: Duration,
    /// Ratio in `(0, 1]`; exactly at it the breaker opens.
    pub slow_call_rate_threshold: f64,
    /// Calls that must be known before the rule may open, at least 1.
    pub minimum_number_of_calls: u32,
}

/// Trip rule by a change detector: a CUSUM of the log-likelihood ratio of "fails at `changed_failure_rate`" over
/// "fails at `baseline_failure_rate`", held at zero from below. Opens when the sum reaches a limit that is computed
/// so that, on independent outcomes at the baseline, false trips are `mean_calls_between_false_trips` calls apart on
/// average.
///
/// The sum moves on a lattice (a success is one step down, a failure a whole number of steps up), so that figure is
/// exact, not simulated. It holds for independent outcomes at the stated baseline: bursts and a true baseline above
/// the stated one bring false trips sooner, by as much as `docs/breaker-cusum.md` shows.
///
/// Sources: E. S. Page, *Continuous Inspection Schemes*, Biometrika 41, 1954; G. V. Moustakides, *Optimal Stopping
/// Times for Detecting Changes in Distributions*, Annals of Statistics 14, 1986 (no other rule with as few false
/// trips detects a change between these two rates sooner, in the worst case); D. Brook, D. A. Evans, *An Approach to
/// the Probability Distribution of CUSUM Run Length*, Biometrika 59, 1972 (the figure).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ChangeDetector {
    /// Ratio of failures while all is well, in `0.001..=0.5`.
    pub baseline_failure_rate: f64,
    /// Ratio of failures to be found out, above the baseline, below 1.
    pub changed_failure_rate: f64,
    /// Mean number of calls between two false trips, in `100..=1e9`.
    pub mean_calls_between_false_trips: f64,
    /// Learns the baseline from the calls that come while the sum is zero. None keeps the stated one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub learning: Option<Learning>,
}

/// How a [`ChangeDetector`] learns its baseline: the ratio of failures among the calls that found the sum at zero,
/// so an incident teaches it nothing. The changed rate keeps its odds ratio to the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Learning {
    /// The baseline never falls below, in `0.001..=0.5`.
    pub floor: f64,
    /// Calls after which what was learned counts half, at least 100.
    pub horizon: u32,
}

/// Whether one rule is enough to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Combine {
    /// Any rule opens, and is named.
    #[default]
    Any,
    /// Only all rules together open; all are named.
    All,
}

/// A gradual return: after the probes have succeeded, only a share of the calls is admitted, step by step.
///
/// A step ends when it has lasted `step_duration` and one of its calls has succeeded; after the last one the breaker
/// closes. If the ratio of failures within a step reaches `failure_rate_threshold`, or none of its calls has answered
/// within the probe deadline of its first one, the breaker opens again. The state told is half-open.
#[derive(Debug, Clone, PartialEq)]
pub struct Ramp {
    /// Shares in `(0, 1)`, rising, at most 16 of them; for instance 0.01, 0.05, 0.25, 0.5.
    pub steps: Vec<f64>,
    /// Time each step lasts at least.
    pub step_duration: Duration,
    /// Ratio in `(0, 1]`; exactly at it the breaker opens again.
    pub failure_rate_threshold: f64,
}

/// How much each kind of failure weighs in the windows and in the change detector, in quarters of a failure; the row
/// of failures counts every failure as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) error: u8,
    pub(crate) timed_out: u8,
    pub(crate) overloaded: u8,
    pub(crate) quality: u8,
}

impl Weights {
    pub(crate) const ONE: u8 = 4;
    pub(crate) const EQUAL: Self = Self {
        error: Self::ONE,
        timed_out: Self::ONE,
        overloaded: Self::ONE,
        quality: Self::ONE,
    };

    pub(crate) fn of(self, kind: FailureKind) -> u8 {
        match kind {
            FailureKind::Error => self.error,
            FailureKind::TimedOut => self.timed_out,
            FailureKind::Overloaded => self.overloaded,
            FailureKind::Quality => self.quality,
        }
    }

    pub(crate) fn set(&mut self, kind: FailureKind, quarters: u8) {
        match kind {
            FailureKind::Error => self.error = quarters,
            FailureKind::TimedOut => self.timed_out = quarters,
            FailureKind::Overloaded => self.overloaded = quarters,
            FailureKind::Quality => self.quality = quarters,
        }
    }
}

/// The thresholds alone, in the form in which both the lock-free path and the slow path judge by them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    pub(crate) all: bool,
    /// 0: off.
    pub(crate) row: u32,
    pub(crate) count: Option<Rate>,
    pub(crate) time: Option<Rate>,
    pub(crate) slow: Option<Rate>,
    /// 0: off.
    pub(crate) sum: u64,
    /// What a failure of weight one adds to a window's total.
    pub(crate) one: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) minimum: u32,
    pub(crate) threshold: f64,
}

/// What the windows hold at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) row: u32,
    pub(crate) count: Tallied,
    pub(crate) time: Tallied,
    pub(crate) overdue: u32,
    pub(crate) sum: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tallied {
    pub(crate) calls: u32,
    /// Weighted failures, in units of `1 / one`.
    pub(crate) units: u32,
    pub(crate) slow: u32,
}

impl Rules {
    fn each(&self, figures: &Figures) -> [Option<bool>; 5] {
        let rate = |rule: Option<Rate>, part: f64, calls: u32| {
            rule.map(|rule| {
                calls >= rule.minimum && calls > 0 && part / f64::from(calls) >= rule.threshold
            })
        };
        let units = |window: Tallied| f64::from(window.units) / f64::from(self.one.max(1));
        let (slow, slow_calls) = self.slow_calls(figures);
        [
            (self.row > 0).then_some(figures.row >= self.row),
            rate(self.count, units(figures.count), figures.count.calls),
            rate(self.time, units(figures.time), figures.time.calls),
            rate(self.slow, f64::from(slow), slow_calls),
            (self.sum > 0).then_some(figures.sum >= self.sum),
        ]
    }

    fn slow_calls(&self, figures: &Figures) -> (u32, u32) {
        let window = if self.time.is_some() {
            figures.time
        } else {
            figures.count
        };
        (
            window.slow.saturating_add(figures.overdue),
            window.calls.saturating_add(figures.overdue),
        )
    }

    /// Whether the breaker opens.
    pub(crate) fn hold(&self, figures: &Figures) -> bool {
        let mut rules = self.each(figures).into_iter().flatten();
        if self.all {
            let mut any = false;
            rules.all(|holds| {
                any = true;
                holds
            }) && any
        } else {
            rules.any(|holds| holds)
        }
    }

    /// The rule that opens the breaker, if one does; of several the first in the order of the fields.
    pub(crate) fn reason(&self, figures: &Figures, facts: &Facts) -> Option<Reason> {
        if !self.hold(figures) {
            return None;
        }
        let mut reasons = self
            .each(figures)
            .into_iter()
            .enumerate()
            .filter(|(_, holds)| *holds == Some(true))
            .map(|(rule, _)| self.name(rule, figures, facts));
        if self.all {
            let mut of: Vec<Reason> = reasons.collect();
            return if of.len() == 1 {
                of.pop()
            } else {
                Some(Reason::All { of })
            };
        }
        reasons.next()
    }

    fn name(&self, rule: usize, figures: &Figures, facts: &Facts) -> Reason {
        let whole = |window: Tallied| window.units.div_ceil(self.one.max(1));
        match rule {
            0 => Reason::ConsecutiveFailures {
                failures: figures.row,
                threshold: self.row,
            },
            1 => Reason::FailureRate {
                failures: whole(figures.count),
                calls: figures.count.calls,
                threshold: self.count.map_or(1.0, |rule| rule.threshold),
            },
            2 => Reason::FailureRateOverTime {
                failures: whole(figures.time),
                calls: figures.time.calls,
                window_ms: millis_up(facts.window),
                threshold: self.time.map_or(1.0, |rule| rule.threshold),
            },
            3 => {
                let (slow, calls) = self.slow_calls(figures);
                Reason::SlowCallRate {
                    slow,
                    in_flight: figures.overdue,
                    calls,
                    limit_ms: millis_up(facts.slow_limit),
                    threshold: self.slow.map_or(1.0, |rule| rule.threshold),
                }
            }
            _ => Reason::ChangeDetected {
                sum: figures.sum,
                limit: self.sum,
                baseline: facts.baseline,
                changed: facts.changed,
            },
        }
    }
}

/// Figures that only a reason's text needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    pub(crate) window: Duration,
    pub(crate) slow_limit: Duration,
    pub(crate) baseline: f64,
    pub(crate) changed: f64,
}
