//! The steps of a file.

use std::collections::BTreeMap;

use toml::Spanned;

use super::diagnostic::{FileError, Source, suggestion};
use super::raw::{RawApproval, RawFile, RawMap, RawRepeat, RawStep};
use super::{condition, unknown_agent};
use crate::workflow::{Approval, Inner, Map, Repeat, Step};

/// The steps, their names checked; every fault goes to `errors`.
///
/// `inner` has the workflows that are steps, by step; one that could not be read has its fault told.
pub(super) fn read(
    source: &Source,
    raw: &RawFile,
    inner: &BTreeMap<String, Inner>,
    errors: &mut Vec<FileError>,
) -> Vec<Step> {
    check_steps(source, raw, errors);
    let mut steps = Vec::with_capacity(raw.step.len());
    for step in &raw.step {
        match build(source, step) {
            Ok(built) => steps.push(match inner.get(step.name.get_ref()) {
                Some(inner) => built.workflow(inner.clone()),
                None => built,
            }),
            Err(error) => errors.push(error),
        }
    }
    steps
}

fn check_steps(source: &Source, raw: &RawFile, errors: &mut Vec<FileError>) {
    if raw.step.is_empty() {
        errors.push(source.error(
            0..0,
            "the workflow has no steps",
            "add at least one `[[step]]`",
        ));
    }
    let mut seen: BTreeMap<&str, std::ops::Range<usize>> = BTreeMap::new();
    for step in &raw.step {
        let name = &step.name;
        if let Some(first) = seen.insert(name.get_ref(), name.span()) {
            let (line, _) = source.position(first.start);
            let message = format!("step `{}` is defined twice", name.get_ref());
            errors.push(source.error(
                name.span(),
                message,
                format!("the first is in line {line}; give each step its own name"),
            ));
        }
        if let Some(agent) = called(step)
            && !raw.has_agent(agent.get_ref())
        {
            errors.push(unknown_agent(source, raw, agent, "step"));
        }
        for upstream in step.requires.iter().chain(&step.optional) {
            if !raw
                .step
                .iter()
                .any(|other| other.name.get_ref() == upstream.get_ref())
            {
                let known = raw.step.iter().map(|other| other.name.get_ref().as_str());
                let message = format!(
                    "step `{}` takes from `{}`, which is not a step",
                    name.get_ref(),
                    upstream.get_ref()
                );
                errors.push(source.error(
                    upstream.span(),
                    message,
                    suggestion("steps", upstream.get_ref(), known),
                ));
            }
        }
    }
    for output in &raw.workflow.outputs {
        if !raw
            .step
            .iter()
            .any(|step| step.name.get_ref() == output.get_ref())
        {
            let known = raw.step.iter().map(|step| step.name.get_ref().as_str());
            let message = format!("output `{}` is not a step", output.get_ref());
            errors.push(source.error(
                output.span(),
                message,
                suggestion("steps", output.get_ref(), known),
            ));
        }
    }
}

fn build(source: &Source, raw: &RawStep) -> Result<Step, FileError> {
    let texts = |spanned: &[Spanned<String>]| {
        spanned
            .iter()
            .map(|s| s.get_ref().clone())
            .collect::<Vec<_>>()
    };
    let mut step = Step::new(raw.name.get_ref())
        .requires(texts(&raw.requires))
        .optional(texts(&raw.optional));
    if let Some(policy) = &raw.on_unavailable {
        step = step.on_unavailable((*policy.get_ref()).into());
    }
    if let Some(agent) = &raw.agent {
        step = step.with_agent(agent.get_ref());
    }
    if let Some(join) = &raw.join {
        step = step.join(*join.get_ref());
    }
    for condition in &raw.when {
        step = step.when(condition::read(source, condition)?);
    }
    if let (None, Some(given)) = (&raw.workflow, raw.input.keys().next()) {
        let message = format!(
            "step `{}` has `input` and no `workflow`",
            raw.name.get_ref()
        );
        let help = "only a workflow inside is given inputs; an agent gets what its step takes";
        return Err(source.error(given.span(), message, help));
    }
    if let Some(fault) = second_work(source, raw) {
        return Err(fault);
    }
    if let Some(map) = &raw.map {
        step = step.map(build_map(map.get_ref()));
    }
    if let Some(repeat) = &raw.repeat {
        step = step.repeat(build_repeat(source, repeat.get_ref())?);
    }
    if let Some(approval) = &raw.approval {
        step = step.approval(build_approval(approval.get_ref()));
    }
    Ok(step)
}

/// The agent that a step calls, if it calls one.
fn called(raw: &RawStep) -> Option<&Spanned<String>> {
    if raw.workflow.is_some() {
        return None;
    }
    match &raw.approval {
        Some(approval) => approval.get_ref().fallback.as_ref(),
        None => Some(raw.agent.as_ref().unwrap_or(&raw.name)),
    }
}

/// A step does one thing.
fn second_work(source: &Source, raw: &RawStep) -> Option<FileError> {
    let works = [
        (
            "agent",
            raw.agent
                .as_ref()
                .filter(|_| raw.approval.is_some() || raw.workflow.is_some())
                .map(Spanned::span),
        ),
        ("map", raw.map.as_ref().map(Spanned::span)),
        // Of a map, each item is repeated.
        (
            "repeat",
            raw.repeat
                .as_ref()
                .filter(|_| raw.map.is_none())
                .map(Spanned::span),
        ),
        ("approval", raw.approval.as_ref().map(Spanned::span)),
        ("workflow", raw.workflow.as_ref().map(Spanned::span)),
    ];
    let mut given = works
        .into_iter()
        .filter_map(|(name, span)| Some((name, span?)));
    let ((first, _), (second, span)) = (given.next()?, given.next()?);
    let name = raw.name.get_ref();
    let message = format!("step `{name}` has both `{first}` and `{second}`");
    let help = match second {
        "workflow" => "keep one; what calls an agent is for the steps inside of the workflow",
        _ => "keep one; the other is for a step of its own",
    };
    Some(source.error(span, message, help))
}

fn build_approval(raw: &RawApproval) -> Approval {
    let mut approval = Approval::new(&raw.prompt);
    if let Some(expires) = &raw.expires {
        approval = approval.with_expiry(expires.get_ref().0);
    }
    if let Some(agent) = &raw.fallback {
        approval = approval.with_fallback(agent.get_ref());
    }
    approval
}

fn build_map(raw: &RawMap) -> Map {
    let at = raw.at.as_ref().map_or("", |at| at.get_ref().as_str());
    let map = Map::over(raw.step.get_ref(), at);
    match &raw.concurrency {
        Some(calls) => map.with_concurrency(*calls.get_ref()),
        None => map,
    }
}

fn build_repeat(source: &Source, raw: &RawRepeat) -> Result<Repeat, FileError> {
    if let Some(step) = &raw.until.get_ref().step {
        let message = "`until` asks the step's own answer and names no step";
        return Err(source.error(step.span(), message, "remove `step`"));
    }
    let predicate = condition::predicate(source, &raw.until)?;
    let repeat = Repeat::until(predicate, *raw.at_most.get_ref());
    Ok(repeat.when_exhausted(raw.exhausted.unwrap_or_default()))
}
