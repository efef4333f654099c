//! The running account of what only some settings need: time windows, slow calls, the change detector, weights.

use super::{AcqRel, Acquire, FOLD, LIVE, Relaxed};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::cusum::Design;
use crate::sync::{AtomicU32, AtomicU64};
use crate::tally::fenced::less;
use crate::ticks::{COHORTS, Totals};
use crate::word::FENCE;

/// The change detector's sum stops here: far above any limit, far below its field's end.
const MAX_SUM: u64 = 1 << 40;

/// What every call writes under a slow limit, in one cache line of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// The breaker's account, if `has_account`.
    pub(super) account: AtomicU64,
    pub(super) cohorts: [AtomicU32; COHORTS],
}

/// What only some settings need. In this order: what calls read, what bad calls write, what is rare.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Extra {
    pub(super) line: Line,
    /// The account lies here and not in the tally.
    pub(super) has_account: bool,
    /// When the slow path must move the buckets on; the end of time if nothing ticks.
    pub(super) next_tick: AtomicU64,
    pub(super) slow_tick: AtomicU64,
    pub(super) sum: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) base_ended: AtomicU32,
    pub(super) base_units: AtomicU32,
    pub(super) base_slow: AtomicU32,
    pub(super) overdue: AtomicU32,
    pub(super) slot: AtomicU32,
    /// Grows when the calls in flight stop being watched: with every generation and every new slow limit.
    pub(super) epoch: AtomicU32,
    pub(super) limit: AtomicU64,
    pub(super) up: AtomicU32,
    pub(super) mark: AtomicU32,
    pub(super) slow_left: AtomicU64,
    pub(super) failed_calls: AtomicU64,
    pub(super) learned: AtomicU64,
    pub(super) learn_at: AtomicU32,
    /// Of each cohort, the calls of a round before, which are in flight past the limit.
    pub(super) carried: [AtomicU32; COHORTS],
    /// Of each cohort, the calls of an epoch before.
    pub(super) stale: [AtomicU32; COHORTS],
}

/// Failures learned from before the first tuning.
pub(super) const LEARN_FIRST: u32 = 8;

impl Extra {
    pub(super) fn new(config: &Config, has_account: bool) -> Self {
        let extra = Self {
            line: Line {
                account: AtomicU64::new(0),
                cohorts: std::array::from_fn(|_| AtomicU32::new(0)),
            },
            has_account,
            next_tick: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            slow_left: AtomicU64::new(0),
            failed_calls: AtomicU64::new(0),
            base_ended: AtomicU32::new(0),
            base_units: AtomicU32::new(0),
            base_slow: AtomicU32::new(0),
            overdue: AtomicU32::new(0),
            slot: AtomicU32::new(0),
            slow_tick: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            carried: std::array::from_fn(|_| AtomicU32::new(0)),
            stale: std::array::from_fn(|_| AtomicU32::new(0)),
            sum: AtomicU64::new(0),
            mark: AtomicU32::new(0),
            learned: AtomicU64::new(0),
            learn_at: AtomicU32::new(LEARN_FIRST),
            up: AtomicU32::new(0),
            limit: AtomicU64::new(0),
        };
        extra.tune(config);
        extra
    }

    /// Takes the detector's steps from the settings. What was learned starts anew.
    pub(super) fn tune(&self, config: &Config) {
        let design = config.design();
        self.up.store(design.map_or(0, |design| design.up), Relaxed);
        self.limit
            .store(design.map_or(0, |design| u64::from(design.limit)), Relaxed);
        self.learned.store(0, Relaxed);
        self.learn_at.store(LEARN_FIRST, Relaxed);
        self.next_tick.store(0, Relaxed);
    }

    pub(super) fn sum_down(&self, fence: u64, place: u32) {
        let seen = self.sum.load(Relaxed);
        if seen & FENCE != fence || seen / LIVE == 0 {
            return;
        }
        let down = |sum: u64| (sum & FENCE == fence && sum / LIVE > 0).then(|| sum - LIVE);
        if let Ok(before) = self.sum.fetch_update(Relaxed, Relaxed, down)
            && before / LIVE == 1
        {
            self.mark.store(place.wrapping_add(1), Relaxed);
        }
    }

    /// Answers whether the slow path should look: the sum is at its limit, or enough was learned to tune anew.
    pub(super) fn sum_up(
        &self,
        fence: u64,
        place: u32,
        units: u32,
        one: u32,
        learns: bool,
    ) -> bool {
        let step = u64::from((self.up.load(Relaxed) * units).div_ceil(one.max(1)));
        let up = |sum: u64| {
            (sum & FENCE == fence).then(|| ((sum / LIVE + step).min(MAX_SUM) * LIVE) | fence)
        };
        let Ok(before) = self.sum.fetch_update(Relaxed, Relaxed, up) else {
            return false;
        };
        let mut tune = false;
        if learns && before / LIVE == 0 {
            // The calls since the sum last came down to zero, this one included.
            let calls = u64::from(
                place
                    .wrapping_sub(self.mark.load(Relaxed))
                    .wrapping_add(1)
                    .min(FOLD),
            );
            let learned = self.learned.fetch_add(calls << 24 | 1, Relaxed) + 1;
            tune = (learned & 0xFF_FFFF) as u32 >= self.learn_at.load(Relaxed);
        }
        tune || before / LIVE + step >= self.limit.load(Relaxed)
    }

    /// The baseline as learned, if it is time to tune; halves what was learned past the horizon.
    pub(crate) fn relearn(&self, horizon: u32) -> Option<f64> {
        let learned = self.learned.load(Relaxed);
        let (calls, failures) = (learned >> 24, learned & 0xFF_FFFF);
        if (failures as u32) < self.learn_at.load(Relaxed) || calls == 0 {
            return None;
        }
        let mut left = failures;
        if calls >= u64::from(horizon) {
            left = failures / 2;
            self.learned.store((calls / 2) << 24 | left, Relaxed);
        }
        // A quarter more failures than now before the next look, so tuning costs little and follows closely.
        let next = left + (left / 4).max(u64::from(LEARN_FIRST));
        self.learn_at.store(next as u32, Relaxed);
        Some(failures as f64 / calls as f64)
    }

    pub(crate) fn retune(&self, design: Design) {
        self.up.store(design.up, Relaxed);
        self.limit.store(u64::from(design.limit), Relaxed);
    }

    #[inline(always)]
    pub(super) fn leave(
        &self,
        (slot, epoch): (u8, u16),
        started: Timestamp,
        now: Timestamp,
        limit: u64,
    ) {
        let slot = usize::from(slot);
        // Read before the call leaves: if an epoch begins in between, one call too few is watched, not too many.
        let stale = self.epoch.load(Relaxed) as u16 != epoch;
        self.line.cohorts[slot].fetch_sub(1, AcqRel);
        if stale {
            less(&self.stale[slot]);
        } else if now.as_nanos().saturating_sub(started.as_nanos()) >= limit {
            let started = started.as_nanos() / crate::ticks::step(limit);
            if self.slow_tick.load(Relaxed).saturating_sub(started) >= COHORTS as u64 {
                less(&self.carried[slot]);
            }
        }
    }

    /// The calls in flight are watched no more.
    pub(crate) fn forget_flights(&self) {
        self.epoch.fetch_add(1, Relaxed);
        for index in 0..COHORTS {
            self.stale[index].store(self.line.cohorts[index].load(Acquire), Relaxed);
            self.carried[index].store(0, Relaxed);
        }
        self.overdue.store(0, Relaxed);
    }

    // For the slow path's ticks.

    pub(crate) fn set_base(&self, base: Totals) {
        self.base_ended.store(base.ended, Relaxed);
        self.base_units.store(base.units, Relaxed);
        self.base_slow.store(base.slow, Relaxed);
    }

    pub(crate) fn set_next_tick(&self, at: u64) {
        self.next_tick.store(at, Relaxed);
    }

    pub(crate) fn set_overdue(&self, calls: u32) {
        self.overdue.store(calls, Relaxed);
    }

    pub(crate) fn slow_tick(&self) -> u64 {
        self.slow_tick.load(Relaxed)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Makes `tick`'s cohort the one that calls enter.
    pub(crate) fn set_slow_tick(&self, tick: u64) {
        self.slow_tick.store(tick, Relaxed);
        self.slot.store((tick as usize % COHORTS) as u32, Relaxed);
    }

    /// Calls of a cohort that are watched.
    pub(crate) fn cohort(&self, index: usize) -> u32 {
        let calls = self.line.cohorts[index].load(Acquire);
        calls.saturating_sub(self.stale[index].load(Relaxed))
    }

    pub(crate) fn carried(&self, index: usize) -> u32 {
        self.carried[index].load(Relaxed)
    }

    /// A cohort is entered anew: what is still in it is of a round before.
    pub(crate) fn carry(&self, index: usize) {
        self.carried[index].store(self.cohort(index), Relaxed);
    }
}
