//! What is asked of the model.

use fusebox_agent::AgentError;
use serde_json::{Map, Value, json};

use crate::prompt::{Prompt, as_text};
use crate::web::{Failure, Phase};

/// Tokens of an answer that are reserved where no limit is set.
const USUAL_ANSWER: u64 = 1024;

/// A tool that the model may ask for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Tool {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it is good for; the model reads it.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
}

impl Tool {
    /// A tool with these arguments.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters,
        }
    }

    fn to_json(&self) -> Value {
        json!({"type": "function", "function": {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }})
    }
}

/// The standing part of a request.
#[derive(Clone)]
pub(crate) struct Chat {
    pub(crate) model: String,
    pub(crate) system: Option<String>,
    pub(crate) prompt: Option<Prompt>,
    pub(crate) tools: Vec<Tool>,
    /// The name of the schema and the schema.
    pub(crate) schema: Option<(String, Value)>,
    /// How the limit of tokens is called, and how many.
    pub(crate) limit: Option<(&'static str, u64)>,
    pub(crate) streams: bool,
    pub(crate) parameters: Map<String, Value>,
}

impl Chat {
    pub(crate) fn wants_json(&self) -> bool {
        self.schema.is_some()
    }

    /// Tokens that an answer may have.
    pub(super) fn most_tokens(&self) -> u64 {
        self.limit.map_or(USUAL_ANSWER, |(_, tokens)| tokens)
    }

    /// The request for an input.
    ///
    /// # Errors
    /// If the prompt has a place for something that the input has not.
    pub(super) fn body(&self, input: &Value) -> Result<Value, Failure> {
        let mut body = self.parameters.clone();
        body.insert("model".into(), self.model.clone().into());
        body.insert("messages".into(), self.messages(input)?.into());
        if self.streams {
            body.insert("stream".into(), true.into());
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        if let Some((name, tokens)) = self.limit {
            body.insert(name.into(), tokens.into());
        }
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(Tool::to_json).collect();
            body.insert("tools".into(), Value::Array(tools));
        }
        if let Some((name, schema)) = &self.schema {
            let format = json!({"type": "json_schema", "json_schema": {
                "name": name,
                "schema": schema,
            }});
            body.insert("response_format".into(), format);
        }
        Ok(body.into())
    }

    fn messages(&self, input: &Value) -> Result<Vec<Value>, Failure> {
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(json!({"role": "system", "content": system}));
        }
        let user = match (&self.prompt, input.get("messages")) {
            (Some(prompt), _) => prompt.fill(input).map_err(|place| {
                let error = AgentError::invalid_input("cannot be asked");
                let detail = format!("the prompt names `{place}`, and the input has nothing there");
                Failure::new(Phase::Connect, error, detail)
            })?,
            (None, Some(Value::Array(conversation))) => {
                messages.extend(conversation.iter().cloned());
                return Ok(messages);
            }
            (None, _) => as_text(input),
        };
        messages.push(json!({"role": "user", "content": user}));
        Ok(messages)
    }

    /// The least that can be asked: a word for a token.
    pub(super) fn least(&self) -> Self {
        let limit = self.limit.map_or("max_tokens", |(name, _)| name);
        Self {
            model: self.model.clone(),
            system: None,
            prompt: None,
            tools: Vec::new(),
            schema: None,
            limit: Some((limit, 1)),
            streams: false,
            parameters: Map::new(),
        }
    }

    /// The request for [the least](Self::least).
    pub(super) fn probe(&self) -> Value {
        let body = self.least().body(&"ping".into());
        body.unwrap_or_else(|_| unreachable!("no prompt names a place"))
    }
}
