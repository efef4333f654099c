//! What a call's ending does: its place in the windows, and whether a rule may hold now.

use super::fenced::{add, add_to, peek, split, swap};
use super::params::{COUNT, LEARNS, ROWS, SLOW, SUM, TIME};
use super::{Balance, Cohort, Ended, FOLD, MAX_ROW, Params, ROW, ROW_MASK, STEP, Tally, UNITS};
use crate::clock::Timestamp;
use crate::machine::Admission;
use crate::outcome::{FailureKind, Verdict};
use crate::sync::Ordering::{Acquire, Relaxed, SeqCst};
use crate::sync::updated;
use crate::word::{FENCE, Word};

impl Tally {
    /// Records a success without chores of the present generation, and says what is left to the slow path.
    #[inline(always)]
    pub(crate) fn succeed_plainly(&self, word: Word) -> Ended {
        let before = self.account.end(true);
        updated();
        // This one first: it only follows `failures`, so if they are equal now, they were so when it was read.
        let left = self.left.load(Acquire);
        if before.is_as_ever(Cohort::NONE, word.fence()) && self.failures.load(SeqCst) == left {
            return Ended::Done;
        }
        self.succeed_among_failures(word, before)
    }

    /// A success that may have a row to end, a place to clear or a minimum to complete.
    #[inline(never)]
    fn succeed_among_failures(&self, word: Word, before: Balance) -> Ended {
        let params = self.params(word.level());
        let place = before.ended();
        let (size, mask) = (params.size.load(Relaxed), params.mask.load(Relaxed));
        let log_bits = params.log_bits.load(Relaxed);
        let fence = word.fence();
        let leaving = place.wrapping_sub(size) & mask;
        if before.is_as_ever(Cohort::NONE, fence)
            && place >= params.complete_until.load(Relaxed).max(size)
            && (self.failures.load(Relaxed) / ROW) & ROW_MASK == 0
            && peek(self.cells(word.level()), leaving, log_bits, fence) == 0
        {
            return Ended::Done;
        }
        self.left_plainly(word, before);
        self.weigh(word, before, 0, false)
    }

    /// A call without chores has left. No cohort was under way when it came; if one is now, it must be told.
    #[inline(always)]
    fn left_plainly(&self, word: Word, left: Balance) {
        if left.cohort() != Cohort::NONE {
            self.tell_cohorts(word, &Admission::plain(word), left, Timestamp::default());
        }
    }

    /// Records a failure without chores of the present generation, and says what is left to the slow path.
    #[inline(never)]
    pub(crate) fn fail_plainly(&self, word: Word, kind: FailureKind) -> Ended {
        if kind == FailureKind::TimedOut {
            self.time_out();
        }
        let before = self.account.end(true);
        self.left_plainly(word, before);
        let units = self.params(word.level()).weight(kind);
        self.weigh(word, before, units, false)
    }

    /// Records a judged ending of the present generation, and says what is left to the slow path.
    #[inline(always)]
    pub(crate) fn end(
        &self,
        word: Word,
        admission: &Admission,
        verdict: Verdict,
        now: Timestamp,
    ) -> Ended {
        let params = self.params(word.level());
        let seated = !admission.is_spilled();
        let before = self.account().end(seated);
        let slow = self.is_slow(word, admission, now);
        updated();
        if verdict == Verdict::Success
            && seated
            && !slow
            && before.is_as_ever(admission.cohort(), admission.fence())
            && self.is_calm(params)
        {
            return Ended::Done;
        }
        if seated && (slow || !before.is_at(admission.cohort(), admission.fence())) {
            self.tell_cohorts(word, admission, before, now);
        }
        let units = match verdict {
            Verdict::Success | Verdict::Neutral => 0,
            Verdict::Failure(kind) => params.weight(kind),
            Verdict::TripUntil(_) => params.weight(FailureKind::Error),
        };
        self.weigh(word, before, units, slow)
    }

    /// Takes an ending into the windows, the row and the change detector, once it is counted; `before` is the account
    /// as that count found it.
    #[inline(always)]
    fn weigh(&self, word: Word, before: Balance, units: u32, slow: bool) -> Ended {
        updated();
        let fence = word.fence();
        if before.fence() != fence {
            return self.late(before.fence());
        }
        let params = self.params(word.level());
        let flags = params.flags.load(Relaxed);
        let place = before.ended();
        if flags & COUNT != 0 {
            self.slide(word, params, place, units, slow);
        }
        if units == 0 && !slow {
            self.end_well(params, flags, fence, place)
        } else {
            self.end_badly(word, flags, place, units, slow)
        }
    }

    /// The breaker moved on between the reader's look at the state word and its count: takes the count back.
    #[cold]
    fn late(&self, polluted: u64) -> Ended {
        if self.account().take_back(polluted) {
            return Ended::Late;
        }
        // It moved on once more and took the count along into the past.
        Ended::LateFailure
    }

    /// The count window: the ending enters, the one `size` endings before leaves.
    #[inline(always)]
    fn slide(&self, word: Word, params: &Params, place: u32, units: u32, slow: bool) {
        let cells = self.cells(word.level());
        let (mask, log_bits) = (params.mask.load(Relaxed), params.log_bits.load(Relaxed));
        let size = params.size.load(Relaxed);
        let fence = word.fence();
        // A success writes nothing: its place was cleared when its last holder left the window.
        if units != 0 || slow {
            let value = units | u32::from(slow) << 3;
            if let Some(old) = swap(cells, place & mask, log_bits, value, fence) {
                self.forget(old, log_bits, fence);
            }
        }
        if place >= size {
            let leaving = place.wrapping_sub(size) & mask;
            if peek(cells, leaving, log_bits, fence) != 0 {
                self.clear(word, params, leaving);
            }
        }
    }

    /// A value has left the ring.
    #[inline]
    fn forget(&self, value: u32, log_bits: u32, fence: u64) {
        let (units, slow) = split(value, log_bits);
        if units != 0 {
            let _ = add_to(&self.left, u64::from(units) * UNITS, fence);
        }
        if slow != 0
            && let Some(extra) = self.extra.get()
        {
            add(&extra.slow_left, 1, fence);
        }
    }

    /// A thread that was held up until its own place had to be cleared does it itself.
    #[inline(always)]
    fn catch_up(&self, word: Word, params: &Params, place: u32) {
        let behind = self.account().read(SeqCst).ended().wrapping_sub(place);
        let (size, mask) = (params.size.load(Relaxed), params.mask.load(Relaxed));
        // Later still it is another's place, or the account is of another stretch.
        if size < behind && behind <= mask {
            self.clear(word, params, place & mask);
        }
    }

    fn clear(&self, word: Word, params: &Params, place: u32) {
        let log_bits = params.log_bits.load(Relaxed);
        if let Some(old) = swap(self.cells(word.level()), place, log_bits, 0, word.fence()) {
            self.forget(old, log_bits, word.fence());
        }
    }

    #[inline(always)]
    fn end_well(&self, params: &Params, flags: u32, fence: u64, place: u32) -> Ended {
        if flags & (ROWS | TIME) != 0 {
            let failures = self.failures.load(Relaxed);
            if failures & FENCE == fence && (failures / ROW) & ROW_MASK != 0 {
                self.end_row(flags, fence);
            }
        }
        if flags & SUM != 0
            && let Some(extra) = self.extra.get()
        {
            extra.sum_down(fence, place);
        }
        let judge = place < params.complete_until.load(Relaxed)
            || flags & (TIME | SLOW) != 0 && self.has_bad_calls(fence);
        if (judge && self.seems_to_hold(params, fence)) || place >= FOLD {
            return Ended::Judge;
        }
        Ended::Done
    }

    #[cold]
    fn end_row(&self, flags: u32, fence: u64) {
        let clear =
            |failures: u64| (failures & FENCE == fence).then_some(failures & !(ROW_MASK * ROW));
        // Fails only if the breaker moved on, and then there is no row left to end.
        let Ok(failures) = self.failures.fetch_update(Relaxed, Relaxed, clear) else {
            return;
        };
        if flags & COUNT == 0 {
            // No window holds them, so they have left with the row.
            let cleared = failures & !(ROW_MASK * ROW);
            let follow = |left: u64| (left & FENCE == fence && left < cleared).then_some(cleared);
            let _ = self.left.fetch_update(Relaxed, Relaxed, follow);
        }
    }

    /// Whether nothing is known of failures or slow calls, so that a success has nothing to do but be counted.
    #[inline(always)]
    fn is_calm(&self, params: &Params) -> bool {
        let flags = params.flags.load(Relaxed);
        // First what only follows, as in `succeed_plainly`.
        let left = self.left.load(Acquire);
        let failures = self.failures.load(SeqCst);
        (flags & COUNT == 0 || failures == left)
            && failures & (ROW_MASK * ROW) == 0
            && self
                .extra
                .get()
                .is_none_or(|extra| extra.is_calm(flags, (failures >> 32) as u32))
    }

    #[inline(always)]
    fn has_bad_calls(&self, fence: u64) -> bool {
        let Some(extra) = self.extra.get() else {
            return false;
        };
        let failures = self.failures.load(Relaxed);
        let slow = extra.slow.load(Relaxed);
        let units = (failures >> 32) as u32 != extra.base_units.load(Relaxed);
        (failures & FENCE == fence && units)
            || (slow & FENCE == fence && (slow / STEP) as u32 != extra.base_slow.load(Relaxed))
            || extra.overdue.load(Relaxed) != 0
    }

    #[inline]
    fn end_badly(&self, word: Word, flags: u32, place: u32, units: u32, slow: bool) -> Ended {
        let params = self.params(word.level());
        let fence = word.fence();
        let extra = self.extra.get();
        if slow && let Some(extra) = extra {
            add(&extra.slow, 1, fence);
            updated();
            if flags & COUNT != 0 {
                self.catch_up(word, params, place);
            }
        }
        if units == 0 {
            if flags & ROWS != 0 {
                self.end_row(flags, fence);
            }
            if flags & SUM != 0
                && let Some(extra) = extra
            {
                extra.sum_down(fence, place);
            }
        } else {
            let weighted = params.log_bits.load(Relaxed) != 0;
            let row = params.row.load(Relaxed);
            let seen = (self.failures.load(Relaxed) / ROW) & ROW_MASK;
            // A row that has reached its threshold need not grow, and cannot run out of its field.
            let step = if seen < u64::from(row).min(MAX_ROW) {
                ROW
            } else {
                0
            };
            let added = u64::from(units) * UNITS + step;
            let Some(before) = add_to(&self.failures, added, fence) else {
                return Ended::LateFailure;
            };
            updated();
            if flags & COUNT != 0 {
                self.catch_up(word, params, place);
            }
            let failures = before + added;
            if weighted && let Some(extra) = extra {
                extra.failed_calls.fetch_add(1, Relaxed);
            }
            if flags & SUM != 0
                && let Some(extra) = extra
                && extra.sum_up(fence, place, units, params.one(), flags & LEARNS != 0)
            {
                return Ended::Judge;
            }
            let left = (self.left.load(Relaxed) >> 32) as u32;
            let in_window = ((failures >> 32) as u32).saturating_sub(left);
            let row = (failures / ROW) & ROW_MASK;
            if place < FOLD && params.out_of_reach(row, in_window) {
                return Ended::Done;
            }
        }
        if self.seems_to_hold(params, fence) || place >= FOLD {
            return Ended::Judge;
        }
        Ended::Done
    }

    #[inline(never)]
    fn seems_to_hold(&self, params: &Params, fence: u64) -> bool {
        let limit = self
            .extra
            .get()
            .map_or(0, |extra| extra.limit.load(Relaxed));
        let mut figures = self.figures(params, fence);
        if let Some(extra) = self.extra.get() {
            figures.overdue = extra.overdue.load(Relaxed);
        }
        params.rules(limit).hold(&figures)
    }
}
