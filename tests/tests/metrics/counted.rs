//! What runs of the command count, on the page of `fusebox serve`.

use std::fs;

use fusebox::metrics::METRICS;
use fusebox_tests::{Ask, FakeEngine, Sandbox, eventually};

use crate::operated::{RUN, sandbox};
use crate::page::Peaks;
use crate::serving::serve;

fn page(url: &str) -> String {
    Ask::get("/metrics").to(url).has(200).body
}

/// The value of a series, `None` where it is not on the page.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line?.strip_prefix(' ')?.parse().ok()
}

/// Waits until a series has the value: a page may be as old as a tenth of a second.
fn until(url: &str, series: &str, wanted: f64) {
    eventually(&format!("{series} to be {wanted}"), || {
        (value(&page(url), series) == Some(wanted)).then_some(())
    });
}

const FIRST: &str = "fusebox_steps_total{step=\"first\",status=\"succeeded\"}";
const COMPLETED: &str = "fusebox_runs_total{status=\"completed\"}";

#[test]
fn a_run_is_counted_from_its_start_to_its_end_and_stays_counted() {
    let (sandbox, gate) = sandbox();
    let (_serving, url) = serve(&sandbox, &[]);
    until(&url, "fusebox_runs_live", 0.0);
    let running = sandbox.start(&RUN);
    gate.arrived("first", 1);
    until(&url, "fusebox_breaker_in_flight{breaker=\"gated\"}", 1.0);
    gate.open(1);
    gate.arrived("second", 1);
    until(&url, FIRST, 1.0);
    until(&url, "fusebox_runs_live", 1.0);
    gate.open(1);
    running.wait().exited(0);
    // At once: it has told before it went.
    let ended = page(&url);
    for (series, wanted) in [
        (COMPLETED, 1.0),
        (
            "fusebox_run_duration_seconds_count{status=\"completed\"}",
            1.0,
        ),
        (FIRST, 1.0),
        (
            "fusebox_steps_total{step=\"second\",status=\"succeeded\"}",
            1.0,
        ),
        (
            "fusebox_step_duration_seconds_bucket{step=\"second\",le=\"+Inf\"}",
            1.0,
        ),
        (
            "fusebox_breaker_calls_total{breaker=\"gated\",outcome=\"succeeded\"}",
            2.0,
        ),
    ] {
        assert_eq!(value(&ended, series), Some(wanted), "{series}\n{ended}");
    }
    until(&url, "fusebox_runs_live", 0.0);
    eventually("its gauges to be gone", || {
        (!page(&url).contains("fusebox_breaker_in_flight")).then_some(())
    });
    gate.open(2);
    let again = ["run", "operated.toml", "--id", "again", "--json"];
    sandbox.fusebox(&again).exited(0);
    assert_eq!(value(&page(&url), COMPLETED), Some(2.0));
}

const SHORT: &str = r#"
[workflow]
name = "short"

[agents.quick]
kind = "command"
command = ["sh", "-c", 'echo "{}"']

[[step]]
name = "quick"
"#;

#[test]
fn runs_shorter_than_any_look_are_all_counted() {
    let sandbox = Sandbox::new();
    sandbox.write("short.toml", SHORT);
    let run = || sandbox.fusebox(&["run", "short.toml", "--json"]).exited(0);
    run();
    let (_serving, url) = serve(&sandbox, &[]);
    for n in 1..=3 {
        run();
        let page = page(&url);
        assert_eq!(value(&page, COMPLETED), Some(f64::from(n)));
        let steps = "fusebox_step_duration_seconds_count{step=\"quick\"}";
        assert_eq!(value(&page, steps), Some(f64::from(n)));
    }
    // Another server has its own count, and what ended before it began is in nobody's.
    let (_serving, url) = serve(&sandbox, &[]);
    assert_eq!(value(&page(&url), COMPLETED), None);
    run();
    assert_eq!(value(&page(&url), COMPLETED), Some(1.0));
}

#[test]
fn of_a_run_that_is_killed_what_the_last_look_saw_stays() {
    let (sandbox, gate) = sandbox();
    let (_serving, url) = serve(&sandbox, &[]);
    let running = sandbox.start(&RUN);
    gate.open(1);
    gate.arrived("second", 1);
    until(&url, FIRST, 1.0);
    let _ = running.kill();
    until(&url, "fusebox_runs_live", 0.0);
    let page = page(&url);
    assert_eq!(
        (value(&page, FIRST), value(&page, COMPLETED)),
        (Some(1.0), None)
    );
}

/// `search` is away while there is a file `outage`; so long two steps want the one slot of `slow`.
const OUTAGE: &str = r#"
[workflow]
name = "nightly"

[agents.search]
kind = "command"
command = ["sh", "-c", 'test ! -e outage && echo "{}"']
consecutive_failures = 2
failure_rate_threshold = 1.0
wait_duration_in_open = "1s"
max_wait_duration_in_open = "1s"
successes_to_close = 1
max_attempts = 2
retry_base = "10ms"
retry_cap = "20ms"
recovery_objective = "5m"

[agents.slow]
kind = "command"
command = ["sh", "-c", 'while test -e outage; do sleep 0.05; done; echo "{}"']
max_concurrent_calls = 1

[[step]]
name = "left"
agent = "slow"

[[step]]
name = "right"
agent = "slow"

[[step]]
name = "search"

[[step]]
name = "rank"
agent = "slow"
requires = ["search"]
"#;

const REFUSED: &str = r#"
[workflow]
name = "refused"

[agents.away]
kind = "command"
command = ["false"]
consecutive_failures = 1
failure_rate_threshold = 1.0
max_attempts = 1
max_concurrent_calls = 1

[[step]]
name = "one"
agent = "away"

[[step]]
name = "two"
agent = "away"
"#;

/// What such a run does not do: it loses no probe, misses no objective, stalls nowhere, and its store is there.
const NOT_IN_THE_RUN: [&str; 10] = [
    "fusebox_breaker_probes_lost_total",
    "fusebox_objective_at_risk_total",
    "fusebox_objective_breached_total",
    "fusebox_runs_stalled",
    "fusebox_store_away_total",
    "fusebox_store_pending_commits",
    "fusebox_store_oldest_pending_seconds",
    "fusebox_store_at_risk_commits",
    "fusebox_store_forks",
    "fusebox_events_dropped_total",
];

/// What is seen only while it lasts.
const WHILE_IT_LASTS: [&str; 5] = [
    "fusebox_agent_queued_calls",
    "fusebox_agent_waiting_calls",
    "fusebox_agent_oldest_wait_seconds",
    "fusebox_agent_away_seconds",
    "fusebox_breaker_in_state_seconds",
];

#[test]
fn every_row_of_the_table_is_on_the_page_of_a_run_with_an_outage() {
    let sandbox = Sandbox::new();
    sandbox.write("nightly.toml", OUTAGE);
    sandbox.write("refused.toml", REFUSED);
    let outage = sandbox.write("outage", "");
    let (_serving, url) = serve(&sandbox, &[]);
    let mut peaks = Peaks::default();
    let running = sandbox.start(&["run", "nightly.toml", "--json"]);
    eventually("the queue and the line to be seen", || {
        peaks.add(&page(&url));
        let silent = peaks.silent();
        let seen = |name: &&str| !silent.contains(name);
        WHILE_IT_LASTS.iter().all(seen).then_some(())
    });
    // One that does not wait is refused at its second call.
    let impatient = ["run", "refused.toml", "--no-wait", "--json"];
    sandbox.fusebox(&impatient).exited(5);
    fs::remove_file(outage).expect("it is there");
    running.wait().exited(0);
    peaks.add(&page(&url));
    assert_eq!(peaks.absent(), Vec::<&str>::new());
    assert_eq!(peaks.silent(), NOT_IN_THE_RUN);
}

#[test]
fn of_an_engine_that_does_not_count_the_page_has_the_gauges_that_its_health_says() {
    let sandbox = Sandbox::new();
    let agent = FakeEngine::agent("alpha", "open", None);
    let _engine = FakeEngine::start(&sandbox.state_dir(), 7, &[agent]);
    let (_serving, url) = serve(&sandbox, &[]);
    until(
        &url,
        "fusebox_breaker_state{breaker=\"alpha\",state=\"open\"}",
        1.0,
    );
    let mut peaks = Peaks::default();
    peaks.add(&page(&url));
    let missing = peaks.absent();
    assert_eq!(METRICS.len() - missing.len(), 12, "missing: {missing:?}");
    assert!(missing.contains(&"fusebox_runs_total"), "{missing:?}");
}
