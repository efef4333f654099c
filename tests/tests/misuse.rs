//! The command used wrongly: exit code 2, what is wrong and what would be right, and nothing started.

#![cfg(target_os = "linux")]

use fusebox_tests::{Gate, Outcome, Sandbox};

const FLOW: &str = r#"
[workflow]
name = "inputs"

[input.who]
description = "whom to greet"

[input.place]
directory = true
default = "."

[agents.greet]
kind = "command"
command = ["sh", "-c", 'printf "{\"hello\": \"%s\"}" "$0"', "{input.who}"]

[[step]]
name = "greet"
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("inputs.toml", FLOW);
    sandbox
}

/// Runs the flow and requires that it is refused before anything exists.
fn refused(args: &[&str]) -> Outcome {
    let sandbox = sandbox();
    let log = sandbox.execution_log();
    let mut all = vec!["run", "inputs.toml"];
    all.extend(args);
    let as_data = [&all[..], &["--json"]].concat();
    let message = sandbox.fusebox(&as_data).exited(2).json()["errors"][0]["message"].clone();
    assert!(message.is_string(), "{message}");
    let outcome = sandbox
        .fusebox(&[&all[..], &["--execution-log", &log]].concat())
        .exited(2);
    assert_eq!(outcome.stdout, "", "{outcome}");
    assert!(
        outcome
            .stderr
            .contains(message.as_str().unwrap_or_default()),
        "{outcome}{message}"
    );
    assert!(
        !sandbox.state_dir().exists(),
        "the state directory was made: {outcome}"
    );
    assert_eq!(sandbox.calls(), []);
    outcome
}

#[test]
fn an_input_is_one_argument_of_the_program_whatever_it_holds() {
    let sandbox = sandbox();
    let run = [
        "run",
        "inputs.toml",
        "--input",
        "who=$(id) 'x' ; y",
        "--json",
    ];
    assert_eq!(
        sandbox.fusebox(&run).exited(0).json()["status"],
        "completed"
    );
}

#[test]
fn an_unknown_input_is_refused() {
    refused(&["--input", "who=me", "--input", "whom=me"])
        .complains("this workflow has no input `whom`; inputs: place, who");
}

#[test]
fn a_missing_input_is_asked_for() {
    refused(&[])
        .complains("input `who` is missing (whom to greet); give it with --input who=VALUE");
}

#[test]
fn an_input_given_twice_is_refused() {
    refused(&["--input", "who=a", "--input", "who=b"]).complains("input `who` is given twice");
}

#[test]
fn an_input_directory_that_does_not_exist_is_refused() {
    refused(&["--input", "who=me", "--input", "place=no/such"])
        .complains("input `place`: no/such: ")
        .complains("give an existing directory");
}

#[test]
fn a_fault_that_cannot_be_read_is_refused_with_those_there_are() {
    refused(&["--input", "who=me", "--fault", "greet=timeot:0.5"])
        .complains("unknown fault `timeot`")
        .complains("timeout");
}

#[test]
fn a_fault_beyond_certainty_is_refused() {
    refused(&["--input", "who=me", "--fault", "greet=timeout:1.5"]).complains("1.5");
}

#[test]
fn a_fault_for_an_unknown_agent_is_refused() {
    refused(&["--input", "who=me", "--fault", "great=timeout:0.5"])
        .complains("agent `great`, which the file does not define; agents: greet");
}

#[test]
fn a_run_name_that_is_none_is_refused() {
    let sandbox = sandbox();
    let run = [
        "run",
        "inputs.toml",
        "--input",
        "who=me",
        "--id",
        "../escape",
    ];
    sandbox
        .fusebox(&run)
        .exited(2)
        .complains("run name `../escape` is not allowed");
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn resume_and_show_refuse_a_run_that_does_not_exist() {
    let sandbox = sandbox();
    sandbox
        .fusebox(&["run", "inputs.toml", "--input", "who=me", "--id", "real"])
        .exited(0);
    for verb in ["resume", "show"] {
        sandbox
            .fusebox(&[verb, "unreal"])
            .exited(2)
            .complains("there is no run `unreal` in this store")
            .complains("fusebox runs --state-dir");
    }
}

#[test]
fn looking_where_nothing_ever_ran_makes_nothing() {
    let sandbox = sandbox();
    for verb in ["resume", "show"] {
        sandbox
            .fusebox(&[verb, "unreal"])
            .exited(2)
            .complains("there is no run `unreal`");
    }
    sandbox.fusebox(&["runs"]).exited(0).says("no runs yet");
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn a_run_name_that_is_taken_is_refused_and_the_run_stays_as_it_is() {
    let sandbox = sandbox();
    let log = sandbox.execution_log();
    let run = [
        "run",
        "inputs.toml",
        "--input",
        "who=me",
        "--id",
        "taken",
        "--execution-log",
        &log,
    ];
    sandbox.fusebox(&run).exited(0);
    let before = sandbox
        .fusebox(&["show", "taken", "--json"])
        .exited(0)
        .stdout;
    sandbox
        .fusebox(&run)
        .exited(2)
        .complains("run `taken` exists already; resume it, or choose another name");
    assert_eq!(sandbox.calls().len(), 1);
    assert_eq!(
        sandbox
            .fusebox(&["show", "taken", "--json"])
            .exited(0)
            .stdout,
        before
    );
}

#[test]
fn resuming_a_completed_run_reports_it_and_calls_nobody() {
    let sandbox = sandbox();
    let log = sandbox.execution_log();
    let run = [
        "run",
        "inputs.toml",
        "--input",
        "who=me",
        "--id",
        "done",
        "--json",
        "--execution-log",
        &log,
    ];
    let done = sandbox.fusebox(&run).exited(0).json();
    let again = ["resume", "done", "--json", "--execution-log", &log];
    let again = sandbox.fusebox(&again).exited(0).json();
    assert_eq!(again["status"], "completed");
    assert_eq!(
        again["steps"][0]["output_sha256"],
        done["steps"][0]["output_sha256"]
    );
    assert_eq!(again["processes"], done["processes"]);
    assert_eq!(sandbox.calls().len(), 1);
}

const GATED: &str = r#"
[workflow]
name = "gated"

[agents.gated]
kind = "command"
command = ["sh", "gated.sh"]

[[step]]
name = "only"
agent = "gated"
"#;

#[test]
fn a_run_that_another_process_works_on_is_not_resumed() {
    let sandbox = Sandbox::new();
    let gate = Gate::new(sandbox.path());
    sandbox.write("gated.toml", GATED);
    let log = sandbox.execution_log();
    let running = sandbox.start(&[
        "run",
        "gated.toml",
        "--id",
        "held",
        "--json",
        "--execution-log",
        &log,
    ]);
    gate.arrived("only", 1);
    sandbox
        .fusebox(&["resume", "held", "--execution-log", &log])
        .exited(2)
        .complains("run `held` is being worked on by ")
        .complains(&format!("pid-{}", running.pid()));
    gate.open(1);
    assert_eq!(running.wait().exited(0).json()["status"], "completed");
    assert_eq!(sandbox.calls().len(), 1);
}

#[test]
fn an_unknown_verb_or_flag_is_answered_with_usage() {
    let sandbox = Sandbox::new();
    sandbox.fusebox(&["ruin"]).exited(2).complains("Usage");
    sandbox
        .fusebox(&["check", "--no-such-flag"])
        .exited(2)
        .complains("Usage");
}

#[test]
fn what_to_do_when_a_store_is_lost_is_refused_for_one_that_is_not_lost_by_itself() {
    let inputs = ["--input", "who=me"];
    for policy in ["fail", "durable", "volatile"] {
        for (state, store) in [(None, "a SQLite file"), (Some("memory:"), "memory")] {
            let mut args = vec!["--on-store-loss", policy];
            args.extend(inputs);
            args.extend(state.iter().flat_map(|url| ["--state", url]));
            refused(&args)
                .complains(&format!("the runs are kept in {store}"))
                .complains("--state redis://HOST");
        }
    }
}

#[test]
fn a_durability_that_the_store_cannot_reach_is_refused_and_one_that_it_reaches_is_not() {
    let who = ["--input", "who=me"];
    let level = ["--min-durability", "primary"];
    refused(&[&level[..], &who].concat())
        .complains("--min-durability primary cannot be reached")
        .complains("gives local_fsync");
    let in_memory = ["--state", "memory:", "--min-durability", "local-fsync"];
    refused(&[&in_memory[..], &who].concat()).complains("gives volatile");
    let within = [
        "run",
        "inputs.toml",
        "--json",
        "--min-durability",
        "local-fsync",
    ];
    let report = sandbox()
        .fusebox(&[&within[..], &who].concat())
        .exited(0)
        .json();
    assert_eq!(report["min_durability"], "local_fsync");
    assert_eq!(report["durability"], "local_fsync");
}

#[test]
fn a_durability_that_is_none_is_refused_with_those_there_are() {
    let flags = ["--input", "who=me", "--min-durability", "replicated:0"];
    let outcome = sandbox().fusebox(&[&["run", "inputs.toml"], &flags[..]].concat());
    outcome.exited(2).complains("replicated:N");
}
