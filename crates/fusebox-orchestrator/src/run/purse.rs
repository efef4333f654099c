//! The purse of a run that has a budget, or whose tenant has: what its calls may cost and have cost.
//!
//! The policy around an agent reserves each attempt in the run's budget and settles it. Here is what that does not
//! know: what is on record, and whether a call is worth starting. A run without a budget has no purse.

use std::collections::BTreeMap;
use std::sync::Arc;

use fusebox_agent::{Context, Task};
use fusebox_policy::{Budget, Spend};

use super::call::{self, Answered, Refused, StepHooks};
use super::{CallId, Run, Settings};
use crate::record::{HistoryError, RunHead};
use crate::run_id::RunId;
use crate::shared::Shared;
use crate::spending::{Allowance, Spending, less};
use crate::tenant::{Account, Refusal, Short};
use crate::time;
use crate::workflow::Step;

/// What a run may spend and has spent.
pub(super) struct Purse {
    allowance: Allowance,
    budget: Budget,
    /// The calls whose start is committed or about to be, with their estimates.
    in_flight: BTreeMap<(String, Option<u32>), Spend>,
    tenant: Option<Arc<Account>>,
}

/// Whether a call is made.
pub(super) enum Admission {
    Granted,
    /// Not now: a call of this run that is in flight may leave enough.
    Later(Refused),
    Never(Refused),
}

impl Purse {
    /// The purse of a run with this head, if it needs one.
    pub(super) fn of(
        shared: &Shared,
        id: &RunId,
        head: &RunHead,
        settings: &Settings,
    ) -> Option<Box<Self>> {
        let tenant = settings
            .tenant
            .as_ref()
            .filter(|_| !shared.tenants.is_empty());
        let tenant = tenant.and_then(|name| Some((name, *shared.tenants.get(&**name)?)));
        let known = match (&head.spending, tenant) {
            (Some(known), _) => *known,
            (None, Some(_)) => Spending::default(),
            (None, None) => return None,
        };
        let budget = Budget::new(format!("run {id}"), known.budget.limits());
        budget.charge(known.taken_over());
        let account = |tenant| {
            let store = (Arc::clone(&shared.store), shared.store_patience);
            Account::new(store, tenant, (id, head.processes), budget.clone())
        };
        Some(Box::new(Self {
            allowance: known.budget,
            tenant: tenant.map(account).map(Arc::new),
            budget,
            in_flight: BTreeMap::new(),
        }))
    }

    /// Takes in what only the tenant's budget knows: what calls had cost whose end the journal did not get.
    pub(super) async fn restore(&self) -> Result<(), HistoryError> {
        if let Some(account) = &self.tenant
            && let Some(counted) = account.counted().await?
        {
            self.budget.charge(less(counted, self.budget.spent()));
        }
        Ok(())
    }

    /// As it goes on record.
    pub(super) fn spending(&self) -> Spending {
        let in_flight = self.in_flight.values().copied();
        Spending {
            budget: self.allowance,
            spent: self.budget.spent().into(),
            in_flight: in_flight.fold(Spend::ZERO, Spend::saturating_add).into(),
        }
    }

    /// A call is about to be started that may cost `estimate`. With `is_sure` it is started in any case: its guard
    /// has a fallback for what the budget refuses.
    fn admit(
        &mut self,
        step: &str,
        part: Option<u32>,
        estimate: Spend,
        is_sure: bool,
    ) -> Admission {
        let probe = Budget::new(Arc::clone(self.budget.name()), self.allowance.limits());
        probe.charge(self.budget.spent());
        let held: Vec<_> = self
            .in_flight
            .values()
            .map(|estimate| probe.reserve(*estimate))
            .collect();
        let refused = match probe.reserve(estimate) {
            Err(error) if !is_sure => Refused::by_budget(error.to_string(), error.awaits_calls),
            _ => {
                self.in_flight.insert((step.to_owned(), part), estimate);
                return Admission::Granted;
            }
        };
        match held.is_empty() || !refused.retryable {
            true => Admission::Never(refused),
            false => Admission::Later(refused),
        }
    }

    /// The call is over, whatever came of it.
    pub(super) fn ended(&mut self, call: &CallId) {
        self.in_flight.remove(&(call.step.clone(), call.part));
    }

    /// The run is over in this process, and so are its calls.
    pub(super) fn close(&mut self) -> Option<Arc<Account>> {
        self.in_flight.clear();
        self.tenant.clone()
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What a call has to set aside with the tenant, where that has a budget.
    pub(super) fn share(&self, call: &CallId) -> Option<TenantShare> {
        let estimate = self.in_flight.get(&(call.step.clone(), call.part))?;
        Some(TenantShare {
            account: Arc::clone(self.tenant.as_ref()?),
            estimate: *estimate,
        })
    }
}

impl Run {
    /// Whether the run's budget lets a call begin; one without a budget lets all.
    pub(super) fn admit(&mut self, step: &Step, part: Option<u32>) -> Admission {
        let Some(mut purse) = self.purse.take() else {
            return Admission::Granted;
        };
        let member = self.member(step);
        let task = Task::new(self.task_input(step, part));
        let estimate = member.guard.agent().estimate(&task);
        let admission = purse.admit(step.name(), part, estimate, member.has_fallback);
        self.purse = Some(purse);
        admission
    }
}

/// One call's claim on its tenant's budget.
#[derive(Clone)]
pub(super) struct TenantShare {
    account: Arc<Account>,
    estimate: Spend,
}

impl TenantShare {
    /// Makes the call, if the tenant's budget has enough for it. If not, its guard is told by a budget that is used
    /// up, so that a fallback is asked and whoever reads the reason finds the figures.
    pub(super) async fn call(
        self,
        task: Task,
        context: Context,
        hooks: &StepHooks,
    ) -> Result<Answered, Refused> {
        match self.account.set_aside(self.estimate).await {
            Ok(()) => {
                let result = call::call(task, context, hooks).await;
                self.account.settle(self.estimate).await;
                result
            }
            Err(refusal) => {
                let context = context.with_budget(self.used_up(&refusal));
                let result = call::call(task, context, hooks).await;
                // What a fallback cost.
                self.account.settle(Spend::ZERO).await;
                result.map_err(|refused| self.told(refused, refusal))
            }
        }
    }

    /// Sets the next attempt of a call aside, or says why there will be none.
    pub(super) async fn again(&self) -> Result<(), String> {
        let tenant = self.account.tenant();
        self.account
            .again(self.estimate)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Short(_) => format!(
                    "the budget of tenant `{tenant}` has not enough left for another attempt"
                ),
                Refusal::Away(why) => {
                    format!("the budget of tenant `{tenant}` could not be asked: {why}")
                }
            })
    }

    fn used_up(&self, refusal: &Refusal) -> Budget {
        let tenant = self.account.tenant();
        match refusal {
            Refusal::Short(short) => {
                let limits = self.account.budget().allowance.limits();
                let budget = Budget::new(format!("tenant {tenant}"), limits);
                budget.charge(short.counted);
                budget
            }
            Refusal::Away(_) => {
                let nothing = Allowance::new().with_tokens(0).with_micro_dollars(0);
                Budget::new(format!("tenant {tenant}"), nothing.limits())
            }
        }
    }

    /// What a step makes of it that its tenant has not enough: it waits for what time or other calls may bring.
    fn told(&self, refused: Refused, refusal: Refusal) -> Refused {
        if refused.by != Some("budget") {
            return refused;
        }
        let tenant = self.account.tenant();
        let reason = match &refusal {
            Refusal::Short(short) if short.awaits_calls => {
                format!("calls in flight hold what is left of the budget of tenant `{tenant}`")
            }
            Refusal::Short(Short {
                next: Some(next), ..
            }) => {
                let next = time::short(*next);
                format!(
                    "the budget of tenant `{tenant}` has not enough left, a new period begins in {next}"
                )
            }
            Refusal::Short(_) => {
                return Refused {
                    retryable: false,
                    ..refused
                };
            }
            Refusal::Away(why) => {
                format!("the budget of its tenant `{tenant}` could not be asked: {why}")
            }
        };
        // Where calls in flight or the store may bring it, the step looks again sooner than a period ends.
        let retry_after = match refusal {
            Refusal::Short(short) if !short.awaits_calls => short.next,
            _ => None,
        };
        Refused {
            reason,
            retryable: true,
            retry_after,
            ..refused
        }
    }
}
