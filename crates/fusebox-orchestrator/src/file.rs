//! Workflow files: TOML in, a checked workflow and its agents out, errors that point at the place.

mod agent;
mod budget;
mod condition;
mod diagnostic;
mod endpoint;
mod equip;
mod foreign;
mod inner;
mod locate;
mod mcp;
mod pool;
mod ports;
mod raw;
mod rules;
mod step;
mod time;

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

pub use self::agent::{AgentKind, AgentSpec, CommandSpec};
pub use self::diagnostic::{FileError, FileErrors, Source, suggestion};
pub use self::endpoint::{
    FailoverSpec, HttpSpec, OpenAiSpec, PriceSpec, SecretHeader, ToolSpec, UrlSpec, WireSpec,
};
pub use self::inner::InnerFile;
use self::inner::Reading;
use self::locate::locate;
pub use self::mcp::{McpReach, McpServerSpec, McpSpec};
pub use self::pool::PoolSpec;
use self::raw::RawFile;
pub use self::time::Time;
use crate::spending::Allowance;
use crate::tenant::TenantBudget;
use crate::workflow::{Step, Workflow};

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
    /// The pools whose slots agents share.
    pub pools: Vec<PoolSpec>,
    /// What a run may cost, for [`RunOptions::budget`](crate::RunOptions::budget). The outermost file's holds.
    pub budget: Option<Allowance>,
    /// What tenants may spend, by name, for
    /// [`EngineBuilder::tenant_budget`](crate::EngineBuilder::tenant_budget). The outermost file's hold.
    pub tenants: BTreeMap<String, TenantBudget>,
    /// What a run may be given.
    pub inputs: Vec<InputSpec>,
    /// Files a run leaves in its artifacts directory, the chief one first.
    pub reports: Vec<String>,
    /// What the workflow is for.
    pub description: Option<String>,
    /// The files that are steps, by step; one in another under the names of both, as in `month/billing`.
    pub inner: BTreeMap<String, InnerFile>,
    source: Source,
}

impl WorkflowFile {
    /// Reads `text`; `name` is how errors call the file. One with steps that are workflow files is
    /// refused: see [`parse_with`](Self::parse_with).
    ///
    /// # Errors
    /// Every fault found, each with line, column, what is wrong and what would be right. A fault of
    /// TOML's own grammar hides those behind it.
    pub fn parse(name: &str, text: &str) -> Result<Self, FileErrors> {
        Self::parse_with(name, text, &|_| {
            Err("no other file can be read here".to_owned())
        })
    }

    /// Reads `text`, and with `read` the files that are steps of it. `read` is given a path from the
    /// directory of `name` on, without detours; it answers with the file's text, or why there is none.
    ///
    /// # Errors
    /// Every fault found, those of an inner file in that file.
    pub fn parse_with(
        name: &str,
        text: &str,
        read: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, FileErrors> {
        Self::read(name, text, &mut Reading::new(name, read))
    }

    fn read(name: &str, text: &str, reading: &mut Reading<'_>) -> Result<Self, FileErrors> {
        let source = Source::new(name, text);
        let raw: RawFile = source.parse("docs/workflow-files.md")?;
        let (mut errors, mut elsewhere) = (Vec::new(), Vec::new());
        let mut agents = agents(&source, &raw, &mut errors);
        let mut pools = pool::read(&source, &raw, &mut errors);
        let run_budget = budget::of_run(&source, &raw, &mut errors);
        let tenants = budget::of_tenants(&source, &raw, &mut errors);
        let mut reports = raw.workflow.reports.clone();
        let (mut workflows, mut inner) = (BTreeMap::new(), BTreeMap::new());
        for step in &raw.step {
            let Some(named) = &step.workflow else {
                continue;
            };
            match inner::include(reading, &source, &raw, step, named) {
                Ok(included) => {
                    for (name, agent) in included.agents {
                        if let Some(taken) = agents.insert(name, agent) {
                            errors.push(taken_name(&source, &taken, step.name.get_ref()));
                        }
                    }
                    for pool in included.pools {
                        if pools.iter().any(|known| known.name == pool.name) {
                            let message = format!("pool `{}` is there twice", pool.name);
                            let help = "one of an inner file begins with the name of its step";
                            errors.push(source.error(named.span(), message, help));
                        }
                        pools.push(pool);
                    }
                    workflows.insert(step.name.get_ref().clone(), included.inner);
                    inner.extend(included.files);
                    reports.extend(included.reports);
                }
                Err(faults) => {
                    let (own, others): (Vec<_>, Vec<_>) =
                        faults.into_iter().partition(|fault| fault.file == name);
                    errors.extend(own);
                    elsewhere.extend(others);
                }
            }
        }
        let steps = step::read(&source, &raw, &workflows, &mut errors);
        if !(errors.is_empty() && elsewhere.is_empty()) {
            return Err(FileErrors::new(errors).and(elsewhere));
        }
        let workflow =
            workflow(&source, &raw, steps).map_err(|error| FileErrors::new(vec![error]))?;
        let inputs = raw.input.iter().map(|(name, input)| input.spec(name));
        let inputs: Vec<InputSpec> = inputs.collect();
        let given = reading.is_outermost().then_some(&*inputs);
        ports::check(&source, &raw, &workflow, &agents, given)
            .map_err(|error| FileErrors::new(vec![error]))?;
        Ok(Self {
            workflow,
            agents,
            pools,
            budget: run_budget,
            tenants,
            inputs,
            reports,
            description: raw.workflow.description.clone(),
            inner,
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
        let (span, source) = match self.agents.get(agent) {
            Some(spec) => (spec.span.clone(), &spec.source),
            None => (0..0, &self.source),
        };
        FileErrors::new(vec![source.error(span, message, help)])
    }
}

fn agents(
    source: &Source,
    raw: &RawFile,
    errors: &mut Vec<FileError>,
) -> BTreeMap<String, AgentSpec> {
    mcp::check(source, raw, errors);
    let mut specs = BTreeMap::new();
    for (name, agent) in &raw.agents {
        match AgentSpec::from_raw(source, raw, name, agent) {
            Ok(spec) => {
                specs.insert(name.get_ref().clone(), spec);
            }
            Err(error) => errors.push(error),
        }
        let targets = agent.get_ref().targets.as_ref();
        for target in targets.map_or(&[][..], |targets| targets.get_ref()) {
            errors.extend(bad_target(source, raw, name.get_ref(), target));
        }
        let Some(fallback) = &agent.get_ref().fallback else {
            continue;
        };
        if fallback.get_ref() == name.get_ref() {
            let message = format!("agent `{}` is its own fallback", name.get_ref());
            errors.push(source.error(fallback.span(), message, "name another agent"));
        } else if raw.kind_of(fallback.get_ref()) == Some("failover") {
            let message = format!("fallback `{}` is a failover", fallback.get_ref());
            let help = "make this agent one of its targets, or name one of them as the fallback";
            errors.push(source.error(fallback.span(), message, help));
        } else if !raw.has_agent(fallback.get_ref()) {
            errors.push(unknown_agent(source, raw, fallback, "fallback"));
        }
    }
    specs
}

/// What is wrong with a target of a failover, if anything is.
fn bad_target(
    source: &Source,
    raw: &RawFile,
    name: &str,
    target: &Spanned<String>,
) -> Option<FileError> {
    let wanted = target.get_ref();
    let Some(kind) = raw.kind_of(wanted) else {
        return Some(unknown_agent(source, raw, target, "failover"));
    };
    if wanted == name {
        let message = format!("agent `{name}` is its own target");
        return Some(source.error(target.span(), message, "name another agent"));
    }
    // Targets of targets could go round in a circle, and say nothing that one list does not.
    (kind == "failover").then(|| {
        let message = format!("target `{wanted}` is a failover itself");
        source.error(target.span(), message, "name its targets here")
    })
}

/// Two steps of one name, or an agent that was called like one inside.
fn taken_name(source: &Source, taken: &AgentSpec, step: &str) -> FileError {
    let message = format!(
        "agent `{}` has the name of one of the workflow that is step `{step}`",
        taken.name
    );
    source.error(taken.span.clone(), message, "give it another name")
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

fn workflow(source: &Source, raw: &RawFile, steps: Vec<Step>) -> Result<Workflow, FileError> {
    let mut builder = Workflow::builder(raw.workflow.name.get_ref());
    if let Some(objective) = &raw.workflow.objective {
        builder = builder.objective(objective.get_ref().0);
    }
    for step in steps {
        builder = builder.step(step);
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

#[cfg(test)]
mod tests;
