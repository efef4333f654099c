//! Workflow files that are not right: where, what, and what would be right, before anything starts.

#![cfg(target_os = "linux")]

use fusebox_tests::Sandbox;

/// A good file that each test spoils in one place.
const GOOD: &str = r#"[workflow]
name = "good"

[agents.echo]
kind = "command"
command = ["echo", "{}"]

[agents.review]
kind = "rust"
function = "review/supervisor"

[[step]]
name = "one"
agent = "echo"

[[step]]
name = "two"
agent = "echo"
requires = ["one"]
"#;

/// Requires that `check` and `run` refuse the file, at this place and with these words, as text and as
/// data, and that nothing was started.
fn refused(text: &str, (line, column): (u64, u64), message: &str, help: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("bad.toml", text);
    let log = sandbox.execution_log();
    for args in [
        &["check", "bad.toml"][..],
        &["run", "bad.toml", "--execution-log", &log],
    ] {
        let outcome = sandbox
            .fusebox(args)
            .exited(2)
            .complains(&format!("bad.toml:{line}:{column}: "))
            .complains(message)
            .complains("= help: ")
            .complains(help);
        assert_eq!(outcome.stdout, "", "{outcome}");
        let shown = text.lines().nth(line as usize - 1).unwrap_or_default();
        assert!(
            outcome.stderr.contains(shown),
            "the line is not shown: {outcome}"
        );
    }
    for verb in ["check", "run"] {
        let outcome = sandbox.fusebox(&[verb, "bad.toml", "--json"]).exited(2);
        assert_eq!(outcome.stderr, "", "{outcome}");
        let error = &outcome.json()["errors"][0];
        assert_eq!(error["file"], "bad.toml", "{error}");
        assert_eq!(
            (error["line"].as_u64(), error["column"].as_u64()),
            (Some(line), Some(column)),
            "{error}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains(message)),
            "{error}"
        );
        assert!(
            error["help"]
                .as_str()
                .is_some_and(|text| text.contains(help)),
            "{error}"
        );
    }
    assert!(
        !sandbox.state_dir().exists(),
        "the state directory was made"
    );
    assert_eq!(sandbox.calls(), []);
}

fn spoiled(good: &str, bad: &str) -> String {
    assert!(GOOD.contains(good), "{good} is not in the file");
    GOOD.replacen(good, bad, 1)
}

#[test]
fn the_file_that_is_spoiled_below_is_good() {
    let sandbox = Sandbox::new();
    sandbox.write("good.toml", GOOD);
    sandbox
        .fusebox(&["check", "good.toml"])
        .exited(0)
        .says("good is good: 2 steps, 2 agents");
    let checked = sandbox
        .fusebox(&["check", "good.toml", "--json"])
        .exited(0)
        .json();
    assert_eq!(checked["errors"].as_array().map(Vec::len), Some(0));
    assert_eq!(checked["workflow"], "good");
    assert_eq!(
        sandbox
            .fusebox(&["run", "good.toml", "--json"])
            .exited(0)
            .json()["status"],
        "completed"
    );
}

#[test]
fn a_syntax_error_is_pointed_at() {
    let text = spoiled(
        "command = [\"echo\", \"{}\"]",
        "command = [\"echo\", \"{}\"",
    );
    refused(&text, (8, 1), "array", "expected");
}

#[test]
fn a_cycle_is_named_step_by_step() {
    let text = spoiled(
        "name = \"one\"\nagent = \"echo\"",
        "name = \"one\"\nagent = \"echo\"\nrequires = [\"two\"]",
    );
    refused(
        &text,
        (15, 13),
        "the steps wait for each other: ",
        "remove one of these edges",
    );
}

#[test]
fn an_unknown_agent_is_compared_with_those_there_are() {
    let text = spoiled("agent = \"echo\"\nrequires", "agent = \"eco\"\nrequires");
    refused(
        &text,
        (18, 9),
        "step calls agent `eco`, which is not defined",
        "did you mean `echo`?",
    );
}

#[test]
fn a_step_that_is_there_twice_is_shown_with_the_first() {
    let text = spoiled("name = \"two\"", "name = \"one\"");
    refused(
        &text,
        (17, 8),
        "step `one` is defined twice",
        "the first is in line 13",
    );
}

#[test]
fn a_missing_field_is_named() {
    let text = spoiled("kind = \"command\"\n", "");
    refused(
        &text,
        (4, 1),
        "missing field `kind`",
        "add kind = … to this table",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_shown_with_what_was_expected() {
    let text = spoiled(
        "kind = \"command\"\n",
        "kind = \"command\"\nmax_attempts = \"three\"\n",
    );
    refused(
        &text,
        (6, 16),
        "invalid type: string \"three\"",
        "expected u32",
    );
}

#[test]
fn an_objective_that_cannot_be_met_is_refused_with_both_figures() {
    let text = spoiled(
        "kind = \"command\"\n",
        "kind = \"command\"\nrecovery_objective = \"2s\"\nwait_duration_in_open = \"5s\"\n",
    );
    refused(&text, (7, 25), "recovery_objective", "change one of: ");
}

#[test]
fn an_unknown_preset_is_compared_with_those_there_are() {
    let text = spoiled(
        "kind = \"command\"\n",
        "kind = \"command\"\npreset = \"datta\"\n",
    );
    refused(
        &text,
        (6, 10),
        "preset `datta` does not exist",
        "did you mean `data`?",
    );
}

#[test]
fn an_unknown_rust_function_is_answered_with_those_there_are() {
    let text = spoiled("review/supervisor", "review/superviser");
    refused(
        &text,
        (8, 9),
        "`review/superviser`, which this program does not have",
        "review/supervisor",
    );
}

#[test]
fn a_placeholder_that_no_input_fills_is_refused_with_the_inputs_there_are() {
    let text = spoiled("\"{}\"", "\"{input.who}\"");
    refused(
        &text,
        (4, 9),
        "there is no input `who`",
        "the file declares no inputs",
    );
}

#[test]
fn braces_that_are_no_placeholder_reach_the_program() {
    let sandbox = Sandbox::new();
    let text = spoiled(
        "command = [\"echo\", \"{}\"]",
        "command = [\"sh\", \"-c\", 'printf \"{\\\"home\\\": \\\"${HOME}\\\"}\"']",
    );
    sandbox.write("braces.toml", &text);
    sandbox.fusebox(&["check", "braces.toml"]).exited(0);
    sandbox.fusebox(&["run", "braces.toml"]).exited(0);
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let sandbox = Sandbox::new();
    let text = spoiled(
        "agent = \"echo\"\nrequires = [\"one\"]",
        "agent = \"eco\"\nrequires = [\"won\"]",
    );
    sandbox.write("bad.toml", &text);
    sandbox
        .fusebox(&["check", "bad.toml"])
        .exited(2)
        .complains("bad.toml:18:9: step calls agent `eco`")
        .complains("bad.toml:19:13: step `two` takes from `won`, which is not a step");
    let errors = sandbox
        .fusebox(&["check", "bad.toml", "--json"])
        .exited(2)
        .json();
    assert_eq!(
        errors["errors"].as_array().map(Vec::len),
        Some(2),
        "{errors}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    for verb in ["check", "run"] {
        sandbox
            .fusebox(&[verb, "gone.toml"])
            .exited(2)
            .complains("gone.toml could not be read");
    }
    assert!(!sandbox.state_dir().exists());
}
