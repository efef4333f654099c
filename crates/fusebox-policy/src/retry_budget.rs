//! A budget that keeps retries a fraction of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a token that amounts are kept in.
const PARTS: u64 = 1_000;

/// Largest ratio; beyond it a budget no longer limits anything.
const MAX_RATIO: f64 = 1_000.0;

/// A bucket of retry tokens shared by many calls, so that retries cannot multiply an outage's load. Clones share it.
///
/// Every call deposits `ratio` tokens, every retry withdraws one, and at most `reserve` tokens are saved up. So in any
/// stretch of calls the retries are at most `reserve + ratio * calls`, exactly: amounts are whole thousandths.
/// Nothing flows in by time alone.
///
/// Source: the retry throttling of gRPC (proposal A6) and the retry budgets of Finagle, without their clocks.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    balance: AtomicU64,
    per_call: u64,
    capacity: u64,
}

impl RetryBudget {
    /// A full bucket. `ratio` is tokens per call, rounded to thousandths and kept within `0.0..=1000.0` (not a number
    /// is read as 0); `reserve` is the bucket's size in tokens, at least 1 (0 is read as an empty bucket of size 1).
    ///
    /// A ratio of 0.1 with a reserve of 10 is a good start: ten retries at once, then one for ten calls.
    pub fn new(ratio: f64, reserve: u32) -> Self {
        let ratio = if ratio.is_nan() {
            0.0
        } else {
            ratio.clamp(0.0, MAX_RATIO)
        };
        Self {
            shared: Arc::new(Shared {
                balance: AtomicU64::new(u64::from(reserve) * PARTS),
                per_call: (ratio * PARTS as f64).round() as u64,
                capacity: u64::from(reserve.max(1)) * PARTS,
            }),
        }
    }

    /// One call's deposit. A [`Policy`](crate::Policy) does it at a call's first attempt.
    pub fn deposit(&self) {
        let Shared {
            balance,
            per_call,
            capacity,
        } = &*self.shared;
        // The closure never returns None, so the update cannot fail.
        let _ = balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |parts| {
            Some((parts + per_call).min(*capacity))
        });
    }

    /// Takes one token for a retry; `false` if there is none.
    #[must_use = "without a token there must be no retry"]
    pub fn try_withdraw(&self) -> bool {
        self.shared
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |parts| {
                parts.checked_sub(PARTS)
            })
            .is_ok()
    }

    /// Gives back a token that was taken for a retry which is not made.
    pub(crate) fn refund(&self) {
        let capacity = self.shared.capacity;
        // The closure never returns None, so the update cannot fail.
        let _ = self
            .shared
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |parts| {
                Some((parts + PARTS).min(capacity))
            });
    }

    /// Whole tokens left.
    pub fn available(&self) -> u64 {
        self.shared.balance.load(Ordering::Relaxed) / PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;

    #[test]
    fn a_tenth_per_call_is_exactly_one_retry_for_ten_calls() {
        let budget = RetryBudget::new(0.1, 2);
        assert!(budget.try_withdraw() && budget.try_withdraw());
        for _ in 0..100 {
            (0..9).for_each(|_| budget.deposit());
            assert!(!budget.try_withdraw(), "nine calls are not enough");
            budget.deposit();
            assert!(budget.try_withdraw());
            assert!(!budget.try_withdraw());
        }
    }

    #[test]
    fn deposits_beyond_the_reserve_are_not_saved() {
        let budget = RetryBudget::new(0.5, 3);
        (0..1_000).for_each(|_| budget.deposit());
        assert_eq!(budget.available(), 3);
    }

    #[test]
    fn without_reserve_the_first_retry_must_be_earned() {
        let budget = RetryBudget::new(1.0, 0);
        assert!(!budget.try_withdraw());
        budget.deposit();
        assert!(budget.try_withdraw());
    }

    #[test]
    fn threads_never_withdraw_more_than_was_there() {
        let budget = RetryBudget::new(0.25, 4);
        let taken = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        budget.deposit();
                        if budget.try_withdraw() {
                            taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let taken = taken.into_inner();
        assert!(taken + budget.available() <= 4 + 2_000);
    }
}
