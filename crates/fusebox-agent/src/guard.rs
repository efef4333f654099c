//! An agent under a policy.

mod answer;
mod charged;
mod checks;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_breaker::Breaker;
use fusebox_policy::{Attempt, Call, CallError, Hooks, Policy};
use tokio::time::Instant;

pub use answer::{Answer, GuardError};

use self::charged::Charged;
use self::checks::Checks;
use crate::pulse::Pulse;
use crate::{Agent, AgentClassify, AgentError, Context, ErrorKind, Reply, SchemaError, Task};

/// An agent under a policy, with its schemas checked and perhaps a fallback behind it.
///
/// One call, outer to inner: the caller's deadline and cancellation; the fallback; what the
/// [`Policy`] brings (budgets, total timeout, retry, bulkhead, breaker, attempt timeout); the check of the
/// reply against the agent's output schema. The check is part of the attempt: a corrupt reply is
/// an [`ErrorKind::InvalidOutput`], counts as a failure of the agent and may be retried.
///
/// A panic of the agent goes on to the caller; the breaker counts it as a failure.
///
/// Cheap to clone; the clones share the policy with its breaker.
#[derive(Clone)]
pub struct Guard {
    agent: Arc<dyn Agent>,
    policy: Policy,
    checks: Checks,
    fallback: Option<Fallback>,
    max_silence: Option<Duration>,
}

#[derive(Clone)]
struct Fallback {
    agent: Arc<dyn Agent>,
    checks: Checks,
    timeout: Option<Duration>,
}

impl Guard {
    /// Puts `policy` around `agent`.
    ///
    /// If one of the agent's schemas cannot be used, every call is refused before it starts with
    /// [`ErrorKind::InvalidInput`]; [`try_new`](Self::try_new) tells at once.
    #[must_use]
    pub fn new(agent: Arc<dyn Agent>, policy: Policy) -> Self {
        let checks = Checks::of(agent.describe());
        Self {
            agent,
            policy,
            checks,
            fallback: None,
            max_silence: None,
        }
    }

    /// Puts `policy` around `agent`.
    ///
    /// # Errors
    /// If one of the agent's schemas is not a JSON Schema, refers to another document, or the
    /// crate was built without the feature `schema`.
    pub fn try_new(agent: Arc<dyn Agent>, policy: Policy) -> Result<Self, SchemaError> {
        let guard = Self::new(agent, policy);
        guard.check()?;
        Ok(guard)
    }

    /// Sets the agent to ask when this one gives no good answer: it failed, timed out, or a
    /// breaker or bulkhead refused the call. Its reply is marked as degraded, and must satisfy
    /// the output schema of the agent it stands in for as well as its own.
    ///
    /// The fallback is called once, outside the policy. It is not asked when the caller
    /// cancelled, its deadline has passed, or a hook stopped the call. What it costs is charged to the
    /// [budgets of the call](Context::with_budget); they can refuse one that estimates its costs, not
    /// one that reports them afterwards or has none.
    #[must_use]
    pub fn with_fallback(mut self, agent: Arc<dyn Agent>) -> Self {
        let checks = Checks::of(agent.describe());
        self.fallback = Some(Fallback {
            agent,
            checks,
            timeout: None,
        });
        self
    }

    /// Sets how long the fallback may take; default: as long as one attempt under the policy.
    /// The deadline of the call holds in any case. Changes nothing when there is no fallback.
    #[must_use]
    pub fn with_fallback_timeout(mut self, timeout: Duration) -> Self {
        if let Some(fallback) = &mut self.fallback {
            fallback.timeout = Some(timeout);
        }
        self
    }

    /// Gives an attempt up that shows no sign of life for so long: no [heartbeat](Context::heartbeat), no line of
    /// progress, no piece of the answer. It counts as timed out. Default: silence is allowed, and the attempt timeout
    /// of the policy is the only limit. For agents that may work for long but say so.
    #[must_use]
    pub fn with_max_silence(mut self, limit: Duration) -> Self {
        self.max_silence = Some(limit);
        self
    }

    /// Tells whether the schemas of the agent and of its fallback can be used.
    ///
    /// # Errors
    /// As [`try_new`](Self::try_new).
    pub fn check(&self) -> Result<(), SchemaError> {
        self.checks.usable()?;
        match &self.fallback {
            Some(fallback) => fallback.checks.usable(),
            None => Ok(()),
        }
    }

    /// The agent inside.
    #[must_use]
    pub fn agent(&self) -> &Arc<dyn Agent> {
        &self.agent
    }

    /// The agent asked when the one inside gives no good answer.
    #[must_use]
    pub fn fallback(&self) -> Option<&Arc<dyn Agent>> {
        self.fallback.as_ref().map(|fallback| &fallback.agent)
    }

    /// The policy around the agent.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The breaker of the policy.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        self.policy.breaker()
    }

    /// Does a task under the policy. `hooks` may be `&()`.
    ///
    /// Each attempt gets `cx` with its own number (counted on from [`Context::attempt`]), the
    /// nearest deadline, and a child of its cancellation token that is cancelled when the attempt
    /// is over. All deadlines are held even if the agent ignores them. An attempt that used up
    /// the attempt timeout counts against the agent; one that the caller's deadline cut short
    /// does not, so set an attempt timeout in the policy, or an agent that hangs is never charged.
    ///
    /// # Errors
    /// [`GuardError`] with the cause kept whole; when a fallback was asked too, with both.
    ///
    /// # Cancellation
    /// Cancelling [`Context::cancellation`] or dropping the future drops the attempt: the breaker
    /// counts it as cancelled and every slot comes back.
    pub async fn call<H: Hooks>(
        &self,
        task: Task,
        cx: Context,
        hooks: &H,
    ) -> Result<Answer, GuardError> {
        let cause = match self.ask_agent(&task, &cx, hooks).await {
            Ok(answer) => return Ok(answer),
            Err(cause) => cause,
        };
        let error = GuardError::new(&self.agent.describe().name, cause);
        match &self.fallback {
            Some(fallback) if error.has_fallback() && cx.check().is_ok() => {
                self.ask_fallback(fallback, task, &cx, error).await
            }
            _ => Err(error),
        }
    }

    async fn ask_agent<H: Hooks>(
        &self,
        task: &Task,
        cx: &Context,
        hooks: &H,
    ) -> Result<Answer, CallError<AgentError>> {
        let before = cx.check().and_then(|()| self.checks.input(task));
        before.map_err(|source| CallError::Failed {
            source,
            attempts: 0,
        })?;
        let call = self.describe_call(task, cx);
        // The policy reserves in the budgets; a guard inside the agent must not do so again.
        let metered = cx
            .clone()
            .without_budgets()
            .with_meter(call.meter().clone());
        let started = AtomicU32::new(0);
        let attempt = |attempt: Attempt| {
            started.store(attempt.number, Ordering::Relaxed);
            self.attempt(task.clone(), &metered, attempt)
        };
        let call = self.policy.call_with(call, &AgentClassify, hooks, attempt);
        tokio::select! {
            // An answer that is there counts, even if the caller gives up at the same moment.
            biased;
            result = call => {
                result.map(|answer| Answer::whole(answer.value, answer.attempts))
            }
            error = cancelled(cx) => {
                let attempts = started.load(Ordering::Relaxed);
                let source = error.may_have_run(attempts > 0);
                Err(CallError::Failed { source, attempts })
            }
        }
    }

    /// The call as the policy's budgets have to know it.
    fn describe_call(&self, task: &Task, cx: &Context) -> Call {
        let call = Call::new()
            .with_deadline(cx.deadline())
            .with_estimate(self.agent.estimate(task))
            .with_priority(cx.priority());
        let call = match cx.tenant() {
            Some(tenant) => call.with_tenant(Arc::clone(tenant)),
            None => call,
        };
        let call = match cx.retry_budget() {
            Some(budget) => call.with_retry_budget(budget.clone()),
            None => call,
        };
        let budgets = cx.budgets().iter().cloned();
        budgets.fold(call, Call::with_budget)
    }

    async fn attempt(
        &self,
        task: Task,
        cx: &Context,
        attempt: Attempt,
    ) -> Result<Reply, AgentError> {
        let number = cx.attempt().saturating_add(attempt.number - 1);
        let result = self.call_watched(task, cx, number, attempt.deadline).await;
        if let Err(error) = &result
            && error.kind == ErrorKind::TimedOut
            && attempt.deadline.is_some_and(|at| Instant::now() >= at)
        {
            // The agent noticed the deadline itself. Whether that counts against it depends on
            // whose deadline it was: the policy knows, and cuts the attempt off in this instant.
            std::future::pending::<()>().await;
        }
        let reply = result?;
        self.checks.output(&reply)?;
        Ok(reply)
    }

    /// One call of the agent, given up when it falls silent.
    async fn call_watched(
        &self,
        task: Task,
        cx: &Context,
        number: u32,
        deadline: Option<Instant>,
    ) -> Result<Reply, AgentError> {
        let Some(limit) = self.max_silence else {
            return call_once(&self.agent, task, cx, number, deadline).await;
        };
        let pulse = Pulse::new();
        let cx = cx.clone().with_pulse(pulse.clone());
        tokio::select! {
            biased;
            result = call_once(&self.agent, task, &cx, number, deadline) => result,
            () = pulse.silent_for(limit) => {
                let name = &self.agent.describe().name;
                Err(AgentError::timed_out(format!("agent `{name}` gave no sign of life for {limit:?}")))
            }
        }
    }

    async fn ask_fallback(
        &self,
        fallback: &Fallback,
        task: Task,
        cx: &Context,
        error: GuardError,
    ) -> Result<Answer, GuardError> {
        let number = cx.attempt().saturating_add(error.attempts());
        let limit = fallback.timeout.or(self.policy.attempt_timeout());
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        let deadline = earlier(limit, cx.deadline());
        let call = async {
            fallback.checks.input(&task)?;
            let reply = call_charged(&fallback.agent, task, cx, number, deadline).await?;
            fallback.checks.output(&reply)?;
            self.checks.output(&reply)?;
            Ok(reply)
        };
        let result = tokio::select! {
            biased;
            result = call => result,
            error = cancelled(cx) => Err(error),
            error = late(&fallback.agent, deadline) => Err(error),
        };
        match result {
            Ok(reply) => Ok(Answer::degraded(reply, &error)),
            Err(other) => Err(error.with_fallback(&fallback.agent.describe().name, other)),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fallback = self.fallback().map(|agent| &agent.describe().name);
        f.debug_struct("Guard")
            .field("agent", &self.agent.describe().name)
            .field("breaker", &self.breaker().name())
            .field("fallback", &fallback)
            .finish_non_exhaustive()
    }
}

/// Calls an agent in the context of one attempt, whose token is cancelled when the attempt is
/// over, dropped ones included.
async fn call_once(
    agent: &Arc<dyn Agent>,
    task: Task,
    cx: &Context,
    number: u32,
    deadline: Option<Instant>,
) -> Result<Reply, AgentError> {
    let token = cx.cancellation().child_token();
    let _over = token.clone().drop_guard();
    let cx = cx
        .clone()
        .with_attempt(number)
        .with_deadline(deadline)
        .with_cancellation(token)
        .next_take();
    // Not through the `Arc`, which is an agent too and boxes the call once more.
    (**agent).call(task, &cx).await
}

/// The same, charged to the budgets that came with the call; of the agent itself the policy sees to that.
async fn call_charged(
    agent: &Arc<dyn Agent>,
    task: Task,
    cx: &Context,
    number: u32,
    deadline: Option<Instant>,
) -> Result<Reply, AgentError> {
    if cx.budgets().is_empty() {
        return call_once(agent, task, cx, number, deadline).await;
    }
    let charged = Charged::reserve(cx.budgets(), agent.estimate(&task))
        .map_err(|error| AgentError::resource_exhausted(error.to_string()).may_have_run(false))?;
    let cx = cx
        .clone()
        .without_budgets()
        .with_meter(charged.meter().clone());
    let result = call_once(agent, task, &cx, number, deadline).await;
    charged.settle();
    result
}

async fn cancelled(cx: &Context) -> AgentError {
    cx.cancellation().cancelled().await;
    AgentError::cancelled("cancelled by the caller")
}

async fn late(agent: &Arc<dyn Agent>, deadline: Option<Instant>) -> AgentError {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
    let name = &agent.describe().name;
    AgentError::timed_out(format!("fallback `{name}` gave no answer in time"))
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
