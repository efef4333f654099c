//! Faults of a graph, and where in the file they come from.

use std::ops::Range;

use toml::Spanned;

use super::diagnostic::{FileError, Source};
use super::raw::{RawFile, RawStep};
use crate::workflow::WorkflowError;

/// Where in the file a fault of the graph comes from.
pub(super) fn locate(source: &Source, raw: &RawFile, error: &WorkflowError) -> FileError {
    let step = |name: &str| raw.step.iter().find(|step| step.name.get_ref() == name);
    let edge = |from: &str, to: &str| {
        let step = step(to)?;
        step.requires
            .iter()
            .chain(&step.optional)
            .rev()
            .find(|up| up.get_ref() == from)
            .map(Spanned::span)
    };
    let (span, message, help) = match error {
        WorkflowError::Cycle { steps } => (
            edge(&steps[0], &steps[1]),
            format!("the steps wait for each other: {}", steps.join(" -> ")),
            "remove one of these edges".to_owned(),
        ),
        WorkflowError::BadName { step: name } => (
            step(name).map(|step| step.name.span()),
            format!("step name `{name}` is not allowed"),
            "use 1 to 64 letters, digits, `-`, `_` or `.`".to_owned(),
        ),
        WorkflowError::DuplicateEdge { step, upstream } => (
            edge(upstream, step),
            format!("step `{step}` names `{upstream}` twice"),
            "keep it under `requires` or under `optional`".to_owned(),
        ),
        WorkflowError::JoinOfNothing { step: name } => (
            step(name).and_then(|step| step.join.as_ref().map(Spanned::span)),
            format!("step `{name}` has a join and requires nothing"),
            "name the steps it chooses from under `requires`".to_owned(),
        ),
        WorkflowError::BadQuorum {
            step: name,
            quorum,
            required,
        } => (
            step(name).and_then(|step| step.join.as_ref().map(Spanned::span)),
            format!("step `{name}` needs {quorum} of {required} required steps"),
            format!("give a quorum from 1 to {required}"),
        ),
        WorkflowError::ConditionOffEdge { step: name, asked } => (
            step(name).and_then(|step| asks(step, asked)),
            format!("step `{name}` asks the output of `{asked}`, from which it does not take"),
            format!("add `{asked}` to its `requires` or its `optional`"),
        ),
        WorkflowError::BadPointer {
            step: name,
            pointer,
        } => (
            step(name).and_then(|step| place(step, pointer)),
            format!("`{pointer}` is not a JSON Pointer"),
            "begin it with `/`, as in \"/items/0/price\", or leave it out for the whole output"
                .to_owned(),
        ),
        WorkflowError::ZeroObjective => (
            raw.workflow.objective.as_ref().map(Spanned::span),
            "the objective is zero".to_owned(),
            "give the time within which a run must have its outputs, such as \"60s\"".to_owned(),
        ),
        other => (
            None,
            other.to_string(),
            "see docs/workflow-files.md".to_owned(),
        ),
    };
    source.error(span.unwrap_or(0..0), message, help)
}

/// Where a step's conditions name `asked`.
fn asks(step: &RawStep, asked: &str) -> Option<Range<usize>> {
    let named = step
        .when
        .iter()
        .filter_map(|when| when.get_ref().step.as_ref());
    let mut named = named.filter(|named| named.get_ref() == asked);
    named.next().map(Spanned::span)
}

/// Where a step gives `pointer` as a place.
fn place(step: &RawStep, pointer: &str) -> Option<Range<usize>> {
    let given = step
        .when
        .iter()
        .filter_map(|when| when.get_ref().at.as_ref());
    let mut given = given.filter(|given| given.get_ref() == pointer);
    given.next().map(Spanned::span)
}
