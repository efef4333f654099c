//! Calls a tool of a Model Context Protocol server. The server is this very program, started as
//! `mcp_tool --serve`; `mcp_tool --serve-http` serves over HTTP, and prints its URL.
//!
//! Prints:
//! ```text
//! 2 + 40 = 42
//! ```

mod server;

use std::io::{self, Write};
use std::process::ExitCode;

use fusebox_agent::{Agent, Context, Task};
use fusebox_endpoints::{McpServer, McpStdio, enter_shim_if_asked};
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    // The server dies with this process, whatever kills it.
    enter_shim_if_asked();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        None => call().await,
        // For tests: a host that calls a tool and waits.
        Some("--call") => {
            let tool = std::env::args().nth(2).unwrap_or_default();
            let server =
                McpServer::new("own", McpStdio::new(std::env::current_exe()?, ["--serve"]));
            let cx = Context::new("example", "call");
            let reply = server.tool(tool).call(Task::default(), &cx).await?;
            Ok(writeln!(io::stdout(), "{}", reply.output)?)
        }
        Some("--serve") => server::over_stdio().await,
        Some("--serve-http") => server::over_http().await,
        Some(other) => Err(format!("`{other}` is not --serve or --serve-http").into()),
    }
}

async fn call() -> Result<(), Failure> {
    let program = McpStdio::new(std::env::current_exe()?, ["--serve"]);
    let server = McpServer::new("arithmetic", program);
    let add = server.tool("add");

    let cx = Context::new("example", "add");
    let reply = add.call(Task::new(json!({"a": 2, "b": 40})), &cx).await?;
    let sum = reply.output["sum"].as_f64().unwrap_or_default();
    writeln!(io::stdout(), "2 + 40 = {sum}")?;
    Ok(())
}
