//! Tools of real servers: programs over stdio, services over HTTP, good ones and bad ones.

mod breakers;
mod ear;
mod http;
#[path = "../support/logs.rs"]
mod logs;
mod secrets;
mod stdio;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Context, Task};
use fusebox_endpoints::{McpLimits, McpServer, McpStdio};
use serde_json::Value;
use tokio::time::Instant;

/// Longer than any test takes on any machine.
const LONG: Duration = Duration::from_secs(60);

/// The program that serves well or badly.
fn program() -> PathBuf {
    support::example("mcp_tool", "mcp")
}

/// A server that is a program, restarted without a wait.
fn eager(stdio: McpStdio) -> McpServer {
    McpServer::with_limits("test", stdio, eager_limits())
}

fn eager_limits() -> McpLimits {
    McpLimits::default().with_restart(Duration::ZERO, Duration::ZERO)
}

fn serve() -> McpStdio {
    McpStdio::new(program(), ["--serve"]).with_supervisor(support::run_command())
}

async fn call(server: &McpServer, tool: &str, input: Value) -> Result<Value, AgentError> {
    let cx = Context::new("run", "step").with_deadline(Instant::now() + LONG);
    let reply = server.tool(tool).call(Task { input }, &cx).await;
    reply.map(|reply| reply.output)
}
