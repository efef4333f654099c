//! The running account of a breaker, in atomics: calls in flight and ended, the windows, the change detector's sum.
//!
//! Everything a closed breaker does per call happens here, without a lock and without allocating. Each figure that
//! belongs to one stretch of the breaker's life carries the *fence* of that stretch in its own word, so a thread that
//! was held up between two steps finds out from the very operation that would have mixed two stretches.
//!
//! ```text
//! account  | ended: 32 | in flight: 20 | fence: 12 |
//! failures | units: 32 | in a row:  20 | fence: 12 |
//! cell     | unused: 20 | fence: 12 | outcomes: 32 |   one bit each, or four where weights or slow calls count
//! ```
//!
//! An admission adds one in flight. An ending takes it away and adds one ended, in the same step, and the number of
//! the ending is its place in the ring of cells. Every bit set or cleared changes a total by what it was worth, as
//! the atomic operation that changed it reports, so totals and bits cannot drift apart. A success over a success
//! writes nothing beyond the account.
//!
//! Memory order: the account is read and written with acquire and release, so whoever sees an ending sees its
//! admission too. All else is judged again under the lock before anything moves, so relaxed order is enough there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::cusum::Design;
use crate::outcome::{Counts, FailureKind, Verdict};
use crate::rules::{Figures, Rate, Rules, Tallied, Weights};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::ticks::{COHORTS, Totals};
use crate::word::{FENCE, FENCE_BITS, Word};

use Ordering::{AcqRel, Acquire, Relaxed};

const ENDED: u64 = 1 << 32;
const LIVE: u64 = 1 << FENCE_BITS;
const LIVE_MASK: u64 = (1 << 20) - 1;
/// Calls in flight that fit the account; beyond them a call is kept in the slow path's books.
pub(crate) const MAX_LIVE: u64 = 1 << 19;
const ROW: u64 = 1 << FENCE_BITS;
const ROW_MASK: u64 = (1 << 20) - 1;
const UNITS: u64 = 1 << 32;
/// Endings after which the windows are laid out anew with the same content, long before a field overflows.
const FOLD: u32 = if cfg!(test) { 1 << 9 } else { 1 << 28 };
/// Places kept free in a ring beside the window's: a thread held up between two steps by fewer endings than this
/// still finds the place it means.
const SLACK: u32 = 16;
/// Fences after which all cells are marked as of the present, well before their marks could repeat.
const SWEEP: u64 = 1 << (FENCE_BITS - 2);
/// A row is counted this far: half of its field, so that no number of threads adds beyond it.
const MAX_ROW: u64 = 500_000;
/// The change detector's sum stops here: far above any limit, far below its field's end.
const MAX_SUM: u64 = 1 << 40;

/// Where an admitted call is counted as in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// In the account.
    Account,
    /// Among the calls that started in the same eighth of the slow limit, in this epoch of the cohorts.
    Cohort(u8, u16),
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
    /// Units of failures that have left the count window.
    left: AtomicU64,
    /// Later layouts, each with room for more than the one before; only a reconfiguration needs them.
    later: OnceLock<Box<Level>>,
    timed_out: AtomicU64,
    ignored: AtomicU64,
    cancelled: AtomicU64,
    rejected: AtomicU64,
    account: AtomicU64,
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

/// What the lock-free path needs to know of the settings. A layout that a reconfiguration made is changed in place:
/// the fence has moved on by then, so whoever still reads the old values finds out before they matter.
#[derive(Debug, Default)]
pub(crate) struct Params {
    /// The settings they were taken from; none in a layout that a reconfiguration made.
    origin: Option<Arc<Config>>,
    flags: AtomicU32,
    /// Calls the count window holds; 0 without one.
    size: AtomicU32,
    /// Places in the ring less one.
    mask: AtomicU32,
    /// Bits per outcome: 0 for one, 2 for four.
    log_bits: AtomicU32,
    /// A success among the first so many endings can complete a rule's minimum.
    complete_until: AtomicU32,
    weights: AtomicU32,
    row: AtomicU32,
    minima: [AtomicU32; 3],
    thresholds: [AtomicU64; 3],
    slow_limit: AtomicU64,
}

const ALL: u32 = 1;
const COUNT: u32 = 1 << 1;
const TIME: u32 = 1 << 2;
const SLOW: u32 = 1 << 3;
const SUM: u32 = 1 << 4;
const LEARNS: u32 = 1 << 5;
const ROWS: u32 = 1 << 6;

/// What only some settings need. In this order: what calls read, what bad calls write, a line's width of what is rare,
/// and last what every call writes under a slow limit.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Extra {
    /// When the slow path must move the buckets on; the end of time if nothing ticks.
    next_tick: AtomicU64,
    slow_tick: AtomicU64,
    sum: AtomicU64,
    slow: AtomicU64,
    base_ended: AtomicU32,
    base_units: AtomicU32,
    base_slow: AtomicU32,
    overdue: AtomicU32,
    slot: AtomicU32,
    /// Grows when the calls in flight stop being watched: with every generation and every new slow limit.
    epoch: AtomicU32,
    limit: AtomicU64,
    up: AtomicU32,
    mark: AtomicU32,
    slow_left: AtomicU64,
    failed_calls: AtomicU64,
    learned: AtomicU64,
    learn_at: AtomicU32,
    /// Of each cohort, the calls of a round before, which are in flight past the limit.
    carried: [AtomicU32; COHORTS],
    /// Of each cohort, the calls of an epoch before.
    stale: [AtomicU32; COHORTS],
    cohorts: [AtomicU32; COHORTS],
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
            account: AtomicU64::new(0),
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
            tally.extra_or_new(config);
        }
        tally
    }

    fn extra_or_new(&self, config: &Config) -> &Extra {
        self.extra.get_or_init(|| Box::new(Extra::new(config)))
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
    ) -> Option<(Seat, Timestamp)> {
        if self.params(word.level()).has(SLOW) {
            let extra = self.extra.get()?;
            let now = now();
            if now.as_nanos() >= extra.next_tick.load(Relaxed) {
                return None;
            }
            let slot = extra.slot.load(Relaxed) as u8;
            extra.cohorts[usize::from(slot)].fetch_add(1, Relaxed);
            let epoch = extra.epoch.load(Relaxed) as u16;
            return Some((Seat::Cohort(slot, epoch), now));
        }
        let before = self.account.fetch_add(LIVE, Relaxed);
        if (before / LIVE) & LIVE_MASK >= MAX_LIVE {
            self.account.fetch_sub(LIVE, Relaxed);
            return None;
        }
        Some((Seat::Account, Timestamp::default()))
    }

    /// No longer in flight. `Spilled` calls are the slow path's.
    #[inline(always)]
    pub(crate) fn leave(&self, word: Word, (seat, started): (Seat, Timestamp), now: Timestamp) {
        match seat {
            Seat::Account => {
                self.account.fetch_sub(LIVE, AcqRel);
            }
            Seat::Cohort(slot, epoch) => {
                if let Some(extra) = self.extra.get() {
                    let limit = self.params(word.level()).slow_limit();
                    extra.leave((slot, epoch), started, now, limit);
                }
            }
            Seat::Spilled => {}
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

    /// Records a judged ending of the present generation, and says what is left to the slow path.
    #[inline(always)]
    pub(crate) fn end(
        &self,
        word: Word,
        (seat, started): (Seat, Timestamp),
        verdict: Verdict,
        now: Timestamp,
    ) -> Ended {
        let params = self.params(word.level());
        let flags = params.flags.load(Relaxed);
        let fence = word.fence();
        let limit = params.slow_limit.load(Relaxed);
        let before = match seat {
            Seat::Account => self.account.fetch_add(ENDED - LIVE, AcqRel),
            _ => {
                let before = self.account.fetch_add(ENDED, AcqRel);
                self.leave(word, (seat, started), now);
                before
            }
        };
        if before & FENCE != fence {
            return self.late(before & FENCE);
        }
        let place = (before >> 32) as u32;
        let units = match verdict {
            Verdict::Success | Verdict::Neutral => 0,
            Verdict::Failure(kind) => params.weight(kind),
            Verdict::TripUntil(_) => params.weight(FailureKind::Error),
        };
        let slow = flags & SLOW != 0 && now.as_nanos().saturating_sub(started.as_nanos()) >= limit;
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
        let mut account = self.account.load(Acquire);
        while account & FENCE == polluted {
            match self
                .account
                .compare_exchange_weak(account, account - ENDED, AcqRel, Acquire)
            {
                Ok(_) => return Ended::Late,
                Err(seen) => account = seen,
            }
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
            if peek(cells, leaving, log_bits, fence) != 0
                && let Some(old) = swap(cells, leaving, log_bits, 0, fence)
            {
                self.forget(old, log_bits, fence);
            }
        }
    }

    /// A value has left the ring.
    #[cold]
    fn forget(&self, value: u32, log_bits: u32, fence: u64) {
        let (units, slow) = split(value, log_bits);
        if units != 0 {
            add(&self.left, u64::from(units), fence);
        }
        if slow != 0
            && let Some(extra) = self.extra.get()
        {
            add(&extra.slow_left, 1, fence);
        }
    }

    #[inline(always)]
    fn end_well(&self, params: &Params, flags: u32, fence: u64, place: u32) -> Ended {
        if flags & (ROWS | TIME) != 0 {
            let failures = self.failures.load(Relaxed);
            if failures & FENCE == fence && (failures / ROW) & ROW_MASK != 0 {
                self.end_row(fence);
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
    fn end_row(&self, fence: u64) {
        let clear =
            |failures: u64| (failures & FENCE == fence).then_some(failures & !(ROW_MASK * ROW));
        // Fails only if the breaker moved on, and then there is no row left to end.
        let _ = self.failures.fetch_update(Relaxed, Relaxed, clear);
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
            || (slow & FENCE == fence && (slow / LIVE) as u32 != extra.base_slow.load(Relaxed))
            || extra.overdue.load(Relaxed) != 0
    }

    #[inline(never)]
    fn end_badly(&self, word: Word, flags: u32, place: u32, units: u32, slow: bool) -> Ended {
        let params = self.params(word.level());
        let fence = word.fence();
        let extra = self.extra.get();
        if slow && let Some(extra) = extra {
            add(&extra.slow, 1, fence);
        }
        if units == 0 {
            if flags & ROWS != 0 {
                self.end_row(fence);
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
            if !add_to(&self.failures, u64::from(units) * UNITS + step, fence) {
                return Ended::LateFailure;
            }
            if weighted && let Some(extra) = extra {
                extra.failed_calls.fetch_add(1, Relaxed);
            }
            if flags & SUM != 0
                && let Some(extra) = extra
                && extra.sum_up(fence, place, units, params.one(), flags & LEARNS != 0)
            {
                return Ended::Judge;
            }
        }
        if self.seems_to_hold(params, fence) || place >= FOLD {
            return Ended::Judge;
        }
        Ended::Done
    }

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
        let account = self.account.load(Acquire);
        let failures = self.failures.load(Relaxed);
        if account & FENCE != fence || failures & FENCE != fence {
            return Figures::default();
        }
        let totals = self.totals();
        let size = params.size.load(Relaxed);
        let left = of_fence(&self.left, fence);
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
            .map_or(0, |extra| extra.slow.load(Relaxed) / LIVE);
        Totals {
            ended: (self.account.load(Acquire) >> 32) as u32,
            units: (self.failures.load(Relaxed) >> 32) as u32,
            slow: slow as u32,
        }
    }

    pub(crate) fn extra(&self) -> Option<&Extra> {
        self.extra.get().map(|extra| &**extra)
    }

    pub(crate) fn is_full(&self) -> bool {
        (self.account.load(Acquire) >> 32) as u32 >= FOLD
    }

    /// Counts a call in flight, whatever the state.
    pub(crate) fn enter_unjudged(&self) -> Option<Seat> {
        let before = self.account.fetch_add(LIVE, Relaxed);
        if (before / LIVE) & LIVE_MASK >= MAX_LIVE {
            self.account.fetch_sub(LIVE, Relaxed);
            return None;
        }
        Some(Seat::Account)
    }

    /// Starts a new stretch with empty windows. What the old one counted is added to `past`.
    pub(crate) fn restart(&self, fence: u64, level: u32, past: &mut Past) {
        let one = self.params(level).one();
        self.renew(fence, 0, 0, one, past);
        if fence.is_multiple_of(SWEEP) {
            // A cell that nobody wrote to for long must not be taken for one of a fence to come.
            for cell in self.cells(level) {
                cell.store((fence & FENCE) << 32, Relaxed);
            }
        }
        self.left.store(fence & FENCE, Relaxed);
        if let Some(extra) = self.extra.get() {
            extra.forget_flights();
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
    fn renew(&self, fence: u64, ended: u32, failures: u64, one: u32, past: &mut Past) {
        let fence = fence & FENCE;
        let set =
            |account: u64| Some(u64::from(ended) << 32 | account & (LIVE_MASK * LIVE) | fence);
        let account = match self.account.fetch_update(AcqRel, Acquire, set) {
            Ok(account) | Err(account) => account,
        };
        past.ended = (past.ended + (account >> 32)).wrapping_sub(u64::from(ended));
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
        (old_fence, fence): (u64, u64),
        (config, retune): (&Config, bool),
        past: &mut Past,
    ) -> (u32, Totals) {
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
        self.renew(fence, totals.ended, carried, one_before, past);
        if one == 1 {
            // What stays in the window will be read as failures again.
            past.failed = past.failed.wrapping_sub(u64::from(totals.units));
        }
        self.left.store(fence & FENCE, Relaxed);
        if let Some(extra) = self.extra.get() {
            let sum = of_fence(&extra.sum, old_fence);
            extra
                .slow
                .store((u64::from(totals.slow) * LIVE) | (fence & FENCE), Relaxed);
            extra.slow_left.store(fence & FENCE, Relaxed);
            extra.sum.store((sum * LIVE) | (fence & FENCE), Relaxed);
            extra.mark.store(totals.ended, Relaxed);
        }
        (level, totals)
    }

    /// The outcomes in the count window, oldest first, as (units, slow).
    fn latest(&self, level: u32, fence: u64) -> Vec<(u32, bool)> {
        let params = self.params(level);
        let (mask, log_bits) = (params.mask.load(Relaxed), params.log_bits.load(Relaxed));
        let size = params.size.load(Relaxed);
        let ended = (self.account.load(Acquire) >> 32) as u32;
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
        let account = self.account.load(Acquire);
        let ended = past.ended.wrapping_add(account >> 32);
        let mut failed = past.failed;
        if self.params(level).one() == 1 {
            failed = failed.wrapping_add(failures >> 32);
        }
        let mut live = ((account / LIVE) & LIVE_MASK) + past.spilled;
        if let Some(extra) = self.extra.get() {
            failed += extra.failed_calls.load(Relaxed);
            live += extra
                .cohorts
                .iter()
                .map(|calls| u64::from(calls.load(Acquire)))
                .sum::<u64>();
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
        let in_account = (self.account.load(Acquire) / LIVE) & LIVE_MASK;
        let in_cohorts = self
            .extra()
            .is_some_and(|extra| extra.cohorts.iter().any(|calls| calls.load(Acquire) != 0));
        in_account == 0 && !in_cohorts
    }
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

impl Extra {
    fn new(config: &Config) -> Self {
        let extra = Self {
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
            cohorts: std::array::from_fn(|_| AtomicU32::new(0)),
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
    fn tune(&self, config: &Config) {
        let design = config.design();
        self.up.store(design.map_or(0, |design| design.up), Relaxed);
        self.limit
            .store(design.map_or(0, |design| u64::from(design.limit)), Relaxed);
        self.learned.store(0, Relaxed);
        self.learn_at.store(LEARN_FIRST, Relaxed);
        self.next_tick.store(0, Relaxed);
    }

    fn sum_down(&self, fence: u64, place: u32) {
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
    fn sum_up(&self, fence: u64, place: u32, units: u32, one: u32, learns: bool) -> bool {
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
    fn leave(&self, (slot, epoch): (u8, u16), started: Timestamp, now: Timestamp, limit: u64) {
        let slot = usize::from(slot);
        // Read before the call leaves: if an epoch begins in between, one call too few is watched, not too many.
        let stale = self.epoch.load(Relaxed) as u16 != epoch;
        self.cohorts[slot].fetch_sub(1, AcqRel);
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
            self.stale[index].store(self.cohorts[index].load(Acquire), Relaxed);
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
        let calls = self.cohorts[index].load(Acquire);
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

/// Failures learned from before the first tuning.
const LEARN_FIRST: u32 = 8;

impl Params {
    pub(crate) fn of(config: &Arc<Config>) -> Self {
        let params = Self {
            origin: Some(Arc::clone(config)),
            ..Self::default()
        };
        params.set(config);
        params
    }

    /// The settings they were taken from.
    pub(crate) fn config(&self) -> &Arc<Config> {
        self.origin
            .as_ref()
            .expect("shared parameters know their settings")
    }

    fn set(&self, config: &Config) {
        let mut flags = 0;
        let mut set = |flag, on: bool| flags |= if on { flag } else { 0 };
        let rules = config.rules();
        set(ALL, rules.all);
        set(COUNT, config.count_window().is_some());
        set(TIME, rules.time.is_some());
        set(SLOW, rules.slow.is_some());
        set(SUM, config.change_detector().is_some());
        set(
            LEARNS,
            config
                .change_detector()
                .is_some_and(|detector| detector.learning.is_some()),
        );
        set(ROWS, rules.row > 0);
        let size = config.count_window().map_or(0, |window| window.size);
        self.size.store(size, Relaxed);
        self.mask.store(places(size) - 1, Relaxed);
        self.log_bits.store(config.log_bits(), Relaxed);
        let minima =
            [rules.count, rules.time, rules.slow].map(|rule| rule.map_or(0, |rule| rule.minimum));
        self.complete_until
            .store(minima.into_iter().max().unwrap_or(0), Relaxed);
        let Weights {
            error,
            timed_out,
            overloaded,
        } = config.weights();
        self.weights.store(
            u32::from_le_bytes([error, timed_out, overloaded, 0]),
            Relaxed,
        );
        self.row.store(rules.row, Relaxed);
        for (index, rule) in [rules.count, rules.time, rules.slow]
            .into_iter()
            .enumerate()
        {
            self.minima[index].store(rule.map_or(u32::MAX, |rule| rule.minimum), Relaxed);
            self.thresholds[index]
                .store(rule.map_or(2.0, |rule| rule.threshold).to_bits(), Relaxed);
        }
        let limit = config
            .slow_calls()
            .map_or(Duration::MAX, |slow| slow.slow_call_duration_threshold);
        self.slow_limit
            .store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.flags.store(flags, Relaxed);
    }

    #[inline(always)]
    fn has(&self, flags: u32) -> bool {
        self.flags.load(Relaxed) & flags != 0
    }

    pub(crate) fn slow_limit(&self) -> u64 {
        self.slow_limit.load(Relaxed)
    }

    /// What a failure of weight one adds to a window.
    fn one(&self) -> u32 {
        if self.log_bits.load(Relaxed) == 0 {
            1
        } else {
            u32::from(Weights::ONE)
        }
    }

    fn weight(&self, kind: FailureKind) -> u32 {
        if self.log_bits.load(Relaxed) == 0 {
            return 1;
        }
        let [error, timed_out, overloaded, _] = self.weights.load(Relaxed).to_le_bytes();
        u32::from(
            Weights {
                error,
                timed_out,
                overloaded,
            }
            .of(kind),
        )
    }

    fn rules(&self, limit: u64) -> Rules {
        let flags = self.flags.load(Relaxed);
        let rate = |flag: u32, index: usize| {
            (flags & flag != 0).then(|| Rate {
                minimum: self.minima[index].load(Relaxed),
                threshold: f64::from_bits(self.thresholds[index].load(Relaxed)),
            })
        };
        Rules {
            all: flags & ALL != 0,
            row: self.row.load(Relaxed),
            count: rate(COUNT, 0),
            time: rate(TIME, 1),
            slow: rate(SLOW, 2),
            sum: if flags & SUM != 0 { limit } else { 0 },
            one: self.one(),
        }
    }

    /// Whether they say the same as `config`.
    fn fits(&self, config: &Config) -> bool {
        let other = Self::default();
        other.set(config);
        let plain = |params: &Self| {
            (
                [
                    &params.flags,
                    &params.size,
                    &params.mask,
                    &params.log_bits,
                    &params.row,
                    &params.weights,
                ]
                .map(|field| field.load(Relaxed)),
                params.minima.each_ref().map(|field| field.load(Relaxed)),
                params
                    .thresholds
                    .each_ref()
                    .map(|field| field.load(Relaxed)),
                params.slow_limit.load(Relaxed),
            )
        };
        plain(self) == plain(&other)
    }
}

fn needs_extra(config: &Config) -> bool {
    config.time_window().is_some()
        || config.slow_calls().is_some()
        || config.change_detector().is_some()
        || config.log_bits() != 0
}

/// Places in the ring of a window over `size` calls: a power of two, so that a place is found by a mask.
fn places(size: u32) -> u32 {
    if size == 0 {
        1
    } else {
        (size + SLACK).next_power_of_two()
    }
}

fn cells_for(config: &Config) -> usize {
    let size = config.count_window().map_or(0, |window| window.size);
    if size == 0 {
        return 0;
    }
    ((places(size) << config.log_bits()) as usize).div_ceil(32)
}

fn cells(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

// ---- one place in the ring -------------------------------------------------------------------------------------------

#[inline(always)]
fn locate(place: u32, log_bits: u32) -> (usize, u32, u64) {
    let bit = place << log_bits;
    let width = (1_u64 << (1 << log_bits)) - 1;
    ((bit / 32) as usize, bit % 32, width)
}

/// The value at `place`; nothing is there if it was written before the present fence.
#[inline(always)]
fn peek(cells: &[AtomicU64], place: u32, log_bits: u32, fence: u64) -> u32 {
    let (index, shift, width) = locate(place, log_bits);
    let Some(cell) = cells.get(index) else {
        return 0;
    };
    let cell = cell.load(Relaxed);
    if (cell >> 32) & FENCE == fence {
        (cell >> shift & width) as u32
    } else {
        0
    }
}

/// Writes `value` at `place` and answers what was there; None if a later fence has taken the cell over.
#[cold]
fn swap(cells: &[AtomicU64], place: u32, log_bits: u32, value: u32, fence: u64) -> Option<u32> {
    let (index, shift, width) = locate(place, log_bits);
    let cell = cells.get(index)?;
    let mut seen = cell.load(Relaxed);
    loop {
        let written = (seen >> 32) & FENCE;
        let bits = if written == fence {
            seen & 0xFFFF_FFFF
        } else if fence.wrapping_sub(written) & FENCE < FENCE / 2 {
            0
        } else {
            return None;
        };
        let old = (bits >> shift & width) as u32;
        // With one bit per outcome a failure is a set bit.
        let value = u64::from(value) & width;
        let new = fence << 32 | bits & !(width << shift) | value << shift;
        if new == seen {
            return Some(old);
        }
        match cell.compare_exchange_weak(seen, new, Relaxed, Relaxed) {
            Ok(_) => return Some(old),
            Err(now) => seen = now,
        }
    }
}

fn split(value: u32, log_bits: u32) -> (u32, u32) {
    if log_bits == 0 {
        (value, 0)
    } else {
        (value & 0b111, value >> 3)
    }
}

// ---- counters that carry a fence in their lowest bits ----------------------------------------------------------------

#[inline]
fn of_fence(counter: &AtomicU64, fence: u64) -> u64 {
    let value = counter.load(Relaxed);
    if value & FENCE == fence & FENCE {
        value / LIVE
    } else {
        0
    }
}

fn add(counter: &AtomicU64, count: u64, fence: u64) {
    add_to(counter, count * LIVE, fence);
}

#[cold]
fn less(counter: &AtomicU32) {
    // Never below zero: what it counts was taken away already.
    let _ = counter.fetch_update(Relaxed, Relaxed, |calls| calls.checked_sub(1));
}

/// Adds if the counter still belongs to `fence`, and answers whether it did.
#[inline]
fn add_to(counter: &AtomicU64, amount: u64, fence: u64) -> bool {
    let before = counter.fetch_add(amount, AcqRel);
    before & FENCE == fence || take_back(counter, amount, before & FENCE)
}

#[cold]
fn take_back(counter: &AtomicU64, amount: u64, polluted: u64) -> bool {
    let undo = |value: u64| (value & FENCE == polluted).then(|| value - amount);
    // If it moved on once more, the amount went with the value that was replaced.
    let _ = counter.fetch_update(AcqRel, Acquire, undo);
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::FOLD;
    use crate::clock::ManualClock;
    use crate::rules::TimeWindow;
    use crate::{Breaker, Config, ConfigBuilder, CountWindow, FailureKind, State};

    fn draws(seed: u64) -> impl Iterator<Item = bool> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 32 & 0b111 < 5
        })
    }

    /// Runs over several folds (the fold is short in this crate's own tests) until the model says that it opens.
    fn follow(config: ConfigBuilder, opens: impl Fn(&[bool]) -> bool) {
        for seed in 0..40 {
            let clock = ManualClock::new();
            let breaker = Breaker::builder("fold", config.clone().build().expect("good settings"))
                .clock(Arc::new(clock.clone()))
                .build();
            let mut outcomes = Vec::new();
            for failed in draws(seed).take(5 * FOLD as usize) {
                clock.advance(Duration::from_millis(1));
                let permit = breaker.try_acquire().expect("closed");
                if failed {
                    permit.failure(FailureKind::Error);
                } else {
                    permit.success();
                }
                outcomes.push(failed);
                let counts = breaker.counts();
                let failures = outcomes.iter().filter(|failed| **failed).count() as u64;
                assert_eq!(
                    (counts.failed, counts.total()),
                    (failures, outcomes.len() as u64)
                );
                if opens(&outcomes) {
                    assert_eq!(
                        breaker.state(),
                        State::Open,
                        "seed {seed}, call {}",
                        outcomes.len()
                    );
                    break;
                }
                assert_eq!(
                    breaker.state(),
                    State::Closed,
                    "seed {seed}, call {}",
                    outcomes.len()
                );
            }
        }
    }

    fn only() -> ConfigBuilder {
        Config::builder()
            .without_consecutive_failures()
            .without_count_window()
    }

    #[test]
    fn a_count_window_slides_on_when_its_account_is_laid_out_anew() {
        let window = CountWindow {
            size: 20,
            minimum_number_of_calls: 20,
            failure_rate_threshold: 0.95,
        };
        follow(only().count_window(window), |outcomes| {
            let tail = &outcomes[outcomes.len().saturating_sub(20)..];
            tail.len() == 20 && tail.iter().filter(|failed| **failed).count() >= 19
        });
    }

    #[test]
    fn a_row_and_a_time_window_go_on_when_their_account_is_laid_out_anew() {
        follow(only().consecutive_failures(16), |outcomes| {
            outcomes.iter().rev().take_while(|failed| **failed).count() >= 16
        });
        let window = TimeWindow {
            size: Duration::from_millis(20),
            buckets: 20,
            minimum_number_of_calls: 20,
            failure_rate_threshold: 0.95,
        };
        // One call a millisecond, so the last 20 buckets are the last 20 calls.
        follow(only().time_window(window), |outcomes| {
            let tail = &outcomes[outcomes.len().saturating_sub(20)..];
            tail.len() == 20 && tail.iter().filter(|failed| **failed).count() >= 19
        });
    }
}
