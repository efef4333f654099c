//! The arithmetic of a budget, without a clock or a lock.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Limits, Resource};
use crate::spend::Spend;

/// Steps in which the window moves. A sixtieth of a minute is a second, which nobody notices, for a kilobyte or two.
const STEPS: u64 = 60;

/// Sums of both resources. 128 bits hold more amounts of 64 bits than a process can make.
type Sums = [u128; 2];

const RESOURCES: [Resource; 2] = [Resource::Tokens, Resource::MicroDollars];

/// What has been taken, and when.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    /// Nanoseconds.
    step: u128,
    /// What was taken within each step that still counts, oldest first.
    steps: VecDeque<(u128, Sums)>,
    /// Sum of `steps`.
    in_window: Sums,
    reserved: Sums,
    spent: Sums,
}

/// A reservation's place in the ledger.
#[derive(Debug)]
pub(super) struct Entry {
    step: u128,
    amount: Spend,
}

/// The limit that is in the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) resource: Resource,
    pub(super) window: Option<Duration>,
    pub(super) asked: u64,
    pub(super) left: u64,
    pub(super) limit: u64,
    pub(super) retry_after: Option<Duration>,
    pub(super) awaits_calls: bool,
}

impl Ledger {
    pub(super) fn new(mut limits: Limits) -> Self {
        limits.window = limits.window.max(Duration::from_millis(1));
        Self {
            limits,
            step: limits.window.as_nanos().div_ceil(u128::from(STEPS)),
            steps: VecDeque::new(),
            in_window: [0; 2],
            reserved: [0; 2],
            spent: [0; 2],
        }
    }

    pub(super) fn spent(&self) -> Spend {
        spend(self.spent)
    }

    pub(super) fn reserved(&self) -> Spend {
        spend(self.reserved)
    }

    /// Takes `amount` at `now`, which never goes back. Of several shortages it tells the one that lasts longest.
    pub(super) fn reserve(&mut self, amount: Spend, now: Duration) -> Result<Entry, Shortage> {
        self.forget(now);
        let shortages = RESOURCES
            .into_iter()
            .flat_map(|resource| self.shortages(resource, amount, now));
        let worst = shortages.max_by_key(|shortage| shortage.retry_after.unwrap_or(Duration::MAX));
        if let Some(shortage) = worst {
            return Err(shortage);
        }
        add(&mut self.reserved, amount);
        let step = self.take(amount, now);
        Ok(Entry { step, amount })
    }

    /// Replaces what was reserved by what was used.
    pub(super) fn settle(&mut self, entry: Entry, actual: Spend, now: Duration) {
        self.forget(now);
        sub(&mut self.reserved, entry.amount);
        add(&mut self.spent, actual);
        let unused = excess(entry.amount, actual);
        let found = self.steps.binary_search_by_key(&entry.step, |step| step.0);
        if let Ok(index) = found {
            sub(&mut self.steps[index].1, unused);
            sub(&mut self.in_window, unused);
        }
        self.take(excess(actual, entry.amount), now);
    }

    /// Counts `amount` as spent now.
    pub(super) fn charge(&mut self, amount: Spend, now: Duration) {
        self.forget(now);
        add(&mut self.spent, amount);
        self.take(amount, now);
    }

    fn take(&mut self, amount: Spend, now: Duration) -> u128 {
        let step = now.as_nanos() / self.step;
        match self.steps.back_mut() {
            Some((last, sums)) if *last == step => add(sums, amount),
            _ => {
                let mut sums = [0; 2];
                add(&mut sums, amount);
                self.steps.push_back((step, sums));
            }
        }
        add(&mut self.in_window, amount);
        step
    }

    /// Drops the steps that lie a whole window back.
    fn forget(&mut self, now: Duration) {
        while let Some((step, sums)) = self.steps.front().copied()
            && self.leaves_at(step) <= now.as_nanos()
        {
            self.steps.pop_front();
            for (total, part) in self.in_window.iter_mut().zip(sums) {
                *total -= part;
            }
        }
    }

    /// When the last moment of `step` lies a whole window back.
    fn leaves_at(&self, step: u128) -> u128 {
        (step + 1 + u128::from(STEPS)) * self.step
    }

    fn shortages(
        &self,
        resource: Resource,
        amount: Spend,
        now: Duration,
    ) -> impl Iterator<Item = Shortage> + use<> {
        let index = resource as usize;
        let asked = parts(amount)[index];
        let short = |limit: Option<u64>, used: u128| {
            let limit = limit.filter(|_| asked > 0)?;
            (used + u128::from(asked) > u128::from(limit)).then(|| Shortage {
                resource,
                window: None,
                asked,
                left: u64::try_from(u128::from(limit).saturating_sub(used)).unwrap_or(u64::MAX),
                limit,
                retry_after: None,
                awaits_calls: false,
            })
        };
        let ever = self.reserved[index] + self.spent[index];
        let total = short(self.limits.total[index], ever).map(|shortage| Shortage {
            awaits_calls: self.spent[index] + u128::from(asked) <= u128::from(shortage.limit),
            ..shortage
        });
        let window = short(self.limits.per_window[index], self.in_window[index]);
        let window = window.map(|shortage| Shortage {
            window: Some(self.limits.window),
            retry_after: self.room_after(index, shortage.asked, shortage.limit, now),
            ..shortage
        });
        total.into_iter().chain(window)
    }

    /// When enough of the window will have slid away; never if the amount does not fit into an empty one.
    fn room_after(&self, index: usize, asked: u64, limit: u64, now: Duration) -> Option<Duration> {
        let room = u128::from(limit.checked_sub(asked)?);
        let mut used = self.in_window[index];
        let (last, _) = self.steps.iter().find(|(_, sums)| {
            used -= sums[index];
            used <= room
        })?;
        let nanos = self.leaves_at(*last) - now.as_nanos();
        Some(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }
}

fn parts(amount: Spend) -> [u64; 2] {
    [amount.tokens, amount.micro_dollars]
}

fn add(sums: &mut Sums, amount: Spend) {
    for (sum, part) in sums.iter_mut().zip(parts(amount)) {
        *sum += u128::from(part);
    }
}

fn sub(sums: &mut Sums, amount: Spend) {
    for (sum, part) in sums.iter_mut().zip(parts(amount)) {
        *sum -= u128::from(part);
    }
}

/// What `amount` is above `floor`, part by part.
fn excess(amount: Spend, floor: Spend) -> Spend {
    Spend::new(
        amount.tokens.saturating_sub(floor.tokens),
        amount.micro_dollars.saturating_sub(floor.micro_dollars),
    )
}

fn spend(sums: Sums) -> Spend {
    let [tokens, micro_dollars] = sums.map(|sum| u64::try_from(sum).unwrap_or(u64::MAX));
    Spend::new(tokens, micro_dollars)
}

#[cfg(test)]
mod tests;
