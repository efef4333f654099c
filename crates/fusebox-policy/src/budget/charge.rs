//! One attempt's reservations in all budgets of a call.

use super::{Budget, BudgetExceeded, Reservation};
use crate::spend::{Meter, Spend};

/// One attempt's reservations. Dropping it before the operation starts gives them back; dropping it afterwards charges
/// what was reserved or what the meter says, whichever is more, since an attempt cut short may have cost it all.
#[derive(Debug)]
pub(crate) struct Charge {
    reservations: Vec<Reservation>,
    estimate: Spend,
    meter: Option<Meter>,
    has_begun: bool,
}

impl Charge {
    /// Reserves in all `budgets`, or in none.
    pub(crate) fn reserve<'a>(
        budgets: impl Iterator<Item = &'a Budget>,
        estimate: Spend,
        meter: Option<&Meter>,
    ) -> Result<Self, BudgetExceeded> {
        let reservations = budgets
            .map(|budget| budget.reserve(estimate))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            reservations,
            estimate,
            meter: meter.cloned(),
            has_begun: false,
        })
    }

    /// The operation starts.
    pub(crate) fn begin(&mut self) {
        self.has_begun = true;
        self.reservations.iter_mut().for_each(Reservation::begin);
    }

    /// The operation gave a result: it costs what the meter says, or the estimate if that says nothing.
    pub(crate) fn settle(mut self) {
        let actual = self.recorded().unwrap_or(self.estimate);
        self.charge(actual);
    }

    fn recorded(&self) -> Option<Spend> {
        self.meter.as_ref().and_then(Meter::take)
    }

    fn charge(&mut self, actual: Spend) {
        for reservation in self.reservations.drain(..) {
            reservation.settle(actual);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.has_begun && !self.reservations.is_empty() {
            let recorded = self.recorded().unwrap_or_default();
            self.charge(recorded.max(self.estimate));
        }
    }
}
