//! What a policy is told about one call.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::budget::Budget;
use crate::bulkhead::Priority;
use crate::loops::{Fingerprint, LoopDetector};
use crate::retry_budget::RetryBudget;
use crate::spend::{Meter, Spend};

/// What a policy is told about one call. It is used up by the call it describes.
#[derive(Debug)]
#[must_use = "a description does nothing until a policy makes the call"]
pub struct Call {
    pub(crate) deadline: Option<Instant>,
    pub(crate) estimate: Spend,
    /// Made when first asked for: most calls need none.
    pub(crate) meter: OnceLock<Meter>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) loops: Option<LoopDetector>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) priority: Priority,
    pub(crate) weight: u32,
    pub(crate) retry_budget: Option<RetryBudget>,
}

impl Call {
    /// A call without any particulars.
    pub fn new() -> Self {
        Self {
            deadline: None,
            estimate: Spend::LEAST,
            meter: OnceLock::new(),
            budgets: Vec::new(),
            fingerprint: None,
            loops: None,
            tenant: None,
            priority: Priority::NORMAL,
            weight: 1,
            retry_budget: None,
        }
    }

    /// When the caller gives up. Default: never.
    pub fn with_deadline(mut self, deadline: impl Into<Option<Instant>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// What one attempt will cost at most, to be reserved in every budget. Default [`Spend::LEAST`]: enough to be
    /// refused by a budget that has nothing left, and for calls that report their cost afterwards.
    pub fn with_estimate(mut self, estimate: Spend) -> Self {
        self.estimate = estimate;
        self
    }

    /// Charges one more budget beside the policy's own, for instance the run's or the tenant's. One given twice is
    /// charged twice.
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budgets.push(budget);
        self
    }

    /// Takes each retry from one more budget beside the policy's own, for instance the run's: then the retries of all
    /// policies along its path, one inside the other, come out of one purse and do not multiply. Default: none.
    pub fn with_retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = Some(budget);
        self
    }

    /// Says which call this is, for the loop detectors. Default: they do not look.
    pub fn with_fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// Asks one more loop detector beside the policy's own, for instance the run's. Needs a fingerprint. One
    /// given twice counts twice.
    pub fn with_loop_detector(mut self, detector: LoopDetector) -> Self {
        self.loops = Some(detector);
        self
    }

    /// Whose call it is, for the bulkhead's turns. Default: nobody's; such calls take turns as one tenant.
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// How urgent it is, for the bulkhead's queue. Default [`Priority::NORMAL`].
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Units of the rate limit that each attempt takes (0 is read as 1). Default 1.
    #[cfg(feature = "rate-limit")]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Where the operation reports what it costs; move a clone into it.
    pub fn meter(&self) -> &Meter {
        self.meter.get_or_init(Meter::new)
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}
