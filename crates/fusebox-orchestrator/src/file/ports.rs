//! Whether the steps of a file fit each other, by the schemas of their agents.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value, json};
use toml::Spanned;

use super::diagnostic::{FileError, Source};
use super::raw::{RawFile, RawStep};
use super::{AgentKind, AgentSpec, InputSpec};
use crate::workflow::{PortError, Ports, Workflow};

/// Compares both ends of every edge, and the run's input with what the agents take of it.
///
/// `inputs` are those of a run; `None` for an inner file, whose input the file around it knows.
pub(super) fn check(
    source: &Source,
    raw: &RawFile,
    workflow: &Workflow,
    agents: &BTreeMap<String, AgentSpec>,
    inputs: Option<&[InputSpec]>,
) -> Result<(), FileError> {
    let outputs: BTreeMap<&str, Value> = agents
        .values()
        .filter_map(|agent| Some((&*agent.name, output_of(agent)?)))
        .collect();
    let ports = |name: &str| Ports {
        input: agents
            .get(name)
            .and_then(|agent| agent.input_schema.as_ref()),
        output: outputs.get(name),
    };
    let input = inputs.map(input_of);
    let checked = workflow.check_ports(&ports, input.as_ref());
    checked.map_err(|error| locate(source, raw, &error))
}

/// What an agent gives: as its schema says, or as its output is read.
fn output_of(agent: &AgentSpec) -> Option<Value> {
    if let Some(schema) = &agent.output_schema {
        return Some(schema.clone());
    }
    let AgentKind::Command(command) = &agent.kind else {
        return None;
    };
    // A fallback's answer is read in its own way, and no schema binds it.
    if agent.fallback.is_some() {
        return None;
    }
    let text = json!({ "type": "string" });
    match command.output.as_str() {
        "lines" => Some(object("lines", &json!({ "type": "array", "items": text }))),
        "text" => Some(object("text", &text)),
        _ => None,
    }
}

fn object(name: &str, schema: &Value) -> Value {
    json!({ "type": "object", "required": [name], "properties": { name: schema } })
}

/// The input of a run: text for each name.
fn input_of(inputs: &[InputSpec]) -> Value {
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let text = |name: &&str| ((*name).to_owned(), json!({ "type": "string" }));
    let properties: Map<String, Value> = names.iter().map(text).collect();
    json!({ "type": "object", "required": names, "properties": properties })
}

/// At the edge, or at the step.
fn locate(source: &Source, raw: &RawFile, error: &PortError) -> FileError {
    let step = |name: &str| {
        let outermost = name.split('/').next().unwrap_or_default();
        raw.step
            .iter()
            .find(|step| *step.name.get_ref() == outermost)
    };
    let (name, edge, help) = match error {
        PortError::Misfit { from, to, .. } => {
            let help = "change the output schema of the one or the input schema of the other";
            (to, step(to).and_then(|step| edge(step, from)), help)
        }
        PortError::NotTaken { step, .. } => (
            step,
            None,
            "add it to the step's `requires` or its `optional`",
        ),
    };
    let place = edge.or_else(|| step(name).map(|step| step.name.span()));
    let message = error.to_string();
    let message = message.rsplit_once(';').map_or(&*message, |(what, _)| what);
    source.error(place.unwrap_or(0..0), message, help)
}

fn edge(step: &RawStep, from: &str) -> Option<Range<usize>> {
    let mut edges = step.requires.iter().chain(&step.optional);
    edges.find(|up| up.get_ref() == from).map(Spanned::span)
}
