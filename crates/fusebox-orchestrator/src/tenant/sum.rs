//! The records of a tenant's budget, and how a run's claim changes them.

use fusebox_policy::Spend;
use serde::{Deserialize, Serialize};

use crate::spending::{Allowance, Amount, less};

/// What counts in the present period, of all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Sum {
    /// When the period began, in milliseconds since 1970.
    pub(super) since_ms: u64,
    pub(super) counted: Amount,
    /// Of `counted`, what calls in flight have set aside.
    pub(super) in_flight: Amount,
}

/// What one run has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Share {
    /// Over the whole run.
    pub(super) spent: Spend,
    pub(super) in_flight: Spend,
}

/// A share on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The period it was last counted in.
    pub(super) since_ms: u64,
    pub(super) spent: Amount,
    pub(super) in_flight: Amount,
    /// Which of the run's processes wrote it.
    pub(super) process: u32,
    /// The write, so that one whose answer was lost is recognised.
    pub(super) write: String,
}

impl Share {
    pub(super) fn total(self) -> Spend {
        self.spent.saturating_add(self.in_flight)
    }
}

impl Entry {
    /// What of it is counted in the period that began at `since_ms`: what was set aside in an earlier one is
    /// forgotten with it, and counts again where the call is still in flight.
    pub(super) fn counted_in(&self, since_ms: u64) -> Share {
        let in_flight = if self.since_ms == since_ms {
            self.in_flight.into()
        } else {
            Spend::ZERO
        };
        Share {
            spent: self.spent.into(),
            in_flight,
        }
    }
}

impl Sum {
    /// The sum of the period that began at `since_ms`. A clock that is behind does not bring an earlier one back.
    pub(super) fn in_period(self, since_ms: u64) -> Self {
        if since_ms <= self.since_ms {
            return self;
        }
        Self {
            since_ms,
            ..Self::default()
        }
    }

    /// With a run's share of `after` in place of `before`.
    pub(super) fn replace(self, before: Share, after: Share) -> Self {
        let swap = |sum: Amount, before: Spend, after: Spend| -> Amount {
            less(Spend::from(sum).saturating_add(after), before).into()
        };
        Self {
            counted: swap(self.counted, before.total(), after.total()),
            in_flight: swap(self.in_flight, before.in_flight, after.in_flight),
            ..self
        }
    }

    /// Whether `asked` more fits. Exactly reaching a limit is allowed; what is not asked for is not looked at.
    pub(super) fn has_room(&self, asked: Spend, allowance: &Allowance) -> bool {
        let fits = |counted: u64, asked: u64, limit: Option<u64>| {
            asked == 0 || limit.is_none_or(|limit| counted.saturating_add(asked) <= limit)
        };
        fits(self.counted.tokens, asked.tokens, allowance.tokens)
            && fits(
                self.counted.micro_dollars,
                asked.micro_dollars,
                allowance.micro_dollars,
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(spent: u64, in_flight: u64) -> Share {
        Share {
            spent: Spend::tokens(spent),
            in_flight: Spend::tokens(in_flight),
        }
    }

    fn entry(since_ms: u64, share: Share) -> Entry {
        Entry {
            since_ms,
            spent: share.spent.into(),
            in_flight: share.in_flight.into(),
            process: 1,
            write: String::new(),
        }
    }

    #[test]
    fn a_call_counts_in_the_period_in_which_it_ends() {
        let sum = Sum::default()
            .in_period(10)
            .replace(share(0, 0), share(0, 100));
        assert_eq!((sum.counted.tokens, sum.in_flight.tokens), (100, 100));
        let begun = entry(10, share(0, 100));

        let same = sum.replace(begun.counted_in(10), share(30, 0));
        assert_eq!((same.counted.tokens, same.in_flight.tokens), (30, 0));

        let next = sum.in_period(20);
        assert_eq!(next.counted.tokens, 0);
        let ended = next.replace(begun.counted_in(20), share(30, 0));
        assert_eq!((ended.counted.tokens, ended.in_flight.tokens), (30, 0));

        let in_flight = next.replace(begun.counted_in(20), share(0, 100));
        assert_eq!(in_flight.counted.tokens, 100);
        let ended = in_flight.replace(entry(20, share(0, 100)).counted_in(20), share(30, 0));
        assert_eq!((ended.counted.tokens, ended.in_flight.tokens), (30, 0));
    }

    #[test]
    fn a_clock_that_is_behind_brings_no_period_back() {
        let sum = Sum::default()
            .in_period(20)
            .replace(share(0, 0), share(7, 0));
        assert_eq!(sum.in_period(10), sum);
    }

    #[test]
    fn a_limit_may_be_reached_and_what_is_not_asked_for_is_not_looked_at() {
        let sum = Sum::default().replace(share(0, 0), share(90, 0));
        let allowance = Allowance::new().with_tokens(100).with_micro_dollars(0);
        assert!(sum.has_room(Spend::tokens(10), &allowance));
        assert!(!sum.has_room(Spend::tokens(11), &allowance));
        assert!(!sum.has_room(Spend::micro_dollars(1), &allowance));
    }
}
