//! A server with one good tool, and with tools that go wrong in every way there is, for tests.

use std::io::{self, Write};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, stdio};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::Failure;

/// The variable that names a file to which the tools write what they see.
const WITNESS: &str = "MCP_WITNESS";
/// The variable that names a file that is kept open.
const HOLD: &str = "MCP_HOLD";
/// The variable that makes the program do something else instead of serving.
const MODE: &str = "MCP_MODE";

pub(super) async fn over_stdio() -> Result<(), Failure> {
    match std::env::var(MODE).as_deref() {
        // Greets as programs do, then serves.
        Ok("greet") => writeln!(io::stdout(), "welcome!\nready\n")?,
        Ok("die") => {
            writeln!(io::stderr(), "no license for token {}", secret())?;
            std::process::exit(3);
        }
        Ok("mute") => std::future::pending().await,
        Ok("babble") => loop {
            writeln!(io::stdout(), "{}", "bla ".repeat(1000))?;
        },
        _ => {}
    }
    witness("started");
    let _held = hold()?;
    let service = Tools.serve(stdio()).await?;
    service.waiting().await?;
    Ok(())
}

pub(super) async fn over_http() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let mut config = StreamableHttpServerConfig::default();
    config.json_response = std::env::var(MODE).as_deref() == Ok("json");
    config.legacy_session_mode = !config.json_response;
    let sessions = std::sync::Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Tools), sessions, config);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[derive(Clone)]
struct Tools;

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let numbers = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"type": "number"}, "b": {"type": "number"},
        }});
        let sum = json!({"type": "object", "required": ["sum"]});
        let add = Tool::new("add", "adds two numbers", object(numbers))
            .with_raw_output_schema(object(sum).into());
        let echo = Tool::new(
            "echo",
            "gives back its text",
            object(json!({"type": "object"})),
        );
        Ok(ListToolsResult::with_all_items(vec![add, echo]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = request.arguments.unwrap_or_default();
        let result = match &*request.name {
            "add" => add(&given)?,
            "echo" => CallToolResult::success(vec![ContentBlock::text(text(&given))]),
            "two" => {
                CallToolResult::success(vec![ContentBlock::text("one"), ContentBlock::text("two")])
            }
            "fail" => CallToolResult::error(vec![ContentBlock::text("no such order")]),
            "break" => return Err(ErrorData::internal_error("the database is gone", None)),
            "meta" => {
                let meta: Value = serde_json::to_value(&cx.meta).unwrap_or_default();
                CallToolResult::structured(meta)
            }
            "hang" => {
                witness("hanging");
                cx.ct.cancelled().await;
                witness("cancelled");
                return Err(ErrorData::internal_error("cancelled", None));
            }
            // Not even a ping is answered: there is one thread.
            "freeze" => {
                witness("frozen");
                std::thread::sleep(Duration::from_secs(600));
                CallToolResult::default()
            }
            "crash" => {
                let _ = writeln!(io::stderr(), "out of cheese, redo from start");
                std::process::exit(7);
            }
            "huge" => {
                let bytes = given["bytes"].as_u64().unwrap_or_default();
                let text = "x".repeat(usize::try_from(bytes).unwrap_or_default());
                CallToolResult::success(vec![ContentBlock::text(text)])
            }
            // For stdio only: something that is no message goes before the answer.
            "print" => {
                let _ = writeln!(io::stdout(), "{}", text(&given));
                let _ = io::stdout().flush();
                CallToolResult::success(vec![ContentBlock::text("printed")])
            }
            other => {
                let message = format!("unknown tool: {other}");
                return Err(ErrorData::invalid_params(message, None));
            }
        };
        Ok(result.into())
    }
}

fn add(given: &Map<String, Value>) -> Result<CallToolResult, ErrorData> {
    let number = |name: &str| {
        let number = given.get(name).and_then(Value::as_f64);
        number.ok_or_else(|| ErrorData::invalid_params(format!("{name} is not a number"), None))
    };
    Ok(CallToolResult::structured(
        json!({"sum": number("a")? + number("b")?}),
    ))
}

fn text(given: &Map<String, Value>) -> String {
    given
        .get("text")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// What a good program would not print.
fn secret() -> String {
    std::env::var("MCP_SECRET").unwrap_or_default()
}

/// Keeps a file open for as long as the program lives, and says so in it.
fn hold() -> io::Result<Option<std::fs::File>> {
    let Some(path) = std::env::var_os(HOLD) else {
        return Ok(None);
    };
    let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
    writeln!(file, "up")?;
    Ok(Some(file))
}

fn witness(line: &str) {
    if let Some(path) = std::env::var_os(WITNESS)
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).open(path)
    {
        let _ = writeln!(file, "{line} {}", std::process::id());
    }
}
