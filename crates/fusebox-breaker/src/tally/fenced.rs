//! Rings and counters whose every word says to which stretch of the breaker's life it belongs.

use super::{AcqRel, Acquire, Relaxed, STEP, SeqCst};
use crate::sync::{AtomicU32, AtomicU64};
use crate::word::FENCE;

pub(super) fn cells(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

// ---- one place in the ring -------------------------------------------------------------------------------------------

#[inline(always)]
pub(super) fn locate(place: u32, log_bits: u32) -> (usize, u32, u64) {
    let bit = place << log_bits;
    let width = (1_u64 << (1 << log_bits)) - 1;
    ((bit / 32) as usize, bit % 32, width)
}

/// The value at `place`; nothing is there if it was written before the present fence.
#[inline(always)]
pub(super) fn peek(cells: &[AtomicU64], place: u32, log_bits: u32, fence: u64) -> u32 {
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
#[inline]
pub(super) fn swap(
    cells: &[AtomicU64],
    place: u32,
    log_bits: u32,
    value: u32,
    fence: u64,
) -> Option<u32> {
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

pub(super) fn split(value: u32, log_bits: u32) -> (u32, u32) {
    if log_bits == 0 {
        (value, 0)
    } else {
        (value & 0b111, value >> 3)
    }
}

// ---- counters that carry a fence in their lowest bits ----------------------------------------------------------------

#[inline]
pub(super) fn of_fence(counter: &AtomicU64, fence: u64) -> u64 {
    let value = counter.load(Relaxed);
    if value & FENCE == fence & FENCE {
        value / STEP
    } else {
        0
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64, fence: u64) {
    let _ = add_to(counter, count * STEP, fence);
}

#[cold]
pub(super) fn less(counter: &AtomicU32) {
    // Never below zero: what it counts was taken away already.
    let _ = counter.fetch_update(Relaxed, Relaxed, |calls| calls.checked_sub(1));
}

/// Adds if the counter still belongs to `fence`, and answers what it was before.
#[inline]
pub(super) fn add_to(counter: &AtomicU64, amount: u64, fence: u64) -> Option<u64> {
    let before = counter.fetch_add(amount, SeqCst);
    if before & FENCE == fence {
        return Some(before);
    }
    take_back(counter, amount, before & FENCE);
    None
}

#[cold]
fn take_back(counter: &AtomicU64, amount: u64, polluted: u64) {
    let undo = |value: u64| (value & FENCE == polluted).then(|| value.wrapping_sub(amount));
    // If it moved on once more, the amount went with the value that was replaced.
    let _ = counter.fetch_update(AcqRel, Acquire, undo);
}
