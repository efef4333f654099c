//! The windows as a whole: read, emptied, laid out anew. All of it is called under the slow path's lock.

use std::sync::OnceLock;

use super::fenced::{cells, of_fence, peek, split, swap};
use super::params::cells_for;
use super::{
    Balance, Cohort, Extra, FOLD, Layout, Level, Params, ROW, ROW_MASK, STEP, SWEEP, Tally, UNITS,
};
use crate::config::Config;
use crate::outcome::Counts;
use crate::rules::{Figures, Tallied};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed};
use crate::ticks::Totals;
use crate::word::FENCE;

impl Tally {
    /// What the windows hold. Exact while no other thread records; the overdue calls are left to the caller.
    pub(crate) fn figures(&self, params: &Params, fence: u64) -> Figures {
        let account = self.account().read(Acquire);
        let failures = self.failures.load(Relaxed);
        if account.fence() != fence || failures & FENCE != fence {
            return Figures::default();
        }
        let totals = self.totals();
        let size = params.size.load(Relaxed);
        let left = self.left.load(Relaxed);
        let left = if left & FENCE == fence { left >> 32 } else { 0 };
        let mut figures = Figures {
            row: ((failures / ROW) & ROW_MASK) as u32,
            count: Tallied {
                calls: totals.ended.min(size),
                units: totals.units.saturating_sub(left as u32),
                slow: totals.slow,
            },
            ..Figures::default()
        };
        if let Some(extra) = self.extra.get() {
            figures.count.slow = totals
                .slow
                .saturating_sub(of_fence(&extra.slow_left, fence) as u32);
            figures.time = Tallied {
                calls: totals.ended.wrapping_sub(extra.base_ended.load(Relaxed)),
                units: totals.units.wrapping_sub(extra.base_units.load(Relaxed)),
                slow: totals.slow.wrapping_sub(extra.base_slow.load(Relaxed)),
            };
            figures.sum = of_fence(&extra.sum, fence);
        }
        figures
    }

    /// Running totals of the present stretch.
    pub(crate) fn totals(&self) -> Totals {
        let slow = self
            .extra
            .get()
            .map_or(0, |extra| extra.slow.load(Relaxed) / STEP);
        Totals {
            ended: self.balance().ended(),
            units: (self.failures.load(Relaxed) >> 32) as u32,
            slow: slow as u32,
        }
    }

    pub(crate) fn extra(&self) -> Option<&Extra> {
        self.extra.get().map(|extra| &**extra)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.balance().ended() >= FOLD
    }

    pub(crate) fn balance(&self) -> Balance {
        self.account().read(Acquire)
    }

    /// Makes a cohort the one under way, and answers what the account said before.
    pub(crate) fn turn(&self, cohort: Cohort) -> Balance {
        self.account().turn(cohort)
    }

    /// Starts a new stretch with empty windows. What the old one counted is added to `past`.
    pub(crate) fn restart(&self, fence: u64, level: u32, past: &mut Past) {
        let one = self.params(level).one();
        self.renew(fence, (0, 0), true, one, past);
        if fence.is_multiple_of(SWEEP) {
            // A cell that nobody wrote to for long must not be taken for one of a fence to come.
            for cell in self.cells(level) {
                cell.store((fence & FENCE) << 32, Relaxed);
            }
        }
        self.left.store(fence & FENCE, Relaxed);
        if let Some(extra) = self.extra.get() {
            extra.forget_flights(fence);
            extra.slow.store(fence & FENCE, Relaxed);
            extra.slow_left.store(fence & FENCE, Relaxed);
            extra.base_ended.store(0, Relaxed);
            extra.base_units.store(0, Relaxed);
            extra.base_slow.store(0, Relaxed);
            extra.sum.store(fence & FENCE, Relaxed);
            extra.mark.store(0, Relaxed);
        }
    }

    /// Sets the fence in the account and the failures, each in one step: a second write under the same fence could
    /// meet a thread that is taking back what it added under the first. What was counted goes to `past`, but for the
    /// `ended` that stay.
    fn renew(
        &self,
        fence: u64,
        (ended, failures): (u32, u64),
        forget: bool,
        one: u32,
        past: &mut Past,
    ) {
        let fence = fence & FENCE;
        let account = self.account().renew(fence, ended, forget);
        past.ended = (past.ended + u64::from(account.ended())).wrapping_sub(u64::from(ended));
        let old = self.failures.swap(failures | fence, AcqRel);
        if let Some(extra) = self.extra.get() {
            // Counted call by call; the units may be weighted.
            past.failed += extra.failed_calls.swap(0, Relaxed);
        }
        if one == 1 {
            past.failed = past.failed.wrapping_add(old >> 32);
        }
    }

    /// Lays the windows out for `config`, keeping the latest outcomes that fit, and answers the level to publish.
    pub(crate) fn relayout(
        &self,
        level: u32,
        renewal: Renewal,
        config: &Config,
        past: &mut Past,
    ) -> (u32, Totals) {
        let Renewal {
            fences: (old_fence, fence),
            retune,
            forget,
        } = renewal;
        let kept = self.latest(level, old_fence);
        let one_before = self.params(level).one();
        let row = (self.failures.load(Relaxed) / ROW) & ROW_MASK;
        if needs_extra(config) {
            let extra = self.extra_or_new(config);
            if retune {
                extra.tune(config);
            }
        }
        let level = self.level_for(level, config);
        let params = self.params(level);
        if level > 0 {
            params.set(config);
        }
        let (one, log_bits, mask) = (
            params.one(),
            params.log_bits.load(Relaxed),
            params.mask.load(Relaxed),
        );
        let size = params.size.load(Relaxed) as usize;
        let kept = &kept[kept.len().saturating_sub(size)..];
        let cells = self.cells(level);
        let mut totals = Totals::default();
        for (units, slow) in kept {
            let units = units * one / one_before;
            let value = units | u32::from(*slow && log_bits != 0) << 3;
            let _ = swap(cells, totals.ended & mask, log_bits, value, fence & FENCE);
            totals.ended += 1;
            totals.units += units;
            totals.slow += u32::from(*slow);
        }
        let carried = (u64::from(totals.units) * UNITS) | (row * ROW);
        self.renew(fence, (totals.ended, carried), forget, one_before, past);
        if one == 1 {
            // What stays in the window will be read as failures again.
            past.failed = past.failed.wrapping_sub(u64::from(totals.units));
        }
        self.left.store(fence & FENCE, Relaxed);
        if let Some(extra) = self.extra.get() {
            if forget {
                extra.forget_flights(fence);
            }
            let sum = of_fence(&extra.sum, old_fence);
            extra
                .slow
                .store((u64::from(totals.slow) * STEP) | (fence & FENCE), Relaxed);
            extra.slow_left.store(fence & FENCE, Relaxed);
            extra.sum.store((sum * STEP) | (fence & FENCE), Relaxed);
            extra.mark.store(totals.ended, Relaxed);
        }
        (level, totals)
    }

    /// The outcomes in the count window, oldest first, as (units, slow).
    fn latest(&self, level: u32, fence: u64) -> Vec<(u32, bool)> {
        let params = self.params(level);
        let (mask, log_bits) = (params.mask.load(Relaxed), params.log_bits.load(Relaxed));
        let size = params.size.load(Relaxed);
        let ended = self.balance().ended();
        let calls = ended.min(size);
        let cells = self.cells(level);
        (ended - calls..ended)
            .map(|place| {
                let (units, slow) =
                    split(peek(cells, place & mask, log_bits, fence & FENCE), log_bits);
                (units, slow != 0)
            })
            .collect()
    }

    /// A layout with room for `config`: the present one if it may be changed, else the next larger one.
    fn level_for(&self, level: u32, config: &Config) -> u32 {
        let needed = cells_for(config);
        if level == 0 && self.first.params.fits(config) {
            return 0;
        }
        let (mut level, mut slot) = (1, &self.later);
        loop {
            // Each has at least twice the room of the one before it, so there are never more than the word can name.
            let room = needed.next_power_of_two();
            let found = slot.get_or_init(|| {
                Box::new(Level {
                    layout: Layout {
                        params: Params::default(),
                        cells: cells(room),
                    },
                    next: OnceLock::new(),
                })
            });
            if found.layout.cells.len() >= needed {
                return level;
            }
            (level, slot) = (level + 1, &found.next);
        }
    }

    /// The account of calls; `past` holds what ended in earlier stretches.
    pub(crate) fn counts(&self, past: &Past, level: u32) -> Counts {
        let failures = self.failures.load(Acquire);
        let account = self.balance();
        let ended = past.ended.wrapping_add(u64::from(account.ended()));
        let mut failed = past.failed;
        if self.params(level).one() == 1 {
            failed = failed.wrapping_add(failures >> 32);
        }
        let live = u64::from(account.live()) + past.spilled;
        if let Some(extra) = self.extra.get() {
            failed += extra.failed_calls.load(Relaxed);
        }
        let timed_out = self.timed_out.load(Relaxed).min(failed);
        let failed = failed.min(ended);
        let ignored = self.ignored.load(Relaxed);
        let cancelled = self.cancelled.load(Relaxed);
        Counts {
            admitted: ended + ignored + cancelled + live,
            succeeded: ended - failed,
            failed: failed - timed_out.min(failed),
            timed_out: timed_out.min(failed),
            ignored,
            cancelled,
            rejected: self.rejected.load(Relaxed),
        }
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        let cells = size_of_val(&*self.first.cells);
        cells + self.extra().map_or(0, |_| size_of::<Extra>())
    }

    /// Whether any admitted call has not ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.balance().live() == 0
    }
}

/// How a stretch gives way to one whose windows are laid out anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    /// The old fence and the new one.
    pub(crate) fences: (u64, u64),
    /// The settings are other ones, so the change detector starts anew.
    pub(crate) retune: bool,
    /// The calls in flight are watched no more.
    pub(crate) forget: bool,
}

/// What ended before the present stretch, or outside of any window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Past {
    pub(crate) ended: u64,
    /// Failures among them, time-outs included.
    pub(crate) failed: u64,
    /// Calls in flight that did not fit the account.
    pub(crate) spilled: u64,
}

pub(super) fn needs_extra(config: &Config) -> bool {
    config.time_window().is_some()
        || config.slow_calls().is_some()
        || config.change_detector().is_some()
        || config.log_bits() != 0
}
