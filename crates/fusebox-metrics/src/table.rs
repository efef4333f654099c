//! Every metric there is: one table that the code, the descriptions, the documents, the dashboard and the alert rules
//! follow.

use metrics::Unit;

use crate::together::Together::{self, Largest, Least, MetShare, Sum, WhereWorst, Worst};
use crate::together::{MODES, STATES, STATUSES};

/// How a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// What a metric is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The breakers, whoever uses them.
    Breakers,
    /// Calls on their way to an agent.
    Calls,
    /// Outages against their objectives.
    Recovery,
    /// Steps and runs.
    Runs,
    /// The journals and the store that keeps them.
    Store,
    /// How well the above is known.
    Observation,
}

/// Who reports a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// [`BreakerMetrics`](crate::BreakerMetrics).
    Breaker,
    /// `RunMetrics`, of the feature `orchestrator`.
    Events,
    /// `EngineMetrics`, of the feature `orchestrator`, when it looks.
    Engine,
    /// `StoreMetrics`, of the feature `state`.
    Store,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// Its labels; each takes few values.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
    /// What it is about.
    pub group: Group,
    /// Who reports it.
    pub source: Source,
    /// How the values of several processes become one.
    pub together: Together,
}

impl Metric {
    /// The line of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }
}

macro_rules! table {
    ($($group:ident { $($constant:ident = $name:literal, $kind:ident, $unit:ident, [$($label:literal),*], $source:ident, $together:expr, $meaning:literal;)* })*) => {
        $($(
            #[cfg_attr(
                not(feature = "orchestrator"),
                allow(dead_code, reason = "the table is whole whatever is emitted")
            )]
            pub(crate) const $constant: &str = $name;
        )*)*

        /// Every metric this crate emits, in the order of the documents.
        pub const METRICS: &[Metric] = &[$($(Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            meaning: $meaning,
            group: Group::$group,
            source: Source::$source,
            together: $together,
        }),*),*];
    };
}

table! {
Breakers {
    STATE = "fusebox_breaker_state", Gauge, Count, ["breaker", "state"], Breaker, Worst(STATES),
        "1 for the state the breaker is in, 0 for every other; for breaker `other`, how many are in it";
    IN_STATE = "fusebox_breaker_in_state_seconds", Gauge, Seconds, ["breaker"], Breaker, WhereWorst(STATE),
        "how long the breaker has been seen in its present state; its mean over time is in fusebox_breaker_state";
    TRANSITIONS = "fusebox_breaker_transitions_total", Counter, Count, ["breaker", "from", "to", "reason"], Breaker, Sum,
        "transitions of the breaker, by the kind of their reason";
    CALLS = "fusebox_breaker_calls_total", Counter, Count, ["breaker", "outcome"], Breaker, Sum,
        "calls by outcome: succeeded, failed, timed_out, ignored, cancelled, rejected";
    NOT_PERMITTED = "fusebox_breaker_not_permitted_total", Counter, Count, ["breaker", "reason"], Breaker, Sum,
        "calls the breaker itself refused, by the state that refused: open, half_open (every probe slot taken), forced_open";
    IN_FLIGHT = "fusebox_breaker_in_flight", Gauge, Count, ["breaker"], Breaker, Sum,
        "calls admitted and not yet over";
    PROBES_LEASED = "fusebox_breaker_probes_leased_total", Counter, Count, ["breaker"], Breaker, Sum,
        "rounds of probes begun: the turn to half-open leases the first probe in the same step";
    PROBES_LOST = "fusebox_breaker_probes_lost_total", Counter, Count, ["breaker"], Breaker, Sum,
        "probes that gave no outcome before their deadline";
}
Calls {
    REFUSED = "fusebox_calls_refused_total", Counter, Count, ["agent", "reason"], Events, Sum,
        "calls of steps that were not made, by who turned them away: open, half_open, forced_open (the breaker), line, bulkhead, rate_limit, budget, loop";
    SHIELDED = "fusebox_step_shielded_total", Counter, Count, ["step", "by"], Events, Sum,
        "calls spared because a required step was unavailable";
    RETRIES = "fusebox_step_retries_total", Counter, Count, ["step"], Events, Sum,
        "attempts after the first";
    QUEUE_WAIT = "fusebox_queue_wait_seconds", Histogram, Seconds, ["agent"], Events, Sum,
        "time in the queue of a bulkhead or pool, of calls that had to queue and got a slot";
    QUEUED = "fusebox_agent_queued_calls", Gauge, Count, ["agent"], Engine, Sum,
        "calls that queue for a slot of the agent's bulkhead or pool";
    WAITING = "fusebox_agent_waiting_calls", Gauge, Count, ["agent"], Engine, Sum,
        "calls of runs that stand in line for an agent that is away or coming back";
    OLDEST_WAIT = "fusebox_agent_oldest_wait_seconds", Gauge, Seconds, ["agent"], Engine, Largest,
        "how long the first of them has waited; 0 while nobody waits";
}
Recovery {
    OBJECTIVE = "fusebox_recovery_objective_seconds", Gauge, Seconds, ["agent"], Engine, Least,
        "the recovery objective of the agent; absent where none is set";
    AWAY = "fusebox_agent_away_seconds", Gauge, Seconds, ["agent"], Engine, Largest,
        "how long the agent has been away in its present outage; 0 while it is there";
    DETECT = "fusebox_recovery_detect_seconds", Histogram, Seconds, ["agent"], Events, Sum,
        "from the first failure of a row to the opening of the breaker, told when the outage is over";
    RECOVERY = "fusebox_recovery_seconds", Histogram, Seconds, ["agent", "verdict"], Events, Sum,
        "from opening to the success that closed the breaker, by verdict on the objective: met, breached, unset";
    AT_RISK = "fusebox_objective_at_risk_total", Counter, Count, ["agent"], Events, Sum,
        "outages that put the objective at risk: most of it had passed, or the next probe came too late";
    BREACHED = "fusebox_objective_breached_total", Counter, Count, ["agent"], Events, Sum,
        "outages that lasted longer than the objective, counted while they last";
    MET_RATIO = "fusebox_objective_met_ratio", Gauge, Count, ["agent"], Engine, MetShare,
        "share of decided outages that met the objective, 0 to 1; 1 before there is one";
    HEALTH = "fusebox_health", Gauge, Count, ["status"], Engine, Worst(STATUSES),
        "1 for the status of the whole, 0 for the others: healthy, degraded, unhealthy";
}
Runs {
    RUNS = "fusebox_runs_total", Counter, Count, ["status"], Events, Sum,
        "runs by how they ended in this process";
    RUN_DURATION = "fusebox_run_duration_seconds", Histogram, Seconds, ["status"], Events, Sum,
        "from taking a run up in this process to its end there, waits included";
    LIVE = "fusebox_runs_live", Gauge, Count, [], Engine, Sum,
        "runs this process works on, those that wait included";
    STALLED = "fusebox_runs_stalled", Gauge, Count, [], Engine, Sum,
        "runs with a call in flight that has shown no sign of life for too long";
    STEPS = "fusebox_steps_total", Counter, Count, ["step", "status"], Events, Sum,
        "steps by how they ended";
    STEP_DURATION = "fusebox_step_duration_seconds", Histogram, Seconds, ["step"], Events, Sum,
        "from handing a step out to its end, retries and waits included";
}
Store {
    COMMITS = "fusebox_journal_commits_total", Counter, Count, ["durability"], Engine, Sum,
        "commits of journals by the level they were acknowledged at: volatile, local_fsync, primary, primary_fsync, replicated";
    STORE_AWAY = "fusebox_store_away_total", Counter, Count, [], Events, Sum,
        "times the state store stopped answering";
    STORE_MODE = "fusebox_store_mode", Gauge, Count, ["mode"], Store, Worst(MODES),
        "1 for the mode of the store, 0 for the others: healthy, suspect, degraded, reconciling";
    PENDING = "fusebox_store_pending_commits", Gauge, Count, [], Store, Sum,
        "commits acknowledged while the store was away that it does not have yet";
    PENDING_AGE = "fusebox_store_oldest_pending_seconds", Gauge, Seconds, [], Store, Largest,
        "how far the store is behind: the age of the oldest such commit; 0 without any";
    COMMITS_AT_RISK = "fusebox_store_at_risk_commits", Gauge, Count, [], Store, Sum,
        "such commits that this process alone has: its end would lose them";
    FORKS = "fusebox_store_forks", Gauge, Count, [], Store, Sum,
        "partitions another owner took meanwhile: what was acknowledged here is kept apart";
}
Observation {
    LOOKED_AT = "fusebox_looked_at_timestamp_seconds", Gauge, Seconds, [], Engine, Least,
        "when the gauges were last brought up to date, in seconds since 1970: time() less it is their staleness";
    DROPPED = "fusebox_events_dropped_total", Counter, Count, ["queue"], Breaker, Sum,
        "events that were never counted, by where they were lost: breakers (more moves at once than their queue holds), events, transitions (the counting was behind)";
}
}

/// Upper bounds of the histograms' buckets, in seconds: from a cached answer to an outage of half an hour, where a
/// bucket more would be read by nobody.
#[cfg(any(feature = "figures", feature = "otlp", feature = "prometheus"))]
pub const BUCKETS: [f64; 15] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0,
];

/// The media type of a page, for the answer to a scrape.
#[cfg(any(feature = "figures", feature = "prometheus"))]
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Describes every metric to the present recorder. Call it once, after installing.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.meaning),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.meaning),
            Kind::Histogram => {
                metrics::describe_histogram!(metric.name, metric.unit, metric.meaning)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in METRICS {
            assert!(metric.name.starts_with("fusebox_"), "{metric:?}");
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{metric:?}"
            );
            assert_eq!(
                metric.name.ends_with("_seconds"),
                metric.unit == Unit::Seconds,
                "{metric:?}"
            );
        }
    }

    #[test]
    fn no_name_stands_twice_and_none_is_another_with_a_suffix_of_a_histogram() {
        for (n, metric) in METRICS.iter().enumerate() {
            for other in &METRICS[n + 1..] {
                assert_ne!(metric.name, other.name);
            }
            for suffix in ["_bucket", "_sum", "_count"] {
                assert!(!metric.name.ends_with(suffix), "{metric:?}");
            }
        }
    }
}
