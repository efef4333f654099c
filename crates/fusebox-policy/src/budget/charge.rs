//! One attempt's reservations in all budgets of a call.

use super::{Budget, BudgetExceeded, Reservation};
use crate::spend::{Meter, Spend};

/// One attempt's reservations. Dropping it before the operation starts gives them back; dropping it afterwards charges
/// what was reserved or what the meter says, whichever is more, since an attempt cut short may have cost it all.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    /// Beside the others: most calls have one budget or none, and then nothing is allocated.
    first: Option<Reservation>,
    others: Vec<Reservation>,
    estimate: Spend,
    meter: Option<Meter>,
    has_begun: bool,
}

impl Charge {
    /// Reserves in all `budgets`, or in none.
    #[inline]
    pub(crate) fn reserve<'a>(
        mut budgets: impl Iterator<Item = &'a Budget>,
        estimate: Spend,
        meter: Option<&Meter>,
    ) -> Result<Self, BudgetExceeded> {
        let Some(first) = budgets.next() else {
            return Ok(Self::default());
        };
        let first = Some(first.reserve(estimate)?);
        let others = budgets
            .map(|budget| budget.reserve(estimate))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            first,
            others,
            estimate,
            meter: meter.cloned(),
            has_begun: false,
        })
    }

    /// The operation starts.
    pub(crate) fn begin(&mut self) {
        self.has_begun = true;
        let all = self.first.iter_mut().chain(&mut self.others);
        all.for_each(Reservation::begin);
    }

    /// The operation gave a result: it costs what the meter says, or the estimate if that says nothing.
    pub(crate) fn settle(mut self) {
        if self.first.is_some() {
            let actual = self.recorded().unwrap_or(self.estimate);
            self.charge(actual);
        }
    }

    fn recorded(&self) -> Option<Spend> {
        self.meter.as_ref().and_then(Meter::take)
    }

    fn charge(&mut self, actual: Spend) {
        if let Some(first) = self.first.take() {
            first.settle(actual);
        }
        for other in self.others.drain(..) {
            other.settle(actual);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.has_begun && self.first.is_some() {
            let recorded = self.recorded().unwrap_or_default();
            self.charge(recorded.max(self.estimate));
        }
    }
}
