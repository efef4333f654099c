//! Workflow files: TOML in, a checked workflow and its agents out, errors that point at the place.

mod agent;
mod diagnostic;
mod raw;

use std::collections::BTreeMap;

use toml::Spanned;

pub use self::agent::{AgentKind, AgentSpec, CommandSpec};
pub use self::diagnostic::{FileError, FileErrors};
use self::diagnostic::{Source, suggestion};
use self::raw::{RawFile, RawStep};
use crate::workflow::{OnUnavailable, Step, Workflow, WorkflowError};

/// What a run may be given from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputSpec {
    /// Its name, as in `--input NAME=VALUE`.
    pub name: String,
    /// Its value where none is given; `None`: it must be given.
    pub default: Option<String>,
    /// Whether it names a directory that must exist. Such a value is made absolute.
    pub is_directory: bool,
    /// What it is for.
    pub description: Option<String>,
}

/// A workflow file that was read and found good.
///
/// ```
/// use fusebox_orchestrator::file::WorkflowFile;
///
/// let text = r#"
/// [workflow]
/// name = "hello"
///
/// [agents.greet]
/// kind = "command"
/// command = ["echo", '{"hello": "world"}']
///
/// [[step]]
/// name = "greet"
/// "#;
/// let file = WorkflowFile::parse("hello.toml", text)?;
/// assert_eq!(file.workflow.name(), "hello");
///
/// let error = WorkflowFile::parse("hello.toml", &text.replace("[[step]]", "[[stop]]")).unwrap_err();
/// assert!(error.to_string().starts_with("hello.toml:9:3: unknown field `stop`"), "{error}");
/// # Ok::<(), fusebox_orchestrator::file::FileErrors>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkflowFile {
    /// The graph.
    pub workflow: Workflow,
    /// The agents its steps call, by name.
    pub agents: BTreeMap<String, AgentSpec>,
    /// What a run may be given.
    pub inputs: Vec<InputSpec>,
    /// Files a run leaves in its artifacts directory, the chief one first.
    pub reports: Vec<String>,
    /// What the workflow is for.
    pub description: Option<String>,
    source: Source,
}

impl WorkflowFile {
    /// Reads `text`; `name` is how errors call the file.
    ///
    /// # Errors
    /// Every fault found, each with line, column, what is wrong and what would be right. A fault of
    /// TOML's own grammar hides those behind it.
    pub fn parse(name: &str, text: &str) -> Result<Self, FileErrors> {
        let source = Source::new(name, text);
        let raw: RawFile =
            toml::from_str(text).map_err(|error| FileErrors::from_toml(&source, &error))?;
        let mut errors = Vec::new();
        let agents = agents(&source, &raw, &mut errors);
        check_steps(&source, &raw, &mut errors);
        if !errors.is_empty() {
            return Err(FileErrors::new(errors));
        }
        let workflow = workflow(&source, &raw).map_err(|error| FileErrors::new(vec![error]))?;
        Ok(Self {
            workflow,
            agents,
            inputs: raw
                .input
                .iter()
                .map(|(name, input)| input.spec(name))
                .collect(),
            reports: raw.workflow.reports.clone(),
            description: raw.workflow.description.clone(),
            source,
        })
    }

    /// An error at the definition of an agent, for what only the caller can check: that a Rust
    /// function exists, that a program can be found.
    pub fn error_at_agent(
        &self,
        agent: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> FileErrors {
        let span = self
            .agents
            .get(agent)
            .map_or(0..0, |spec| spec.span.clone());
        FileErrors::new(vec![self.source.error(span, message, help)])
    }
}

fn agents(
    source: &Source,
    raw: &RawFile,
    errors: &mut Vec<FileError>,
) -> BTreeMap<String, AgentSpec> {
    let mut specs = BTreeMap::new();
    for (name, agent) in &raw.agents {
        match AgentSpec::from_raw(source, name, agent) {
            Ok(spec) => {
                specs.insert(name.get_ref().clone(), spec);
            }
            Err(error) => errors.push(error),
        }
        let Some(fallback) = &agent.get_ref().fallback else {
            continue;
        };
        if fallback.get_ref() == name.get_ref() {
            let message = format!("agent `{}` is its own fallback", name.get_ref());
            errors.push(source.error(fallback.span(), message, "name another agent"));
        } else if !raw.has_agent(fallback.get_ref()) {
            errors.push(unknown_agent(source, raw, fallback, "fallback"));
        }
    }
    specs
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
        let agent = step.agent.as_ref().unwrap_or(name);
        if !raw.has_agent(agent.get_ref()) {
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

fn unknown_agent(
    source: &Source,
    raw: &RawFile,
    agent: &Spanned<String>,
    place: &str,
) -> FileError {
    let known = raw.agents.keys().map(|name| name.get_ref().as_str());
    let message = format!(
        "{place} calls agent `{}`, which is not defined",
        agent.get_ref()
    );
    source.error(
        agent.span(),
        message,
        suggestion("agents", agent.get_ref(), known),
    )
}

fn workflow(source: &Source, raw: &RawFile) -> Result<Workflow, FileError> {
    let mut builder = Workflow::builder(raw.workflow.name.get_ref());
    if let Some(objective) = &raw.workflow.objective {
        builder = builder.objective(objective.get_ref().0);
    }
    for step in &raw.step {
        builder = builder.step(build_step(step));
    }
    let outputs = raw
        .workflow
        .outputs
        .iter()
        .map(|output| output.get_ref().clone());
    builder
        .outputs(outputs)
        .build()
        .map_err(|error| locate(source, raw, &error))
}

fn build_step(raw: &RawStep) -> Step {
    let texts = |spanned: &[Spanned<String>]| {
        spanned
            .iter()
            .map(|s| s.get_ref().clone())
            .collect::<Vec<_>>()
    };
    let mut step = Step::new(raw.name.get_ref())
        .requires(texts(&raw.requires))
        .optional(texts(&raw.optional))
        .on_unavailable(raw.on_unavailable.unwrap_or(OnUnavailable::Wait));
    if let Some(agent) = &raw.agent {
        step = step.with_agent(agent.get_ref());
    }
    step
}

/// Where in the file a fault of the graph comes from.
fn locate(source: &Source, raw: &RawFile, error: &WorkflowError) -> FileError {
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

#[cfg(test)]
mod tests;
