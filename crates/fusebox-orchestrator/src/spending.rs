//! What a run may spend and has spent, as it is set, kept on record and reported.

use fusebox_policy::{Limits, Spend};
use serde::{Deserialize, Serialize};

/// What a run, or a tenant within a [`Period`](crate::Period), may spend. Nothing is limited until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Allowance {
    /// Tokens; `None`: as many as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Millionths of a US dollar; `None`: as many as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_dollars: Option<u64>,
}

impl Allowance {
    /// No limit.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tokens: None,
            micro_dollars: None,
        }
    }

    /// So many tokens, which may be reached.
    #[must_use]
    pub const fn with_tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// So many millionths of a US dollar, which may be reached.
    #[must_use]
    pub const fn with_micro_dollars(mut self, micro_dollars: u64) -> Self {
        self.micro_dollars = Some(micro_dollars);
        self
    }

    pub(crate) fn limits(self) -> Limits {
        let mut limits = Limits::new();
        if let Some(tokens) = self.tokens {
            limits = limits.with_total_tokens(tokens);
        }
        if let Some(micro_dollars) = self.micro_dollars {
            limits = limits.with_total_micro_dollars(micro_dollars);
        }
        limits
    }
}

/// Tokens and money, as records have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Amount {
    /// Tokens.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub micro_dollars: u64,
}

impl From<Spend> for Amount {
    fn from(spend: Spend) -> Self {
        Self {
            tokens: spend.tokens,
            micro_dollars: spend.micro_dollars,
        }
    }
}

impl From<Amount> for Spend {
    fn from(amount: Amount) -> Self {
        Self::new(amount.tokens, amount.micro_dollars)
    }
}

/// How a run with a budget stands, over all its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spending {
    /// What it may spend. No limit where only its tenant has a budget.
    pub budget: Allowance,
    /// What its calls have cost that are over, and were estimated at that were cut off by a crash.
    pub spent: Amount,
    /// What the calls in flight are estimated at.
    pub in_flight: Amount,
}

impl Spending {
    pub(crate) fn of(budget: Allowance) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    /// What counts as spent by whoever takes the run over: whatever was in flight may have cost it all.
    pub(crate) fn taken_over(&self) -> Spend {
        Spend::from(self.spent).saturating_add(self.in_flight.into())
    }
}

/// `a` without `b`, part by part and never below zero.
pub(crate) fn less(a: Spend, b: Spend) -> Spend {
    Spend::new(
        a.tokens.saturating_sub(b.tokens),
        a.micro_dollars.saturating_sub(b.micro_dollars),
    )
}
