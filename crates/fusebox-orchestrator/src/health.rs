//! How the system is, computed from what its breakers, objectives and runs show rather than from what they claim.

use std::borrow::Cow;

use fusebox_breaker::{Availability, Breaker, State};
use serde::{Deserialize, Serialize};

use crate::ledger::RtoVerdict;
use crate::objectives::RtoAccount;
use crate::shared::{Member, Shared};
use crate::time::{millis, short};

/// How the system is as a whole.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Every breaker is closed, nobody waits, every run makes progress.
    #[default]
    Healthy,
    /// An agent is away or coming back, or stands without protection: what is affected waits or goes on without it.
    Degraded,
    /// Somebody has to look: an agent has been away for longer than its objective, or a run is stalled.
    Unhealthy,
}

/// How the system is, with the reasons. The default is that of nobody: healthy, without an agent or a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// The worst of what follows.
    pub status: HealthStatus,
    /// Why it is not healthy, worst first, a sentence each.
    pub reasons: Vec<String>,
    /// The agents, by name.
    pub agents: Vec<AgentHealth>,
    /// What agents depend on, by name.
    #[serde(default)]
    pub dependencies: Vec<DependencyHealth>,
    /// The runs.
    pub runs: RunsHealth,
}

/// How one agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentHealth {
    /// The agent.
    pub agent: String,
    /// The state of its breaker.
    pub state: String,
    /// The rule or the person that brought it there, with figures.
    pub reason: Option<String>,
    /// When its next probe is due, in milliseconds from now; `None` where calls flow, or only a person can let them.
    pub due_in_ms: Option<u64>,
    /// Calls in flight.
    pub in_flight: u64,
    /// Calls of runs that wait for it.
    pub waiting: usize,
    /// How long the first of them has waited, in milliseconds.
    pub oldest_wait_ms: Option<u64>,
    /// Calls that queue for a slot of its bulkhead or pool.
    pub queued: usize,
    /// Its recovery objective.
    pub objective: RtoAccount,
}

/// How something is that several agents depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DependencyHealth {
    /// Its name.
    pub dependency: String,
    /// The state of its breaker.
    pub state: String,
    /// The rule or the person that brought it there, with figures.
    pub reason: Option<String>,
    /// When its next probe is due, in milliseconds from now; `None` where calls flow, or only a person can let them.
    pub due_in_ms: Option<u64>,
    /// Calls in flight.
    pub in_flight: u64,
}

/// How the runs are that this process works on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunsHealth {
    /// Runs worked on, those that wait included.
    pub live: usize,
    /// Runs with a call in flight that has shown no sign of life for too long.
    pub stalled: Vec<StalledRun>,
}

/// A run that makes no progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StalledRun {
    /// The run.
    pub run: String,
    /// How long it has shown no sign of life, in milliseconds.
    pub silent_ms: u64,
}

impl Health {
    pub(crate) fn of(shared: &Shared) -> Self {
        let waiting = shared.recovery.waiting();
        let mut findings = Vec::new();
        let mut agents = Vec::new();
        for (account, (name, member)) in shared.objectives.all().into_iter().zip(&shared.members) {
            let waits = waiting.get(name).copied().unwrap_or_default();
            let agent = AgentHealth::of(
                name,
                member,
                account,
                (waits.calls, waits.oldest.map(millis)),
            );
            findings.extend(agent.finding());
            agents.push(agent);
        }
        let dependencies: Vec<_> = shared
            .dependencies
            .values()
            .map(DependencyHealth::of)
            .collect();
        findings.extend(dependencies.iter().filter_map(DependencyHealth::finding));
        let stalled = shared.runs.stalled();
        for (run, silence) in &stalled {
            let silence = short(*silence);
            let reason = format!("run `{run}` has shown no sign of life for {silence}");
            findings.push((HealthStatus::Unhealthy, reason));
        }
        findings.sort_by(|(a, _), (b, _)| b.cmp(a));
        let stalled = stalled.into_iter().map(|(run, silence)| StalledRun {
            run: run.to_string(),
            silent_ms: millis(silence),
        });
        Self {
            status: findings
                .first()
                .map_or(HealthStatus::Healthy, |(worst, _)| *worst),
            reasons: findings.into_iter().map(|(_, reason)| reason).collect(),
            agents,
            dependencies,
            runs: RunsHealth {
                live: shared.runs.count(),
                stalled: stalled.collect(),
            },
        }
    }
}

impl Health {
    /// All breakers: those of the agents, then those of what they depend on, as agents that have no objective and
    /// that nobody stands in line for.
    pub fn breakers(&self) -> impl Iterator<Item = Cow<'_, AgentHealth>> {
        let dependencies = self.dependencies.iter();
        let dependencies = dependencies.map(|it| Cow::Owned(it.like_an_agent()));
        self.agents.iter().map(Cow::Borrowed).chain(dependencies)
    }
}

impl DependencyHealth {
    fn like_an_agent(&self) -> AgentHealth {
        AgentHealth {
            agent: self.dependency.clone(),
            state: self.state.clone(),
            reason: self.reason.clone(),
            due_in_ms: self.due_in_ms,
            in_flight: self.in_flight,
            waiting: 0,
            oldest_wait_ms: None,
            queued: 0,
            objective: RtoAccount::none(&self.dependency),
        }
    }

    fn of(breaker: &Breaker) -> Self {
        let snapshot = breaker.snapshot();
        Self {
            dependency: breaker.name().to_string(),
            state: snapshot.state.to_string(),
            reason: snapshot.reason.map(|reason| reason.to_string()),
            due_in_ms: due_in_ms(breaker),
            in_flight: breaker.counts().in_flight(),
        }
    }

    /// What is not well about it.
    fn finding(&self) -> Option<(HealthStatus, String)> {
        let Self {
            dependency,
            state,
            reason,
            ..
        } = self;
        let why = reason.as_deref().map(|why| format!(" ({why})"));
        let why = why.unwrap_or_default();
        (*state != State::Closed.to_string()).then(|| {
            let reason =
                format!("breaker of `{dependency}`, which agents depend on, is {state}{why}");
            (HealthStatus::Degraded, reason)
        })
    }
}

fn due_in_ms(breaker: &Breaker) -> Option<u64> {
    match breaker.availability() {
        Availability::NotBefore(wait) => Some(millis(wait)),
        Availability::ProbeReady => Some(0),
        Availability::Ready | Availability::Never => None,
    }
}

impl AgentHealth {
    fn of(
        name: &str,
        member: &Member,
        objective: RtoAccount,
        (waiting, oldest_wait_ms): (usize, Option<u64>),
    ) -> Self {
        let snapshot = member.breaker.snapshot();
        let due_in_ms = due_in_ms(&member.breaker);
        let bulkhead = member.guard.policy().bulkhead();
        Self {
            agent: name.to_owned(),
            state: snapshot.state.to_string(),
            reason: snapshot.reason.map(|reason| reason.to_string()),
            due_in_ms,
            in_flight: member.breaker.counts().in_flight(),
            waiting,
            oldest_wait_ms,
            queued: bulkhead.map_or(0, fusebox_policy::Bulkhead::queued),
            objective,
        }
    }

    /// What is not well about it.
    fn finding(&self) -> Option<(HealthStatus, String)> {
        let agent = &self.agent;
        let why = self.reason.as_deref().map(|why| format!(" ({why})"));
        let why = why.unwrap_or_default();
        let away = self.objective.current;
        if let Some(outage) = away.filter(|outage| outage.verdict == RtoVerdict::Breached) {
            let away = short(std::time::Duration::from_millis(outage.away_ms));
            let reason =
                format!("agent `{agent}` has been away for {away}, longer than its objective{why}");
            return Some((HealthStatus::Unhealthy, reason));
        }
        if self.state != State::Closed.to_string() {
            let state = &self.state;
            let reason = format!("breaker of agent `{agent}` is {state}{why}");
            return Some((HealthStatus::Degraded, reason));
        }
        let waiting = self.waiting;
        (waiting > 0).then(|| {
            let reason = format!("agent `{agent}` is back, {waiting} calls still wait for it");
            (HealthStatus::Degraded, reason)
        })
    }
}
