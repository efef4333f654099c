//! Faults of a graph, and where in the file they come from.

use std::ops::Range;

use toml::Spanned;

use super::diagnostic::{FileError, Source};
use super::raw::{RawFile, RawStep};
use crate::time::short;
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
    let approval = |name: &str| Some(step(name)?.approval.as_ref()?.get_ref());
    let map = |name: &str| Some(step(name)?.map.as_ref()?.get_ref());
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
        WorkflowError::MapOffEdge { step: name, over } => (
            map(name).map(|map| map.step.span()),
            format!("step `{name}` maps over the output of `{over}`, which it does not require"),
            format!("add `{over}` to its `requires`"),
        ),
        WorkflowError::InnerWith { step: name, other } => (
            step(name).and_then(|step| match *other {
                "on_unavailable" => step.on_unavailable.as_ref().map(Spanned::span),
                _ => step.workflow.as_ref().map(Spanned::span),
            }),
            format!("step `{name}` is a workflow of its own and cannot have `{other}` too"),
            "give it to the steps inside".to_owned(),
        ),
        WorkflowError::FeedOffEdge { step: name, from } => (
            step(name).and_then(|step| fed(step, from)),
            format!("step `{name}` gives its workflow an input from `{from}`, from which it does not take"),
            format!("add `{from}` to its `requires` or its `optional`"),
        ),
        WorkflowError::InnerObjective { step: name, inner, outer } => (
            step(name).and_then(|step| step.workflow.as_ref().map(Spanned::span)),
            format!(
                "the workflow that is step `{name}` has an objective of {}, this one only {}",
                short(*inner),
                short(*outer)
            ),
            "shorten the first or lengthen the second".to_owned(),
        ),
        WorkflowError::TooDeep { step: name } => (
            step(name.split('/').next().unwrap_or_default())
                .and_then(|step| step.workflow.as_ref().map(Spanned::span)),
            format!("step `{name}` is too deep"),
            "at most 8 workflows inside each other, and 160 characters for a name with those before it"
                .to_owned(),
        ),
        WorkflowError::ZeroCalls { step: name, field } => (
            step(name).and_then(|step| calls(step, field)),
            format!("`{field}` is 0"),
            "give 1 or more".to_owned(),
        ),
        WorkflowError::ZeroAge { step: name } => (
            step(name).and_then(|step| step.on_unavailable.as_ref().map(Spanned::span)),
            format!("the last good output of step `{name}` may be 0 old"),
            "give the greatest age that still does, such as { last_good = \"24h\" }".to_owned(),
        ),
        WorkflowError::ZeroExpiry { step: name } => (
            approval(name).and_then(|asked| asked.expires.as_ref().map(Spanned::span)),
            format!("the approval of step `{name}` expires at once"),
            "give the time within which a person can decide, such as \"24h\"".to_owned(),
        ),
        WorkflowError::FallbackWithoutExpiry { step: name } => (
            approval(name).and_then(|asked| asked.fallback.as_ref().map(Spanned::span)),
            format!("the approval of step `{name}` has a fallback and never expires"),
            "say after which time it does, such as expires = \"24h\"".to_owned(),
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

/// Where an input is from a step called `from`.
fn fed(step: &RawStep, from: &str) -> Option<Range<usize>> {
    let mut named = step
        .input
        .values()
        .filter_map(|feed| feed.get_ref().step.as_ref());
    named
        .find(|named| named.get_ref() == from)
        .map(Spanned::span)
}

/// Where a step says how many calls it may make: at once, or of one item.
fn calls(step: &RawStep, field: &str) -> Option<Range<usize>> {
    let count = match field {
        "concurrency" => step.map.as_ref()?.get_ref().concurrency.as_ref()?,
        _ => &step.repeat.as_ref()?.get_ref().at_most,
    };
    Some(count.span())
}

/// Where a step gives `pointer` as a place.
fn place(step: &RawStep, pointer: &str) -> Option<Range<usize>> {
    let asked = step
        .when
        .iter()
        .filter_map(|when| when.get_ref().at.as_ref());
    let mapped = step.map.iter().filter_map(|map| map.get_ref().at.as_ref());
    let until = step
        .repeat
        .iter()
        .map(|repeat| repeat.get_ref().until.get_ref());
    let fed = step.input.values();
    let fed = fed.filter_map(|feed| feed.get_ref().at.as_ref());
    let mut given = asked
        .chain(mapped)
        .chain(fed)
        .chain(until.filter_map(|until| until.at.as_ref()));
    given
        .find(|given| given.get_ref() == pointer)
        .map(Spanned::span)
}
