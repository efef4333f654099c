//! An agent's table: what it is, and the protection around it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;

use super::diagnostic::{FileError, Source, suggestion};
use super::endpoint::{self, FailoverSpec, HttpSpec, OpenAiSpec};
use super::mcp::{self, McpSpec};
use super::raw::{RawAgent, RawFile};
use super::rules::{Rules, number, set, time};
use super::{budget, foreign};
use crate::resilience::Resilience;

/// An agent as a file defines it. Whoever runs the workflow makes the agent from it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentSpec {
    /// Its name, unique in the file.
    pub name: String,
    /// What it is.
    pub kind: AgentKind,
    /// The protection around it.
    pub resilience: Resilience,
    /// JSON Schema that its whole task must satisfy: `input`, `upstream` and the rest.
    pub input_schema: Option<Value>,
    /// JSON Schema its outputs must satisfy.
    pub output_schema: Option<Value>,
    /// The agent that answers when this one is not available.
    pub fallback: Option<String>,
    /// The step that is a workflow of the file that defines it; `None` for the outermost file. Its
    /// name begins with it.
    pub within: Option<String>,
    pub(super) span: Range<usize>,
    pub(super) source: Source,
}

/// The kinds of agents a file can define.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AgentKind {
    /// A program: JSON on its standard input, its answer on its standard output.
    Command(CommandSpec),
    /// A function of the program that runs the workflow.
    Rust {
        /// The name the program knows it by.
        function: String,
    },
    /// An HTTP service.
    Http(HttpSpec),
    /// A language model behind an API like that of OpenAI.
    OpenAi(OpenAiSpec),
    /// A tool of a Model Context Protocol server.
    Mcp(McpSpec),
    /// One out of several agents of the file.
    Failover(FailoverSpec),
}

/// A program to run. Placeholders such as `{input.path}` in `args`, `dir` and `env` stand for the
/// run's inputs; no shell sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandSpec {
    /// The program, looked for on `PATH` unless it holds a `/`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory, relative to the file. Defaults to the file's directory.
    pub dir: Option<String>,
    /// Environment variables it gets beside its parent's.
    pub env: BTreeMap<String, String>,
    /// How its output is read: `json`, `lines` or `text`.
    pub output: String,
    /// The most it may print. Defaults to what the agent kind allows.
    pub max_output_bytes: Option<usize>,
}

pub(super) const KINDS: [&str; 6] = ["command", "rust", "http", "openai", "mcp", "failover"];
const OUTPUTS: [&str; 3] = ["json", "lines", "text"];

impl AgentSpec {
    pub(super) fn from_raw(
        source: &Source,
        file: &RawFile,
        name: &Spanned<String>,
        agent: &Spanned<RawAgent>,
    ) -> Result<Self, FileError> {
        let raw = agent.get_ref();
        let span = name.span();
        foreign::refuse(source, raw)?;
        let kind = match raw.kind.get_ref().as_str() {
            "command" => command(source, raw, &span)?,
            "rust" => rust(source, raw, &span)?,
            "http" => AgentKind::Http(endpoint::http(source, raw, &span)?),
            "openai" => AgentKind::OpenAi(endpoint::openai(source, raw, &span)?),
            "mcp" => AgentKind::Mcp(mcp::agent(source, file, raw, &span)?),
            "failover" => AgentKind::Failover(endpoint::failover(source, raw, &span)?),
            other => {
                let message = format!("agent kind `{other}` does not exist");
                return Err(source.error(
                    raw.kind.span(),
                    message,
                    suggestion("kinds", other, KINDS.into_iter()),
                ));
            }
        };
        Ok(Self {
            name: name.get_ref().clone(),
            kind,
            resilience: resilience(source, raw, &span)?,
            input_schema: raw.input_schema.as_ref().map(to_json),
            output_schema: raw.output_schema.as_ref().map(to_json),
            fallback: raw
                .fallback
                .as_ref()
                .map(|fallback| fallback.get_ref().clone()),
            within: None,
            span,
            source: source.clone(),
        })
    }

    /// As an agent of the workflow that is `step` of the file around its own.
    pub(super) fn put_inside(mut self, step: &str) -> Self {
        self.name.insert_str(0, &format!("{step}/"));
        if let Some(fallback) = &mut self.fallback {
            fallback.insert_str(0, &format!("{step}/"));
        }
        if let Some(pool) = &mut self.resilience.pool {
            pool.insert_str(0, &format!("{step}/"));
        }
        if let AgentKind::Failover(failover) = &mut self.kind {
            let targets = failover.targets.iter_mut();
            targets.for_each(|target| target.insert_str(0, &format!("{step}/")));
        }
        self.within = Some(match self.within {
            Some(within) => format!("{step}/{within}"),
            None => step.to_owned(),
        });
        self
    }
}

fn command(source: &Source, raw: &RawAgent, span: &Range<usize>) -> Result<AgentKind, FileError> {
    let help = "give the program and its arguments, such as command = [\"sh\", \"check.sh\"]";
    let Some(command) = &raw.command else {
        return Err(source.error(span.clone(), "this command agent has no `command`", help));
    };
    let [program, args @ ..] = command.get_ref().as_slice() else {
        return Err(source.error(command.span(), "the command is empty", help));
    };
    let output = raw
        .output
        .as_ref()
        .map_or("json", |output| output.get_ref());
    if let (Some(given), false) = (&raw.output, OUTPUTS.contains(&output)) {
        let message = format!("output format `{output}` does not exist");
        return Err(source.error(
            given.span(),
            message,
            suggestion("formats", output, OUTPUTS.into_iter()),
        ));
    }
    Ok(AgentKind::Command(CommandSpec {
        program: program.clone(),
        args: args.to_vec(),
        dir: raw.dir.as_ref().map(|dir| dir.get_ref().clone()),
        env: raw
            .env
            .as_ref()
            .map(|env| env.get_ref().clone())
            .unwrap_or_default(),
        output: output.to_owned(),
        max_output_bytes: raw.max_output_bytes.as_ref().map(|bytes| *bytes.get_ref()),
    }))
}

fn rust(source: &Source, raw: &RawAgent, span: &Range<usize>) -> Result<AgentKind, FileError> {
    let help = "name the function, such as function = \"review/supervisor\"";
    let function = raw
        .function
        .as_ref()
        .ok_or_else(|| source.error(span.clone(), "this rust agent has no `function`", help))?;
    Ok(AgentKind::Rust {
        function: function.get_ref().clone(),
    })
}

fn resilience(
    source: &Source,
    raw: &RawAgent,
    span: &Range<usize>,
) -> Result<Resilience, FileError> {
    let rules = Rules::from(raw);
    let mut preset = rules.preset(source)?;
    set(&mut preset.retry_base, time(raw.retry_base.as_ref()));
    set(&mut preset.retry_cap, time(raw.retry_cap.as_ref()));
    set(&mut preset.max_attempts, number(raw.max_attempts.as_ref()));
    let resilience = Resilience::preset(preset);
    let mut resilience = resilience.map_err(|error| rules.error(source, &error, span))?;
    let attempts = raw.max_attempts.as_ref();
    if let Some(attempts) = attempts.filter(|attempts| *attempts.get_ref() == 0) {
        return Err(source.error(
            attempts.span(),
            "no attempt would ever be made",
            "allow at least 1; 1 means no retry",
        ));
    }
    if let Some(calls) = &raw.max_concurrent_calls {
        if *calls.get_ref() == 0 {
            return Err(source.error(calls.span(), "no call could ever run", "allow at least 1"));
        }
        resilience.max_concurrent_calls = Some(*calls.get_ref());
    }
    if let Some(wait) = time(raw.max_wait.as_ref()) {
        resilience.max_wait = wait;
    }
    resilience.budget = budget::limits(source, raw)?;
    resilience.pool = raw.pool.as_ref().map(|pool| pool.get_ref().clone());
    resilience.max_silence = time(raw.max_silence.as_ref());
    if let Some(ratio) = &raw.retry_ratio {
        if !(0.0..=1.0).contains(ratio.get_ref()) {
            let message = format!("{} is no share of calls", ratio.get_ref());
            return Err(source.error(ratio.span(), message, "write 0.0 to 1.0, such as 0.2"));
        }
        resilience.retry_ratio = *ratio.get_ref();
    }
    if let Some(reserve) = &raw.retry_reserve {
        resilience.retry_reserve = *reserve.get_ref();
    }
    Ok(resilience)
}

pub(super) fn to_json(value: &toml::Value) -> Value {
    serde_json::to_value(value).expect("TOML values have a JSON form")
}
