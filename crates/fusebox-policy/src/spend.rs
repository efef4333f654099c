//! What a call costs, and the meter that an operation reports it on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a call costs, in whole tokens and whole micro-dollars (a millionth of a US dollar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Spend {
    /// Tokens, prompt and completion together.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub micro_dollars: u64,
}

impl Spend {
    /// Nothing.
    pub const ZERO: Self = Self::new(0, 0);

    /// The least that costs anything: one token and one micro-dollar.
    pub const LEAST: Self = Self::new(1, 1);

    /// This many tokens and millionths of a dollar.
    pub const fn new(tokens: u64, micro_dollars: u64) -> Self {
        Self {
            tokens,
            micro_dollars,
        }
    }

    /// Tokens that cost no money.
    pub const fn tokens(tokens: u64) -> Self {
        Self::new(tokens, 0)
    }

    /// Money for something that is not counted in tokens.
    pub const fn micro_dollars(micro_dollars: u64) -> Self {
        Self::new(0, micro_dollars)
    }

    /// The sum; each part stops at the largest number there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::new(
            self.tokens.saturating_add(other.tokens),
            self.micro_dollars.saturating_add(other.micro_dollars),
        )
    }

    /// The larger of each part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self::new(
            self.tokens.max(other.tokens),
            self.micro_dollars.max(other.micro_dollars),
        )
    }
}

/// Where an operation reports what it costs. Clones share one reading.
///
/// A meter belongs to one [`Call`](crate::Call): take it with [`Call::meter`](crate::Call::meter), move a clone into
/// the operation, and record there as soon as a cost is known, in parts if it comes in parts. What is recorded while
/// no attempt runs counts for the next one; what is recorded after the last settles nothing.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    reading: Arc<Mutex<Reading>>,
}

#[derive(Debug, Default)]
struct Reading {
    total: Option<Spend>,
    /// Recorded since the last attempt was settled; `None` if nothing was.
    recent: Option<Spend>,
}

impl Meter {
    /// A meter that reads nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to what the current attempt has cost.
    pub fn record(&self, spend: Spend) {
        let mut reading = self.reading();
        let total = reading.total.unwrap_or_default();
        reading.total = Some(total.saturating_add(spend));
        let recent = reading.recent.unwrap_or_default();
        reading.recent = Some(recent.saturating_add(spend));
    }

    /// Everything recorded.
    pub fn total(&self) -> Spend {
        self.recorded().unwrap_or_default()
    }

    /// Everything recorded; `None` if nothing was, which is not the same as a cost of nothing.
    pub fn recorded(&self) -> Option<Spend> {
        self.reading().total
    }

    /// What was recorded since this was last asked.
    pub(crate) fn take(&self) -> Option<Spend> {
        self.reading().recent.take()
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        // Nothing that can panic runs under this lock.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
