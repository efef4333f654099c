//! Ctrl-C: the run stops in order, its agents are gone, and it can go on later.

#![cfg(target_os = "linux")]

use fusebox_tests::{Gate, Sandbox};

const FLOW: &str = r#"
[workflow]
name = "stopped"

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "first"
agent = "gated"

[[step]]
name = "second"
agent = "gated"
requires = ["first"]

[[step]]
name = "third"
agent = "gated"
requires = ["second"]
"#;

#[test]
fn an_interrupted_run_stops_its_agents_keeps_what_is_finished_and_resumes() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    sandbox.write("stopped.toml", FLOW);
    let log = sandbox.execution_log();
    let run = [
        "run",
        "stopped.toml",
        "--id",
        "stopped",
        "--json",
        "--execution-log",
        &log,
    ];
    let running = sandbox.start(&run);
    gate.open(1);
    gate.arrived("second", 1);
    running.interrupt();
    let outcome = running
        .wait()
        .exited(7)
        .complains("stopping: what is finished is kept");
    let report = outcome.json();
    assert_eq!(report["status"], "cancelled");
    let statuses = ["succeeded", "cancelled", "pending"];
    for (step, status) in statuses.into_iter().enumerate() {
        assert_eq!(report["steps"][step]["status"], status, "{report}");
    }
    sandbox.assert_nobody_left();
    gate.open(2);
    let resume = ["resume", "stopped", "--json", "--execution-log", &log];
    let resumed = sandbox.fusebox(&resume).exited(0).json();
    assert_eq!(resumed["status"], "completed");
    assert_eq!(
        resumed["steps"][0]["output_sha256"],
        report["steps"][0]["output_sha256"]
    );
    let calls: Vec<String> = sandbox.calls().into_iter().map(|call| call.step).collect();
    assert_eq!(calls, ["first", "second", "second", "third"]);
    sandbox.assert_nobody_left();
}

#[test]
fn an_interrupted_run_tells_a_person_how_to_go_on() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    sandbox.write("stopped.toml", FLOW);
    let running = sandbox.start(&["run", "stopped.toml", "--id", "stopped"]);
    gate.arrived("first", 1);
    running.interrupt();
    running
        .wait()
        .exited(7)
        .says("run stopped: cancelled")
        .says("to go on: fusebox resume stopped");
    let shown = sandbox
        .fusebox(&["show", "stopped", "--json"])
        .exited(0)
        .json();
    assert_eq!(shown["status"], "cancelled");
}
