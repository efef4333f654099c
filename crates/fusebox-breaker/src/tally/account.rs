//! The account: calls in flight and ended, the cohort under way, the stretch of life, all in one word.
//!
//! ```text
//! | ended: 28 | in flight: 20 | cohort: 4 | fence: 12 |
//! ```
//!
//! Whoever changes it learns from the same step which cohort and which stretch the change fell into.

use super::{AcqRel, Acquire, FOLD, Ordering, Relaxed, SeqCst};
use crate::sync::AtomicU64;
use crate::word::{FENCE, FENCE_BITS};

const LIVE_SHIFT: u32 = FENCE_BITS + Cohort::BITS;
const LIVE_BITS: u32 = 20;
const ENDED_SHIFT: u32 = LIVE_SHIFT + LIVE_BITS;
const LIVE: u64 = 1 << LIVE_SHIFT;
const ENDED: u64 = 1 << ENDED_SHIFT;
const LIVE_MASK: u64 = (1 << LIVE_BITS) - 1;
/// Set once half as many calls are in flight as the field holds: then it is full, and no number of threads that come
/// at once brings it to its end.
const FULL: u64 = LIVE << (LIVE_BITS - 1);
const COHORT: u64 = ((1 << Cohort::BITS) - 1) << FENCE_BITS;
/// Bits that are set only after [`FOLD`] endings.
const PAST_FOLD: u64 = !(ENDED * FOLD as u64 - 1);

/// A group of calls in flight that started in the same eighth of the slow limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cohort(u8);

impl Cohort {
    pub(crate) const BITS: u32 = 4;
    /// Of calls that no slow limit watches.
    pub(crate) const NONE: Self = Self(0);
    /// As many as there are besides.
    pub(crate) const COUNT: usize = 14;

    /// The one of this tick; each is taken again after [`COUNT`](Self::COUNT) of them.
    pub(crate) fn of_tick(tick: u64) -> Self {
        Self((tick % Self::COUNT as u64) as u8 + 1)
    }

    /// Taken out of some word's bits.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self((bits & ((1 << Self::BITS) - 1)) as u8)
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    /// Its place among the cohorts; none if it is none.
    pub(crate) fn index(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

/// What an account said at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Balance(u64);

impl Balance {
    #[inline(always)]
    pub(crate) fn ended(self) -> u32 {
        (self.0 >> ENDED_SHIFT) as u32
    }

    pub(crate) fn live(self) -> u32 {
        ((self.0 / LIVE) & LIVE_MASK) as u32
    }

    #[inline(always)]
    pub(crate) fn cohort(self) -> Cohort {
        Cohort::from_bits(self.0 >> FENCE_BITS)
    }

    #[inline(always)]
    pub(crate) fn fence(self) -> u64 {
        self.0 & FENCE
    }

    /// Of this stretch and cohort, and not full of endings.
    #[inline(always)]
    pub(super) fn is_as_ever(self, cohort: Cohort, fence: u64) -> bool {
        (self.0 ^ (cohort.bits() << FENCE_BITS | fence)) & (FENCE | COHORT | PAST_FOLD) == 0
    }

    /// Of this stretch and cohort.
    #[inline(always)]
    pub(super) fn is_at(self, cohort: Cohort, fence: u64) -> bool {
        (self.0 ^ (cohort.bits() << FENCE_BITS | fence)) & (FENCE | COHORT) == 0
    }
}

#[derive(Debug)]
pub(super) struct Account(AtomicU64);

impl Account {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline(always)]
    pub(super) fn read(&self, order: Ordering) -> Balance {
        Balance(self.0.load(order))
    }

    /// Counts a call in flight. As `Err`: it is counted, but must not stay, since the account is full or of another
    /// stretch.
    #[inline(always)]
    pub(super) fn enter(&self, fence: u64) -> Result<Cohort, Balance> {
        let found = self.0.fetch_add(LIVE, Relaxed);
        if (found ^ fence) & (FENCE | FULL) == 0 {
            Ok(Balance(found).cohort())
        } else {
            Err(Balance(found))
        }
    }

    /// Counts a call in flight that is in no cohort, whatever the stretch. `Err` as above, or if a cohort is under way.
    #[inline(always)]
    pub(super) fn enter_plainly(&self) -> Result<(), Balance> {
        let found = self.0.fetch_add(LIVE, Relaxed);
        if found & (COHORT | FULL) == 0 {
            Ok(())
        } else {
            Err(Balance(found))
        }
    }

    /// A call is no longer in flight and did not end.
    pub(super) fn leave(&self) -> Balance {
        Balance(self.0.fetch_sub(LIVE, AcqRel))
    }

    /// A call ended, and is no longer in flight if it was `seated` here.
    #[inline(always)]
    pub(super) fn end(&self, seated: bool) -> Balance {
        let live = if seated { LIVE } else { 0 };
        Balance(self.0.fetch_add(ENDED - live, SeqCst))
    }

    /// Takes an ending back that fell into a stretch that was not its own; false if that stretch is over too.
    pub(super) fn take_back(&self, polluted: u64) -> bool {
        let undo = |seen: u64| (seen & FENCE == polluted).then(|| seen - ENDED);
        self.0.fetch_update(AcqRel, Acquire, undo).is_ok()
    }

    /// Begins a stretch with so many endings, and answers what the account said before. Calls in flight stay so, in
    /// the cohort under way unless that is to be forgotten.
    pub(super) fn renew(&self, fence: u64, ended: u32, forget: bool) -> Balance {
        let kept = (LIVE_MASK * LIVE) | if forget { 0 } else { COHORT };
        self.update(|seen| u64::from(ended) << ENDED_SHIFT | seen & kept | fence)
    }

    /// Makes a cohort the one under way, and answers what the account said before.
    pub(super) fn turn(&self, cohort: Cohort) -> Balance {
        self.update(|seen| seen & !COHORT | cohort.bits() << FENCE_BITS)
    }

    fn update(&self, change: impl Fn(u64) -> u64) -> Balance {
        let changed = self
            .0
            .fetch_update(AcqRel, Acquire, |seen| Some(change(seen)));
        Balance(changed.unwrap_or_else(|seen| seen))
    }
}
