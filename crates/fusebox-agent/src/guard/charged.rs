//! What one call outside the policy costs, in the budgets that came with it.

use fusebox_policy::{Budget, BudgetExceeded, Meter, Reservation, Spend};

/// One call's place in its budgets. Dropping it charges the estimate or what was reported, whichever is more.
pub(super) struct Charged {
    reserved: Vec<Reservation>,
    /// Those in which nothing is reserved: what is reported is charged afterwards.
    unreserved: Vec<Budget>,
    estimate: Spend,
    meter: Meter,
    is_over: bool,
}

impl Charged {
    /// Reserves in all `budgets`, or in none. One that says no more than [`Spend::LEAST`] may cost nothing,
    /// and stands in where a budget is used up: it is charged afterwards.
    pub(super) fn reserve(budgets: &[Budget], estimate: Spend) -> Result<Self, BudgetExceeded> {
        let is_known = estimate != Spend::LEAST;
        let (mut reserved, mut unreserved) = (Vec::new(), Vec::new());
        for budget in budgets {
            if is_known {
                reserved.push(budget.reserve(estimate)?);
            } else {
                unreserved.push(budget.clone());
            }
        }
        reserved.iter_mut().for_each(Reservation::begin);
        Ok(Self {
            reserved,
            unreserved,
            estimate,
            meter: Meter::new(),
            is_over: false,
        })
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The call gave a result.
    pub(super) fn settle(mut self) {
        self.charge(self.meter.recorded().unwrap_or(self.estimate));
    }

    fn charge(&mut self, actual: Spend) {
        self.is_over = true;
        for reservation in self.reserved.drain(..) {
            reservation.settle(actual);
        }
        for budget in self.unreserved.drain(..) {
            budget.charge(actual);
        }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if !self.is_over {
            self.charge(self.meter.total().max(self.estimate));
        }
    }
}
