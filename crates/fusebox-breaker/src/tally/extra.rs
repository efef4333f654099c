//! The running account of what only some settings need: time windows, slow calls, the change detector, weights.

use super::account::{Account, Balance, Cohort};
use super::fenced::{add_to, less};
use super::params::{COUNT, TIME};
use super::{AcqRel, Acquire, FOLD, Relaxed, Release, STEP, SeqCst};
use crate::config::Config;
use crate::cusum::Design;
use crate::machine::Admission;
use crate::sync::{AtomicU32, AtomicU64};
use crate::ticks::{Totals, step};
use crate::word::{FENCE, FENCE_BITS};

/// The change detector's sum stops here: far above any limit, far below its field's end.
const MAX_SUM: u64 = 1 << 40;

/// What calls write under a slow limit, apart from what they read.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// The breaker's account, if `has_account`.
    pub(super) account: Account,
    /// Of each cohort the calls in flight, less those of the one under way that the account tells.
    cohorts: [AtomicU64; Cohort::COUNT],
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
    /// The fence since which calls in flight are watched: a new one with every generation and every new slow limit.
    epoch: AtomicU64,
    pub(super) limit: AtomicU64,
    pub(super) up: AtomicU32,
    pub(super) mark: AtomicU32,
    pub(super) slow_left: AtomicU64,
    pub(super) failed_calls: AtomicU64,
    pub(super) learned: AtomicU64,
    pub(super) learn_at: AtomicU32,
    /// Of each cohort, the calls of a round before, which are in flight past the limit.
    carried: [AtomicU32; Cohort::COUNT],
}

/// Failures learned from before the first tuning.
pub(super) const LEARN_FIRST: u32 = 8;

impl Extra {
    pub(super) fn new(config: &Config, has_account: bool) -> Self {
        let extra = Self {
            line: Line {
                account: Account::new(),
                cohorts: std::array::from_fn(|_| AtomicU64::new(0)),
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
            slow_tick: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            carried: std::array::from_fn(|_| AtomicU32::new(0)),
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

    /// Whether no slow call is known, no failure in the time window, and nothing to the change detector.
    #[inline(always)]
    pub(super) fn is_calm(&self, flags: u32, units: u32) -> bool {
        let left = self.slow_left.load(Acquire);
        let slow = self.slow.load(SeqCst);
        (flags & COUNT == 0 || slow == left)
            && (flags & TIME == 0
                || units == self.base_units.load(Relaxed)
                    && (slow / STEP) as u32 == self.base_slow.load(Relaxed))
            && self.overdue.load(Relaxed) == 0
            && self.sum.load(Relaxed) / STEP == 0
    }

    pub(super) fn sum_down(&self, fence: u64, place: u32) {
        let seen = self.sum.load(Relaxed);
        if seen & FENCE != fence || seen / STEP == 0 {
            return;
        }
        let down = |sum: u64| (sum & FENCE == fence && sum / STEP > 0).then(|| sum - STEP);
        if let Ok(before) = self.sum.fetch_update(Relaxed, Relaxed, down)
            && before / STEP == 1
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
            (sum & FENCE == fence).then(|| ((sum / STEP + step).min(MAX_SUM) * STEP) | fence)
        };
        let Ok(before) = self.sum.fetch_update(Relaxed, Relaxed, up) else {
            return false;
        };
        let mut tune = false;
        if learns && before / STEP == 0 {
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
        tune || before / STEP + step >= self.limit.load(Relaxed)
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

    /// A call has left the account, and either it was another cohort's turn or stretch by then, or the call was slow.
    /// The account tells of the cohort under way by how its calls in flight have changed since the turn; a call of
    /// another cohort that leaves is taken out of its own, and given back to the one under way.
    pub(super) fn leave(&self, admission: &Admission, of_epoch: bool, left: Balance, age: Age) {
        let epoch = self.epoch.load(Acquire);
        let own = admission.cohort();
        let moved = !left.is_at(own, admission.fence());
        let of_epoch = of_epoch && is_watched(admission.fence(), epoch);
        if moved {
            // Its own first, so that it is not in two of them for a moment.
            if of_epoch {
                self.add(own, 1_u64.wrapping_neg(), epoch);
            }
            if is_watched(left.fence(), epoch) {
                self.add(left.cohort(), 1, epoch);
            }
        }
        if of_epoch
            && age.is_slow()
            && let Some(index) = own.index()
        {
            let started = age.started / step(age.limit);
            if self.slow_tick.load(Relaxed).saturating_sub(started) >= Cohort::COUNT as u64 {
                less(&self.carried[index]);
            }
        }
    }

    /// A call was counted in flight and at once taken back.
    pub(super) fn step_back(&self, entered: Balance, left: Balance) {
        let epoch = self.epoch.load(Acquire);
        for (balance, calls) in [(entered, 1_u64.wrapping_neg()), (left, 1)] {
            if is_watched(balance.fence(), epoch) {
                self.add(balance.cohort(), calls, epoch);
            }
        }
    }

    fn add(&self, cohort: Cohort, calls: u64, epoch: u64) {
        if let Some(index) = cohort.index() {
            // If another epoch has begun, there is nothing to put right in it.
            let _ = add_to(&self.line.cohorts[index], calls.wrapping_mul(STEP), epoch);
        }
    }

    /// The calls in flight are watched no more: those from here on are, of this fence.
    pub(super) fn forget_flights(&self, fence: u64) {
        let fence = fence & FENCE;
        self.epoch.store(fence, Release);
        for index in 0..Cohort::COUNT {
            // An update, not a store: it has its place among the updates of calls that leave meanwhile.
            self.line.cohorts[index].swap(fence, AcqRel);
            self.carried[index].store(0, Relaxed);
        }
        self.overdue.store(0, Relaxed);
        self.next_tick.store(0, Relaxed);
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

    pub(crate) fn set_slow_tick(&self, tick: u64) {
        self.slow_tick.store(tick, Relaxed);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// Calls of a cohort; of the one under way less than those in flight by what the account tells.
    pub(crate) fn calls(&self, cohort: Cohort) -> i64 {
        let value = |index: usize| self.line.cohorts[index].load(Acquire);
        // A signed number above the fence.
        cohort
            .index()
            .map_or(0, |index| value(index) as i64 >> FENCE_BITS)
    }

    /// A cohort is no longer the one under way: what the account told of it is put down.
    pub(crate) fn close(&self, cohort: Cohort, live: u32, live_before: u32) {
        let grown = u64::from(live).wrapping_sub(u64::from(live_before));
        self.add(cohort, grown, self.epoch());
    }

    pub(crate) fn carried(&self, cohort: Cohort) -> u32 {
        cohort
            .index()
            .map_or(0, |index| self.carried[index].load(Relaxed))
    }

    /// A cohort is entered anew; these calls in it are of a round before.
    pub(crate) fn carry(&self, cohort: Cohort, calls: u32) {
        if let Some(index) = cohort.index() {
            self.carried[index].store(calls, Relaxed);
        }
    }
}

/// Whether what happened under this fence was in the epoch or after it.
fn is_watched(fence: u64, epoch: u64) -> bool {
    fence.wrapping_sub(epoch) & FENCE <= FENCE / 2
}

/// How old a call is when it leaves, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    pub(super) started: u64,
    pub(super) elapsed: u64,
    pub(super) limit: u64,
}

impl Age {
    fn is_slow(self) -> bool {
        self.elapsed >= self.limit
    }
}
