//! When somebody has to look: every alert, with what makes it fire and what must not.

/// One alert rule.
pub(super) struct Alert {
    pub(super) name: &'static str,
    /// What holds, in PromQL.
    pub(super) expr: &'static str,
    /// For how long, before it is told.
    pub(super) hold: &'static str,
    /// `info`, `warning` or `critical`.
    pub(super) severity: &'static str,
    /// What is the matter; may name labels.
    pub(super) summary: &'static str,
    /// What to do; may name labels.
    pub(super) advice: &'static str,
    pub(super) fires: Case,
    pub(super) quiet: &'static [Case],
}

/// What a server has seen, every 15 s, and when it is asked.
pub(super) struct Case {
    pub(super) what: &'static str,
    /// Series and their values, in the notation of promtool.
    pub(super) series: &'static [(&'static str, &'static str)],
    pub(super) at: &'static str,
    /// The labels it fires with, besides the severity.
    pub(super) labels: &'static [(&'static str, &'static str)],
}

const fn quiet(
    what: &'static str,
    at: &'static str,
    series: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        what,
        series,
        at,
        labels: &[],
    }
}

const fn fires(
    what: &'static str,
    at: &'static str,
    labels: &'static [(&'static str, &'static str)],
    series: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        what,
        series,
        at,
        labels,
    }
}

pub(super) const ALERTS: &[Alert] = &[
    Alert {
        name: "FuseboxBreakerOpenTooLong",
        // Half-open counts as open: each failed probe would begin the time anew.
        expr: r#"sum by (job, instance, breaker) (fusebox_breaker_state{state=~"open|half_open"}) > 0"#,
        hold: "5m",
        severity: "warning",
        summary: "breaker {{ $labels.breaker }} has not been closed for five minutes",
        advice: "Look at the reason with `fusebox breakers`; if the agent works again, release {{ $labels.breaker }} to have it probed at once.",
        fires: fires(
            "probes come and fail",
            "8m",
            &[("breaker", "db")],
            &[
                (
                    r#"fusebox_breaker_state{breaker="db", state="open"}"#,
                    "1 0 1 1 0 1 1 1x40",
                ),
                (
                    r#"fusebox_breaker_state{breaker="db", state="half_open"}"#,
                    "0 1 0 0 1 0 0 0x40",
                ),
                (
                    r#"fusebox_breaker_state{breaker="db", state="closed"}"#,
                    "0x47",
                ),
            ],
        ),
        quiet: &[
            quiet(
                "back after two minutes",
                "8m",
                &[
                    (
                        r#"fusebox_breaker_state{breaker="db", state="open"}"#,
                        "1x8 0x40",
                    ),
                    (
                        r#"fusebox_breaker_state{breaker="db", state="closed"}"#,
                        "0x8 1x40",
                    ),
                ],
            ),
            quiet(
                "an operator holds it",
                "8m",
                &[
                    (
                        r#"fusebox_breaker_state{breaker="db", state="forced_open"}"#,
                        "1x48",
                    ),
                    (
                        r#"fusebox_breaker_state{breaker="db", state="open"}"#,
                        "0x48",
                    ),
                ],
            ),
        ],
    },
    Alert {
        name: "FuseboxBreakerOverridden",
        expr: r#"sum by (job, instance, breaker) (fusebox_breaker_state{state=~"forced_open|disabled|metrics_only"}) > 0"#,
        hold: "1h",
        severity: "info",
        summary: "breaker {{ $labels.breaker }} has been overridden for an hour",
        advice: "`fusebox breakers` says by whom and why; release {{ $labels.breaker }} if that is over.",
        fires: fires(
            "forgotten",
            "70m",
            &[("breaker", "db")],
            &[(
                r#"fusebox_breaker_state{breaker="db", state="disabled"}"#,
                "1x300",
            )],
        ),
        quiet: &[quiet(
            "for half an hour",
            "70m",
            &[(
                r#"fusebox_breaker_state{breaker="db", state="disabled"}"#,
                "1x120 0x200",
            )],
        )],
    },
    Alert {
        name: "FuseboxBreakerFlaps",
        expr: r#"sum by (job, instance, breaker) (increase(fusebox_breaker_transitions_total{from="closed", to="open"}[15m])) > 4"#,
        hold: "0s",
        severity: "warning",
        summary: "breaker {{ $labels.breaker }} has opened again and again within a quarter of an hour",
        advice: "The agent fails under load or its probes do not ask what its tasks need; consider a ramp or more successes to close for {{ $labels.breaker }}.",
        fires: fires(
            "every two minutes",
            "20m",
            &[("breaker", "db")],
            &[(
                r#"fusebox_breaker_transitions_total{breaker="db", from="closed", to="open", reason="failure_rate"}"#,
                "0x7 1x7 2x7 3x7 4x7 5x7 6x7 7x7 8x7 9x20",
            )],
        ),
        quiet: &[
            quiet(
                "twice",
                "20m",
                &[(
                    r#"fusebox_breaker_transitions_total{breaker="db", from="closed", to="open", reason="failure_rate"}"#,
                    "0x40 1x20 2x40",
                )],
            ),
            quiet(
                "one outage with many failed probes",
                "20m",
                &[(
                    r#"fusebox_breaker_transitions_total{breaker="db", from="half_open", to="open", reason="probe_failed"}"#,
                    "0+1x90",
                )],
            ),
        ],
    },
    Alert {
        name: "FuseboxProbeLost",
        expr: "increase(fusebox_breaker_probes_lost_total[10m]) > 0",
        hold: "0s",
        severity: "warning",
        summary: "a probe of breaker {{ $labels.breaker }} gave no answer before its deadline",
        advice: "The agent takes calls and hangs; give {{ $labels.breaker }} an attempt time-out below the probe deadline.",
        fires: fires(
            "one",
            "8m",
            &[("breaker", "db")],
            &[(
                r#"fusebox_breaker_probes_lost_total{breaker="db"}"#,
                "0x20 1x40",
            )],
        ),
        quiet: &[quiet(
            "long ago",
            "30m",
            &[(
                r#"fusebox_breaker_probes_lost_total{breaker="db"}"#,
                "0x20 1x140",
            )],
        )],
    },
    Alert {
        name: "FuseboxObjectiveAtRisk",
        expr: "fusebox_agent_away_seconds > 0 and (fusebox_agent_away_seconds > 0.8 * fusebox_recovery_objective_seconds or increase(fusebox_objective_at_risk_total[15m]) > 0) unless fusebox_agent_away_seconds > fusebox_recovery_objective_seconds",
        hold: "0s",
        severity: "warning",
        summary: "agent {{ $labels.agent }} may miss its recovery objective",
        advice: "Bring {{ $labels.agent }} back, or release its breaker so that it is probed before the objective passes.",
        fires: fires(
            "most of it has passed",
            "7m",
            &[("agent", "llm")],
            &[
                (r#"fusebox_agent_away_seconds{agent="llm"}"#, "0+15x60"),
                (
                    r#"fusebox_recovery_objective_seconds{agent="llm"}"#,
                    "480x60",
                ),
                (r#"fusebox_objective_at_risk_total{agent="llm"}"#, "0x60"),
            ],
        ),
        quiet: &[
            quiet(
                "just gone",
                "2m",
                &[
                    (r#"fusebox_agent_away_seconds{agent="llm"}"#, "0+15x60"),
                    (
                        r#"fusebox_recovery_objective_seconds{agent="llm"}"#,
                        "480x60",
                    ),
                ],
            ),
            quiet(
                "there",
                "7m",
                &[
                    (r#"fusebox_agent_away_seconds{agent="llm"}"#, "0x60"),
                    (
                        r#"fusebox_recovery_objective_seconds{agent="llm"}"#,
                        "480x60",
                    ),
                    (r#"fusebox_objective_at_risk_total{agent="llm"}"#, "0 1x60"),
                ],
            ),
            quiet(
                "missed already, which is another alert",
                "10m",
                &[
                    (r#"fusebox_agent_away_seconds{agent="llm"}"#, "0+15x60"),
                    (
                        r#"fusebox_recovery_objective_seconds{agent="llm"}"#,
                        "480x60",
                    ),
                ],
            ),
        ],
    },
    Alert {
        name: "FuseboxObjectiveBreached",
        // The counter tells of an outage that began and ended between two scrapes.
        expr: "fusebox_agent_away_seconds > fusebox_recovery_objective_seconds or increase(fusebox_objective_breached_total[5m]) > 0",
        hold: "0s",
        severity: "critical",
        summary: "agent {{ $labels.agent }} has missed its recovery objective",
        advice: "Runs that need {{ $labels.agent }} fail or go without it; `fusebox breakers` says why it is away.",
        fires: fires(
            "still away",
            "10m",
            &[("agent", "llm")],
            &[
                (r#"fusebox_agent_away_seconds{agent="llm"}"#, "0+15x60"),
                (
                    r#"fusebox_recovery_objective_seconds{agent="llm"}"#,
                    "480x60",
                ),
            ],
        ),
        quiet: &[
            quiet(
                "at exactly the objective it is met",
                "8m",
                &[
                    (r#"fusebox_agent_away_seconds{agent="llm"}"#, "0+15x60"),
                    (
                        r#"fusebox_recovery_objective_seconds{agent="llm"}"#,
                        "480x60",
                    ),
                    (r#"fusebox_objective_breached_total{agent="llm"}"#, "0x60"),
                ],
            ),
            quiet(
                "an agent without objective",
                "10m",
                &[(r#"fusebox_agent_away_seconds{agent="llm"}"#, "0+15x60")],
            ),
        ],
    },
    Alert {
        name: "FuseboxObjectiveOftenMissed",
        expr: "fusebox_objective_met_ratio < 0.9",
        hold: "15m",
        severity: "warning",
        summary: "agent {{ $labels.agent }} meets its recovery objective in fewer than nine of ten outages",
        advice: "Probe {{ $labels.agent }} earlier (a shorter open wait), give it a fallback, or set an objective that can be kept.",
        fires: fires(
            "half of them",
            "20m",
            &[("agent", "llm")],
            &[(r#"fusebox_objective_met_ratio{agent="llm"}"#, "0.5x90")],
        ),
        quiet: &[quiet(
            "at exactly nine of ten",
            "20m",
            &[(r#"fusebox_objective_met_ratio{agent="llm"}"#, "0.9x90")],
        )],
    },
    Alert {
        name: "FuseboxUnhealthy",
        expr: r#"max by (job, instance) (fusebox_health{status="unhealthy"}) > 0"#,
        hold: "5m",
        severity: "critical",
        summary: "{{ $labels.instance }} has been unhealthy for five minutes",
        advice: "An agent is past its objective or a run is stalled; the dashboard's rows Recovery and Runs say which.",
        fires: fires(
            "for long",
            "7m",
            &[("instance", "a"), ("job", "fusebox")],
            &[(
                r#"fusebox_health{job="fusebox", instance="a", status="unhealthy"}"#,
                "1x60",
            )],
        ),
        quiet: &[quiet(
            "degraded is not unhealthy",
            "7m",
            &[
                (
                    r#"fusebox_health{job="fusebox", instance="a", status="unhealthy"}"#,
                    "0x60",
                ),
                (
                    r#"fusebox_health{job="fusebox", instance="a", status="degraded"}"#,
                    "1x60",
                ),
            ],
        )],
    },
    Alert {
        name: "FuseboxRunStalled",
        expr: "fusebox_runs_stalled > 0",
        hold: "1m",
        severity: "critical",
        summary: "a run of {{ $labels.instance }} shows no sign of life",
        advice: "`fusebox runs` names it; cancel it and resume it, and give its agent a maximum silence or an attempt time-out.",
        fires: fires(
            "hangs",
            "4m",
            &[("instance", "a")],
            &[(r#"fusebox_runs_stalled{instance="a"}"#, "0x4 1x40")],
        ),
        quiet: &[quiet(
            "a sign came",
            "4m",
            &[(r#"fusebox_runs_stalled{instance="a"}"#, "0x4 1 1 0x40")],
        )],
    },
    Alert {
        name: "FuseboxRunsFail",
        expr: r#"sum by (job, instance) (increase(fusebox_runs_total{status="failed"}[15m])) > 0.1 * sum by (job, instance) (increase(fusebox_runs_total[15m]))"#,
        hold: "5m",
        severity: "warning",
        summary: "more than a tenth of the runs of {{ $labels.instance }} fail",
        advice: "`fusebox runs` lists them and `fusebox show` tells of each why; look for the agent they share.",
        fires: fires(
            "half of them",
            "25m",
            &[("instance", "a"), ("job", "fusebox")],
            &[
                (
                    r#"fusebox_runs_total{job="fusebox", instance="a", status="failed"}"#,
                    "0+1x120",
                ),
                (
                    r#"fusebox_runs_total{job="fusebox", instance="a", status="completed"}"#,
                    "0+1x120",
                ),
            ],
        ),
        quiet: &[
            quiet(
                "one in a hundred",
                "25m",
                &[
                    (
                        r#"fusebox_runs_total{job="fusebox", instance="a", status="failed"}"#,
                        "0x50 1x70",
                    ),
                    (
                        r#"fusebox_runs_total{job="fusebox", instance="a", status="completed"}"#,
                        "0+2x120",
                    ),
                ],
            ),
            quiet(
                "nothing runs",
                "25m",
                &[(
                    r#"fusebox_runs_total{job="fusebox", instance="a", status="failed"}"#,
                    "7x120",
                )],
            ),
        ],
    },
    Alert {
        name: "FuseboxWaitingCallsGrow",
        expr: "delta(fusebox_agent_waiting_calls[10m]) > 0 and fusebox_agent_waiting_calls > 10",
        hold: "5m",
        severity: "warning",
        summary: "more and more calls wait for agent {{ $labels.agent }}",
        advice: "They are let go in cohorts once {{ $labels.agent }} is back; if it is back, raise what it takes at once.",
        fires: fires(
            "an outage under load",
            "12m",
            &[("agent", "llm")],
            &[(r#"fusebox_agent_waiting_calls{agent="llm"}"#, "0+1x60")],
        ),
        quiet: &[
            quiet(
                "the line is drained",
                "12m",
                &[(r#"fusebox_agent_waiting_calls{agent="llm"}"#, "60-1x60")],
            ),
            quiet(
                "a handful",
                "12m",
                &[(
                    r#"fusebox_agent_waiting_calls{agent="llm"}"#,
                    "0x20 1 2 3 4 5x40",
                )],
            ),
        ],
    },
    Alert {
        name: "FuseboxOldestWaitLong",
        expr: "fusebox_agent_oldest_wait_seconds > 600",
        hold: "0s",
        severity: "warning",
        summary: "a call has waited for agent {{ $labels.agent }} for more than ten minutes",
        advice: "See when {{ $labels.agent }} is due back; runs end at their own objective if it comes first.",
        fires: fires(
            "eleven minutes",
            "11m",
            &[("agent", "llm")],
            &[(
                r#"fusebox_agent_oldest_wait_seconds{agent="llm"}"#,
                "0+15x60",
            )],
        ),
        quiet: &[quiet(
            "at exactly ten",
            "10m",
            &[(
                r#"fusebox_agent_oldest_wait_seconds{agent="llm"}"#,
                "0+15x60",
            )],
        )],
    },
    Alert {
        name: "FuseboxCallsShed",
        expr: r#"sum by (job, instance, agent) (rate(fusebox_calls_refused_total{reason=~"bulkhead|rate_limit|budget"}[5m])) > 0.1"#,
        hold: "5m",
        severity: "warning",
        summary: "agent {{ $labels.agent }} is asked for more than its limits allow",
        advice: "Raise the limit that refuses (the label reason of fusebox_calls_refused_total says which), or start fewer runs at once.",
        fires: fires(
            "a call in three seconds",
            "12m",
            &[("agent", "llm")],
            &[(
                r#"fusebox_calls_refused_total{agent="llm", reason="bulkhead"}"#,
                "0+5x60",
            )],
        ),
        quiet: &[
            quiet(
                "one now and then",
                "12m",
                &[(
                    r#"fusebox_calls_refused_total{agent="llm", reason="bulkhead"}"#,
                    "0x12 1x12 2x40",
                )],
            ),
            quiet(
                "a breaker does its work",
                "12m",
                &[(
                    r#"fusebox_calls_refused_total{agent="llm", reason="open"}"#,
                    "0+5x60",
                )],
            ),
        ],
    },
    Alert {
        name: "FuseboxStoreDegraded",
        expr: r#"sum by (job, instance) (fusebox_store_mode{mode=~"suspect|degraded|reconciling"}) > 0"#,
        hold: "2m",
        severity: "warning",
        summary: "the state store of {{ $labels.instance }} is away or being put right",
        advice: "`fusebox state stats` says what waits for it; runs go on as the policy on its loss says.",
        fires: fires(
            "away",
            "4m",
            &[("instance", "a")],
            &[
                (
                    r#"fusebox_store_mode{instance="a", mode="degraded"}"#,
                    "0x2 1x40",
                ),
                (
                    r#"fusebox_store_mode{instance="a", mode="healthy"}"#,
                    "1x2 0x40",
                ),
            ],
        ),
        quiet: &[quiet(
            "a hiccup",
            "4m",
            &[
                (
                    r#"fusebox_store_mode{instance="a", mode="suspect"}"#,
                    "0x2 1 0x40",
                ),
                (
                    r#"fusebox_store_mode{instance="a", mode="healthy"}"#,
                    "1x2 0 1x40",
                ),
            ],
        )],
    },
    Alert {
        name: "FuseboxStoreComesAndGoes",
        expr: "increase(fusebox_store_away_total[15m]) > 3",
        hold: "0s",
        severity: "warning",
        summary: "the state store of {{ $labels.instance }} stops answering again and again",
        advice: "Look at the store and the network to it; each time commits are repeated until it answers.",
        fires: fires(
            "every two minutes",
            "15m",
            &[("instance", "a")],
            &[(
                r#"fusebox_store_away_total{instance="a"}"#,
                "0x7 1x7 2x7 3x7 4x7 5x7 6x20",
            )],
        ),
        quiet: &[quiet(
            "once",
            "15m",
            &[(r#"fusebox_store_away_total{instance="a"}"#, "0x20 1x60")],
        )],
    },
    Alert {
        name: "FuseboxWritesAtRisk",
        expr: "fusebox_store_at_risk_commits > 0",
        hold: "1m",
        severity: "critical",
        summary: "{{ $labels.instance }} alone has commits that its end would lose",
        advice: "Do not stop {{ $labels.instance }} before its store is back and nothing is pending.",
        fires: fires(
            "in memory only",
            "3m",
            &[("instance", "a")],
            &[(r#"fusebox_store_at_risk_commits{instance="a"}"#, "0 3x40")],
        ),
        quiet: &[quiet(
            "pending, but on disk",
            "3m",
            &[
                (r#"fusebox_store_at_risk_commits{instance="a"}"#, "0x40"),
                (r#"fusebox_store_pending_commits{instance="a"}"#, "0 3x40"),
            ],
        )],
    },
    Alert {
        name: "FuseboxStoreBehind",
        expr: "fusebox_store_pending_commits > 0 and fusebox_store_oldest_pending_seconds > 300",
        hold: "0s",
        severity: "warning",
        summary: "the state store of {{ $labels.instance }} is more than five minutes behind",
        advice: "Others see old runs there. If the store is back and this does not shrink, look at its answers in the log.",
        fires: fires(
            "six minutes",
            "6m",
            &[("instance", "a")],
            &[
                (r#"fusebox_store_pending_commits{instance="a"}"#, "9x40"),
                (
                    r#"fusebox_store_oldest_pending_seconds{instance="a"}"#,
                    "0+15x40",
                ),
            ],
        ),
        quiet: &[quiet(
            "delivered",
            "6m",
            &[
                (
                    r#"fusebox_store_pending_commits{instance="a"}"#,
                    "9x12 0x30",
                ),
                (
                    r#"fusebox_store_oldest_pending_seconds{instance="a"}"#,
                    "0+15x11 0x30",
                ),
            ],
        )],
    },
    Alert {
        name: "FuseboxStoreForked",
        expr: "fusebox_store_forks > 0",
        hold: "0s",
        severity: "warning",
        summary: "{{ $labels.instance }} keeps forks of runs that another owner took meanwhile",
        advice: "`fusebox state forks` lists them; decide which history stands.",
        fires: fires(
            "one",
            "1m",
            &[("instance", "a")],
            &[(r#"fusebox_store_forks{instance="a"}"#, "0 1x40")],
        ),
        quiet: &[quiet(
            "none",
            "1m",
            &[(r#"fusebox_store_forks{instance="a"}"#, "0x40")],
        )],
    },
    Alert {
        name: "FuseboxEventsDropped",
        expr: "increase(fusebox_events_dropped_total[5m]) > 0",
        hold: "0s",
        severity: "warning",
        summary: "{{ $labels.instance }} loses events: {{ $labels.queue }}",
        advice: "Counters of events are too low from here on; let `EngineMetrics::follow` run on a runtime that is not busy.",
        fires: fires(
            "some",
            "3m",
            &[("instance", "a"), ("queue", "events")],
            &[(
                r#"fusebox_events_dropped_total{instance="a", queue="events"}"#,
                "0x8 12x40",
            )],
        ),
        quiet: &[quiet(
            "before the last five minutes",
            "10m",
            &[(
                r#"fusebox_events_dropped_total{instance="a", queue="events"}"#,
                "0x8 12x60",
            )],
        )],
    },
    Alert {
        name: "FuseboxMetricsStale",
        expr: "time() - fusebox_looked_at_timestamp_seconds > 60",
        hold: "1m",
        severity: "warning",
        summary: "the gauges of {{ $labels.instance }} are no longer brought up to date",
        advice: "The process answers scrapes but its engine is not looked at: its runtime may be blocked.",
        fires: fires(
            "stuck",
            "5m",
            &[("instance", "a")],
            &[(
                r#"fusebox_looked_at_timestamp_seconds{instance="a"}"#,
                "0x40",
            )],
        ),
        quiet: &[quiet(
            "looked at every scrape",
            "5m",
            &[(
                r#"fusebox_looked_at_timestamp_seconds{instance="a"}"#,
                "0+15x40",
            )],
        )],
    },
];

#[cfg(test)]
mod tests {
    use fusebox_metrics::METRICS;

    use super::ALERTS;

    #[test]
    fn every_alert_asks_for_metrics_of_the_table_with_the_labels_they_have() {
        for alert in ALERTS {
            let words = alert
                .expr
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let asked: Vec<&str> = words.filter(|word| word.starts_with("fusebox_")).collect();
            assert!(!asked.is_empty(), "{}", alert.name);
            for name in asked {
                assert!(
                    METRICS.iter().any(|metric| metric.name == name),
                    "{}: {name}",
                    alert.name
                );
            }
        }
    }

    #[test]
    fn every_alert_has_a_case_that_must_not_fire_and_series_of_the_table() {
        for alert in ALERTS {
            assert!(!alert.quiet.is_empty(), "{}", alert.name);
            for case in std::iter::once(&alert.fires).chain(alert.quiet) {
                for (series, _) in case.series {
                    let (name, labels) = series.split_once('{').expect("it has labels");
                    let metric = METRICS.iter().find(|metric| metric.name == name);
                    let metric = metric.unwrap_or_else(|| panic!("{}: {name}", alert.name));
                    for label in labels.trim_end_matches('}').split(", ") {
                        let (label, _) = label.split_once('=').expect("a label has a value");
                        let known =
                            ["job", "instance"].contains(&label) || metric.labels.contains(&label);
                        assert!(known, "{}: {series}", alert.name);
                    }
                }
            }
        }
    }
}
