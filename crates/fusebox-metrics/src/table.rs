//! Every metric there is: one table that the code, the descriptions and the documents follow.

use metrics::Unit;

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
}

macro_rules! table {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, [$($label:literal),*], $meaning:literal;)*) => {
        $(
            #[cfg_attr(
                not(feature = "orchestrator"),
                allow(dead_code, reason = "the table is whole whatever is emitted")
            )]
            pub(crate) const $constant: &str = $name;
        )*

        /// Every metric this crate emits, in the order of the documents.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            meaning: $meaning,
        }),*];
    };
}

table! {
    STATE = "fusebox_breaker_state", Gauge, Count, ["breaker", "state"],
        "1 for the state the breaker is in, 0 for every other";
    TRANSITIONS = "fusebox_breaker_transitions_total", Counter, Count, ["breaker", "from", "to"],
        "transitions of the breaker";
    CALLS = "fusebox_breaker_calls_total", Counter, Count, ["breaker", "outcome"],
        "calls by outcome: succeeded, failed, timed_out, ignored, cancelled, rejected";
    IN_FLIGHT = "fusebox_breaker_in_flight", Gauge, Count, ["breaker"],
        "calls admitted and not yet over";
    STEPS = "fusebox_steps_total", Counter, Count, ["step", "status"],
        "steps by how they ended";
    STEP_DURATION = "fusebox_step_duration_seconds", Histogram, Seconds, ["step"],
        "from handing a step out to its end, retries and waits included";
    RETRIES = "fusebox_step_retries_total", Counter, Count, ["step"],
        "attempts after the first";
    SHIELDED = "fusebox_step_shielded_total", Counter, Count, ["step", "by"],
        "calls spared because a required step was unavailable";
    RUNS = "fusebox_runs_total", Counter, Count, ["status"],
        "runs by how they ended in this process";
    RECOVERY = "fusebox_recovery_seconds", Histogram, Seconds, ["agent", "verdict"],
        "from opening to the success that closed the breaker, by verdict on the objective";
    STORE_AWAY = "fusebox_store_away_total", Counter, Count, [],
        "times the state store stopped answering";
}

/// Describes every metric to the installed recorder. Call it once, after installing.
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
}
