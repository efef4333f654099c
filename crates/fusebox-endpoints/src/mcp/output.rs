//! What a tool's result becomes.

use fusebox_agent::{AgentError, Reply};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use super::McpTool;

/// Characters of a tool's error that a message carries.
const SHOWN_CHARS: usize = 500;

/// What becomes of a result that the tool marks as an error (`isError`). The tool and its server
/// are well either way: it is not an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolErrors {
    /// A reply, `{"is_error": true, "content": ...}`, for whoever comes next to deal with. Where
    /// the output is checked by a schema, that decides whether it is one.
    #[default]
    Reply,
    /// An error with the tool's words, of the kind `invalid_input`: no breaker is charged, and
    /// nothing is tried again.
    Error,
}

pub(super) fn reply(
    result: CallToolResult,
    errors: ToolErrors,
    tool: &McpTool,
) -> Result<Reply, AgentError> {
    let is_error = result.is_error.unwrap_or(false);
    let content = content(result).map_err(|error| {
        let message = format!("{tool} gave content that cannot be written as json");
        AgentError::invalid_output(message).with_source(error)
    })?;
    match (is_error, errors) {
        (false, _) => Ok(Reply::new(content)),
        (true, ToolErrors::Reply) => Ok(Reply::new(json!({"is_error": true, "content": content}))),
        (true, ToolErrors::Error) => {
            let text = match content {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let message = format!("{tool} answered with an error: {}", shortened(&text));
            Err(AgentError::invalid_input(message).may_have_run(true))
        }
    }
}

fn content(result: CallToolResult) -> serde_json::Result<Value> {
    match (result.structured_content, result.content.as_slice()) {
        (Some(structured), _) => Ok(structured),
        (None, [ContentBlock::Text(text)]) => Ok(text.text.clone().into()),
        (None, content) => serde_json::to_value(content),
    }
}

/// Text from outside, cut so that it fits into a message.
pub(super) fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
