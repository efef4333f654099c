//! Programs that misbehave: the step fails, and the report keeps the reason in the program's own words.

#![cfg(target_os = "linux")]

use fusebox_tests::Sandbox;
use serde_json::Value;

const FLOW: &str = r#"
[workflow]
name = "one"

[agents.program]
kind = "command"
command = ["sh", "script.sh"]
max_attempts = 1
{more}

[[step]]
name = "only"
agent = "program"
on_unavailable = "fail"
"#;

/// Runs a workflow of one step whose agent is `sh -c script`; gives that step.
fn failed_step(script: &str, more: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.write("script.sh", script);
    sandbox.write("one.toml", &FLOW.replace("{more}", more));
    let run = ["run", "one.toml", "--id", "one", "--json"];
    let report = sandbox.fusebox(&run).exited(4).json();
    assert_eq!(report["status"], "failed");
    let step = report["steps"][0].clone();
    assert_eq!(step["status"], "failed");
    assert_eq!(step["executions"], 1);
    assert!(step["output_sha256"].is_null(), "{step}");
    // The same to a person who looks later.
    let reason = step["reason"].as_str().unwrap_or_default();
    sandbox.fusebox(&["show", "one"]).exited(0).says(reason);
    sandbox.assert_nobody_left();
    step
}

fn assert_reason(step: &Value, parts: &[&str]) {
    let reason = step["reason"].as_str().unwrap_or_default();
    for part in parts {
        assert!(reason.contains(part), "not in the reason: {part}\n{reason}");
    }
}

#[test]
fn a_program_that_prints_no_json_is_quoted() {
    let step = failed_step("echo 'Segmentation fault, sort of'", "");
    assert_reason(
        &step,
        &["not one json document", "Segmentation fault, sort of"],
    );
}

#[test]
fn a_program_that_prints_nothing_is_told_what_was_expected() {
    let step = failed_step(":", "");
    assert_reason(&step, &["printed nothing, expected one json document"]);
}

#[test]
fn a_program_that_prints_too_much_is_killed_and_the_limit_named() {
    let step = failed_step(
        "while :; do echo 0123456789; done",
        "max_output_bytes = 1000",
    );
    assert_reason(&step, &["printing more than 1000 bytes"]);
}

#[test]
fn a_program_that_dies_by_a_signal_is_reported_with_it() {
    let step = failed_step("echo last words >&2; kill -SEGV $$", "");
    assert_reason(&step, &["killed by signal 11", "last words"]);
}

#[test]
fn a_program_that_fails_is_reported_with_its_code_and_its_last_lines() {
    let step = failed_step("echo disk is full >&2; exit 28", "");
    assert_reason(&step, &["exited with code 28", "disk is full"]);
}

#[test]
fn a_program_whose_answer_breaks_its_schema_is_reported_with_the_place() {
    let schema = "output_schema = { type = \"object\", required = [\"rows\"] }";
    let step = failed_step("echo '{\"lines\": 3}'", schema);
    assert_reason(&step, &["rows"]);
}

#[test]
fn a_program_that_is_not_there_is_named_and_not_tried_again() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "gone.toml",
        "[workflow]\nname = \"gone\"\n[agents.gone]\nkind = \"command\"\ncommand = [\"no-such-program\"]\n[[step]]\nname = \"gone\"\n",
    );
    let report = sandbox
        .fusebox(&["run", "gone.toml", "--json"])
        .exited(4)
        .json();
    let step = &report["steps"][0];
    assert_eq!(step["executions"], 1, "{step}");
    assert_reason(step, &["no-such-program", "cannot be started"]);
}

#[test]
fn nothing_that_a_program_says_acts_on_the_terminal() {
    let sandbox = Sandbox::new();
    // Clears the screen, and turns the direction of writing.
    let script = r#"printf '\033[2J\342\200\256owned\n' >&2; exit 1"#;
    sandbox.write("script.sh", script);
    let file = FLOW.replace("{more}", "");
    sandbox.write("one.toml", &file);
    let mut said = String::new();
    for args in [
        &["run", "one.toml", "--id", "one"][..],
        &["show", "one"],
        &["runs"],
    ] {
        let outcome = sandbox.fusebox(args);
        said += &outcome.stdout;
        said += &outcome.stderr;
    }
    assert!(said.contains("owned"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}
