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
mod endings;
mod extra;
mod fenced;
mod layout;
mod params;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::machine::Admission;
use crate::sync::{AtomicU64, Ordering};
use crate::word::{FENCE_BITS, Word};

pub(crate) use account::{Balance, Cohort};
pub(crate) use extra::Extra;
pub(crate) use layout::{Past, Renewal};
pub(crate) use params::Params;

use account::Account;
use extra::Age;
use fenced::cells;
use layout::needs_extra;
use params::{SLOW, TIME, cells_for};

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
}
