//! Recovery objectives kept or missed: how long each agent was away, against what was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use fusebox_breaker::{State, Timestamp, Transition};
use serde::{Deserialize, Serialize};

use crate::time::millis;

/// What became of a recovery time objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RtoVerdict {
    /// The agent was back within its objective.
    Met,
    /// It took longer, or is still away after that long.
    Breached,
    /// It is away, and its objective has not passed yet.
    Pending,
    /// It has no objective.
    Unset,
}

/// An agent's worst outage in this run, against its objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtoEntry {
    /// The objective, in milliseconds.
    pub objective_ms: Option<u64>,
    /// From the opening of its breaker to the success that closed it, or to now, in milliseconds.
    pub away_ms: u64,
    /// What became of it.
    pub verdict: RtoVerdict,
    /// Outages seen.
    pub outages: u32,
}

#[derive(Debug, Default)]
struct Agent {
    objective: Option<Duration>,
    open_since: Option<Timestamp>,
    /// How long the outage had lasted when this process took the run over.
    carried: Duration,
    worst: Duration,
    outages: u32,
}

/// Follows the breakers' transitions and measures each outage from opening to the closing success.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    agents: BTreeMap<String, Agent>,
}

/// An outage that ended.
pub(crate) struct Recovery {
    pub(crate) took: Duration,
    pub(crate) objective: Option<Duration>,
    pub(crate) verdict: RtoVerdict,
}

impl Ledger {
    pub(crate) fn watch(&mut self, agent: &str, objective: Option<Duration>) {
        self.agents.entry(agent.to_owned()).or_default().objective = objective;
    }

    /// Goes on with an outage that began in another process and has lasted `away`.
    pub(crate) fn carry(&mut self, agent: &str, away: Duration, now: Timestamp) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.open_since = Some(now);
            agent.carried = away;
            agent.outages += 1;
        }
    }

    /// How long the agent has been away in its present outage.
    pub(crate) fn away(&self, agent: &str, now: Timestamp) -> Option<Duration> {
        let agent = self.agents.get(agent)?;
        let since = agent.open_since?;
        Some(now.saturating_since(since) + agent.carried)
    }

    /// Takes a transition in; answers with the outage it ended.
    pub(crate) fn record(&mut self, transition: &Transition) -> Option<Recovery> {
        let agent = self.agents.get_mut(&*transition.breaker)?;
        match transition.to {
            State::Open if agent.open_since.is_none() => {
                agent.open_since = Some(transition.at);
                agent.outages += 1;
                None
            }
            State::Closed => {
                let here = transition.at.saturating_since(agent.open_since.take()?);
                let took = here + std::mem::take(&mut agent.carried);
                agent.worst = agent.worst.max(took);
                let verdict = verdict(took, agent.objective, true);
                Some(Recovery {
                    took,
                    objective: agent.objective,
                    verdict,
                })
            }
            _ => None,
        }
    }

    /// The agent's worst outage as of `now`; `None` where it had none.
    pub(crate) fn entry(&self, agent: &str, now: Timestamp) -> Option<RtoEntry> {
        let agent = self.agents.get(agent).filter(|agent| agent.outages > 0)?;
        let current = agent
            .open_since
            .map(|since| now.saturating_since(since) + agent.carried);
        let away = agent.worst.max(current.unwrap_or_default());
        Some(RtoEntry {
            objective_ms: agent.objective.map(millis),
            away_ms: millis(away),
            verdict: verdict(away, agent.objective, current.is_none()),
            outages: agent.outages,
        })
    }
}

/// An outage that lasted exactly as long as the objective meets it.
pub(crate) fn verdict(away: Duration, objective: Option<Duration>, over: bool) -> RtoVerdict {
    match objective {
        None => RtoVerdict::Unset,
        Some(objective) if away > objective => RtoVerdict::Breached,
        Some(_) if over => RtoVerdict::Met,
        Some(_) => RtoVerdict::Pending,
    }
}
