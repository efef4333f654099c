//! Runs of the command, looked at and operated by another one.

#![cfg(target_os = "linux")]

mod operated;

use fusebox_tests::eventually;
use operated::{RUN, sandbox};

#[test]
fn a_breaker_is_forced_open_while_a_run_works_and_released_again() {
    let (sandbox, gate) = sandbox();
    let running = sandbox.start(&RUN);
    gate.arrived("first", 1);
    let force = [
        "breakers",
        "force-open",
        "gated",
        "--reason",
        "vendor called",
        "--by",
        "ops",
    ];
    sandbox
        .fusebox(&force)
        .exited(0)
        .says("force_open gated: done in process");
    gate.open(1);
    let waiting = eventually("the second step to wait", || {
        let engines = sandbox.fusebox(&["breakers", "--json"]).exited(0).json();
        let agent = engines["engines"][0]["health"]["agents"][0].clone();
        (agent["waiting"] == 1).then_some(agent)
    });
    assert_eq!(waiting["state"], "forced_open");
    let reason = waiting["reason"].as_str().unwrap();
    assert!(
        reason.contains("vendor called") && reason.contains("ops"),
        "{reason}"
    );
    let table = sandbox.fusebox(&["breakers"]).exited(0);
    table.says("operated").says("vendor called");
    sandbox
        .fusebox(&["breakers", "release", "gated", "--reason", "over"])
        .exited(0);
    gate.arrived("second", 1);
    gate.open(1);
    let report = running.wait().exited(0).json();
    assert_eq!(report["status"], "completed");
    sandbox.assert_nobody_left();
}

#[test]
fn a_breaker_is_only_judged_for_a_time() {
    let (sandbox, gate) = sandbox();
    let running = sandbox.start(&RUN);
    gate.arrived("first", 1);
    let judge = [
        "breakers",
        "metrics-only",
        "gated",
        "--reason",
        "drill",
        "--for",
        "1h",
    ];
    sandbox
        .fusebox(&judge)
        .exited(0)
        .says("metrics_only gated: done in process");
    sandbox
        .fusebox(&["breakers"])
        .exited(0)
        .says("metrics_only");
    gate.open(2);
    running.wait().exited(0);
}

#[test]
fn a_run_at_work_is_cancelled_and_says_by_whom_and_why() {
    let (sandbox, gate) = sandbox();
    let running = sandbox.start(&RUN);
    gate.arrived("first", 1);
    let cancel = [
        "cancel",
        "operated",
        "--reason",
        "wrong input",
        "--by",
        "ops",
    ];
    sandbox
        .fusebox(&cancel)
        .exited(0)
        .says("was told to stop operated");
    let report = running.wait().exited(7).json();
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("cancelled by ops: wrong input"),
        "{reason}"
    );
    sandbox.assert_nobody_left();
    sandbox
        .fusebox(&cancel)
        .exited(2)
        .complains("run `operated` is cancelled already");
}

#[test]
fn a_run_that_waits_is_given_up_without_an_engine() {
    let (sandbox, _gate) = sandbox();
    let run = [&RUN[..], &["--no-wait", "--fault", "gated=api:1.0"]].concat();
    sandbox.fusebox(&run).exited(5);
    let cancel = ["cancel", "operated", "--reason", "not needed any more"];
    sandbox
        .fusebox(&cancel)
        .exited(0)
        .says("operated cancelled");
    let runs = sandbox.fusebox(&["runs", "--json"]).exited(0).json();
    assert_eq!(runs["runs"][0]["status"], "cancelled");
    sandbox
        .fusebox(&cancel)
        .exited(2)
        .complains("is cancelled already");
    let other = ["cancel", "another", "--reason", "x"];
    sandbox
        .fusebox(&other)
        .exited(2)
        .complains("there is no run `another`");
}

#[test]
fn without_an_engine_there_is_no_breaker_to_move() {
    let (sandbox, _gate) = sandbox();
    sandbox
        .fusebox(&["breakers"])
        .exited(0)
        .says("no engine runs here");
    let trip = ["breakers", "trip", "gated", "--reason", "x"];
    sandbox
        .fusebox(&trip)
        .exited(2)
        .complains("no engine runs here");
    sandbox
        .fusebox(&["breakers", "trip", "gated"])
        .exited(2)
        .complains("--reason");
}
