//! Workflow files.

use std::collections::BTreeSet;

use fusebox_orchestrator::Workflow;
use fusebox_orchestrator::file::{AgentSpec, FileError, FileErrors, WorkflowFile};

use crate::drawing;
use crate::text::{self, has_control, has_place};

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match WorkflowFile::parse("w.toml", text) {
        Ok(file) => check_file(&file, text),
        Err(errors) => check_errors(&errors, text),
    }
}

fn check_errors(errors: &FileErrors, text: &str) {
    assert!(!errors.errors().is_empty());
    for error in errors.errors() {
        check_error(error, text);
    }
    let places = errors.errors().iter().map(|e| (e.line, e.column));
    assert!(places.is_sorted(), "in the order of the file");
    assert!(!has_control(&errors.to_string()), "{errors:?}");
}

fn check_error(error: &FileError, text: &str) {
    assert!(has_place(text, error.line, error.column), "{error:?}");
    assert!(!error.message.trim().is_empty() && !error.message.contains('\n'));
    let (shown, place) = (
        error.to_string(),
        format!("w.toml:{}:{}: ", error.line, error.column),
    );
    assert!(shown.starts_with(&place), "{shown}");
    // Place, margin, line, caret, and mostly a hint.
    assert!((4..=5).contains(&shown.lines().count()), "{shown}");
}

fn check_file(file: &WorkflowFile, text: &str) {
    check_workflow(&file.workflow);
    for step in file.workflow.steps() {
        let agent = step.agent();
        assert!(agent.is_none_or(|agent| file.agents.contains_key(agent)));
    }
    for (name, agent) in &file.agents {
        check_agent(name, agent, file);
        check_errors(&file.error_at_agent(name, "wrong", "right"), text);
    }
    check_written_out(file, text);
}

fn check_agent(name: &str, agent: &AgentSpec, file: &WorkflowFile) {
    assert_eq!(agent.name, name);
    let fallback = agent.fallback.as_ref();
    assert!(fallback.is_none_or(|other| other != name && file.agents.contains_key(other)));
    assert!(agent.resilience.max_attempts > 0);
    assert_ne!(agent.resilience.max_concurrent_calls, Some(0));
}

/// The file in the words of TOML's own writer says the same.
fn check_written_out(file: &WorkflowFile, text: &str) {
    let table: toml::Table = text.parse().expect("it was read before");
    let written = table.to_string();
    let again = WorkflowFile::parse("w.toml", &written)
        .unwrap_or_else(|errors| panic!("written out it is refused:\n{errors}\n{written}"));
    // By name: the order of tables in a file says nothing.
    assert_eq!(again.workflow, file.workflow);
    assert_eq!(again.inputs, file.inputs);
    assert_eq!(again.reports, file.reports);
    assert_eq!(again.description, file.description);
    assert!(again.agents.keys().eq(file.agents.keys()));
    for (one, other) in again.agents.values().zip(file.agents.values()) {
        assert_eq!(one.kind, other.kind);
        assert_eq!(one.resilience, other.resilience);
        assert_eq!(one.output_schema, other.output_schema);
        assert_eq!(one.fallback, other.fallback);
    }
}

/// What every workflow keeps, wherever it was read from.
pub(crate) fn check_workflow(workflow: &Workflow) {
    assert!(!workflow.objective().is_zero());
    assert!(!workflow.steps().is_empty() && !workflow.outputs().is_empty());
    let mut before = BTreeSet::new();
    for step in workflow.steps() {
        assert!((1..=160).contains(&step.name().len()));
        for upstream in step.required().iter().chain(step.optionals()) {
            assert!(before.contains(upstream.as_str()), "{upstream} comes later");
        }
        assert!(before.insert(step.name()), "{} is there twice", step.name());
    }
    let mut outputs = workflow.outputs().iter();
    assert!(outputs.all(|output| before.contains(output.as_str())));
    drawing::check(workflow);
    text::assert_same(workflow);
}
