//! The tool server and the order service, each a process of its own: this program, started with
//! the service's name as its argument. A service ends when its standard input does.

use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::Failure;

/// The arguments that make this program a service.
pub const TOOLS: &str = "--serve-tools";
/// As [`TOOLS`].
pub const ORDERS: &str = "--serve-orders";

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub struct Service {
    _child: Child,
    /// Where it is: `host:port`.
    pub address: String,
}

impl Service {
    /// Starts `program` as the service that `name` says, and waits until it listens.
    ///
    /// # Errors
    /// If it cannot be started, or says nothing.
    pub async fn start(program: &Path, name: &str) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the service has no output")?;
        let address = BufReader::new(stdout).lines().next_line().await?;
        let address = address.ok_or("the service ended before it listened")?;
        Ok(Self {
            _child: child,
            address,
        })
    }
}

/// Serves until standard input ends.
///
/// # Errors
/// If no port can be bound.
pub async fn serve(name: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0)
    });
    match name {
        TOOLS => tools(listener).await,
        _ => orders(listener).await,
    }
}

async fn tools(listener: TcpListener) -> Result<(), Failure> {
    let config = StreamableHttpServerConfig::default();
    let sessions = Arc::new(LocalSessionManager::default());
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

/// The tool server, by the official SDK.
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
        let input = json!({"type": "object", "required": ["team"]});
        let input = input.as_object().cloned().unwrap_or_default();
        let tool = Tool::new("runbook", "what a team does first", input);
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != "runbook" {
            return Err(ErrorData::invalid_params("unknown tool", None));
        }
        let arguments = request.arguments.unwrap_or_default();
        let steps = match arguments.get("team").and_then(Value::as_str) {
            Some("payments") => json!(["look at the last invoice", "check the bank's status page"]),
            Some("platform") => json!(["look at the dashboard", "roll back the last release"]),
            _ => json!(["ask for a screenshot"]),
        };
        Ok(CallToolResult::structured(json!({"steps": steps})).into())
    }
}

/// The order service: one request per connection, which is all it takes.
async fn orders(listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(order(stream));
    }
}

async fn order(mut stream: TcpStream) -> io::Result<()> {
    let (mut head, mut reader) = (Vec::new(), BufReader::new(&mut stream));
    let mut length = 0;
    while !head.ends_with(b"\r\n\r\n") {
        let begin = head.len();
        if reader.read_until(b'\n', &mut head).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&head[begin..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let task: Value = serde_json::from_slice(&body).unwrap_or_default();
    let customer = task["input"]["customer"].as_str().unwrap_or("unknown");
    let answer = json!({"orders": [{"id": 4711, "customer": customer, "status": "paid"}]});
    let answer = answer.to_string();
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{answer}",
        answer.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
