//! One agent out of several that can stand in for each other.

mod turns;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use fusebox_breaker::Availability;
use fusebox_policy::{Budget, CallError, Classify, Limits, Meter, Spend};
use serde_json::Value;

use self::turns::Turns;
use crate::{
    Agent, AgentClassify, AgentError, Context, Description, ErrorKind, Guard, GuardError, Reply,
    Task,
};

/// What probes may cost until told otherwise: ten thousand tokens an hour, a few hundred of them.
const PROBES: Limits = Limits::new()
    .with_window(Duration::from_secs(3600))
    .with_tokens_per_window(10_000);

/// How long a probe may take where its target's policy does not say.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// An agent that asks the first of several targets that answers: a model of one provider, the same
/// of another, a smaller one at home.
///
/// Each target is a [`Guard`] with a breaker of its own, and best with an attempt time-out of its
/// own, or one that hangs uses up the time of all. A call asks the targets in their
/// [order](Order), passes over those whose breakers refuse, and goes on to the next when one
/// fails. It does not go on when the next would fail as well or should not be asked: the task is
/// not one to take (`invalid_input`), a filter refused it (`content_filtered`), the caller gave up
/// or its deadline has passed.
///
/// # What it tells the breaker around it
///
/// Any answer is a success, whoever gave it. An error is the last one. Where no target is left that
/// would take a call, it is of kind `breaker_open` and says when the first one is due, so that the
/// breaker of a guard around it opens until then.
///
/// # Probes
///
/// When a target's breaker is due, the target is tried by its [probe](Agent::probe) first, if it
/// has one, and is asked in earnest once that went well. Probes have a budget of their own; where
/// it is used up, the target is asked only if no other answers, and then the task is the probe.
///
/// ```
/// use std::sync::Arc;
///
/// use fusebox_agent::{Agent, AgentError, Context, Failover, Guard, Reply, Task, agent_fn};
/// use fusebox_breaker::{Breaker, Config};
/// use fusebox_policy::Policy;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let target = |name: &'static str, works: bool| {
///     let agent = agent_fn(name, move |_: Task, _: Context| async move {
///         works.then(|| Reply::new(name)).ok_or_else(|| AgentError::overloaded(None))
///     });
///     let breaker = Breaker::new(name, Config::builder().build()?);
///     let guard = Guard::new(Arc::new(agent), Policy::builder(breaker).build());
///     Ok::<_, fusebox_breaker::ConfigError>(guard)
/// };
/// let model = Failover::new("model", [target("far", false)?, target("near", true)?]);
/// let reply = model.call(Task::new("hi"), &Context::new("run", "step")).await?;
/// assert_eq!(reply.output, "near");
/// # Ok(())
/// # }
/// ```
pub struct Failover {
    description: Description,
    targets: Vec<Guard>,
    turns: Turns,
    only_unrun: bool,
    probes: Budget,
}

/// Which target is asked first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// The one that stands first; the default.
    #[default]
    Listed,
    /// Each in turn by its share: with weights 3 and 1, three calls of four begin with the first.
    /// One weight per target; what is missing is 1, and 0 is asked only when others fail. Those
    /// that are asked next are in the order in which they stand.
    Weighted(Vec<u32>),
}

impl Failover {
    /// An agent that asks `targets`, in the order in which they stand.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn new(name: impl Into<String>, targets: impl IntoIterator<Item = Guard>) -> Self {
        let name = name.into();
        let targets: Vec<_> = targets.into_iter().collect();
        assert!(!targets.is_empty(), "a failover needs a target");
        let probes = Budget::new(format!("probes of {name}"), PROBES);
        Self {
            description: Description::new(name, "failover"),
            turns: Turns::new(&Order::Listed, targets.len()),
            targets,
            only_unrun: false,
            probes,
        }
    }

    /// Sets which target is asked first.
    #[must_use]
    pub fn with_order(mut self, order: &Order) -> Self {
        self.turns = Turns::new(order, self.targets.len());
        self
    }

    /// Goes on to the next target only if the one before says that nothing has run there: for
    /// targets with effects that must not happen twice. Default: it goes on, as suits models.
    #[must_use]
    pub fn only_if_not_run(mut self) -> Self {
        self.only_unrun = true;
        self
    }

    /// Sets what probes may cost together; default 10,000 tokens an hour.
    #[must_use]
    pub fn with_probe_budget(mut self, budget: Budget) -> Self {
        self.probes = budget;
        self
    }

    /// Describes the input with a JSON Schema, for the guard around it to check.
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_input_schema(schema);
        self
    }

    /// Describes the reply with a JSON Schema, for the guard around it to check. One that the
    /// targets describe is checked at each of them, and charged to it.
    #[must_use]
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_output_schema(schema);
        self
    }

    /// The targets, in the order in which they stand.
    #[must_use]
    pub fn targets(&self) -> &[Guard] {
        &self.targets
    }

    /// Tries a target that is due by its probe. `false`: it must not be asked now, except for want
    /// of others.
    async fn is_well(&self, target: &Guard, cx: &Context) -> bool {
        if target.breaker().availability() != Availability::ProbeReady {
            return true;
        }
        let Some(probe) = target.agent().probe() else {
            return true;
        };
        let Ok(mut reserved) = self.probes.reserve(probe.cost()) else {
            return false;
        };
        let Ok(permit) = target.breaker().try_acquire() else {
            return false;
        };
        reserved.begin();
        let meter = Meter::new();
        let cx = cx.clone().without_budgets().with_meter(meter.clone());
        let limit = target.policy().attempt_timeout().unwrap_or(PROBE_TIMEOUT);
        let tried = tokio::time::timeout(limit, probe.probe(&cx)).await;
        let tried = tried.unwrap_or_else(|_| Err(AgentError::timed_out("the probe took too long")));
        permit.record(
            AgentClassify
                .classify(&tried.map(|()| Reply::default()))
                .verdict,
        );
        if meter.total() != Spend::ZERO {
            reserved.settle(meter.total());
        }
        is_available(target)
    }

    /// Asks one target in earnest.
    async fn ask(&self, target: &Guard, task: &Task, cx: &Context) -> Result<Reply, AgentError> {
        let result = target.call(task.clone(), cx.clone(), &()).await;
        result.map(|answer| answer.reply).map_err(into_agent_error)
    }

    fn goes_on_after(&self, error: &AgentError, cx: &Context) -> bool {
        let helps = !matches!(
            error.kind,
            ErrorKind::Cancelled | ErrorKind::InvalidInput | ErrorKind::ContentFiltered
        );
        helps && !(self.only_unrun && error.may_have_run) && cx.check().is_ok()
    }

    /// What is told when nobody answered.
    fn nobody(&self, errors: Vec<(&Guard, AgentError)>) -> AgentError {
        let told = errors.iter().map(|(target, error)| {
            let name = &target.agent().describe().name;
            format!("`{name}`: {error}")
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let message = format!("no target answered: {told}");
        let may_have_run = errors.iter().any(|(_, error)| error.may_have_run);
        let last = errors.into_iter().next_back().map(|(_, error)| error);
        if self.targets.iter().any(is_available) {
            let last = last.unwrap_or_else(|| AgentError::unavailable("targets"));
            return last.with_message(message).may_have_run(may_have_run);
        }
        let due = self.targets.iter().filter_map(due).min();
        let error = AgentError::breaker_open("", due)
            .with_message(message)
            .retryable(due.is_some())
            .may_have_run(may_have_run);
        match last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}

#[async_trait]
impl Agent for Failover {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        cx.check()?;
        let mut errors = Vec::new();
        let mut unsure = Vec::new();
        let mut waiting: Vec<&Guard> = self.turns.next().map(|n| &self.targets[n]).collect();
        waiting.reverse();
        loop {
            // Those whose probe found no budget or went wrong come last, if they are due at all.
            let (target, is_sure) = match waiting.pop() {
                Some(target) => (target, self.is_well(target, cx).await),
                None => match unsure.pop() {
                    Some(target) => (target, true),
                    None => return Err(self.nobody(errors)),
                },
            };
            if !is_sure {
                unsure.insert(0, target);
                continue;
            }
            match self.ask(target, &task, cx).await {
                Ok(reply) => {
                    if !errors.is_empty() {
                        let name = &target.agent().describe().name;
                        cx.progress(&format!("`{name}` answered in place of others"));
                    }
                    return Ok(reply);
                }
                Err(error) if self.goes_on_after(&error, cx) => errors.push((target, error)),
                Err(error) => return Err(error),
            }
        }
    }

    /// That of the most expensive target: which one answers is not known.
    fn estimate(&self, task: &Task) -> Spend {
        let targets = self.targets.iter();
        let estimates = targets.map(|target| target.agent().estimate(task));
        estimates.fold(Spend::ZERO, Spend::max)
    }
}

impl fmt::Debug for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failover")
            .field("description", &self.description)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

fn is_available(target: &Guard) -> bool {
    let availability = target.breaker().availability();
    matches!(availability, Availability::Ready | Availability::ProbeReady)
}

fn due(target: &Guard) -> Option<Duration> {
    match target.breaker().availability() {
        Availability::NotBefore(after) => Some(after),
        _ => None,
    }
}

/// A guard's error as its agent's.
fn into_agent_error(error: GuardError) -> AgentError {
    let (kind, may_have_run, retry_after) =
        (error.kind(), error.may_have_run(), error.retry_after());
    if let CallError::Failed { source, .. } = error.cause() {
        return source.clone().may_have_run(may_have_run);
    }
    let message = error.cause().to_string();
    let told = match kind {
        ErrorKind::BreakerOpen => AgentError::breaker_open("", None),
        ErrorKind::ResourceExhausted => AgentError::resource_exhausted(""),
        ErrorKind::RateLimited => AgentError::rate_limited(None),
        ErrorKind::TimedOut => AgentError::timed_out(""),
        ErrorKind::Cancelled => AgentError::cancelled(""),
        _ => AgentError::failed(""),
    };
    told.with_message(message)
        .may_have_run(may_have_run)
        .with_retry_after(retry_after)
        .with_source(error)
}
