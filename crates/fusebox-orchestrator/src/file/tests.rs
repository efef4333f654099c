//! Each fault a file can have, and the place its error points at.

use super::*;

const GOOD: &str = r#"[workflow]
name = "w"
objective = "60s"

[agents.a]
kind = "command"
command = ["true"]
preset = "triage"

[agents.b]
kind = "rust"
function = "f"

[[step]]
name = "a"

[[step]]
name = "b"
requires = ["a"]
"#;

/// The one error that `text` has: line, column, message, help.
fn error_of(text: &str) -> (usize, usize, String, String) {
    let errors = WorkflowFile::parse("f.toml", text).unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{errors}");
    let error = &errors.errors()[0];
    (
        error.line,
        error.column,
        error.message.clone(),
        error.help.clone().unwrap_or_default(),
    )
}

/// The error after replacing `from`, which must be there, by `to`.
fn after(from: &str, to: &str) -> (usize, usize, String, String) {
    assert!(GOOD.contains(from), "{from}");
    error_of(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_good_file_is_read() {
    let file = WorkflowFile::parse("f.toml", GOOD).unwrap();
    assert_eq!(file.workflow.steps().len(), 2);
    assert_eq!(
        file.agents["b"].kind,
        AgentKind::Rust {
            function: "f".into()
        }
    );
}

#[test]
fn a_syntax_error_points_at_the_place() {
    let (line, _, _, _) = after("objective = \"60s\"", "objective = \"60s");
    assert_eq!(line, 3);
}

#[test]
fn a_cycle_names_its_steps_and_points_at_an_edge() {
    let (line, column, message, _) = after("name = \"a\"\n", "name = \"a\"\nrequires = [\"b\"]\n");
    assert!(message.contains("wait for each other"), "{message}");
    assert!(line >= 15 && column > 10, "{line}:{column}");
}

#[test]
fn an_unknown_agent_is_pointed_at_with_the_nearest_name() {
    let text = GOOD.replace(
        "name = \"b\"\nrequires",
        "name = \"b\"\nagent = \"bb\"\nrequires",
    );
    let (line, column, message, help) = error_of(&text);
    assert_eq!((line, column), (19, 9));
    assert_eq!(message, "step calls agent `bb`, which is not defined");
    assert!(
        help.starts_with("agents: a, b") || help.starts_with("did you mean"),
        "{help}"
    );
}

#[test]
fn a_duplicate_step_points_at_the_second() {
    let text = GOOD.replace("name = \"b\"\nrequires = [\"a\"]\n", "name = \"a\"\n");
    let (line, column, message, help) = error_of(&text);
    assert_eq!((line, column), (18, 8));
    assert_eq!(message, "step `a` is defined twice");
    assert!(help.contains("line 15"), "{help}");
}

#[test]
fn a_missing_field_is_named() {
    let (_, _, message, help) = after("kind = \"rust\"\n", "");
    assert_eq!(message, "missing field `kind`");
    assert!(help.contains("kind = "), "{help}");
}

#[test]
fn a_wrong_type_says_what_would_be_right() {
    let (line, column, message, help) = after("objective = \"60s\"", "objective = 60");
    assert_eq!((line, column), (3, 13));
    assert!(message.contains("integer `60`"), "{message}");
    assert!(
        help.contains("a duration in quotes with its unit"),
        "{help}"
    );
}

#[test]
fn an_unknown_field_lists_the_known_ones() {
    let (line, column, message, help) = after("preset = \"triage\"", "presets = \"triage\"");
    assert_eq!((line, column), (8, 1));
    assert_eq!(message, "unknown field `presets`");
    assert!(help.contains("`preset`"), "{help}");
}

#[test]
fn an_objective_that_cannot_be_met_points_at_a_field_it_contradicts() {
    let contradiction =
        "preset = \"triage\"\nrecovery_objective = \"1s\"\nwait_duration_in_open = \"3s\"";
    let (line, _, message, help) = after("preset = \"triage\"", contradiction);
    assert!(line == 9 || line == 10, "{line}");
    assert!(
        message.contains("recovery_objective") && message.contains("wait_duration_in_open"),
        "{message}"
    );
    assert!(help.contains("change one of"), "{help}");
}

#[test]
fn several_faults_are_reported_together_in_order() {
    let text = GOOD.replace(
        "requires = [\"a\"]",
        "requires = [\"x\"]\noptional = [\"y\"]",
    );
    let errors = WorkflowFile::parse("f.toml", &text).unwrap_err();
    let lines: Vec<usize> = errors.errors().iter().map(|error| error.line).collect();
    assert_eq!(lines, [19, 20]);
}

#[test]
fn kinds_and_their_fields_must_fit() {
    let (_, _, message, _) = after("kind = \"rust\"", "kind = \"wasm\"");
    assert_eq!(message, "agent kind `wasm` does not exist");
    let (_, _, message, _) = after("function = \"f\"", "command = [\"true\"]");
    assert_eq!(message, "a rust agent has no `command`");
    let (_, _, message, _) = after("command = [\"true\"]\n", "");
    assert_eq!(message, "this command agent has no `command`");
    let (_, _, message, _) = after("preset = \"triage\"", "preset = \"triag\"");
    assert_eq!(message, "preset `triag` does not exist");
}

#[test]
fn no_text_makes_the_reader_panic() {
    // Every prefix, and every single byte left out.
    for end in 0..GOOD.len() {
        let _ = WorkflowFile::parse("f", &GOOD[..end]);
        let without = format!("{}{}", &GOOD[..end], &GOOD[end + 1..]);
        if let Err(errors) = WorkflowFile::parse("f", &without) {
            let _ = errors.to_string();
        }
    }
}
