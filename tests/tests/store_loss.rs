//! A server stops in the middle of a run, and the run goes on without it. What was acknowledged is
//! delivered once the server is back, by whichever command comes next.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use fusebox_test_server::TestServer;
use fusebox_tests::{Gate, Outcome, Running, Sandbox};
use serde_json::Value;

const FLOW: &str = r#"
[workflow]
name = "long"

[agents.quick]
kind = "command"
command = ["sh", "-c", 'echo 1']

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "quick"

[[step]]
name = "gated"
requires = ["quick"]

[[step]]
name = "again"
agent = "gated"
requires = ["gated"]

[[step]]
name = "after"
agent = "quick"
requires = ["again"]
"#;

fn server() -> TestServer {
    let server = TestServer::builder().append_only(true).start();
    server.unwrap_or_else(|error| panic!("{error}"))
}

/// A server, and a run on it that is about to lose it.
struct Scene {
    server: TestServer,
    sandbox: Sandbox,
    gate: Gate,
}

impl Scene {
    fn new() -> Self {
        let server = server();
        let sandbox = Sandbox::new().with_store(server.url());
        let gate = Gate::new(sandbox.path());
        sandbox.write("long.toml", FLOW);
        Self {
            server,
            sandbox,
            gate,
        }
    }

    /// Starts the run, and stops its server while the second step works.
    fn lose_the_server(&self, more: &[&str]) -> Running {
        let log = self.sandbox.execution_log();
        let mut args = vec!["run", "long.toml", "--id", "long", "--execution-log", &log];
        args.extend(more);
        let running = self.sandbox.start(&args);
        self.gate.arrived("gated", 1);
        self.server.kill();
        running
    }

    /// The whole run without its server but for the first step.
    fn run_without_it(&self, more: &[&str]) -> Outcome {
        let running = self.lose_the_server(more);
        self.gate.open(2);
        running.wait()
    }

    fn come_back(&self) {
        self.server.restart().expect("it starts again");
    }

    fn ask(&self, args: &[&str]) -> Value {
        self.sandbox.fusebox(args).exited(0).json()
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.sandbox.calls().into_iter();
        calls.map(|call| call.step).collect()
    }

    /// What lies where commits wait.
    fn journals(&self) -> Vec<PathBuf> {
        files(&self.sandbox.state_dir().join("fallback"))
    }
}

/// All files under a directory, which need not be there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn digests(report: &Value) -> Vec<&Value> {
    let steps = report["steps"].as_array().expect("a list of steps");
    steps.iter().map(|step| &step["output_sha256"]).collect()
}

const ONCE_EACH: [&str; 4] = ["quick", "gated", "again", "after"];

#[test]
fn a_run_whose_redis_stops_goes_on_to_its_end_and_the_next_command_delivers_it_whole() {
    let scene = Scene::new();
    let report = scene.run_without_it(&["--json"]).exited(0).json();
    assert_eq!(report["status"], "completed");
    assert_eq!(report["durability"], "local_fsync");
    let store = &report["store"];
    assert_eq!(
        (&store["on_loss"], &store["mode"]),
        (&"durable".into(), &"degraded".into())
    );
    assert!(store["waiting"]["commits"].as_u64() > Some(0), "{store}");
    let directory = store["waiting"]["directory"].as_str().expect("a path");
    assert!(!files(Path::new(directory)).is_empty(), "{directory}");
    let modes: Vec<_> = store["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["mode"])
        .collect();
    assert_eq!(modes.last(), Some(&&Value::from("degraded")), "{store}");

    scene.come_back();
    let shown = scene
        .sandbox
        .fusebox(&["show", "long", "--json"])
        .exited(0)
        .complains("delivered what 1 ended processes left");
    let shown = shown.json();
    assert_eq!(shown["status"], "completed");
    assert_eq!(digests(&shown), digests(&report), "{shown}");
    assert_eq!(shown["durability"], "local_fsync");
    assert_eq!(
        scene.journals(),
        [] as [PathBuf; 0],
        "delivered, and still there"
    );

    // Delivered like any other: it is kept for its time and nobody holds it.
    let stats = scene.ask(&["state", "stats", "--json"]);
    assert_eq!(stats["runs"]["partitions"], 1, "{stats}");
    assert_eq!(
        (&stats["expiring"], &stats["leased"]),
        (&1.into(), &0.into())
    );
    assert!(stats["waiting"].is_null(), "{stats}");
    let resumed = scene.ask(&["resume", "long", "--json"]);
    assert_eq!(resumed["status"], "completed");
    assert_eq!(scene.calls(), ONCE_EACH);
}

#[test]
fn a_run_that_lost_its_redis_and_then_its_journal_is_not_whole() {
    // The control: what the test before finds in Redis came from the journal.
    let scene = Scene::new();
    let _ = scene.run_without_it(&[]).exited(0);
    fs::remove_dir_all(scene.sandbox.state_dir().join("fallback")).expect("commits wait there");
    scene.come_back();
    let shown = scene.ask(&["show", "long", "--json"]);
    assert_eq!(shown["status"], "running", "{shown}");
    assert!(shown["steps"][1]["output_sha256"].is_null(), "{shown}");
}

#[test]
fn a_run_whose_redis_stops_says_once_per_change_what_the_store_does_and_where_commits_wait() {
    let scene = Scene::new();
    let outcome = scene
        .run_without_it(&[])
        .exited(0)
        .complains("store degraded (")
        .complains("wait for the state store; it has another 3 s")
        .says("durability: local_fsync")
        .says("commits wait in ")
        .says("the next command that opens this store delivers them");
    let degraded = outcome.stderr.matches("store degraded (").count();
    assert_eq!(degraded, 1, "{outcome}");

    // While it is away nothing is delivered, and nothing is lost.
    let waiting = scene.journals();
    scene.sandbox.fusebox(&["runs"]).exited(1);
    assert_eq!(scene.journals(), waiting);
    scene.come_back();
    scene.sandbox.fusebox(&["runs"]).exited(0).says("completed");
}

#[test]
fn a_run_whose_redis_comes_back_while_it_works_leaves_nothing_to_deliver() {
    let scene = Scene::new();
    let mut running = scene.lose_the_server(&[]);
    scene.gate.open(1);
    running.until("store degraded (");
    scene.gate.arrived("again", 1);
    scene.come_back();
    running.until("store healthy");
    scene.gate.open(1);
    let outcome = running.wait().exited(0).says("durability: local_fsync");
    assert!(!outcome.stdout.contains("commits wait"), "{outcome}");
    assert_eq!(scene.journals(), [] as [PathBuf; 0]);
    let shown = scene.ask(&["show", "long", "--json"]);
    assert_eq!(shown["status"], "completed");
    assert_eq!(scene.calls(), ONCE_EACH);
}

#[test]
fn a_run_whose_redis_never_stops_gets_what_the_server_gives_and_no_journal() {
    let scene = Scene::new();
    scene.gate.open(2);
    let report = scene.ask(&["run", "long.toml", "--id", "long", "--json"]);
    assert_eq!(report["durability"], "primary");
    let store = &report["store"];
    assert_eq!(
        (&store["mode"], &store["changes"]),
        (&"healthy".into(), &Value::Array(vec![]))
    );
    assert!(store["waiting"].is_null(), "{store}");
    assert_eq!(scene.journals(), [] as [PathBuf; 0]);
}

#[test]
fn a_run_that_lost_its_redis_with_only_its_memory_to_fall_back_on_says_that_its_end_is_lost() {
    let scene = Scene::new();
    let report = scene
        .run_without_it(&["--json", "--on-store-loss", "volatile"])
        .exited(0)
        .json();
    assert_eq!(report["status"], "completed");
    assert_eq!(report["durability"], "volatile");
    assert!(report["store"]["waiting"]["directory"].is_null());
    assert!(
        report["store"]["waiting"]["commits"].as_u64() > Some(0),
        "{report}"
    );

    scene.come_back();
    assert_eq!(scene.ask(&["show", "long", "--json"])["status"], "running");
    scene.gate.open(2);
    let log = scene.sandbox.execution_log();
    let resumed = scene.ask(&["resume", "long", "--json", "--execution-log", &log]);
    assert_eq!(resumed["status"], "completed");
    let again = ["gated", "again", "after"];
    assert_eq!(scene.calls(), [&ONCE_EACH[..], &again].concat());
}

#[test]
fn commits_that_wait_for_one_redis_are_not_delivered_to_another() {
    let scene = Scene::new();
    let _ = scene.run_without_it(&[]).exited(0);
    let other = server();
    let look = ["runs", "--json", "--state-dir"];
    let state_dir = scene.sandbox.state_dir();
    let look = [
        &look[..],
        &[state_dir.to_str().expect("UTF-8"), "--state", other.url()],
    ]
    .concat();
    let elsewhere = Sandbox::new();
    assert_eq!(
        elsewhere.start_as_is(&look).wait().exited(0).json()["runs"],
        Value::Array(vec![])
    );
    scene.come_back();
    assert_eq!(
        scene.ask(&["show", "long", "--json"])["status"],
        "completed"
    );
}

#[test]
fn a_redis_that_comes_back_empty_gets_the_run_whole() {
    let server = TestServer::start().unwrap_or_else(|error| panic!("{error}"));
    let sandbox = Sandbox::new().with_store(server.url());
    let gate = Gate::new(sandbox.path());
    sandbox.write("long.toml", FLOW);
    let scene = Scene {
        server,
        sandbox,
        gate,
    };
    let report = scene.run_without_it(&["--json"]).exited(0).json();
    scene.come_back();
    let shown = scene.ask(&["show", "long", "--json"]);
    assert_eq!(shown["status"], "completed");
    assert_eq!(digests(&shown), digests(&report));
}

#[test]
fn below_the_minimum_durability_a_run_that_lost_its_redis_waits_and_its_resume_repeats_nothing() {
    let scene = Scene::new();
    let report = scene
        .run_without_it(&["--json", "--min-durability", "primary"])
        .exited(5)
        .json();
    assert_eq!(report["status"], "waiting");
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("as local_fsync only") && reason.contains("asks for primary"),
        "{reason}"
    );
    assert_eq!(report["min_durability"], "primary");
    assert_eq!(
        report["durability"], "primary",
        "what was below does not count"
    );
    assert_eq!(report["steps"][1]["status"], "waiting", "{report}");

    scene.come_back();
    let shown = scene.sandbox.fusebox(&["show", "long"]).exited(0);
    let _ = shown.says("durability: primary, at least primary asked for");
    let log = scene.sandbox.execution_log();
    let resumed = scene.ask(&["resume", "long", "--json", "--execution-log", &log]);
    assert_eq!(resumed["status"], "completed");
    assert_eq!(resumed["min_durability"], "primary");
    assert_eq!(scene.calls(), ONCE_EACH, "the journal had the second step");
}

/// A run that was completed without its server, and meanwhile resumed from elsewhere.
fn split() -> Scene {
    let scene = Scene::new();
    let _ = scene.run_without_it(&[]).exited(0);
    scene.come_back();
    let elsewhere = scene.sandbox.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    scene.gate.open(2);
    let resume = [
        "resume",
        "long",
        "--state-dir",
        elsewhere,
        "--state",
        scene.server.url(),
    ];
    let _ = scene.sandbox.start_as_is(&resume).wait().exited(0);
    scene
}

#[test]
fn what_another_process_took_over_on_redis_is_kept_apart_read_and_dropped_by_its_whole_name() {
    let scene = split();
    let theirs = scene.sandbox.fusebox(&["state", "forks"]).exited(0);
    let theirs = theirs
        .complains("are kept apart")
        .says("run long, completed")
        .says("--drop NAME");
    let forks = scene.ask(&["state", "forks", "--json"]);
    let fork = &forks["forks"][0];
    assert_eq!(
        (&fork["run"], &fork["status"]),
        (&"long".into(), &"completed".into()),
        "{theirs}"
    );
    let name = fork["name"].as_str().expect("a name");
    let keys = fork["keys"].as_array().expect("a list");
    assert!(keys.contains(&"output.again".into()), "{fork}");
    let stats = scene.ask(&["state", "stats", "--json"]);
    assert_eq!(
        (&stats["forks"]["partitions"], &stats["runs"]["partitions"]),
        (&1.into(), &1.into())
    );

    let entries = scene.ask(&["state", "forks", "--json", "--read", name]);
    let entries = entries["entries"].as_array().expect("a list");
    let output = entries.iter().find(|entry| entry["key"] == "output.again");
    assert_eq!(output.expect("it is listed")["value"]["step"], "again");
    scene
        .sandbox
        .fusebox(&["state", "forks", "--read", name])
        .exited(0)
        .says("output.again, version 1");

    for wrong in [&name[..name.len() - 1], "run.long", "fork/"] {
        scene
            .sandbox
            .fusebox(&["state", "forks", "--drop", wrong])
            .exited(2)
            .complains("given whole");
    }
    let left = scene.ask(&["state", "forks", "--json"]);
    assert_eq!(left["forks"][0]["name"], name, "nothing was dropped");
    scene
        .sandbox
        .fusebox(&["state", "forks", "--drop", name])
        .exited(0)
        .says(name);
    scene
        .sandbox
        .fusebox(&["state", "forks"])
        .exited(0)
        .says("no forks");
    assert_eq!(
        scene.ask(&["show", "long", "--json"])["status"],
        "completed"
    );
}
