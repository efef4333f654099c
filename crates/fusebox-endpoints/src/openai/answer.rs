//! What the model answered, whole or piece by piece.

use std::time::Duration;

use fusebox_agent::AgentError;
use serde_json::{Map, Value, json};

use super::price::Usage;
use crate::web::{Failure, Phase};

/// An answer, or as much of it as has come.
#[derive(Debug, Default)]
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "some of it only a span tells")
)]
pub(crate) struct Answer {
    text: String,
    refusal: String,
    calls: Vec<ToolCall>,
    pub(crate) finish: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) id: Option<String>,
    /// From sending the request to the first piece, if the answer came in pieces.
    pub(crate) first_piece_after: Option<Duration>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug, Default)]
struct ToolCall {
    id: String,
    name: String,
    arguments: String,
}

/// More calls than any model asks for at once; an index beyond it is nonsense that must not
/// become memory.
const MOST_CALLS: usize = 128;

impl Answer {
    /// An answer in one piece. `None` if it has no choice.
    pub(super) fn of_completion(completion: &Value) -> Option<Self> {
        let choice = completion.pointer("/choices/0")?;
        let message = choice
            .get("message")
            .filter(|message| message.is_object())?;
        let mut answer = Self::default();
        answer.take_common(completion, choice);
        answer.take_words(message);
        for (index, call) in calls_of(message).iter().enumerate() {
            answer.take_call(index, call);
        }
        Some(answer)
    }

    /// Adds a piece of a stream; gives its text, and whether it brought anything of the answer.
    pub(super) fn add(&mut self, chunk: &Value) -> (String, bool) {
        let nothing = Value::Null;
        let choice = chunk.pointer("/choices/0").unwrap_or(&nothing);
        self.take_common(chunk, choice);
        let delta = &choice["delta"];
        let before = self.text.len();
        self.take_words(delta);
        let calls = calls_of(delta);
        for (place, call) in calls.iter().enumerate() {
            let index = call["index"].as_u64().map_or(place, |index| index as usize);
            self.take_call(index, call);
        }
        let text = self.text[before..].to_owned();
        let thinks = ["reasoning_content", "reasoning", "refusal"]
            .iter()
            .any(|field| {
                delta[*field]
                    .as_str()
                    .is_some_and(|words| !words.is_empty())
            });
        let brings = !text.is_empty() || !calls.is_empty() || thinks;
        (text, brings)
    }

    /// Whether it is said to be at its end.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    fn take_common(&mut self, whole: &Value, choice: &Value) {
        if let Some(model) = whole["model"].as_str().filter(|model| !model.is_empty()) {
            self.model = Some(model.to_owned());
        }
        if let Some(id) = whole["id"].as_str().filter(|id| !id.is_empty()) {
            self.id = Some(id.to_owned());
        }
        if let Some(usage) = Usage::read(&whole["usage"]) {
            self.usage = Some(usage);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.to_owned());
        }
    }

    fn take_words(&mut self, message: &Value) {
        self.text
            .push_str(message["content"].as_str().unwrap_or_default());
        self.refusal
            .push_str(message["refusal"].as_str().unwrap_or_default());
    }

    fn take_call(&mut self, index: usize, call: &Value) {
        if index >= MOST_CALLS {
            return;
        }
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, ToolCall::default);
        }
        let known = &mut self.calls[index];
        let function = &call["function"];
        let parts = [
            (&mut known.id, &call["id"]),
            (&mut known.name, &function["name"]),
        ];
        for (known, part) in parts {
            if let Some(part) = part.as_str().filter(|part| !part.is_empty()) {
                part.clone_into(known);
            }
        }
        match &function["arguments"] {
            Value::String(part) => known.arguments.push_str(part),
            Value::Null => {}
            // Some give them as JSON rather than as JSON in text.
            other => known.arguments = other.to_string(),
        }
    }

    /// The agent's output, if the answer is one.
    pub(super) fn into_output(self, wants_json: bool) -> Result<Value, Failure> {
        let unreadable =
            |error: AgentError, detail: String| Err(Failure::new(Phase::Unreadable, error, detail));
        let finish = self.finish.as_deref().unwrap_or_default();
        if finish == "content_filter" || !self.refusal.is_empty() {
            let error = AgentError::content_filtered("did not answer for its content filter");
            let detail = "the answer was filtered, or the model refused to give one";
            return unreadable(error, detail.to_owned());
        }
        let is_cut = finish == "length";
        let mut calls = Vec::new();
        for call in &self.calls {
            match call.to_json() {
                Ok(call) => calls.push(call),
                Err(error) => {
                    let what = AgentError::invalid_output("asked for a tool without sense")
                        .retryable(!is_cut);
                    let detail = format!("the arguments for `{}` are no JSON: {error}", call.name);
                    return unreadable(what, detail);
                }
            }
        }
        if !wants_json || !calls.is_empty() {
            return Ok(self.into_object(calls));
        }
        serde_json::from_str(unfenced(&self.text)).or_else(|error| {
            let (what, detail) = match is_cut {
                true => (
                    "was cut off by the limit of tokens",
                    "the JSON is not whole; allow more tokens".to_owned(),
                ),
                false => ("answered with something that is no JSON", error.to_string()),
            };
            unreadable(AgentError::invalid_output(what).retryable(!is_cut), detail)
        })
    }

    fn into_object(self, calls: Vec<Value>) -> Value {
        let mut output = Map::new();
        output.insert("text".into(), self.text.into());
        if !calls.is_empty() {
            output.insert("tool_calls".into(), calls.into());
        }
        if let Some(finish) = self.finish {
            output.insert("finish_reason".into(), finish.into());
        }
        if let Some(model) = self.model {
            output.insert("model".into(), model.into());
        }
        if let Some(usage) = self.usage {
            let usage = json!({
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.completion,
                "total_tokens": usage.total(),
            });
            output.insert("usage".into(), usage);
        }
        output.into()
    }
}

impl ToolCall {
    fn to_json(&self) -> Result<Value, serde_json::Error> {
        // A tool without arguments is asked for with an empty text by some.
        let arguments = match self.arguments.trim() {
            "" => json!({}),
            text => serde_json::from_str(text)?,
        };
        Ok(json!({"id": self.id, "name": self.name, "arguments": arguments}))
    }
}

fn calls_of(message: &Value) -> &[Value] {
    message["tool_calls"].as_array().map_or(&[], Vec::as_slice)
}

/// Text without the fence that models like to put around JSON.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inside) = text.strip_prefix("```").and_then(|t| t.strip_suffix("```")) else {
        return text;
    };
    inside.strip_prefix("json").unwrap_or(inside)
}
