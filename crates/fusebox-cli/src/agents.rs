//! Makes the agents that a workflow file defines.

use std::path::Path;
use std::sync::Arc;

use fusebox::agent::{Agent, FaultPlan, Schema};
use fusebox::endpoints::{CommandAgent, OutputFormat};
use fusebox::orchestrator::file::{AgentKind, AgentSpec, CommandSpec, WorkflowFile};
use serde_json::Value;

use crate::endpoints;
use crate::execution_log::{ExecutionLog, LoggedAgent};
use crate::failure::Failure;
use crate::mcp::{self, Servers};
use crate::review;
use crate::typed::Typed;

/// What goes between a run and its agents.
pub(crate) struct Wrapping {
    pub(crate) faults: FaultPlan,
    pub(crate) seed: u64,
    pub(crate) execution_log: Option<Arc<ExecutionLog>>,
    /// What agents of the file share.
    pub(crate) servers: Servers,
}

impl Wrapping {
    /// Reads `--fault` entries; each must name an agent of the file.
    pub(crate) fn faults(entries: &[String], file: &WorkflowFile) -> Result<FaultPlan, Failure> {
        let mut plan = FaultPlan::new();
        for entry in entries {
            plan = plan
                .with_entry(entry)
                .map_err(|error| Failure::misuse(format!("--fault '{entry}': {error}")))?;
        }
        let failover = plan.agents().find(|agent| {
            let spec = file.agents.get(*agent);
            spec.is_some_and(|spec| matches!(spec.kind, AgentKind::Failover(_)))
        });
        if let Some(agent) = failover {
            return Err(Failure::misuse(format!(
                "--fault names agent `{agent}`, which only asks others; name one of its targets"
            )));
        }
        let unknown = plan
            .agents()
            .find(|agent| !file.agents.contains_key(*agent));
        match unknown {
            None => Ok(plan),
            Some(agent) => {
                let known: Vec<&str> = file.agents.keys().map(String::as_str).collect();
                let known = known.join(", ");
                Err(Failure::misuse(format!(
                    "--fault names agent `{agent}`, which the file does not define; agents: {known}"
                )))
            }
        }
    }

    fn around(&self, agent: Arc<dyn Agent>) -> Arc<dyn Agent> {
        let agent = self.faults.wrap(agent, self.seed);
        match &self.execution_log {
            Some(log) => Arc::new(LoggedAgent::new(agent, Arc::clone(log))),
            None => agent,
        }
    }
}

/// Refuses a file that names a Rust function this program does not have.
pub(crate) fn check_functions(file: &WorkflowFile) -> Result<(), Failure> {
    for (name, spec) in &file.agents {
        if let AgentKind::Rust { function } = &spec.kind
            && !review::names().any(|known| known == function)
        {
            let message = format!(
                "agent `{name}` names the function `{function}`, which this program does not have"
            );
            let help = format!(
                "functions: {}",
                review::names().collect::<Vec<_>>().join(", ")
            );
            return Err(file.error_at_agent(name, message, help).into());
        }
    }
    Ok(())
}

/// Refuses a file with a schema that is none.
pub(crate) fn check_schemas(file: &WorkflowFile) -> Result<(), Failure> {
    for (name, spec) in &file.agents {
        let schemas = [
            ("input_schema", &spec.input_schema),
            ("output_schema", &spec.output_schema),
        ];
        for (field, schema) in schemas {
            let compiled = schema.as_ref().map(|schema| Schema::compile(field, schema));
            if let Some(Err(error)) = compiled {
                let message = format!("agent `{name}`: {error}");
                let help =
                    "write a JSON Schema, such as { type = \"object\", required = [\"name\"] }";
                return Err(file.error_at_agent(name, message, help).into());
            }
        }
    }
    Ok(())
}

/// Refuses a file whose commands hold placeholders that no run could fill.
pub(crate) fn check_placeholders(file: &WorkflowFile) -> Result<(), Failure> {
    let names = file.inputs.iter().map(|input| input.name.clone());
    let inputs: Value = names.map(|name| (name, Value::from(""))).collect();
    for (name, spec) in &file.agents {
        let texts: Vec<&String> = match &spec.kind {
            AgentKind::Command(command) => {
                let texts = [&command.program].into_iter().chain(&command.args);
                let texts = texts.chain(&command.dir).chain(command.env.values());
                texts.collect()
            }
            AgentKind::Mcp(tool) => mcp::texts(&tool.server),
            _ => continue,
        };
        let known = file.known_input(spec, &inputs);
        let error = texts.iter().find_map(|text| fill(text, &known).err());
        if let Some(error) = error {
            let message = format!("agent `{name}`: {error}");
            let help = fillable(file, spec, &known);
            return Err(file.error_at_agent(name, message, help).into());
        }
    }
    Ok(())
}

/// What placeholders an agent's command may hold, in words.
fn fillable(file: &WorkflowFile, spec: &AgentSpec, known: &Value) -> String {
    let known: Vec<&String> = known
        .as_object()
        .into_iter()
        .flat_map(|o| o.keys())
        .collect();
    let within = spec
        .within
        .as_ref()
        .and_then(|within| file.inner.get(within));
    let later = within.into_iter().flat_map(|file| &file.inputs);
    let later = later.map(|input| &input.name);
    let later: Vec<&str> = later
        .filter(|name| !known.contains(name))
        .map(|name| &**name)
        .collect();
    let known: Vec<&str> = known.into_iter().map(|name| &**name).collect();
    let known = match known.as_slice() {
        [] => "the file declares no inputs".to_owned(),
        known => format!("inputs: {}", known.join(", ")),
    };
    if later.is_empty() {
        return known;
    }
    let later = later.join(", ");
    format!("{later} comes from a step, so it is only on standard input; {known}")
}

/// Makes an agent, wrapped as asked. `directory` is the outermost file's, `input` the run's.
pub(crate) fn make(
    spec: &AgentSpec,
    file: &WorkflowFile,
    directory: &Path,
    input: &Value,
    wrapping: &Wrapping,
) -> Result<Arc<dyn Agent>, Failure> {
    let (directory, input) = (
        directory.join(file.directory_of(spec)),
        file.known_input(spec, input),
    );
    let schema = spec.output_schema.clone();
    let agent: Arc<dyn Agent> = match &spec.kind {
        AgentKind::Command(command) => Arc::new(make_command(
            &spec.name, command, schema, &directory, &input,
        )?),
        AgentKind::Rust { function } => review::agent(function, &spec.name, schema)
            .expect("functions were checked with the file"),
        AgentKind::Http(http) => Arc::new(endpoints::http(&spec.name, http, schema, &directory)?),
        AgentKind::OpenAi(model) => {
            Arc::new(endpoints::openai(&spec.name, model, schema, &directory)?)
        }
        AgentKind::Mcp(tool) => {
            let servers = &wrapping.servers;
            Arc::new(servers.tool(&spec.name, tool, schema, &directory, &input)?)
        }
        _ => {
            return Err(Failure::misuse(format!(
                "agent `{}` is of a kind this program does not know",
                spec.name
            )));
        }
    };
    let agent = match &spec.input_schema {
        Some(schema) => Arc::new(Typed::new(agent, schema.clone())),
        None => agent,
    };
    Ok(wrapping.around(agent))
}

fn make_command(
    name: &str,
    spec: &CommandSpec,
    schema: Option<Value>,
    directory: &Path,
    input: &Value,
) -> Result<CommandAgent, Failure> {
    let fill = |text: &str| {
        fill(text, input).map_err(|error| Failure::misuse(format!("agent `{name}`: {error}")))
    };
    let args = spec
        .args
        .iter()
        .map(|arg| fill(arg))
        .collect::<Result<Vec<_>, _>>()?;
    let home = match &spec.dir {
        Some(dir) => directory.join(fill(dir)?),
        None => directory.to_owned(),
    };
    let output = match spec.output.as_str() {
        "lines" => OutputFormat::Lines,
        "text" => OutputFormat::Text,
        _ => OutputFormat::Json,
    };
    let mut agent = CommandAgent::new(name, fill(&spec.program)?, args)
        .with_dir(home)
        .with_output(output);
    for (key, value) in &spec.env {
        agent = agent.with_env(key, fill(value)?);
    }
    if let Some(bytes) = spec.max_output_bytes {
        agent = agent.with_max_output(bytes);
    }
    if let Some(schema) = schema {
        agent = agent.with_output_schema(schema);
    }
    Ok(agent)
}

/// Puts `{input.NAME}` and `{fusebox}` (this executable) in their places. Whatever is filled in stays
/// one argument: no shell sees it. Braces around anything but one word, and a shell's `${NAME}`, are
/// the program's own.
pub(crate) fn fill(text: &str, input: &Value) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled += before;
        rest = after;
        let word = after.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
        let (name, behind) = after.split_at(word.unwrap_or(after.len()));
        let closed = behind.strip_prefix('}');
        let is_word = closed.is_some() && !name.is_empty() || name.starts_with("input.");
        if before.ends_with('$') || !is_word {
            filled.push('{');
            continue;
        }
        rest = closed.ok_or_else(|| {
            format!("`{text}`: a `{{` has no `}}`; write {{input.NAME}} or {{fusebox}}")
        })?;
        match name.strip_prefix("input.") {
            Some(name) => {
                let value = input[name].as_str();
                filled += value.ok_or_else(|| format!("`{text}`: there is no input `{name}`"))?;
            }
            None if name == "fusebox" => {
                let path = std::env::current_exe()
                    .map_err(|error| format!("this program's own path: {error}"))?;
                filled += path
                    .to_str()
                    .ok_or("this program's own path is not UTF-8")?;
            }
            None => {
                return Err(format!(
                    "`{text}`: `{{{name}}}` means nothing; write {{input.NAME}} or {{fusebox}}"
                ));
            }
        }
    }
    Ok(filled + rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fill;

    #[test]
    fn placeholders_are_filled_and_unknown_ones_refused() {
        let input = json!({ "path": "/a b/$(x)" });
        assert_eq!(
            fill("--at={input.path}!", &input).unwrap(),
            "--at=/a b/$(x)!"
        );
        for bad in ["{input.other}", "{path}", "{input.path"] {
            assert!(fill(bad, &input).is_err(), "{bad}");
        }
    }

    #[test]
    fn braces_that_are_no_placeholder_are_the_programs_own() {
        for text in [
            "{\"a\": {}}",
            "{ print $1 }",
            "echo ${HOME}",
            "{",
            "{}",
            "a}{",
        ] {
            assert_eq!(fill(text, &json!({})).unwrap(), text);
        }
    }
}
