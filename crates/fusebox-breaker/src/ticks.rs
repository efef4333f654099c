//! What moves on with time alone: the time window's buckets, and the cohorts of calls in flight.
//!
//! Only the slow path turns these, once per bucket, under its lock. Between two turns the lock-free path needs no
//! more than the moment of the next one.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::tally::{Balance, Cohort, Extra, Tally};
use crate::word::{FENCE, FENCE_BITS};

const STEPS_PER_LIMIT: u64 = 8;
/// Ticks of which a cohort may still hold calls within the limit: the limit's own and the one under way.
const RECENT: u64 = STEPS_PER_LIMIT + 1;
/// Fences after which an epoch must end, well before the calls of its beginning could be taken for later ones.
const LONGEST_EPOCH: u64 = 1 << (FENCE_BITS - 2);

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
    /// Of the slow limit under which cohorts turn; 0 without one.
    slow_step: u64,
    /// Calls in flight when the cohort under way began.
    live_before: u32,
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
        self.slow_step = slow_step(config);
        if let Some(tick) = now.checked_div(self.slow_step) {
            self.turn_cohorts(tally, extra, tick);
            next = next.min((tick + 1).saturating_mul(self.slow_step));
        }
        let overdue = self.overdue(tally);
        extra.set_overdue(overdue);
        extra.set_next_tick(next);
        overdue > 0
    }

    fn turn_cohorts(&mut self, tally: &Tally, extra: &Extra, tick: u64) {
        let under_way = tally.balance();
        if under_way.cohort() != Cohort::NONE {
            let last = extra.slow_tick();
            if tick <= last {
                return;
            }
            let oldest = tick.saturating_sub(Cohort::COUNT as u64 - 1);
            for entered in oldest.max(last + 1)..=tick {
                // What is still in it is of a round before.
                let cohort = Cohort::of_tick(entered);
                extra.carry(cohort, self.calls(extra, cohort, tally.balance()));
            }
            let live = tally.turn(Cohort::of_tick(tick)).live();
            extra.close(under_way.cohort(), live, self.live_before);
            self.live_before = live;
        } else {
            self.live_before = tally.turn(Cohort::of_tick(tick)).live();
        }
        extra.set_slow_tick(tick);
    }

    /// Calls of a cohort that are in flight, by what the account says now.
    fn calls(&self, extra: &Extra, cohort: Cohort, now: Balance) -> u32 {
        let under_way = if now.cohort() == cohort {
            i64::from(now.live()) - i64::from(self.live_before)
        } else {
            0
        };
        u32::try_from(extra.calls(cohort) + under_way).unwrap_or(0)
    }

    /// Calls in flight past the slow limit: all but the recent cohorts, and of these what was carried over.
    pub(crate) fn overdue(&self, tally: &Tally) -> u32 {
        let Some(extra) = tally.extra() else { return 0 };
        let now = tally.balance();
        if now.cohort() == Cohort::NONE {
            return 0;
        }
        let round = Cohort::COUNT as u64;
        let tick = extra.slow_tick() % round;
        let of_age = |behind: u64| {
            let cohort = Cohort::of_tick(tick + round - behind);
            let calls = self.calls(extra, cohort, now);
            if behind < RECENT {
                extra.carried(cohort).min(calls)
            } else {
                calls
            }
        };
        (0..round).map(of_age).sum()
    }

    /// Whether the calls in flight have to be forgotten with a new layout: they started under another limit, or so
    /// long ago that their fences would soon mislead.
    pub(crate) fn must_forget(&self, tally: &Tally, config: &Config, fence: u64) -> bool {
        let long = tally
            .extra()
            .is_some_and(|extra| fence.wrapping_sub(extra.epoch()) & FENCE >= LONGEST_EPOCH);
        long || self.slow_step != slow_step(config)
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

fn slow_step(config: &Config) -> u64 {
    config
        .slow_calls()
        .map_or(0, |slow| step(nanos(slow.slow_call_duration_threshold)))
}

fn bucket(size: std::time::Duration, buckets: u32) -> u64 {
    (nanos(size) / u64::from(buckets.max(1))).max(1)
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
