//! Budgets of tokens and money, reserved before a call and settled after it.

mod charge;
mod ledger;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::charge::Charge;
use self::ledger::{Entry, Ledger};
use crate::spend::Spend;

/// The window until told otherwise; providers publish their limits per minute.
const MINUTE: Duration = Duration::from_secs(60);

/// What a [`Budget`] allows. Nothing is limited until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    window: Duration,
    per_window: [Option<u64>; 2],
    total: [Option<u64>; 2],
}

impl Limits {
    /// A start for one tenant of a large language model: 50,000 tokens a minute, about what a few agents use, and
    /// 100 US dollars in all, so that a mistake costs no more than that.
    pub const LLM: Self = Self::new()
        .with_tokens_per_window(50_000)
        .with_total_micro_dollars(100_000_000);

    /// No limits, and a window of a minute.
    pub const fn new() -> Self {
        Self {
            window: MINUTE,
            per_window: [None; 2],
            total: [None; 2],
        }
    }

    /// Length of the window. Default a minute; less than a millisecond is read as a millisecond.
    ///
    /// The window slides: in no stretch of time of this length is more reserved than allowed. It moves in steps of a
    /// sixtieth of its length, so an amount stays in it for up to one step longer.
    pub const fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Tokens in any window.
    pub const fn with_tokens_per_window(mut self, tokens: u64) -> Self {
        self.per_window[Resource::Tokens as usize] = Some(tokens);
        self
    }

    /// Millionths of a dollar in any window.
    pub const fn with_micro_dollars_per_window(mut self, micro_dollars: u64) -> Self {
        self.per_window[Resource::MicroDollars as usize] = Some(micro_dollars);
        self
    }

    /// Tokens for as long as the budget lives.
    pub const fn with_total_tokens(mut self, tokens: u64) -> Self {
        self.total[Resource::Tokens as usize] = Some(tokens);
        self
    }

    /// Millionths of a dollar for as long as the budget lives.
    pub const fn with_total_micro_dollars(mut self, micro_dollars: u64) -> Self {
        self.total[Resource::MicroDollars as usize] = Some(micro_dollars);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// Tokens and money that calls may cost. Clones share it, so that one budget can stand for an agent, a run or a tenant.
///
/// An amount is reserved before a call, counts at once, and is settled to the real cost afterwards. All amounts are
/// whole numbers and no sum overflows. A call that costs more than was reserved is charged in full, so the
/// budget can be overdrawn by calls already running; then it refuses until it is back within its limits.
///
/// Where a call has several budgets it takes all of them or none.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    origin: Instant,
    ledger: Mutex<Ledger>,
}

impl Budget {
    /// A budget from which nothing has been taken.
    pub fn new(name: impl Into<Arc<str>>, limits: Limits) -> Self {
        Self {
            shared: Arc::new(Shared {
                name: name.into(),
                origin: Instant::now(),
                ledger: Mutex::new(Ledger::new(limits)),
            }),
        }
    }

    /// The name given to it, as it appears in errors.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// What calls that are over have cost.
    pub fn spent(&self) -> Spend {
        self.ledger().spent()
    }

    /// What calls that are not over have reserved.
    pub fn reserved(&self) -> Spend {
        self.ledger().reserved()
    }

    /// Sets `amount` aside. A part of zero is not checked against its limits, so a call that costs no money passes a
    /// budget without money.
    ///
    /// # Errors
    /// [`BudgetExceeded`] if one of the limits would be exceeded; exactly reaching it is allowed. Nothing is
    /// set aside then.
    pub fn reserve(&self, amount: Spend) -> Result<Reservation, BudgetExceeded> {
        let mut ledger = self.ledger();
        // Read under the lock: the ledger's time never goes back.
        let now = self.now();
        match ledger.reserve(amount, now) {
            Ok(entry) => Ok(Reservation {
                budget: self.clone(),
                entry: Some(entry),
                amount,
                has_begun: false,
            }),
            Err(shortage) => Err(BudgetExceeded {
                budget: self.name().clone(),
                resource: shortage.resource,
                window: shortage.window,
                asked: shortage.asked,
                left: shortage.left,
                limit: shortage.limit,
                retry_after: shortage.retry_after,
                awaits_calls: shortage.awaits_calls,
            }),
        }
    }

    /// Counts what was spent before or elsewhere, whatever the limits say: the budget may be overdrawn by it.
    pub fn charge(&self, amount: Spend) {
        let mut ledger = self.ledger();
        // Read under the lock: the ledger's time never goes back.
        let now = self.now();
        ledger.charge(amount, now);
    }

    fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing that can panic runs under this lock.
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An amount set aside in a [`Budget`].
///
/// Dropping it gives the amount back, unless [`begin`](Self::begin) said that the work has started: then what was set
/// aside is charged, since it may have been used up.
#[derive(Debug)]
#[must_use = "dropping a reservation gives it back"]
pub struct Reservation {
    budget: Budget,
    /// None once settled.
    entry: Option<Entry>,
    amount: Spend,
    has_begun: bool,
}

impl Reservation {
    /// What was set aside.
    pub fn amount(&self) -> Spend {
        self.amount
    }

    /// The work starts; from here on dropping charges the amount.
    pub fn begin(&mut self) {
        self.has_begun = true;
    }

    /// Charges what the work has really cost, be it less or more than was set aside. Less goes back into the window it
    /// was taken from; more counts from now.
    pub fn settle(mut self, actual: Spend) {
        self.charge(actual);
    }

    fn charge(&mut self, actual: Spend) {
        if let Some(entry) = self.entry.take() {
            let mut ledger = self.budget.ledger();
            // Read under the lock: the ledger's time never goes back.
            let now = self.budget.now();
            ledger.settle(entry, actual, now);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let used = if self.has_begun {
            self.amount
        } else {
            Spend::ZERO
        };
        self.charge(used);
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// Tokens.
    Tokens = 0,
    /// Millionths of a US dollar.
    MicroDollars = 1,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "tokens",
            Self::MicroDollars => "micro-dollars",
        })
    }
}

/// A budget has not enough left; nothing was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("budget `{budget}` has {left} of {limit} {resource}{} left where {asked} are needed, {}", per(*window), next_try(*retry_after, *awaits_calls))]
pub struct BudgetExceeded {
    /// The budget's name.
    pub budget: Arc<str>,
    /// What is short.
    pub resource: Resource,
    /// Length of the window whose limit it is; `None` if it is the limit of the whole budget.
    pub window: Option<Duration>,
    /// What the call asked for.
    pub asked: u64,
    /// What was left; zero too if it is overdrawn.
    pub left: u64,
    /// The limit.
    pub limit: u64,
    /// When there will be enough, exactly, if nobody else asks and running calls cost what they reserved. `None` if time alone does not help: the whole budget is
    /// used up, or the call asks for more than fits into a window.
    pub retry_after: Option<Duration>,
    /// Whether calls in flight have reserved what is missing: there is enough if they cost less than that. Only
    /// of the limit of the whole budget; a window's `retry_after` comes sooner or later.
    pub awaits_calls: bool,
}

impl BudgetExceeded {
    /// Whether the same call may pass later without anybody raising a limit.
    pub fn may_pass_later(&self) -> bool {
        self.retry_after.is_some() || self.awaits_calls
    }
}

fn per(window: Option<Duration>) -> String {
    window.map_or_else(String::new, |window| format!(" per {window:?}"))
}

fn next_try(retry_after: Option<Duration>, awaits_calls: bool) -> String {
    match retry_after {
        Some(after) => format!("next try in {after:?}"),
        None if awaits_calls => "calls in flight have reserved the rest".to_owned(),
        None => "waiting does not help: raise the limit or ask for less".to_owned(),
    }
}
