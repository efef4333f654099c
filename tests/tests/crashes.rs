//! `kill -9` at any moment: a resume keeps what was finished, repeats nothing of it, and nobody survives.
//!
//! The moments are made, not met by luck: the step to be killed in hangs by `--fault`, or its program
//! waits at a gate, until long after the kill.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fusebox_test_server::TestServer;
use fusebox_tests::{Gate, Process, REVIEW, Running, Sandbox, eventually, sample_workspace};
use serde_json::Value;

const AGENTS: [&str; 6] = [
    "triage",
    "supervisor",
    "data",
    "optimization",
    "aggregation",
    "completion",
];

/// First, then two beside each other, then last; each waits at the gate.
const GATED: &str = r#"
[workflow]
name = "gated"

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "first"
agent = "gated"

[[step]]
name = "left"
agent = "gated"
requires = ["first"]

[[step]]
name = "right"
agent = "gated"
requires = ["first"]

[[step]]
name = "last"
agent = "gated"
requires = ["left", "right"]
"#;

fn server() -> TestServer {
    let started = TestServer::builder().append_only(true).start();
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// The steps of a report by name.
fn steps(report: &Value) -> BTreeMap<String, Value> {
    let steps = report["steps"].as_array().expect("a list of steps");
    let name = |step: &Value| step["name"].as_str().expect("a name").to_owned();
    steps
        .iter()
        .map(|step| (name(step), step.clone()))
        .collect()
}

/// What a process that was killed has left.
struct Crash<'a> {
    sandbox: &'a Sandbox,
    run: &'a str,
    /// When it was killed, for messages.
    moment: &'a str,
    calls: usize,
    before: BTreeMap<String, Value>,
}

impl<'a> Crash<'a> {
    /// Looks at the run after the kill: nobody is left, and the journal says that it is not over.
    fn inspect(sandbox: &'a Sandbox, run: &'a str, moment: &'a str) -> Self {
        sandbox.assert_nobody_left();
        let shown = sandbox.fusebox(&["show", run, "--json"]).exited(0).json();
        assert_eq!(shown["status"], "running", "killed {moment}: {shown}");
        Self {
            sandbox,
            run,
            moment,
            calls: sandbox.calls().len(),
            before: steps(&shown),
        }
    }

    fn finished(&self) -> BTreeSet<&str> {
        let finished = |step: &&Value| !step["output_sha256"].is_null();
        let names = self
            .before
            .values()
            .filter(finished)
            .map(|step| &step["name"]);
        names.filter_map(Value::as_str).collect()
    }

    /// Resumes the run and requires that it completes without doing anything twice.
    fn resumes(&self) {
        let Self {
            sandbox,
            run,
            moment,
            ..
        } = self;
        let log = sandbox.execution_log();
        let resume = ["resume", run, "--json", "--execution-log", &log];
        let report = sandbox.fusebox(&resume).exited(0).json();
        assert_eq!(report["status"], "completed", "killed {moment}: {report}");
        let after = steps(&report);
        assert!(
            after.values().all(|step| step["status"] == "succeeded"),
            "killed {moment}: {report}"
        );
        let finished = self.finished();
        for step in &finished {
            let digest = |steps: &BTreeMap<String, Value>| steps[*step]["output_sha256"].clone();
            assert_eq!(
                digest(&after),
                digest(&self.before),
                "{step}, killed {moment}"
            );
        }
        let calls = sandbox.calls();
        let again: BTreeSet<&str> = calls[self.calls..]
            .iter()
            .map(|call| call.step.as_str())
            .collect();
        let open: BTreeSet<&str> = after
            .keys()
            .map(String::as_str)
            .filter(|step| !finished.contains(step))
            .collect();
        assert_eq!(again, open, "called by the resume, killed {moment}");
        for (step, state) in &after {
            let keys: BTreeSet<&str> = calls
                .iter()
                .filter(|call| call.step == *step)
                .map(|call| call.key.as_str())
                .collect();
            assert_eq!(keys.len(), 1, "idempotency keys of {step}, killed {moment}");
            let called = calls.iter().filter(|call| call.step == *step).count();
            assert!(
                state["executions"].as_u64() >= Some(called as u64),
                "{called} calls, killed {moment}: {state}"
            );
        }
        sandbox.assert_nobody_left();
    }
}

/// Kills the main job when `line` appears while the agent `hangs`, then resumes it.
fn kill_the_review(sandbox: &Sandbox, line: &str, hangs: &str) {
    let sample = sandbox.path().join("sample");
    if !sample.exists() {
        sample_workspace(sandbox.path());
    }
    let moment = format!("at `{line}`");
    let run = line.replace(' ', "-");
    let (path, fault) = (
        format!("path={}", sample.display()),
        format!("{hangs}=hang:1.0"),
    );
    let log = sandbox.execution_log();
    // Each moment is a run of its own, with a log of its own.
    let _ = fs::remove_file(&log);
    let mut running = sandbox.start(&[
        "run",
        REVIEW,
        "--input",
        &path,
        "--id",
        &run,
        "--fault",
        &fault,
        "--execution-log",
        &log,
    ]);
    running.until(line);
    assert_eq!(running.kill().code, None, "killed {moment}");
    let crash = Crash::inspect(sandbox, &run, &moment);
    assert!(
        !crash.finished().contains(hangs),
        "{hangs} hung, killed {moment}"
    );
    if let Some(told) = line.strip_suffix(" succeeded") {
        let kept = crash.finished().contains(told);
        assert!(kept, "{told} was told as done, and is not, killed {moment}");
    }
    crash.resumes();
    let report = sandbox
        .state_dir()
        .join("runs")
        .join(&run)
        .join("report.md");
    assert!(report.is_file(), "killed {moment}");
}

fn kill_as_each_step_starts(sandbox: &Sandbox) {
    for agent in AGENTS {
        kill_the_review(sandbox, &format!("{agent} started"), agent);
    }
}

fn kill_as_each_step_ends(sandbox: &Sandbox) {
    for pair in AGENTS.windows(2) {
        kill_the_review(sandbox, &format!("{} succeeded", pair[0]), pair[1]);
    }
}

#[test]
fn a_review_killed_as_a_step_starts_goes_on_from_there() {
    kill_as_each_step_starts(&Sandbox::new());
}

#[test]
fn a_review_killed_as_a_step_ends_goes_on_from_there() {
    kill_as_each_step_ends(&Sandbox::new());
}

#[test]
fn on_redis_a_review_killed_as_a_step_starts_goes_on_from_there() {
    let server = server();
    kill_as_each_step_starts(&Sandbox::new().with_store(server.url()));
}

#[test]
fn on_redis_a_review_killed_as_a_step_ends_goes_on_from_there() {
    let server = server();
    kill_as_each_step_ends(&Sandbox::new().with_store(server.url()));
}

/// All processes of a run whose agent is at the gate, once its sleeping child is among them.
fn family(sandbox: &Sandbox) -> Vec<Process> {
    eventually("a grandchild that sleeps", || {
        let alive = sandbox.processes();
        let sleeps = alive.iter().any(|process| process.command == "sleep 1000");
        sleeps.then_some(alive)
    })
}

/// Puts a `git` before the real one that waits at the gate when data lists the sources.
fn slow_git(sandbox: Sandbox) -> (Sandbox, Gate) {
    let gate = Gate::new(sandbox.path());
    let bin = sandbox.path().join("bin");
    fs::create_dir(&bin).expect("the test's directory can be written");
    let path = std::env::var("PATH").expect("PATH is set and UTF-8");
    let home = sandbox.path().display();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = ls-files ]; then (cd '{home}' && sh gated.sh) >/dev/null; fi\nPATH='{path}' exec git \"$@\"\n"
    );
    let git = bin.join("git");
    fs::write(&git, script).expect("the test's directory can be written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(git, executable).expect("the file is ours");
    let sandbox = sandbox.with_env("PATH", format!("{}:{path}", bin.display()));
    (sandbox, gate)
}

fn kill_deep_in_the_data_agent(sandbox: Sandbox) {
    let (sandbox, gate) = slow_git(sandbox);
    let sample = sample_workspace(sandbox.path());
    let (path, log) = (
        format!("path={}", sample.display()),
        sandbox.execution_log(),
    );
    let running = sandbox.start(&[
        "run",
        REVIEW,
        "--input",
        &path,
        "--id",
        "deep",
        "--execution-log",
        &log,
    ]);
    gate.arrived("data", 1);
    // The command, its supervisor, the agent, that one's supervisor, git, its shell, the sleeper.
    assert!(family(&sandbox).len() >= 7, "{:#?}", sandbox.processes());
    assert_eq!(running.kill().code, None);
    let crash = Crash::inspect(&sandbox, "deep", "while git listed the sources");
    assert_eq!(crash.finished(), BTreeSet::from(["supervisor", "triage"]));
    gate.open(1);
    crash.resumes();
}

#[test]
fn a_review_killed_while_the_data_agent_waits_for_its_own_program_leaves_nobody_behind() {
    kill_deep_in_the_data_agent(Sandbox::new());
}

#[test]
fn on_redis_a_review_killed_while_the_data_agent_waits_for_its_own_program_leaves_nobody_behind() {
    let server = server();
    kill_deep_in_the_data_agent(Sandbox::new().with_store(server.url()));
}

/// Where a run of [`GATED`] stands: how many agents have been let through, and who has come to the gate.
type Place = (usize, &'static [&'static str]);

const PLACES: [Place; 4] = [
    (0, &["first"]),
    (1, &["left", "right"]),
    (2, &["left", "right"]), // one of them still waits
    (3, &["last"]),
];

fn start_gated(sandbox: &Sandbox, run: &str) -> Running {
    sandbox.write("gated.toml", GATED);
    let log = sandbox.execution_log();
    sandbox.start(&["run", "gated.toml", "--id", run, "--execution-log", &log])
}

/// Lets agents through, one after the other, and waits for those that have to come then.
fn advance(gate: &Gate, running: &mut Running, (passed, waiting): Place) {
    for _ in 0..passed {
        gate.open(1);
        running.until(" succeeded ");
    }
    for step in waiting {
        gate.arrived(step, 1);
    }
}

fn kill_in_mid_step(make: impl Fn() -> Sandbox) {
    for place in PLACES {
        let sandbox = make();
        let gate = Gate::new(sandbox.path());
        let run = format!("gated-{}", place.0);
        let mut running = start_gated(&sandbox, &run);
        advance(&gate, &mut running, place);
        let moment = format!("after {} steps", place.0);
        assert!(family(&sandbox).len() >= 4, "killed {moment}");
        assert_eq!(running.kill().code, None);
        let crash = Crash::inspect(&sandbox, &run, &moment);
        let called: BTreeSet<String> = sandbox.calls().into_iter().map(|call| call.step).collect();
        assert!(
            called.len() > crash.finished().len(),
            "no step was in flight, killed {moment}"
        );
        gate.open(4 - crash.finished().len());
        crash.resumes();
        for call in sandbox.calls() {
            let keys = gate.arrived(&call.step, 1);
            assert!(
                keys.iter().all(|key| *key == call.key),
                "the programs of {} saw {keys:?}",
                call.step
            );
        }
    }
}

#[test]
fn a_run_killed_while_its_programs_work_calls_only_those_again() {
    kill_in_mid_step(Sandbox::new);
}

#[test]
fn on_redis_a_run_killed_while_its_programs_work_calls_only_those_again() {
    let server = server();
    kill_in_mid_step(|| Sandbox::new().with_store(server.url()));
}

fn kill_the_same_step_twice(sandbox: &Sandbox) {
    let gate = Gate::new(sandbox.path());
    let mut running = start_gated(sandbox, "twice");
    advance(&gate, &mut running, (1, &["left", "right"]));
    assert_eq!(running.kill().code, None);
    sandbox.assert_nobody_left();
    let log = sandbox.execution_log();
    let second = sandbox.start(&["resume", "twice", "--execution-log", &log]);
    gate.arrived("left", 2);
    gate.arrived("right", 2);
    assert_eq!(second.kill().code, None);
    let crash = Crash::inspect(sandbox, "twice", "twice in the same steps");
    assert_eq!(crash.finished(), BTreeSet::from(["first"]));
    gate.open(3);
    crash.resumes();
    let calls = sandbox.calls();
    let pids: BTreeSet<u32> = calls.iter().map(|call| call.pid).collect();
    assert_eq!(pids.len(), 3, "three processes worked on it: {calls:?}");
    assert_eq!(calls.iter().filter(|call| call.step == "left").count(), 3);
    assert_eq!(
        gate.arrived("left", 3)
            .iter()
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
}

#[test]
fn a_run_killed_twice_in_the_same_step_gives_it_the_same_key_three_times() {
    kill_the_same_step_twice(&Sandbox::new());
}

#[test]
fn on_redis_a_run_killed_twice_in_the_same_step_gives_it_the_same_key_three_times() {
    let server = server();
    kill_the_same_step_twice(&Sandbox::new().with_store(server.url()));
}

#[test]
fn a_resume_needs_neither_the_workflow_file_nor_the_directory_it_was_started_from() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    let mut running = start_gated(&sandbox, "moved");
    advance(&gate, &mut running, (1, &["left", "right"]));
    assert_eq!(running.kill().code, None);
    fs::remove_file(sandbox.path().join("gated.toml")).expect("it was written above");
    let crash = Crash::inspect(&sandbox, "moved", "before the file went away");
    gate.open(3);
    crash.resumes();
}
