//! `/metrics`: how the engines stand, for a Prometheus server.
//!
//! Names and meanings are those of the table of metrics. What engines count over time (calls, durations) is theirs to
//! export; this is what any of them can be asked at any moment. Several engines are added up: of states and waits the
//! worst counts, of promises the tightest.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use fusebox::metrics::Metric;
use fusebox::metrics::prometheus::CONTENT_TYPE;
use fusebox::orchestrator::control::Overview;
use fusebox::orchestrator::{AgentHealth, HealthStatus};

use super::App;
use super::feed::now_ms;

/// From the best to the worst.
const STATES: [&str; 6] = [
    "closed",
    "metrics_only",
    "disabled",
    "half_open",
    "open",
    "forced_open",
];

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = page(&app.engines.overviews().await);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

/// One agent over all engines.
#[derive(Default)]
struct Standing {
    state: usize,
    in_flight: u64,
    queued: usize,
    waiting: usize,
    oldest_wait_ms: u64,
    away_ms: u64,
    objective_ms: Option<u64>,
    met: u64,
    breached: u64,
}

impl Standing {
    fn add(&mut self, agent: &AgentHealth) {
        let state = STATES.iter().position(|state| *state == agent.state);
        let objective = &agent.objective;
        self.state = self.state.max(state.unwrap_or_default());
        self.in_flight += agent.in_flight;
        self.queued += agent.queued;
        self.waiting += agent.waiting;
        self.oldest_wait_ms = self.oldest_wait_ms.max(agent.oldest_wait_ms.unwrap_or(0));
        let away = objective.current.map_or(0, |outage| outage.away_ms);
        self.away_ms = self.away_ms.max(away);
        let tightest = [self.objective_ms, objective.objective_ms];
        self.objective_ms = tightest.into_iter().flatten().min();
        self.met += objective.met;
        self.breached += objective.breached;
    }

    fn met_ratio(&self) -> f64 {
        let decided = self.met + self.breached;
        if decided == 0 {
            1.0
        } else {
            self.met as f64 / decided as f64
        }
    }
}

fn page(engines: &[Overview]) -> String {
    let mut agents: BTreeMap<&str, Standing> = BTreeMap::new();
    for agent in engines.iter().flat_map(|engine| &engine.health.agents) {
        agents.entry(&agent.agent).or_default().add(agent);
    }
    let mut page = Page::default();
    page.metric("fusebox_breaker_state");
    for (agent, standing) in &agents {
        for (n, state) in STATES.iter().enumerate() {
            let is = u8::from(standing.state == n);
            page.value(&[("breaker", agent), ("state", state)], is);
        }
    }
    page.metric("fusebox_breaker_in_flight");
    for (agent, standing) in &agents {
        page.value(&[("breaker", agent)], standing.in_flight);
    }
    for (name, read) in AGENTS {
        page.metric(name);
        for (agent, standing) in &agents {
            if let Some(value) = read(standing) {
                page.value(&[("agent", agent)], value);
            }
        }
    }
    whole(&mut page, engines);
    page.text
}

type Read = fn(&Standing) -> Option<f64>;

/// What there is one of per agent.
const AGENTS: [(&str, Read); 6] = [
    ("fusebox_agent_queued_calls", |it| Some(it.queued as f64)),
    ("fusebox_agent_waiting_calls", |it| Some(it.waiting as f64)),
    ("fusebox_agent_oldest_wait_seconds", |it| {
        Some(seconds(it.oldest_wait_ms))
    }),
    ("fusebox_agent_away_seconds", |it| Some(seconds(it.away_ms))),
    ("fusebox_recovery_objective_seconds", |it| {
        it.objective_ms.map(seconds)
    }),
    ("fusebox_objective_met_ratio", |it| {
        it.objective_ms.map(|_| it.met_ratio())
    }),
];

fn whole(page: &mut Page, engines: &[Overview]) {
    let worst = engines.iter().map(|engine| engine.health.status).max();
    let worst = worst.unwrap_or(HealthStatus::Healthy);
    page.metric("fusebox_health");
    for (status, word) in [
        (HealthStatus::Healthy, "healthy"),
        (HealthStatus::Degraded, "degraded"),
        (HealthStatus::Unhealthy, "unhealthy"),
    ] {
        page.value(&[("status", word)], u8::from(status == worst));
    }
    page.metric("fusebox_runs_live");
    let live = engines.iter().map(|engine| engine.health.runs.live);
    page.value(&[], live.sum::<usize>());
    page.metric("fusebox_runs_stalled");
    let stalled = engines
        .iter()
        .map(|engine| engine.health.runs.stalled.len());
    page.value(&[], stalled.sum::<usize>());
    page.metric("fusebox_looked_at_timestamp_seconds");
    page.value(&[], seconds(now_ms()));
}

/// A page in the text format, version 0.0.4.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a metric of the table.
    fn metric(&mut self, name: &'static str) {
        let meaning = Metric::named(name).map_or("", |metric| metric.meaning);
        self.name = name;
        // None of those that can be asked for only grows.
        let _ = writeln!(self.text, "# HELP {name} {meaning}\n# TYPE {name} gauge");
    }

    fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter().map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        });
        let labels: Vec<String> = labels.collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use fusebox::metrics::Kind;

    use super::*;

    #[test]
    fn every_name_is_a_gauge_of_the_table() {
        let page = page(&[]);
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = names.filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names.len(), 12);
        for name in names {
            let metric = Metric::named(name);
            assert!(metric.is_some_and(|it| it.kind == Kind::Gauge), "{name}");
        }
    }

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut page = Page::default();
        page.metric("fusebox_agent_waiting_calls");
        page.value(&[("agent", "a\"b\\c\nd")], 1);
        assert!(
            page.text.ends_with("{agent=\"a\\\"b\\\\c\\nd\"} 1\n"),
            "{}",
            page.text
        );
    }
}
