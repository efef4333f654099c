//! The running account of a breaker, in atomics: calls in flight and ended, the windows, the change detector's sum.
//!
//! Everything a closed breaker does per call happens here, without a lock and without allocating. Each figure that
//! belongs to one stretch of the breaker's life carries the *fence* of that stretch in its own word, so a thread that
//! was held up between two steps finds out from the very operation that would have mixed two stretches.
//!
//! ```text
//! account  | ended: 28 | in flight: 20 | cohort: 4 | fence: 12 |
//! failures | units: 32 | in a row:  20 | fence: 12 |
//! left     | units: 32 | 0:         20 | fence: 12 |   of failures that have left the count window
//! cell     | unused: 20 | fence: 12 | outcomes: 32 |   one bit each, or four where weights or slow calls count
//! ```
//!
//! An admission adds one in flight. An ending takes it away and adds one ended, in the same step, and the number of
//! the ending is its place in the ring of cells. Every bit set or cleared changes a total by what it was worth, as
//! the atomic operation that changed it reports, so totals and bits cannot drift apart. A success over a success
//! writes nothing beyond the account. While `failures` and `left` are equal, no failure is in the window and none in
//! a row: then a success need not look at the ring or at a rule either.
//!
//! Memory order: the account is read and written with acquire and release, so whoever sees an ending sees its
//! admission too. A success counts itself and then looks for failures; a failure adds itself and then looks at the
//! count of endings. One of the two has to see the other (the one that completes a minimum, the one that clears a
//! place in the ring), so these four steps are sequentially consistent. All else is judged again under the lock
//! before anything moves, so relaxed order is enough there.

mod account;
mod extra;
mod fenced;
mod params;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::machine::Admission;
use crate::outcome::{Counts, FailureKind, Verdict};
use crate::rules::{Figures, Tallied};
use crate::sync::{AtomicU64, Ordering, updated};
use crate::ticks::Totals;
use crate::word::{FENCE, FENCE_BITS, Word};

pub(crate) use account::{Balance, Cohort};
pub(crate) use extra::Extra;
pub(crate) use params::Params;

use account::Account;
use extra::Age;
use fenced::{add, add_to, cells, of_fence, peek, split, swap};
use params::{COUNT, LEARNS, ROWS, SLOW, SUM, TIME, cells_for};

use Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// One of what is counted above a fence.
const STEP: u64 = 1 << FENCE_BITS;
const ROW: u64 = STEP;
const ROW_MASK: u64 = (1 << 20) - 1;
const UNITS: u64 = 1 << 32;
/// Endings after which the windows are laid out anew with the same content, long before a field overflows.
const FOLD: u32 = if cfg!(test) { 1 << 9 } else { 1 << 24 };
/// Fences after which all cells are marked as of the present, well before their marks could repeat.
const SWEEP: u64 = 1 << (FENCE_BITS - 2);
/// A row is counted this far: half of its field, so that no number of threads adds beyond it.
const MAX_ROW: u64 = crate::config::MAX_ROW as u64;

/// Where an admitted call is counted as in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// In the account, in this cohort.
    Account(Cohort),
    /// In the slow path's books.
    Spilled,
}

// In this order: what calls read, what is rare, and last what every call writes. A success reads all of the first
// group after it has written the account, so none of it may share the account's cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tally {
    first: Layout<Arc<Params>>,
    extra: OnceLock<Box<Extra>>,
    failures: AtomicU64,
    /// Units of failures that have left the count window; without one, those up to which a success has come since.
    left: AtomicU64,
    /// Later layouts, each with room for more than the one before; only a reconfiguration needs them.
    later: OnceLock<Box<Level>>,
    timed_out: AtomicU64,
    ignored: AtomicU64,
    cancelled: AtomicU64,
    rejected: AtomicU64,
    /// Unless it lies beside the cohorts: see [`Tally::account`].
    account: Account,
}

#[derive(Debug)]
struct Layout<P> {
    params: P,
    cells: Box<[AtomicU64]>,
}

#[derive(Debug)]
struct Level {
    layout: Layout<Params>,
    next: OnceLock<Box<Level>>,
}

/// What an ending left to do for the slow path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing.
    Done,
    /// A rule seems to hold; the slow path judges.
    Judge,
    /// The breaker moved on in between: nothing was counted but that the call is no longer in flight.
    Late,
    /// The breaker moved on in between: counted as ended, and only its failure is left to count.
    LateFailure,
}

impl Tally {
    pub(crate) fn new(config: &Config, params: Arc<Params>) -> Self {
        let tally = Self {
            account: Account::new(),
            failures: AtomicU64::new(0),
            left: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            first: Layout {
                cells: cells(cells_for(config)),
                params,
            },
            later: OnceLock::new(),
            extra: OnceLock::new(),
        };
        if needs_extra(config) {
            let watches = config.slow_calls().is_some();
            let extra = Extra::new(config, watches);
            tally.extra.get_or_init(|| Box::new(extra));
        }
        tally
    }

    fn extra_or_new(&self, config: &Config) -> &Extra {
        self.extra
            .get_or_init(|| Box::new(Extra::new(config, false)))
    }

    /// The account in force. One that was built with a slow limit has it beside the cohorts for good, so that its
    /// calls write one cache line; calls without chores need not ask, since such a breaker never lets one be so.
    #[inline(always)]
    fn account(&self) -> &Account {
        match self.extra.get() {
            Some(extra) if extra.has_account => &extra.line.account,
            _ => &self.account,
        }
    }

    /// The settings the breaker was built with.
    pub(crate) fn origin(&self) -> &Arc<Config> {
        self.first.params.config()
    }

    #[inline(always)]
    pub(crate) fn params(&self, level: u32) -> &Params {
        if level == 0 {
            return &self.first.params;
        }
        &self.level(level).layout.params
    }

    #[inline(always)]
    fn cells(&self, level: u32) -> &[AtomicU64] {
        if level == 0 {
            return &self.first.cells;
        }
        &self.level(level).layout.cells
    }

    #[cold]
    fn level(&self, level: u32) -> &Level {
        let mut found = self.later.get().expect("a published level exists");
        for _ in 1..level {
            found = found.next.get().expect("a published level exists");
        }
        found
    }

    // ---- admission -------------------------------------------------------------------------------------------

    /// Counts a call in flight. None if the slow path has to be taken: the buckets are due, or the account is full.
    #[inline(always)]
    pub(crate) fn enter(
        &self,
        word: Word,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<(Seat, Option<Timestamp>)> {
        let mut started = None;
        if self.params(word.level()).has(SLOW) {
            let extra = self.extra.get()?;
            let now = now();
            if now.as_nanos() >= extra.next_tick.load(Relaxed) {
                return None;
            }
            started = Some(now);
        }
        self.enter_unjudged(word).map(|seat| (seat, started))
    }

    /// Counts a call in flight whose start does not matter. None if the account is full or of another stretch.
    #[inline(always)]
    pub(crate) fn enter_unjudged(&self, word: Word) -> Option<Seat> {
        match self.account().enter(word.fence()) {
            Ok(cohort) => Some(Seat::Account(cohort)),
            Err(entered) => {
                self.step_back(entered);
                None
            }
        }
    }

    /// Counts a call in flight that has no chores. Answers false if the slow path has to be taken.
    #[inline(always)]
    pub(crate) fn enter_plainly(&self) -> bool {
        match self.account.enter_plainly() {
            Ok(()) => true,
            Err(entered) => {
                self.step_back(entered);
                false
            }
        }
    }

    #[cold]
    fn step_back(&self, entered: Balance) {
        let left = self.account().leave();
        if let Some(extra) = self.extra.get() {
            extra.step_back(entered, left);
        }
    }

    /// No longer in flight. `Spilled` calls are the slow path's.
    #[inline(always)]
    pub(crate) fn leave(&self, word: Word, admission: &Admission, now: Timestamp) {
        if !admission.is_spilled() {
            let left = self.account().leave();
            self.left_cohort(word, admission, left, now);
        }
    }

    /// Tells the cohorts of a call that has left the account, if they need to know.
    #[inline(always)]
    fn left_cohort(&self, word: Word, admission: &Admission, left: Balance, now: Timestamp) {
        if self.is_slow(word, admission, now) || !left.is_at(admission.cohort(), admission.fence())
        {
            self.tell_cohorts(word, admission, left, now);
        }
    }

    #[inline(always)]
    fn is_slow(&self, word: Word, admission: &Admission, now: Timestamp) -> bool {
        let params = self.params(word.level());
        params.has(SLOW) && admission.elapsed(now) >= params.slow_limit()
    }

    #[inline(never)]
    fn tell_cohorts(&self, word: Word, admission: &Admission, left: Balance, now: Timestamp) {
        if let Some(extra) = self.extra.get() {
            let elapsed = admission.elapsed(now);
            let age = Age {
                elapsed,
                started: now.as_nanos().saturating_sub(elapsed),
                limit: self.params(word.level()).slow_limit(),
            };
            // Fences repeat in time, generations do not.
            let of_epoch = admission.generation() == word.generation();
            extra.leave(admission, of_epoch, left, age);
        }
    }

    pub(crate) fn reject(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn ignore(&self) {
        self.ignored.fetch_add(1, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn cancel(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    pub(crate) fn time_out(&self) {
        self.timed_out.fetch_add(1, Relaxed);
    }

    /// Whether an ending needs the time, and if so when the slow path is due.
    #[inline(always)]
    pub(crate) fn ticks(&self, word: Word) -> Option<u64> {
        if !self.params(word.level()).has(SLOW | TIME) {
            return None;
        }
        Some(
            self.extra
                .get()
                .map_or(0, |extra| extra.next_tick.load(Relaxed)),
        )
    }

    // ---- endings ---------------------------------------------------------------------------------------------

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

    // ---- the slow path: all below is called under its lock -------------------------------------------------------

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

fn needs_extra(config: &Config) -> bool {
    config.time_window().is_some()
        || config.slow_calls().is_some()
        || config.change_detector().is_some()
        || config.log_bits() != 0
}
