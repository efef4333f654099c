//! The schemas of one agent, compiled once.

use serde_json::Value;

use crate::{AgentError, Description, Reply, Schema, SchemaError, Task};

#[derive(Clone)]
pub(super) struct Checks {
    agent: String,
    input: Compiled,
    output: Compiled,
}

type Compiled = Result<Option<Schema>, SchemaError>;

impl Checks {
    pub(super) fn of(agent: &Description) -> Self {
        let name = &agent.name;
        Self {
            agent: name.clone(),
            input: compile(
                &format!("input schema of agent `{name}`"),
                &agent.input_schema,
            ),
            output: compile(
                &format!("output schema of agent `{name}`"),
                &agent.output_schema,
            ),
        }
    }

    pub(super) fn usable(&self) -> Result<(), SchemaError> {
        self.input.as_ref().map_err(Clone::clone)?;
        self.output.as_ref().map_err(Clone::clone)?;
        Ok(())
    }

    /// Checks what can be known before the agent is called, its output schema included: a reply
    /// that nobody can check must not be asked for.
    pub(super) fn input(&self, task: &Task) -> Result<(), AgentError> {
        self.usable()
            .map_err(|error| AgentError::invalid_input(error.to_string()).with_source(error))?;
        violation(&self.input, &task.input).map_err(|violation| {
            let agent = &self.agent;
            AgentError::invalid_input(format!("input of agent `{agent}` is invalid: {violation}"))
        })
    }

    pub(super) fn output(&self, reply: &Reply) -> Result<(), AgentError> {
        violation(&self.output, &reply.output).map_err(|violation| {
            let agent = &self.agent;
            AgentError::invalid_output(format!(
                "reply does not fit the output schema of agent `{agent}`: {violation}"
            ))
        })
    }
}

fn compile(what: &str, schema: &Option<Value>) -> Compiled {
    let schema = schema.as_ref();
    schema
        .map(|schema| Schema::compile(what, schema))
        .transpose()
}

fn violation(schema: &Compiled, value: &Value) -> Result<(), String> {
    match schema {
        Ok(None) => Ok(()),
        Ok(Some(schema)) => schema.check(value),
        Err(error) => Err(error.to_string()),
    }
}
