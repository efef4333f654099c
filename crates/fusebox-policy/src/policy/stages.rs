//! What a call passes through, from the budgets to the attempt's time-out.

use std::pin::pin;
use std::time::Duration;

use fusebox_breaker::{Availability, Breaker, CallNotPermitted, FailureKind, PermitRef, Verdict};
use tokio::time::{Instant, sleep};

use super::Answer;
use super::total::{Total, after, bound, earlier};
use crate::budget::{Budget, Charge};
use crate::bulkhead::{Bulkhead, Slot};
use crate::call::Call;
use crate::classify::{Classify, Judgement};
use crate::error::CallError;
use crate::hooks::{Attempt, CallEvent, Hooks};
use crate::loops::{LoopDetector, Visit};
use crate::rate_limit::{RateLimit, RatePermit};
use crate::retry::{Retry, Waits};
use crate::retry_budget::RetryBudget;

/// Everything but the fallback.
#[derive(Debug, Clone)]
pub(super) struct Stages {
    pub(super) breaker: Breaker,
    pub(super) retry: Retry,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) total_timeout: Option<Duration>,
    pub(super) fallback_timeout: Option<Duration>,
    pub(super) budgets: Vec<Budget>,
    pub(super) loops: Option<LoopDetector>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) bulkhead: Option<Bulkhead>,
}

impl Stages {
    /// Every stage but the fallback.
    pub(super) async fn run<T, E, Op, Fut, H>(
        &self,
        call: &Call,
        classify: &impl Classify<T, E>,
        hooks: &H,
        mut op: Op,
    ) -> Result<Answer<T>, CallError<E>>
    where
        Op: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        H: Hooks,
    {
        let mut visits = self.visit(call)?;
        let mut charge = self.reserve(call)?;
        let total = Total::new(self.total_timeout, call.deadline);
        let mut waits = self.retry.waits();
        let mut attempts = 0;
        loop {
            let entered = self.enter(call, &total, attempts, hooks).await?;
            let held = Held {
                charge,
                visits: &mut visits,
                entered,
            };
            let ended = self
                .attempt(held, &total, attempts + 1, classify, hooks, &mut op)
                .await?;
            attempts += 1;
            if let (1, Some(budget)) = (attempts, &call.retry_budget) {
                budget.deposit();
            }
            let Some(wait) = self.next_wait(&ended, &mut waits, &total) else {
                return ended.into_answer(attempts);
            };
            if self.will_refuse(wait) {
                return ended.into_answer(attempts);
            }
            charge = match self.reserve::<E>(call) {
                Ok(charge) => charge,
                Err(_) => return ended.into_answer(attempts),
            };
            if !self.may_retry(call) {
                return ended.into_answer(attempts);
            }
            drop(ended);
            hooks.event(CallEvent::Retrying {
                number: attempts + 1,
                after: wait,
            });
            sleep(wait).await;
        }
    }

    /// Takes a retry's token from the policy's budget and from the call's; from both or from none.
    fn may_retry(&self, call: &Call) -> bool {
        let own = self.retry.budget();
        if own.is_some_and(|budget| !budget.try_withdraw()) {
            return false;
        }
        let granted = call
            .retry_budget
            .as_ref()
            .is_none_or(RetryBudget::try_withdraw);
        if let (false, Some(own)) = (granted, own) {
            own.refund();
        }
        granted
    }

    /// Asks the loop detectors.
    fn visit<E>(&self, call: &Call) -> Result<Visits, CallError<E>> {
        let Some(fingerprint) = call.fingerprint else {
            return Ok(Visits::default());
        };
        let enter = |detector: &Option<LoopDetector>| {
            let visit = detector
                .as_ref()
                .map(|detector| detector.enter(fingerprint));
            visit
                .transpose()
                .map_err(|source| CallError::LoopDetected { source })
        };
        Ok(Visits([enter(&self.loops)?, enter(&call.loops)?]))
    }

    /// Reserves one attempt's cost.
    fn reserve<E>(&self, call: &Call) -> Result<Charge, CallError<E>> {
        let budgets = self.budgets.iter().chain(&call.budgets);
        Charge::reserve(budgets, call.estimate, call.meter.get())
            .map_err(|source| CallError::BudgetExceeded { source })
    }

    /// Rate limit, then bulkhead, then breaker. What a later one turns away gives back what the earlier ones gave.
    async fn enter<E>(
        &self,
        call: &Call,
        total: &Total,
        attempts: u32,
        hooks: &impl Hooks,
    ) -> Result<Entered<'_>, CallError<E>> {
        if total.is_over() {
            return Err(total.timed_out(attempts));
        }
        let rate = match &self.rate_limit {
            Some(limit) => {
                let throttled = throttle(limit, call, attempts, hooks);
                Some(total.within(attempts, pin!(throttled)).await?)
            }
            None => None,
        };
        let slot = match &self.bulkhead {
            Some(bulkhead) => {
                let queued = queue(bulkhead, call, attempts, hooks);
                Some(total.within(attempts, pin!(queued)).await?)
            }
            None => None,
        };
        let permit = self.breaker.try_acquire_ref().map_err(|refusal| {
            hooks.event(CallEvent::NotPermitted {
                retry_after: refusal.retry_after(),
            });
            let source = CallNotPermitted::from(refusal);
            CallError::NotPermitted { source, attempts }
        })?;
        Ok(Entered { rate, slot, permit })
    }

    /// Hook, then the operation under its time-out, then the verdict.
    async fn attempt<T, E, Op, Fut>(
        &self,
        held: Held<'_>,
        total: &Total,
        number: u32,
        classify: &impl Classify<T, E>,
        hooks: &impl Hooks,
        op: &mut Op,
    ) -> Result<Ended<T, E>, CallError<E>>
    where
        Op: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Held {
            mut charge,
            visits,
            entered,
        } = held;
        // The slot is kept to the end of the attempt, and dropped after the permit: who gets it next finds a breaker that
        // knows how this attempt ended.
        let Entered {
            rate,
            slot: _slot,
            permit,
        } = entered;
        let attempts = number - 1;
        let is_limited = self.attempt_timeout.is_some();
        let attempt = self.begin(is_limited.then(Instant::now), number, total);
        match total.bound(pin!(hooks.before_attempt(&attempt))).await {
            None => return Err(total.timed_out(attempts)),
            Some(Err(stop)) => {
                permit.ignore();
                let reason = stop.reason;
                return Err(CallError::Stopped { reason, attempts });
            }
            Some(Ok(())) => {}
        }
        if number == 1
            && let Some(budget) = self.retry.budget()
        {
            budget.deposit();
        }
        rate.into_iter().for_each(RatePermit::spend);
        charge.begin();
        visits.begin();
        let is_watched = hooks.is_listening();
        let started = (is_limited || is_watched).then(Instant::now);
        let attempt = self.begin(started, number, total);
        hooks.event(CallEvent::AttemptStarted { number });
        let result = bound(attempt.deadline, pin!(op(attempt))).await;
        let ended = |verdict| {
            if let Some(started) = started.filter(|_| is_watched) {
                hooks.event(CallEvent::AttemptEnded {
                    number,
                    took: started.elapsed(),
                    verdict,
                });
            }
        };
        match result {
            Some(result) => {
                let judgement = classify.classify(&result);
                permit.record(judgement.verdict);
                charge.settle();
                visits.end(has_failed(&result, judgement.verdict));
                ended(judgement.verdict);
                Ok(Ended::Judged { result, judgement })
            }
            None => match self.blame(&attempt, started, total) {
                Blame::Attempt(limit) => {
                    permit.failure(FailureKind::TimedOut);
                    visits.end(true);
                    ended(Verdict::Failure(FailureKind::TimedOut));
                    Ok(Ended::TimedOut { limit })
                }
                Blame::Total => {
                    permit.failure(FailureKind::TimedOut);
                    visits.end(true);
                    ended(Verdict::Failure(FailureKind::TimedOut));
                    Err(total.timed_out(number))
                }
                Blame::Nobody => {
                    drop(permit);
                    ended(Verdict::Neutral);
                    Err(total.timed_out(number))
                }
            },
        }
    }

    /// An attempt that starts at `started`, which only an attempt time-out needs to know.
    fn begin(&self, started: Option<Instant>, number: u32, total: &Total) -> Attempt {
        let own = after(started, self.attempt_timeout);
        Attempt {
            number,
            deadline: earlier(own, total.deadline),
        }
    }

    /// Whom it counts against that `attempt`, started at `started`, gave no answer by its deadline.
    fn blame(&self, attempt: &Attempt, started: Option<Instant>, total: &Total) -> Blame {
        match self.attempt_timeout {
            // Where both end together the attempt had its whole time.
            Some(limit) if attempt.deadline == after(started, Some(limit)) => Blame::Attempt(limit),
            None if total.is_own => Blame::Total,
            _ => Blame::Nobody,
        }
    }

    /// The wait before the next attempt, if there may be one.
    fn next_wait<T, E>(
        &self,
        ended: &Ended<T, E>,
        waits: &mut Waits<'_>,
        total: &Total,
    ) -> Option<Duration> {
        let floor = match ended {
            Ended::Judged { judgement, .. } => judgement
                .retry
                .then(|| judgement.retry_after.unwrap_or(Duration::ZERO))?,
            Ended::TimedOut { .. } => self.retry.timed_out.then_some(Duration::ZERO)?,
        };
        let wait = waits.next()?.max(floor);
        total.leaves_time_after(wait).then_some(wait)
    }

    /// Whether the breaker will still refuse after the wait. Then the call ends with its own last error, which says
    /// more than the refusal would.
    fn will_refuse(&self, wait: Duration) -> bool {
        match self.breaker.availability() {
            Availability::Never => true,
            Availability::NotBefore(after) => after > wait,
            Availability::Ready | Availability::ProbeReady => false,
        }
    }
}

async fn throttle<E>(
    limit: &RateLimit,
    call: &Call,
    attempts: u32,
    hooks: &impl Hooks,
) -> Result<RatePermit, CallError<E>> {
    let permit = limit.acquire(call.weight, |wait| {
        hooks.event(CallEvent::Throttled { wait });
    });
    permit.await.map_err(|limited| CallError::RateLimited {
        name: limit.name().clone(),
        retry_after: limited.retry_after,
        attempts,
    })
}

async fn queue<E>(
    bulkhead: &Bulkhead,
    call: &Call,
    attempts: u32,
    hooks: &impl Hooks,
) -> Result<Slot, CallError<E>> {
    let slot = bulkhead.acquire(call.priority, &call.tenant, || {
        hooks.event(CallEvent::Queued);
    });
    slot.await.map_err(|full| CallError::BulkheadFull {
        name: bulkhead.name().clone(),
        limit: bulkhead.limit(),
        waited: full.waited,
        attempts,
    })
}

/// What an attempt holds.
struct Held<'a> {
    charge: Charge,
    visits: &'a mut Visits,
    entered: Entered<'a>,
}

/// What the inner stages gave. The permit borrows the policy's breaker, as the call's future does.
struct Entered<'a> {
    permit: PermitRef<'a>,
    rate: Option<RatePermit>,
    slot: Option<Slot>,
}

/// The call as its loop detectors know it.
#[derive(Default)]
struct Visits([Option<Visit>; 2]);

impl Visits {
    fn begin(&mut self) {
        self.0.iter_mut().flatten().for_each(Visit::begin);
    }

    fn end(&mut self, failed: bool) {
        let visits = self.0.iter_mut().flatten();
        visits.for_each(|visit| visit.end(failed));
    }
}

/// Whether the caller will make nothing of it: an error, the caller's own fault included, or a value judged a failure.
fn has_failed<T, E>(result: &Result<T, E>, verdict: Verdict) -> bool {
    result.is_err() || !matches!(verdict, Verdict::Success | Verdict::Neutral)
}

/// The end of an attempt after which the call may go on.
enum Ended<T, E> {
    Judged {
        result: Result<T, E>,
        judgement: Judgement,
    },
    TimedOut {
        limit: Duration,
    },
}

impl<T, E> Ended<T, E> {
    fn into_answer(self, attempts: u32) -> Result<Answer<T>, CallError<E>> {
        match self {
            Self::Judged {
                result: Ok(value), ..
            } => Ok(Answer {
                value,
                attempts,
                degraded: None,
            }),
            Self::Judged {
                result: Err(source),
                ..
            } => Err(CallError::Failed { source, attempts }),
            Self::TimedOut { limit } => Err(CallError::TimedOut { limit, attempts }),
        }
    }
}

enum Blame {
    /// It used up the attempt time-out.
    Attempt(Duration),
    /// No attempt time-out is set and it used up the total one.
    Total,
    /// It was cut short.
    Nobody,
}
