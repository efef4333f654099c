//! The store goes away while a run goes on. What it has acknowledged is there afterwards; what it has
//! not is never reported as done. Where nothing may stand in for it; `store_loss.rs` has the rest.

#![cfg(target_os = "linux")]

use std::net::TcpListener;

use fusebox_test_server::TestServer;
use fusebox_tests::{Gate, Running, Sandbox};
use serde_json::Value;

const FLOW: &str = r#"
[workflow]
name = "long"

[agents.quick]
kind = "command"
command = ["sh", "-c", 'echo "$FUSEBOX_IDEMPOTENCY_KEY" > quick; echo 1']

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "quick"

[[step]]
name = "gated"
requires = ["quick"]

[[step]]
name = "after"
agent = "quick"
requires = ["gated"]
"#;

/// A server whose store outlives it, and a run on it that waits at a gate.
struct Scene {
    server: TestServer,
    sandbox: Sandbox,
    gate: Gate,
}

impl Scene {
    fn new() -> Self {
        let server = TestServer::builder().append_only(true).start();
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let sandbox = Sandbox::new().with_store(server.url());
        let gate = Gate::new(sandbox.path());
        sandbox.write("long.toml", FLOW);
        Self {
            server,
            sandbox,
            gate,
        }
    }

    /// Starts the run and waits until its second step is in the middle of its work.
    fn start(&self, more: &[&str]) -> Running {
        let log = self.sandbox.execution_log();
        let mut args = vec!["run", "long.toml", "--id", "long", "--execution-log", &log];
        args.extend(more);
        let running = self.sandbox.start(&args);
        self.gate.arrived("gated", 1);
        running
    }

    fn show(&self) -> Value {
        self.sandbox
            .fusebox(&["show", "long", "--json"])
            .exited(0)
            .json()
    }

    fn calls(&self) -> Vec<String> {
        self.sandbox
            .calls()
            .into_iter()
            .map(|call| call.step)
            .collect()
    }
}

#[test]
fn a_run_whose_redis_stops_ends_as_waiting_and_loses_nothing_that_was_acknowledged() {
    let scene = Scene::new();
    let running = scene.start(&["--json", "--on-store-loss", "fail"]);
    scene.server.kill();
    scene.gate.open(1);
    let report = running.wait().exited(5).json();
    assert_eq!(report["status"], "waiting");
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("the state store did not acknowledge"),
        "{reason}"
    );
    assert!(reason.contains("resume the run to go on"), "{reason}");
    let [quick, gated, after] = [0, 1, 2].map(|step| report["steps"][step].clone());
    assert_eq!(quick["status"], "succeeded");
    assert_eq!(
        gated["status"], "waiting",
        "its answer was not acknowledged: {gated}"
    );
    assert_eq!(after["executions"], 0);
    scene.sandbox.assert_nobody_left();

    scene.server.restart().expect("it starts again");
    let shown = scene.show();
    assert_eq!(shown["steps"][0]["output_sha256"], quick["output_sha256"]);
    assert!(shown["steps"][1]["output_sha256"].is_null(), "{shown}");
    scene.gate.open(1);
    let log = scene.sandbox.execution_log();
    let resume = ["resume", "long", "--json", "--execution-log", &log];
    let resumed = scene.sandbox.fusebox(&resume).exited(0).json();
    assert_eq!(resumed["status"], "completed");
    assert_eq!(resumed["steps"][0]["output_sha256"], quick["output_sha256"]);
    assert_eq!(scene.calls(), ["quick", "gated", "gated", "after"]);
    let keys = scene.gate.arrived("gated", 2);
    assert_eq!(keys[0], keys[1], "the same work has the same key");
}

#[test]
fn a_run_whose_redis_stops_says_for_people_what_happened_and_what_to_do() {
    let scene = Scene::new();
    let running = scene.start(&["--on-store-loss", "fail"]);
    scene.server.kill();
    scene.gate.open(1);
    let outcome = running
        .wait()
        .exited(5)
        .complains("the state store does not answer, trying again")
        .says("why: the state store did not acknowledge the commit")
        .says("to go on: fusebox resume long");
    let away = outcome.stderr.matches("does not answer").count();
    assert_eq!(away, 1, "one patience is enough: {outcome}");
    for told in ["gated succeeded", "after started"] {
        assert!(
            !outcome.stderr.contains(told),
            "told but not acknowledged: {outcome}"
        );
    }
}

#[test]
fn a_run_whose_redis_is_restarted_while_a_step_works_completes_by_itself() {
    let scene = Scene::new();
    let running = scene.start(&["--json"]);
    scene.server.kill();
    scene.server.restart().expect("it starts again");
    scene.gate.open(1);
    let report = running.wait().exited(0).json();
    assert_eq!(report["status"], "completed");
    assert_eq!(scene.calls(), ["quick", "gated", "after"]);
}

#[test]
fn a_run_that_notices_its_redis_gone_goes_on_when_it_is_back() {
    let scene = Scene::new();
    let mut running = scene.start(&["--on-store-loss", "fail"]);
    scene.server.kill();
    scene.gate.open(1);
    running.until("the state store does not answer, trying again");
    scene.server.restart().expect("it starts again");
    running
        .wait()
        .exited(0)
        .complains("the state store answers again");
    assert_eq!(scene.calls(), ["quick", "gated", "after"]);
    assert_eq!(scene.show()["status"], "completed");
}

#[test]
fn a_run_killed_while_its_redis_is_down_resumes_once_that_is_back() {
    let scene = Scene::new();
    let running = scene.start(&[]);
    scene.server.kill();
    assert_eq!(running.kill().code, None);
    scene.sandbox.assert_nobody_left();
    scene
        .sandbox
        .fusebox(&["resume", "long"])
        .exited(1)
        .complains("the state store");
    scene.server.restart().expect("it starts again");
    scene.gate.open(1);
    let resumed = scene
        .sandbox
        .fusebox(&["resume", "long", "--json"])
        .exited(0)
        .json();
    assert_eq!(
        resumed["steps"][0]["attempts"], 0,
        "it was finished before: {resumed}"
    );
}

#[test]
fn a_redis_password_shows_up_nowhere() {
    let server = TestServer::builder()
        .append_only(true)
        .password("hunter2")
        .start();
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    let sandbox = Sandbox::new().with_store(server.url());
    let gate = Gate::new(sandbox.path());
    sandbox.write("long.toml", FLOW);
    let fail = [
        "run",
        "long.toml",
        "--id",
        "fail",
        "--on-store-loss",
        "fail",
    ];
    let failing = sandbox.start(&fail);
    let going_on = sandbox.start(&["run", "long.toml", "--id", "long"]);
    gate.arrived("gated", 2);
    server.kill();
    gate.open(2);
    let ended = [failing.wait().exited(5), going_on.wait().exited(0)];
    let refused = sandbox.fusebox(&["show", "long"]).exited(1);
    for outcome in ended.into_iter().chain([refused]) {
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

fn quick_run(store: &str) -> (Sandbox, fusebox_tests::Outcome) {
    let sandbox = Sandbox::new().with_store(store);
    sandbox.write("long.toml", FLOW);
    let log = sandbox.execution_log();
    let outcome = sandbox.fusebox(&["run", "long.toml", "--execution-log", &log]);
    (sandbox, outcome)
}

#[test]
fn a_store_that_refuses_connections_is_reported_before_anything_starts() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let (sandbox, outcome) = quick_run(&format!("redis://127.0.0.1:{port}"));
    let outcome = outcome
        .exited(1)
        .complains("the state store could not be opened")
        .complains(&format!("127.0.0.1:{port}"));
    assert_eq!(outcome.stdout, "");
    assert_eq!(sandbox.calls(), []);
    sandbox.assert_nobody_left();
}

#[test]
fn a_store_that_accepts_and_says_nothing_keeps_nobody_waiting_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let (sandbox, outcome) = quick_run(&format!("redis://127.0.0.1:{port}"));
    outcome
        .exited(1)
        .complains("the state store could not be opened");
    assert_eq!(sandbox.calls(), []);
    sandbox.assert_nobody_left();
}

#[test]
fn an_unreachable_store_is_data_with_json() {
    let sandbox = Sandbox::new().with_store("redis://127.0.0.1:1");
    sandbox.write("long.toml", FLOW);
    let outcome = sandbox.fusebox(&["run", "long.toml", "--json"]).exited(1);
    let message = outcome.json()["errors"][0]["message"].to_string();
    assert!(
        message.contains("the state store could not be opened"),
        "{message}"
    );
}
