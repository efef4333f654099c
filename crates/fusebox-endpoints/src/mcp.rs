//! Agents that are a tool of a Model Context Protocol server.

mod arguments;
mod connection;
mod error;
mod http;
mod limits;
mod lines;
mod output;
mod restart;
mod server;
#[cfg(unix)]
mod stdio;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, ErrorKind, Reply, Task};
use rmcp::model::{CallToolRequestParams, CallToolResult, RequestMetaObject};
use serde_json::Value;

use crate::trace::{self, RequestSpan};

pub use self::http::McpHttp;
pub use self::limits::McpLimits;
pub use self::output::ToolErrors;
pub use self::server::{McpServer, McpTransport};
#[cfg(unix)]
pub use self::stdio::McpStdio;

/// The key of a request's `_meta` under which the idempotency key of the task travels.
const IDEMPOTENCY_KEY: &str = "io.github.fusebox-rs/idempotency-key";

/// Makes a tool's arguments of a task's input.
type Arguments = Arc<dyn Fn(&Value) -> Result<Value, String> + Send + Sync>;

/// An agent that is one tool of an [`McpServer`]. The agents of one server share its connection.
///
/// The input becomes the tool's arguments: an object, or nothing (`null`). The tool also finds the
/// task's idempotency key in the request's `_meta`, as `io.github.fusebox-rs/idempotency-key`.
/// The reply is the tool's structured content if it gives any, else its text if it gives that
/// alone, else its content as the protocol writes it.
///
/// # Errors
///
/// | what happened | kind | whose fault | may have run | retryable |
/// |---|---|---|---|---|
/// | arguments that are no object, unknown tool, invalid parameters | `invalid_input` | the caller | no | no |
/// | the tool answered with an error result ([`ToolErrors`]) | a reply | nobody | yes | - |
/// | the tool answered with a protocol error | `api` | the tool | yes | yes |
/// | no answer by the deadline | `timed_out` | the tool | yes | yes |
/// | an answer larger than the limit, or asking back | `invalid_output` | the tool | yes | no |
/// | the server cannot be started or reached, waits for its restart, or refuses | `dependency_unavailable` | the server | no | yes |
/// | the server died, or said what is not the protocol, before it answered | `dependency_unavailable` | the server | yes | yes |
/// | HTTP 429, HTTP 503 or 529 | `rate_limited`, `overloaded` | the server | no | yes |
/// | HTTP 401 or 403 | `unauthorized` | the credentials | no | no |
///
/// The server's faults come as kinds of their own, so that each can be charged to a breaker of its
/// own: the server's with [`Behind`](fusebox_agent::Behind), the tool's with the policy around it.
///
/// After a time-out the server is asked for a sign of life ([`McpLimits::with_ping`]); one that
/// gives none is taken for dead, and its next call finds a new connection.
///
/// # Cancellation
/// Cancelling the context or dropping the future sends the server the protocol's notice of
/// cancellation. The server itself goes on: it serves others.
///
/// # Panics
/// `call` panics outside a Tokio runtime with its I/O and time drivers on.
#[derive(Clone)]
pub struct McpTool {
    description: Description,
    server: McpServer,
    tool: Arc<str>,
    arguments: Option<Arguments>,
    errors: ToolErrors,
}

impl McpTool {
    pub(super) fn new(server: McpServer, tool: Arc<str>) -> Self {
        Self {
            description: Description::new(&*tool, "mcp"),
            server,
            tool,
            arguments: None,
            errors: ToolErrors::default(),
        }
    }

    /// Sets the agent's name in graphs, logs and metrics; default: the tool's.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.description.name = name.into();
        self
    }

    /// Sets how a task's input becomes the tool's arguments; default: as it is. An error is the
    /// caller's fault; its text goes into the message.
    #[must_use]
    pub fn with_arguments(
        mut self,
        arguments: impl Fn(&Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.arguments = Some(Arc::new(arguments));
        self
    }

    /// Sets the tool's arguments, with places for parts of the input: text that is a JSON Pointer in
    /// braces, such as `{/upstream/triage/team}`, stands for what the input has there, whatever its
    /// type; within other text such a place becomes text. A place at which there is nothing is the
    /// caller's fault.
    #[must_use]
    pub fn with_argument_template(self, template: Value) -> Self {
        self.with_arguments(move |input| arguments::fill(&template, input))
    }

    /// Sets what becomes of an error result; default [`ToolErrors::Reply`].
    #[must_use]
    pub fn with_tool_errors(mut self, errors: ToolErrors) -> Self {
        self.errors = errors;
        self
    }

    /// Describes the input with a JSON Schema, for the guard to check.
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_input_schema(schema);
        self
    }

    /// Describes the reply with a JSON Schema, for the guard to check.
    #[must_use]
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_output_schema(schema);
        self
    }

    /// The server the tool belongs to.
    #[must_use]
    pub fn server(&self) -> &McpServer {
        &self.server
    }

    async fn answer(&self, input: Value, cx: &Context) -> Result<CallToolResult, AgentError> {
        let request = self.request(input, cx)?;
        let interrupted = tokio::select! {
            biased;
            answer = self.server.call(request) => {
                let answer = answer.map_err(|error| {
                    let message = format!("{self}: {error}");
                    error.with_message(message)
                })?;
                if answer.is_error == Some(true) {
                    trace::tool_failed();
                }
                return Ok(answer);
            }
            interrupted = cx.interrupted() => interrupted,
        };
        if interrupted.kind == ErrorKind::TimedOut {
            self.server.doubt();
        }
        let message = format!("{self}: {interrupted} before it answered");
        Err(interrupted.with_message(message))
    }

    fn request(&self, input: Value, cx: &Context) -> Result<CallToolRequestParams, AgentError> {
        let refused = |why: String| AgentError::invalid_input(format!("{self}: {why}"));
        let input = match &self.arguments {
            Some(arguments) => arguments(&input).map_err(refused)?,
            None => input,
        };
        let mut params = CallToolRequestParams::new(self.tool.to_string());
        params = match input {
            Value::Object(arguments) => params.with_arguments(arguments),
            Value::Null => params,
            other => {
                let kind = kind_of(&other);
                let message = format!("takes an object as its arguments or null, not {kind}");
                return Err(refused(message));
            }
        };
        let mut meta = RequestMetaObject::new();
        meta.insert(IDEMPOTENCY_KEY.to_owned(), cx.idempotency_key().into());
        // Where the conventions have it: one connection carries many requests.
        if let Some(parent) = trace::traceparent() {
            meta.insert("traceparent".to_owned(), parent.into());
        }
        params.meta = Some(meta);
        Ok(params)
    }
}

#[async_trait]
impl Agent for McpTool {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        cx.check()?;
        let (name, transport) = (self.server.name(), self.server.transport());
        let span = RequestSpan::tool(&self.tool, name, transport);
        let result = span.around(self.answer(task.input, cx)).await?;
        output::reply(result, self.errors, self)
    }
}

/// The tool and its server, as errors name them.
impl fmt::Display for McpTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tool `{}` of mcp server `{}`",
            self.tool,
            self.server.name()
        )
    }
}

impl fmt::Debug for McpTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpTool")
            .field("description", &self.description)
            .field("server", &self.server)
            .field("tool", &self.tool)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
