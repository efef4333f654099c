//! What moves on with time alone: the time window's buckets, and the cohorts of calls in flight.
//!
//! Only the slow path turns these, once per bucket, under its lock. Between two turns the lock-free path needs no
//! more than the moment of the next one.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::tally::{Extra, Tally};

/// A cohort holds the calls that started in the same eighth of the slow limit. More than the recent ones are needed,
/// and as many as these fit one cache line beside the account.
pub(crate) const COHORTS: usize = 14;
const STEPS_PER_LIMIT: u64 = 8;
/// Ticks of which a cohort may still hold calls within the limit: the limit's own and the one under way.
const RECENT: u64 = STEPS_PER_LIMIT + 1;

/// Nanoseconds of one cohort.
pub(crate) fn step(slow_limit: u64) -> u64 {
    (slow_limit / STEPS_PER_LIMIT).max(1)
}

/// Running totals at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) ended: u32,
    pub(crate) units: u32,
    pub(crate) slow: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Ticks {
    /// The totals at the start of each bucket inside the window in which anything happened, oldest first.
    starts: VecDeque<(u64, Totals)>,
    width: u64,
    slow_step: u64,
}

impl Ticks {
    /// Moves on to `now`. Answers whether calls in flight are past the slow limit.
    pub(crate) fn turn(&mut self, tally: &Tally, config: &Config, now: Timestamp) -> bool {
        let Some(extra) = tally.extra() else {
            return false;
        };
        let now = now.as_nanos();
        let mut next = u64::MAX;
        if let Some(window) = config.time_window() {
            let width = bucket(window.size, window.buckets);
            self.width = width;
            let tick = now / width;
            let last = self.starts.back().map(|(tick, _)| *tick);
            if last.is_none_or(|last| last < tick) {
                self.starts.push_back((tick, tally.totals()));
            }
            while self.starts.len() > 1
                && self.starts[0].0.saturating_add(u64::from(window.buckets)) <= tick
            {
                self.starts.pop_front();
            }
            extra.set_base(self.starts[0].1);
            next = next.min((tick + 1).saturating_mul(width));
        }
        let mut overdue = 0;
        if let Some(slow) = config.slow_calls() {
            let limit = nanos(slow.slow_call_duration_threshold);
            overdue = self.turn_cohorts(extra, step(limit), now);
            next = next.min((now / step(limit) + 1).saturating_mul(step(limit)));
        }
        extra.set_overdue(overdue);
        extra.set_next_tick(next);
        overdue > 0
    }

    fn turn_cohorts(&mut self, extra: &Extra, step: u64, now: u64) -> u32 {
        let tick = now / step;
        if self.slow_step == step {
            let last = extra.slow_tick();
            let first = (last + 1).max(tick.saturating_sub(COHORTS as u64 - 1));
            (first..=tick).for_each(|entered| extra.carry(entered as usize % COHORTS));
        } else {
            // Calls that started under another limit are not watched while they fly.
            extra.forget_flights();
            self.slow_step = step;
        }
        extra.set_slow_tick(tick);
        overdue(extra)
    }

    /// Windows are empty from here on.
    pub(crate) fn restart(&mut self, totals: Totals) {
        if let Some((tick, _)) = self.starts.pop_back() {
            self.starts.clear();
            self.starts.push_back((tick, totals));
        }
    }

    /// The running totals were set from `before` to `after`; what lies between them and each bucket's start stays.
    pub(crate) fn relayout(&mut self, config: &Config, before: Totals, after: Totals) {
        let width = config
            .time_window()
            .map_or(0, |window| bucket(window.size, window.buckets));
        let moved =
            |start: u32, before: u32, after: u32| after.wrapping_sub(before.wrapping_sub(start));
        for (tick, start) in &mut self.starts {
            *start = Totals {
                ended: moved(start.ended, before.ended, after.ended),
                units: moved(start.units, before.units, after.units),
                slow: moved(start.slow, before.slow, after.slow),
            };
            // Without a width there is no window, and the starts go below.
            *tick = tick.saturating_mul(self.width) / width.max(1);
        }
        if width == 0 {
            self.starts.clear();
        }
    }
}

/// Calls in flight past the slow limit: all but the recent cohorts, and of these what was carried over.
pub(crate) fn overdue(extra: &Extra) -> u32 {
    let tick = extra.slow_tick();
    (0..COHORTS)
        .map(|index| {
            let behind = (tick as usize % COHORTS + COHORTS - index) % COHORTS;
            let calls = extra.cohort(index);
            if (behind as u64) < RECENT {
                extra.carried(index).min(calls)
            } else {
                calls
            }
        })
        .sum()
}

fn bucket(size: std::time::Duration, buckets: u32) -> u64 {
    (nanos(size) / u64::from(buckets.max(1))).max(1)
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
