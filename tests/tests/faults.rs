//! Faults on purpose: what opens, what is shielded, what waits, and what comes back by itself.

#![cfg(target_os = "linux")]

use std::fs;

use fusebox_tests::{REVIEW, Sandbox, sample_workspace};
use serde_json::Value;

/// `data` is called first and given up soon; nothing else has to be quick.
const FLOW: &str = r#"
[workflow]
name = "outage"
objective = "60s"

[agents.data]
kind = "command"
command = ["echo", '{"rows": 3}']
output_schema = { type = "object", required = ["rows"] }
attempt_timeout = "200ms"
max_attempts = 3
retry_base = "10ms"
retry_cap = "20ms"
consecutive_failures = 3
wait_duration_in_open = "300ms"
max_wait_duration_in_open = "1s"
successes_to_close = 1
recovery_objective = "50s"

[agents.echo]
kind = "command"
command = ["echo", '{"ok": true}']

[[step]]
name = "data"

[[step]]
name = "near"
agent = "echo"
requires = ["data"]

[[step]]
name = "far"
agent = "echo"
requires = ["near"]

[[step]]
name = "aside"
agent = "echo"
"#;

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("a list of steps");
    let found = steps.iter().find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name}: {report}"))
}

fn outage(sandbox: &Sandbox, fault: &str, more: &[&str]) -> fusebox_tests::Outcome {
    sandbox.write("outage.toml", FLOW);
    let log = sandbox.execution_log();
    let mut args = vec!["run", "outage.toml", "--id", "outage", "--fault", fault];
    args.extend(["--execution-log", &log]);
    args.extend(more);
    sandbox.fusebox(&args)
}

fn calls_of(sandbox: &Sandbox, step: &str) -> usize {
    sandbox
        .calls()
        .iter()
        .filter(|call| call.step == step)
        .count()
}

#[test]
fn an_agent_that_never_answers_opens_its_breaker_and_its_dependants_are_not_called() {
    let sandbox = Sandbox::new();
    let report = outage(
        &sandbox,
        "data=timeout:1.0",
        &["--objective", "3s", "--json"],
    )
    .exited(4)
    .json();
    assert_eq!(report["status"], "failed");
    let data = step(&report, "data");
    assert_eq!(data["status"], "failed");
    assert_ne!(data["breaker"], "closed");
    assert!(data["output_sha256"].is_null());
    assert!(
        data["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("objective")),
        "{data}"
    );
    for name in ["near", "far"] {
        let shielded = step(&report, name);
        assert_eq!(shielded["status"], "shielded", "{shielded}");
        assert_eq!(shielded["executions"], 0, "{shielded}");
        assert_eq!(calls_of(&sandbox, name), 0, "calls of {name}");
        let reason = shielded["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("`data`"), "{shielded}");
    }
    assert_eq!(
        step(&report, "aside")["status"],
        "succeeded",
        "it does not depend on data"
    );
    assert!(calls_of(&sandbox, "data") >= 3, "three failures open it");
    assert_eq!(
        data["executions"].as_u64(),
        Some(calls_of(&sandbox, "data") as u64)
    );
    sandbox.assert_nobody_left();
}

#[test]
fn without_waiting_an_outage_ends_as_waiting_and_says_when_to_come_back() {
    let sandbox = Sandbox::new();
    let report = outage(&sandbox, "data=timeout:1.0", &["--no-wait", "--json"])
        .exited(5)
        .json();
    assert_eq!(report["status"], "waiting");
    assert!(report["due_in_ms"].is_u64(), "{report}");
    assert_eq!(step(&report, "data")["status"], "waiting");
    assert_eq!(step(&report, "data")["breaker"], "open");
    assert_eq!(calls_of(&sandbox, "data"), 3);
    for name in ["near", "far"] {
        assert_eq!(step(&report, name)["status"], "shielded", "{report}");
        assert_eq!(calls_of(&sandbox, name), 0, "calls of {name}");
    }
}

#[test]
fn a_waiting_run_that_is_resumed_without_the_fault_completes() {
    let sandbox = Sandbox::new();
    outage(&sandbox, "data=timeout:1.0", &["--no-wait"])
        .exited(5)
        .says("run outage: waiting")
        .says("fusebox resume outage --state-dir");
    let aside = sandbox
        .fusebox(&["show", "outage", "--json"])
        .exited(0)
        .json();
    let report = sandbox
        .fusebox(&["resume", "outage", "--json"])
        .exited(0)
        .json();
    assert_eq!(report["status"], "completed");
    assert_eq!(
        step(&report, "aside")["output_sha256"],
        step(&aside, "aside")["output_sha256"]
    );
    assert_eq!(
        step(&report, "aside")["attempts"],
        0,
        "it was finished before"
    );
    let executions = step(&report, "data")["executions"].as_u64();
    assert!(executions >= Some(4), "three in vain, one good: {report}");
    assert_eq!(step(&report, "data")["breaker"], "closed");
}

#[test]
fn show_tells_the_story_of_an_outage() {
    let sandbox = Sandbox::new();
    outage(&sandbox, "data=timeout:1.0", &["--no-wait"]).exited(5);
    let story = sandbox
        .fusebox(&["show", "outage"])
        .exited(0)
        .says("run outage of outage: waiting")
        .says("data started")
        .says("data started, execution 3")
        .says("breaker data: closed -> open (")
        .says("data waits")
        .says("near shielded by data")
        .says("far shielded by data")
        .says("run waiting: data:")
        .says("fusebox resume outage");
    let place = |text: &str| story.stdout.find(text).expect("said above");
    assert!(place("closed -> open") < place("near shielded"), "{story}");
    let events = sandbox
        .fusebox(&["show", "outage", "--json"])
        .exited(0)
        .json();
    let events = events["events"]
        .as_array()
        .expect("a list of events")
        .clone();
    let moved = |event: &&Value| event["event"]["kind"] == "breaker_moved";
    let opened = events.iter().find(moved).expect("the breaker moved");
    assert_eq!(opened["event"]["breaker"], "data");
    assert_eq!(opened["event"]["to"], "open");
    assert!(
        events
            .iter()
            .zip(0..)
            .all(|(event, seq)| event["seq"] == seq),
        "{events:#?}"
    );
}

#[test]
fn an_outage_that_ends_is_recovered_from_without_help_and_the_objective_is_met() {
    let sandbox = Sandbox::new();
    let outcome = outage(&sandbox, "data=timeout:1.0,until=3s", &[])
        .exited(0)
        .says("run outage: completed")
        .says("met: ")
        .complains("breaker data: closed -> open")
        .complains("breaker data: half_open -> closed")
        .complains("data recovered after");
    assert!(
        outcome.stderr.contains(", objective 50.0 s: met"),
        "{outcome}"
    );
    let shown = sandbox
        .fusebox(&["show", "outage", "--json"])
        .exited(0)
        .json();
    for name in ["data", "near", "far", "aside"] {
        assert_eq!(step(&shown, name)["status"], "succeeded", "{shown}");
    }
    for name in ["near", "far", "aside"] {
        assert_eq!(calls_of(&sandbox, name), 1, "calls of {name}");
    }
    assert!(calls_of(&sandbox, "data") > 3);
}

#[test]
fn the_report_of_a_recovered_run_holds_the_outage_and_its_verdict() {
    let sandbox = Sandbox::new();
    let report = outage(&sandbox, "data=timeout:1.0,until=3s", &["--json"])
        .exited(0)
        .json();
    let outage = &step(&report, "data")["rto"];
    assert_eq!(outage["verdict"], "met", "{report}");
    assert_eq!(outage["objective_ms"], 50_000);
    assert!(step(&report, "aside")["rto"].is_null(), "{report}");
}

/// Two steps whose agent always fails; a second agent can answer for it.
const FALLBACK: &str = r#"
[workflow]
name = "fallback"

[agents.prime]
kind = "command"
command = ["sh", "-c", "echo no luck today >&2; exit 3"]
max_attempts = 1
fallback = "spare"

[agents.spare]
kind = "command"
command = ["echo", '{"from": "spare"}']

[[step]]
name = "answer"
agent = "prime"

[[step]]
name = "use"
agent = "spare"
requires = ["answer"]
"#;

#[test]
fn a_step_answered_by_its_fallback_makes_the_run_degraded_and_the_reason_names_it() {
    let sandbox = Sandbox::new();
    sandbox.write("fallback.toml", FALLBACK);
    let run = ["run", "fallback.toml", "--id", "fallback", "--json"];
    let report = sandbox.fusebox(&run).exited(3).json();
    assert_eq!(report["status"], "degraded");
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("answer: ") && reason.contains("no luck today"),
        "{reason}"
    );
    assert!(
        reason.contains("`spare`"),
        "the fallback is not named: {reason}"
    );
    assert_eq!(step(&report, "answer")["status"], "degraded");
    assert!(step(&report, "answer")["output_sha256"].is_string());
    assert_eq!(step(&report, "use")["status"], "succeeded");
    sandbox
        .fusebox(&["show", "fallback"])
        .exited(0)
        .says("run fallback of fallback: degraded")
        .says("answer degraded after 1 attempt");
}

/// The digests of all outputs of a review under the given faults.
fn digests(sandbox: &Sandbox, run: &str, more: &[&str]) -> Value {
    let sample = sandbox.path().join("sample");
    let path = format!("path={}", sample.display());
    let mut args = vec!["run", REVIEW, "--input", &path, "--id", run, "--json"];
    args.extend(more);
    sandbox.fusebox(&args).exited(0).json()
}

#[test]
fn a_corrupted_answer_is_caught_and_what_is_kept_is_the_good_one() {
    let sandbox = Sandbox::new();
    sample_workspace(sandbox.path());
    let clean = digests(&sandbox, "clean", &[]);
    // By this seed the first answer is corrupted and a later one is not.
    let faulty = digests(
        &sandbox,
        "faulty",
        &["--fault", "data=corruption:0.5", "--seed", "5"],
    );
    assert!(
        step(&faulty, "data")["executions"].as_u64() >= Some(2),
        "the first answer was not corrupted, choose another seed: {faulty}"
    );
    for agent in [
        "triage",
        "supervisor",
        "data",
        "optimization",
        "aggregation",
        "completion",
    ] {
        assert_eq!(
            step(&faulty, agent)["output_sha256"],
            step(&clean, agent)["output_sha256"],
            "{agent}"
        );
    }
    let report = |run: &str| {
        let path = sandbox.state_dir().join("runs").join(run).join("report.md");
        fs::read_to_string(path).expect("a report")
    };
    assert_eq!(report("faulty"), report("clean"));
}

#[test]
fn a_corrupted_answer_that_is_never_mended_leaves_nothing_in_the_journal() {
    let sandbox = Sandbox::new();
    let report = outage(&sandbox, "data=corruption:1.0", &["--no-wait", "--json"])
        .exited(5)
        .json();
    assert!(step(&report, "data")["output_sha256"].is_null(), "{report}");
    let reason = step(&report, "data")["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{report}");
    assert_eq!(calls_of(&sandbox, "near"), 0);
    let resumed = sandbox
        .fusebox(&["resume", "outage", "--json"])
        .exited(0)
        .json();
    let clean = Sandbox::new();
    let clean = outage(&clean, "data=latency:0.0,delay=1ms", &["--json"])
        .exited(0)
        .json();
    assert_eq!(
        step(&resumed, "data")["output_sha256"],
        step(&clean, "data")["output_sha256"]
    );
}
