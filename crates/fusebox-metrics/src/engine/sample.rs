//! How an engine stands at this moment, as gauges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fusebox_orchestrator::{AgentHealth, Engine, Health, HealthStatus};
use metrics::{counter, gauge};

use crate::StoreMetrics;
use crate::labels::Labels;
use crate::table::{
    AT_RISK, AWAY, BREACHED, COMMITS, HEALTH, LIVE, LOOKED_AT, MET_RATIO, OBJECTIVE, OLDEST_WAIT,
    QUEUED, STALLED, STORE_AWAY, WAITING,
};
#[cfg(feature = "figures")]
use crate::table::{IN_FLIGHT, STATE};
#[cfg(feature = "figures")]
use crate::together::STATES;

const STATUSES: [(HealthStatus, &str); 3] = [
    (HealthStatus::Healthy, "healthy"),
    (HealthStatus::Degraded, "degraded"),
    (HealthStatus::Unhealthy, "unhealthy"),
];

/// How one label value stands: one agent, or all beyond the bound on labels together.
#[derive(Debug, Default, PartialEq)]
struct Standing {
    queued: usize,
    waiting: usize,
    oldest_wait_ms: u64,
    away_ms: u64,
    objective_ms: Option<u64>,
    met_ratio: Option<f64>,
}

impl Standing {
    /// Calls add up; of waits the longest counts, of promises the tightest, of what was kept the worst.
    fn add(&mut self, agent: &AgentHealth) {
        let objective = &agent.objective;
        let away = objective.current.map_or(0, |outage| outage.away_ms);
        self.queued += agent.queued;
        self.waiting += agent.waiting;
        self.oldest_wait_ms = self
            .oldest_wait_ms
            .max(agent.oldest_wait_ms.unwrap_or_default());
        self.away_ms = self.away_ms.max(away);
        self.objective_ms = least(self.objective_ms, objective.objective_ms, u64::min);
        let met = objective
            .objective_ms
            .map(|_| objective.met_ratio().unwrap_or(1.0));
        self.met_ratio = least(self.met_ratio, met, f64::min);
    }
}

pub(super) fn health(health: &Health, labels: &Labels) {
    for (status, word) in STATUSES {
        gauge!(HEALTH, "status" => word).set(f64::from(u8::from(status == health.status)));
    }
    gauge!(LIVE).set(health.runs.live as f64);
    gauge!(STALLED).set(health.runs.stalled.len() as f64);
    let mut standings: BTreeMap<Arc<str>, Standing> = BTreeMap::new();
    for agent in &health.agents {
        let label = labels.bound("agent", &agent.agent);
        standings.entry(label).or_default().add(agent);
    }
    for (agent, standing) in standings {
        set(&agent, &standing);
    }
}

fn set(agent: &str, standing: &Standing) {
    let agent = || agent.to_owned();
    gauge!(QUEUED, "agent" => agent()).set(standing.queued as f64);
    gauge!(WAITING, "agent" => agent()).set(standing.waiting as f64);
    gauge!(OLDEST_WAIT, "agent" => agent()).set(seconds(standing.oldest_wait_ms));
    gauge!(AWAY, "agent" => agent()).set(seconds(standing.away_ms));
    if let (Some(objective), Some(met)) = (standing.objective_ms, standing.met_ratio) {
        gauge!(OBJECTIVE, "agent" => agent()).set(seconds(objective));
        gauge!(MET_RATIO, "agent" => agent()).set(met);
        // There before the first happens: an increase from nothing is none to Prometheus.
        counter!(AT_RISK, "agent" => agent()).increment(0);
        counter!(BREACHED, "agent" => agent()).increment(0);
    }
}

/// What follows from the health of an engine alone: its breakers too.
#[cfg(feature = "figures")]
pub(crate) fn standing(it: &Health, labels: &Labels) {
    for agent in &it.agents {
        let breaker = labels.bound("breaker", &agent.agent);
        for state in STATES {
            let holds = f64::from(u8::from(*state == agent.state));
            gauge!(STATE, "breaker" => breaker.to_string(), "state" => *state).increment(holds);
        }
        let in_flight = agent.in_flight as f64;
        gauge!(IN_FLIGHT, "breaker" => breaker.to_string()).increment(in_flight);
    }
    health(it, labels);
    looked_at();
}

pub(super) fn store(engine: &Engine) {
    StoreMetrics.status(&engine.store().status());
    counter!(STORE_AWAY).increment(0);
    let commits = engine.commits();
    let levels = [
        ("volatile", commits.volatile),
        ("local_fsync", commits.local_fsync),
        ("primary", commits.primary),
        ("primary_fsync", commits.primary_fsync),
        ("replicated", commits.replicated),
    ];
    for (level, count) in levels {
        counter!(COMMITS, "durability" => level).absolute(count);
    }
}

pub(super) fn looked_at() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    gauge!(LOOKED_AT).set(now.unwrap_or_default().as_secs_f64());
}

fn least<T: Copy>(one: Option<T>, other: Option<T>, min: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(min(one, other)),
        (one, other) => one.or(other),
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}
