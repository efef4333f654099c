//! What all runs of a tenant may spend together, in whatever process: kept in the store.
//!
//! Each attempt is set aside in the store before it is made, by compare-and-set, and settled after its call. So
//! all processes together set aside no more than the budget has; what is spent beyond is what calls cost
//! above their estimates. `docs/adr/0021-budgets-are-on-record-and-a-tenants-is-in-the-store.md` has the alternatives.

mod account;
mod sum;

use std::time::Duration;

use fusebox_policy::Spend;
use fusebox_state::{Key, Partition, StateStore};
use serde::{Deserialize, Serialize};

pub(crate) use self::account::{Account, Refusal};
use self::sum::Sum;
use crate::digest::sha256_hex;
use crate::record::HistoryError;
use crate::spending::{Allowance, Amount};
use crate::time::millis;

/// What a tenant's runs may spend together. Processes that share a store give one tenant one budget: a call is
/// held against that of the process it is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantBudget {
    /// How much.
    pub allowance: Allowance,
    /// In which time.
    pub period: Period,
}

impl TenantBudget {
    /// So much for ever: [`Period::Ever`].
    #[must_use]
    pub const fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            period: Period::Ever,
        }
    }

    /// So much anew in each period.
    #[must_use]
    pub const fn per(mut self, period: Period) -> Self {
        self.period = period;
        self
    }
}

/// The time for which a tenant's budget is, by the store's clock in UTC. At its first moment all is there again;
/// a call counts in the period in which it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Period {
    /// As long as the store keeps it; the default.
    #[default]
    Ever,
    /// A day from midnight to midnight.
    Day,
    /// A calendar month.
    Month,
}

impl Period {
    /// When the period began that `now_ms` is in, and when the next one begins; in milliseconds since 1970.
    fn around(self, now_ms: u64) -> (u64, Option<u64>) {
        const DAY: u64 = 24 * 3600 * 1000;
        let day = now_ms / DAY;
        let (first, next) = match self {
            Self::Ever => return (0, None),
            Self::Day => (day, day + 1),
            Self::Month => month(day),
        };
        (first * DAY, Some(next * DAY))
    }
}

/// The first day of the month that `day` is in, and of the next, in days since 1970.
fn month(day: u64) -> (u64, u64) {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    // 400 years repeat: what is far away does not take long.
    const CYCLE: u64 = 146_097;
    let (mut first, mut year) = (day / CYCLE * CYCLE, 1970);
    loop {
        for (month, length) in LENGTHS.into_iter().enumerate() {
            let next = first + length + u64::from(month == 1 && is_leap(year));
            if day < next {
                return (first, next);
            }
            first = next;
        }
        year += 1;
    }
}

/// How a tenant's budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TenantSpending {
    /// When its period began, in milliseconds since 1970 (UTC); 0 for one without.
    pub since_ms: u64,
    /// What its calls have cost, of all runs and processes, and what is set aside for those in flight.
    pub counted: Amount,
    /// Of that, what is set aside: for calls in flight, and for those of processes that died, until their runs are
    /// taken over.
    pub in_flight: Amount,
}

/// How the budget of a tenant stands in the store, as of the last call that counted in it. `None`: none has.
///
/// # Errors
/// See [`HistoryError`].
pub async fn tenant_spending(
    store: &dyn StateStore,
    tenant: &str,
) -> Result<Option<TenantSpending>, HistoryError> {
    let entry = store.get(&partition(tenant), &key("sum")).await?;
    let sum: Option<Sum> = entry
        .map(|entry| parse(tenant, "sum", &entry.value))
        .transpose()?;
    Ok(sum.map(|sum| TenantSpending {
        since_ms: sum.since_ms,
        counted: sum.counted,
        in_flight: sum.in_flight,
    }))
}

/// A tenant's name may hold anything, so it is hashed.
fn partition(tenant: &str) -> Partition {
    let name = format!("tenant.{}", &sha256_hex(tenant.as_bytes())[..32]);
    Partition::try_new(name).expect("it holds only plain characters")
}

fn key(text: &str) -> Key {
    Key::try_new(text).expect("it holds only plain characters")
}

fn parse<'a, T: Deserialize<'a>>(
    tenant: &str,
    key: &str,
    bytes: &'a [u8],
) -> Result<T, HistoryError> {
    serde_json::from_slice(bytes).map_err(|source| HistoryError::Malformed {
        run: format!("budget of tenant {tenant}"),
        key: key.to_owned(),
        source,
    })
}

/// A tenant has not enough left for a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short {
    /// What counts already.
    pub(crate) counted: Spend,
    /// When the next period begins.
    pub(crate) next: Option<Duration>,
    /// Whether calls in flight hold what is missing.
    pub(crate) awaits_calls: bool,
}

impl Short {
    fn of(sum: &Sum, asked: Spend, budget: &TenantBudget, now_ms: u64) -> Self {
        let (_, next) = budget.period.around(now_ms);
        let calls_over = Sum {
            counted: crate::spending::less(sum.counted.into(), sum.in_flight.into()).into(),
            ..*sum
        };
        Self {
            counted: sum.counted.into(),
            next: next.map(|next| Duration::from_millis(next.saturating_sub(now_ms))),
            awaits_calls: calls_over.has_room(asked, &budget.allowance),
        }
    }
}

/// The store's time, in milliseconds since 1970.
fn at_ms(now: std::time::SystemTime) -> u64 {
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_midnight_and_on_the_first_of_the_month() {
        const DAY: u64 = 86_400_000;
        assert_eq!(Period::Ever.around(5), (0, None));
        assert_eq!(Period::Day.around(DAY - 1), (0, Some(DAY)));
        assert_eq!(Period::Day.around(DAY), (DAY, Some(2 * DAY)));
        // Days since 1970, as `date -u -d DATE +%s` has them.
        for (day, first, next) in [
            (0, 0, 31),
            (58, 31, 59),
            (59, 59, 90),
            (11_016, 10_988, 11_017),    // 2000-02-29
            (20_662, 20_635, 20_666),    // 2026-07-28
            (47_540, 47_513, 47_541),    // 2100-02-28, the last of its month
            (146_586, 146_582, 146_613), // 2371-05-05
        ] {
            let around = Period::Month.around(day * DAY + 5);
            assert_eq!(around, (first * DAY, Some(next * DAY)), "day {day}");
        }
    }
}
