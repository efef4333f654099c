//! Agents that reach outside the process, each behind a feature. None is on by default.
//!
//! # Features
//!
//! - `command` (Unix): [`CommandAgent`] runs a program, with JSON on its standard input and on
//!   its standard output. The program and everything it started is killed at the deadline, and
//!   also dies with the process that runs the agent, even if that is killed with SIGKILL, once
//!   its `main` begins with [`enter_shim_if_asked`].
//! - `http`: [`HttpAgent`] is a service that takes and gives JSON, over HTTP/1.1 or 2.
//! - `openai`: [`OpenAiAgent`] is a language model behind an API like that of OpenAI: streams, tool
//!   calls, JSON that fits a schema, tokens and money told to budgets.
//! - `mcp`: [`McpTool`] is a tool of a Model Context Protocol server, an [`McpServer`] over stdio
//!   (Unix) or streamable HTTP, whose one connection its tools share.
//! - `tracing`: what models, tools and services are asked are spans with OpenTelemetry's
//!   attributes, which go with the request (`traceparent`) while somebody collects them; they never
//!   hold what was asked, answered or sent in secret.
//!
#![cfg_attr(all(feature = "command", unix), doc = "```")]
#![cfg_attr(not(all(feature = "command", unix)), doc = "```ignore")]
//! use fusebox_agent::{Agent, Context, Task};
//! use fusebox_endpoints::CommandAgent;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), fusebox_agent::AgentError> {
//! let agent = CommandAgent::new("echo", "sh", ["-c", r#"read input; echo "{\"got\": $input}""#]);
//! let reply = agent.call(Task::new(42), &Context::new("run", "echo")).await?;
//! assert_eq!(reply.output, json!({"got": 42}));
//! # Ok(())
//! # }
//! ```
//!
//! What an answer over HTTP means is a function without side effects, [`verdict`]: for gateways and
//! clients of one's own.
//!
//! # What it leaves to others
//!
//! Endpoints neither retry nor break circuits, and check no schema: that is the guard of
//! `fusebox-agent` around them.

#[cfg(all(feature = "command", unix))]
mod command;

#[cfg(feature = "http")]
mod http;

#[cfg(feature = "openai")]
mod openai;

#[cfg(any(feature = "mcp", feature = "openai"))]
mod prompt;

#[cfg(feature = "http")]
mod trace;

#[cfg(feature = "http")]
mod web;

#[cfg(feature = "mcp")]
mod mcp;

#[cfg(all(feature = "command", unix))]
pub use command::{CommandAgent, OutputFormat, UnreadableOutput, enter_shim_if_asked};
#[cfg(feature = "http")]
pub use http::{HttpAgent, HttpAgentBuilder, HttpMethod};
#[cfg(all(feature = "mcp", unix))]
pub use mcp::McpStdio;
#[cfg(feature = "mcp")]
pub use mcp::{McpHttp, McpLimits, McpServer, McpTool, McpTransport, ToolErrors};
#[cfg(feature = "openai")]
pub use openai::{OpenAiAgent, OpenAiAgentBuilder, Price, Tool};
#[cfg(feature = "http")]
pub use web::{
    MAX_HINT, Phase, Redirects, Refusal, Secret, SetupError, WireError, WireLimits, retry_hint,
    verdict,
};
