//! `kill -9` right after a commit, of a wide run and of a loop with an approval, on the embedded store.
//!
//! A sample, with real processes, of what `fusebox-testkit`'s `crash_points` does at every commit.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fusebox_tests::{Gate, Sandbox};
use serde_json::Value;

const WORKERS: usize = 20;

/// One before twenty beside each other, one behind; each waits at the gate.
fn wide() -> String {
    let mut text = String::from(
        "[workflow]\nname = \"wide\"\n[agents.gated]\nkind = \"command\"\n\
         command = [\"sh\", \"gated.sh\"]\nmax_concurrent_calls = 24\n\
         [[step]]\nname = \"begin\"\nagent = \"gated\"\n",
    );
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let _ = writeln!(
            text,
            "[[step]]\nname = \"worker-{worker}\"\nagent = \"gated\"\nrequires = [\"begin\"]"
        );
        workers.push(format!("\"worker-{worker}\""));
    }
    let workers = workers.join(", ");
    text + &format!("[[step]]\nname = \"end\"\nagent = \"gated\"\nrequires = [{workers}]\n")
}

const LOOP: &str = r#"
[workflow]
name = "loop"

[agents.improve]
kind = "command"
command = ["sh", "improve.sh"]

[agents.end]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "improve"
repeat = { until = { at = "/score", at_least = 3 }, at_most = 9 }

[[step]]
name = "go"
requires = ["improve"]
approval = { prompt = "go on?" }

[[step]]
name = "end"
requires = ["go"]
"#;

const IMPROVE: &str = r#"
task=$(cat)
echo "$FUSEBOX_IDEMPOTENCY_KEY" >> "arrived.$FUSEBOX_STEP"
read -r _ < gate
printf '%s' "$task" | sed 's/.*"iteration":\([0-9]*\).*/{"score": \1}/'
"#;

fn start(sandbox: &Sandbox, file: &str, run: &str) -> fusebox_tests::Running {
    let log = sandbox.execution_log();
    sandbox.start(&["run", file, "--id", run, "--execution-log", &log])
}

/// How often each step was called, and with how many keys.
fn calls(sandbox: &Sandbox) -> BTreeMap<String, (usize, BTreeSet<String>)> {
    let mut calls: BTreeMap<String, (usize, BTreeSet<String>)> = BTreeMap::new();
    for call in sandbox.calls() {
        let (count, keys) = calls.entry(call.step).or_default();
        *count += 1;
        keys.insert(call.key);
    }
    calls
}

fn succeeded(shown: &Value) -> BTreeSet<String> {
    let steps = shown["steps"].as_array().expect("a list of steps");
    let done = steps.iter().filter(|step| step["status"] == "succeeded");
    let name = |step: &Value| step["name"].as_str().expect("a name").to_owned();
    done.map(name).collect()
}

#[test]
fn a_fan_out_to_twenty_killed_after_a_commit_calls_only_what_was_not_answered() {
    for answered in [0, 1, 6, 13, 21] {
        let sandbox = Sandbox::new();
        let gate = Gate::new(sandbox.path());
        sandbox.write("wide.toml", &wide());
        let mut running = start(&sandbox, "wide.toml", "wide");
        for _ in 0..answered {
            gate.open(1);
            running.until(" succeeded ");
        }
        if answered == 0 {
            gate.arrived("begin", 1);
        }
        assert_eq!(running.kill().code, None);
        sandbox.assert_nobody_left();
        let shown = sandbox
            .fusebox(&["show", "wide", "--json"])
            .exited(0)
            .json();
        let done = succeeded(&shown);
        assert_eq!(done.len(), answered, "{shown}");
        let before = calls(&sandbox);
        gate.open(WORKERS + 2 - answered);
        let log = sandbox.execution_log();
        let resume = ["resume", "wide", "--json", "--execution-log", &log];
        let report = sandbox.fusebox(&resume).exited(0).json();
        assert_eq!(succeeded(&report).len(), WORKERS + 2, "{report}");
        let after = calls(&sandbox);
        assert_eq!(after.len(), WORKERS + 2);
        for (step, (count, keys)) in &after {
            assert_eq!(
                keys.len(),
                1,
                "{step} has one effect, killed after {answered}"
            );
            let known = before.get(step).map_or(0, |(count, _)| *count);
            let more = usize::from(!done.contains(step));
            assert_eq!(*count, known + more, "{step}, killed after {answered}");
        }
        sandbox.assert_nobody_left();
    }
}

#[test]
fn a_loop_with_an_approval_killed_after_a_commit_goes_on_with_the_next_iteration() {
    for answered in 0..=3 {
        let sandbox = Sandbox::new();
        let gate = Gate::new(sandbox.path());
        sandbox.write("improve.sh", IMPROVE);
        sandbox.write("loop.toml", LOOP);
        let mut running = start(&sandbox, "loop.toml", "loop");
        for part in 0..answered {
            gate.open(1);
            running.until(&format!("part {part} answered"));
        }
        gate.arrived("improve", answered + 1);
        assert_eq!(running.kill().code, None);
        sandbox.assert_nobody_left();
        gate.open(4 - answered);
        let log = sandbox.execution_log();
        let resume = ["resume", "loop", "--json", "--execution-log", &log];
        let report = sandbox.fusebox(&resume).exited(6).json();
        assert_eq!(report["status"], "suspended", "{report}");
        sandbox.fusebox(&["approve", "loop", "go"]).exited(0);
        let second = sandbox.start(&resume);
        gate.arrived("end", 1);
        assert_eq!(second.kill().code, None);
        sandbox.assert_nobody_left();
        gate.open(1);
        let report = sandbox.fusebox(&resume).exited(0).json();
        assert_eq!(report["status"], "completed", "{report}");
        let calls = calls(&sandbox);
        // One iteration was in flight at the first kill, the end at the second.
        let (improved, effects) = &calls["improve"];
        assert_eq!(
            (*improved, effects.len()),
            (5, 4),
            "killed after {answered}"
        );
        let (ended, effects) = &calls["end"];
        assert_eq!((*ended, effects.len()), (2, 1), "killed after {answered}");
        sandbox.assert_nobody_left();
    }
}

/// The files of a run whose step is a file are gone, and so is the process.
#[test]
fn a_run_killed_inside_an_inner_file_resumes_without_any_of_the_files() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    let outer = "[workflow]\nname = \"outer\"\n[[step]]\nname = \"it\"\nworkflow = \"parts/inner.toml\"\n\
                 [agents.end]\nkind = \"command\"\ncommand = [\"cat\"]\n\
                 [[step]]\nname = \"end\"\nrequires = [\"it\"]\n";
    let inner = "[workflow]\nname = \"inner\"\n[agents.a]\nkind = \"command\"\n\
                 command = [\"sh\", \"-c\", \"cd .. && FUSEBOX_STEP=a exec sh gated.sh\"]\n\
                 [[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\nagent = \"a\"\nrequires = [\"a\"]\n";
    let parts = sandbox.path().join("parts");
    std::fs::create_dir(&parts).expect("the test's directory can be written");
    sandbox.write("outer.toml", outer);
    sandbox.write("parts/inner.toml", inner);
    let mut running = start(&sandbox, "outer.toml", "nested");
    gate.open(1);
    running.until("it/a succeeded");
    gate.arrived("a", 2);
    assert_eq!(running.kill().code, None);
    sandbox.assert_nobody_left();
    for file in ["outer.toml", "parts/inner.toml"] {
        std::fs::remove_file(sandbox.path().join(file)).expect("it was written above");
    }
    gate.open(1);
    let log = sandbox.execution_log();
    let resume = ["resume", "nested", "--json", "--execution-log", &log];
    let report = sandbox.fusebox(&resume).exited(0).json();
    assert_eq!(report["status"], "completed", "{report}");
    let calls = calls(&sandbox);
    assert_eq!(calls["it/a"].0, 1);
    assert_eq!((calls["it/b"].0, calls["it/b"].1.len()), (2, 1));
}
