//! Recovery objectives kept or missed, over all runs of an engine, while it happens and afterwards.

mod account;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Breaker, Clock, Transition, Verdict};
use serde::{Deserialize, Serialize};

use self::account::Account;
use crate::event::Events;
use crate::ledger::RtoVerdict;

/// One outage of an agent, told from the opening of its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RtoOutage {
    /// From the first failure of the row that ended in the opening to the opening, in milliseconds; `None` where no
    /// call of this engine had failed before.
    pub detect_ms: Option<u64>,
    /// From the opening until no call that had been in flight was left, in milliseconds; `None` while there are any.
    pub isolate_ms: Option<u64>,
    /// From the opening to the first call that succeeded, in milliseconds; `None` until there is one.
    pub resume_ms: Option<u64>,
    /// From the opening to the success that closed the breaker, in milliseconds; `None` until then.
    pub verified_ms: Option<u64>,
    /// How long the agent was away, or has been, in milliseconds.
    pub away_ms: u64,
    /// How that compares with the objective.
    pub verdict: RtoVerdict,
    /// Whether it has put the objective at risk: most of that had passed, or the next probe came too late. Told once
    /// by [`EventKind::ObjectiveAtRisk`](crate::EventKind::ObjectiveAtRisk), and so until the outage is over.
    #[serde(default)]
    pub at_risk: bool,
}

/// An agent's recovery objective and what became of it, since the engine was built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RtoAccount {
    /// The agent.
    pub agent: String,
    /// Its objective, in milliseconds, where one is set.
    pub objective_ms: Option<u64>,
    /// Outages that are over and met the objective; without one, all that are over.
    pub met: u64,
    /// Outages that took longer, the present one included once it does.
    pub breached: u64,
    /// The longest time away, in milliseconds, the present outage included.
    pub worst_ms: u64,
    /// All the time away, in milliseconds, the present outage included.
    pub total_ms: u64,
    /// The outage the agent is in.
    pub current: Option<RtoOutage>,
    /// The last outage that is over.
    pub last: Option<RtoOutage>,
}

impl RtoAccount {
    /// Of something without an objective.
    pub(crate) fn none(agent: &str) -> Self {
        Self {
            agent: agent.to_owned(),
            objective_ms: None,
            met: 0,
            breached: 0,
            worst_ms: 0,
            total_ms: 0,
            current: None,
            last: None,
        }
    }

    /// Outages, the present one included.
    #[must_use]
    pub fn outages(&self) -> u64 {
        let pending = self
            .current
            .is_some_and(|outage| outage.verdict != RtoVerdict::Breached);
        self.met + self.breached + u64::from(pending)
    }

    /// The share of decided outages that met the objective, in `0.0..=1.0`; `None` before there is one.
    #[must_use]
    pub fn met_ratio(&self) -> Option<f64> {
        let decided = self.met + self.breached;
        (decided > 0).then(|| self.met as f64 / decided as f64)
    }
}

/// The accounts of an engine's agents.
#[derive(Debug)]
pub(crate) struct Objectives {
    accounts: BTreeMap<String, Arc<Account>>,
}

impl Objectives {
    pub(crate) fn new<'a>(
        breakers: impl Iterator<Item = &'a Breaker>,
        clock: &Arc<dyn Clock>,
        events: &Events,
    ) -> Self {
        let account = |breaker: &Breaker| {
            let account = Account::new(breaker.clone(), Arc::clone(clock), events.clone());
            (breaker.name().to_string(), Arc::new(account))
        };
        Self {
            accounts: breakers.map(account).collect(),
        }
    }

    /// Takes a transition in, and tells of a recovery.
    pub(crate) fn record(&self, transition: &Transition) {
        if let Some(account) = self.accounts.get(&*transition.breaker) {
            account.record(transition);
        }
    }

    /// An attempt at an agent has ended. Costs one atomic read while the agent is well.
    pub(crate) fn attempt(&self, agent: &str, verdict: Verdict) {
        if let Some(account) = self.accounts.get(agent) {
            account.attempt(verdict);
        }
    }

    /// Goes on with an outage that began in another process and has lasted `away`.
    pub(crate) fn carry(&self, agent: &str, away: Duration) {
        if let Some(account) = self.accounts.get(agent) {
            account.carry(away);
        }
    }

    pub(crate) fn all(&self) -> Vec<RtoAccount> {
        self.accounts
            .values()
            .map(|account| account.told())
            .collect()
    }
}
