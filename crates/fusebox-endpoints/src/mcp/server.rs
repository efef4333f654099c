//! A server, and the connection its tools share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fusebox_agent::{AgentError, Context};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, Tool};
use rmcp::service::ServiceError;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

use super::McpTool;
use super::connection::{CallError, Connection, Fate};
use super::error;
use super::http::McpHttp;
use super::limits::McpLimits;
use super::restart::Restart;
#[cfg(unix)]
use super::stdio::McpStdio;
use crate::trace;
use crate::web::Scrubber;

/// How a server is reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum McpTransport {
    /// A program, over its standard input and output.
    #[cfg(unix)]
    Stdio(McpStdio),
    /// A service, over streamable HTTP.
    Http(McpHttp),
}

#[cfg(unix)]
impl From<McpStdio> for McpTransport {
    fn from(stdio: McpStdio) -> Self {
        Self::Stdio(stdio)
    }
}

impl McpTransport {
    /// What errors must not show, though the server may say it.
    fn secrets(&self) -> Scrubber {
        match self {
            #[cfg(unix)]
            Self::Stdio(stdio) => Scrubber::new(stdio.secrets()),
            Self::Http(http) => Scrubber::new(http.secrets().iter().map(String::as_str)),
        }
    }
}

impl From<McpHttp> for McpTransport {
    fn from(http: McpHttp) -> Self {
        Self::Http(http)
    }
}

/// A Model Context Protocol server and its one connection, which all its tools share. Cheap to
/// clone; the clones are the same server.
///
/// The connection is made by the first call that needs it, and made again by a call that finds it
/// dead, after a wait that grows with the failures in a row ([`McpLimits::with_restart`]). Until
/// then calls are refused at once. When the last clone is dropped, tools included, the connection
/// is closed and a program ends.
///
/// ```no_run
/// use fusebox_agent::{Agent, Context, Task};
/// use fusebox_endpoints::{McpLimits, McpServer, McpStdio};
/// use serde_json::json;
///
/// # async fn example() -> Result<(), fusebox_agent::AgentError> {
/// let server = McpServer::new("orders", McpStdio::new("orders-mcp", ["--read-only"]));
/// let status = server.tool("order_status");
/// let reply = status.call(Task::new(json!({"id": 17})), &Context::new("run", "data")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct McpServer {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    transport: McpTransport,
    secrets: Scrubber,
    limits: McpLimits,
    state: Arc<Mutex<State>>,
    /// The open connection, to be doubted without waiting for the lock.
    current: std::sync::Mutex<Option<Arc<Connection>>>,
    connections: AtomicU64,
}

#[derive(Default)]
struct State {
    restart: Restart,
    /// The last failure, for the calls that are refused because of it.
    last: String,
}

impl McpServer {
    /// A server with the default [`McpLimits`]. Nothing is started yet.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, transport: impl Into<McpTransport>) -> Self {
        Self::with_limits(name, transport, McpLimits::default())
    }

    /// A server with these limits. Nothing is started yet.
    #[must_use]
    pub fn with_limits(
        name: impl Into<Arc<str>>,
        transport: impl Into<McpTransport>,
        limits: McpLimits,
    ) -> Self {
        let transport = transport.into();
        let inner = Inner {
            name: name.into(),
            secrets: transport.secrets(),
            transport,
            limits,
            state: Arc::default(),
            current: std::sync::Mutex::default(),
            connections: AtomicU64::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The server's name in errors, and of its breaker.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.inner.name
    }

    /// The agent that is the server's tool of this name. The server is not asked whether it has
    /// one; [`discover`](Self::discover) does.
    #[must_use]
    pub fn tool(&self, name: impl Into<Arc<str>>) -> McpTool {
        McpTool::new(self.clone(), name.into())
    }

    /// The agents that are the server's tools, with the schemas that it describes them by.
    ///
    /// # Errors
    /// As a call of a tool, where the server is to blame.
    ///
    /// # Cancellation
    /// As a call of a tool: by the context, its deadline, or by dropping the future.
    pub async fn discover(&self, cx: &Context) -> Result<Vec<McpTool>, AgentError> {
        cx.check()?;
        let listed = async {
            let connection = self.connection().await?;
            let tools = connection.tools().await;
            tools.map_err(|failed| self.inner.not_answered(&failed))
        };
        let tools = tokio::select! {
            biased;
            tools = listed => tools?,
            interrupted = cx.interrupted() => return Err(interrupted),
        };
        Ok(tools.into_iter().map(|tool| self.described(tool)).collect())
    }

    /// Connections made so far, the first included.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Ordering::Relaxed)
    }

    pub(super) fn transport(&self) -> &McpTransport {
        &self.inner.transport
    }

    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
    ) -> Result<CallToolResult, AgentError> {
        let connection = self.connection().await?;
        trace::speaks(connection.protocol().as_deref());
        match connection.call(request).await {
            Ok(CallToolResponse::Complete(result)) => Ok(result),
            Ok(CallToolResponse::InputRequired(_)) => Err(error::asks_back("input")),
            Ok(_) => Err(error::asks_back("patience, by way of a task")),
            Err(failed) => Err(self.inner.not_answered(&failed)),
        }
    }

    /// A call has timed out: is the server still there?
    pub(super) fn doubt(&self) {
        let Some(connection) = self.inner.current() else {
            return;
        };
        let limit = self.inner.limits.ping;
        tokio::spawn(async move { connection.ping(limit).await });
    }

    fn described(&self, tool: Tool) -> McpTool {
        let schema =
            |schema: &Arc<serde_json::Map<String, Value>>| Value::Object((**schema).clone());
        let agent = self
            .tool(&*tool.name)
            .with_input_schema(schema(&tool.input_schema));
        match &tool.output_schema {
            Some(output) => agent.with_output_schema(schema(output)),
            None => agent,
        }
    }

    /// The connection, made if there is none.
    async fn connection(&self) -> Result<Arc<Connection>, AgentError> {
        if let Some(open) = self.inner.open_connection() {
            return Ok(open);
        }
        let state = Arc::clone(&self.inner.state).lock_owned().await;
        if let Some(open) = self.inner.open_connection() {
            return Ok(open);
        }
        // On a task of its own, so that a caller who gives up does not take it along: the next
        // one needs it, too.
        let inner = Arc::clone(&self.inner);
        let connected = tokio::spawn(async move { inner.connect(state).await }).await;
        connected.unwrap_or_else(|error| {
            let name = &self.inner.name;
            let message = format!("the connection to mcp server `{name}` was not made");
            Err(AgentError::unavailable(name)
                .with_message(message)
                .with_source(error))
        })
    }
}

impl Inner {
    fn current(&self) -> Option<Arc<Connection>> {
        // Nothing can panic under this lock.
        let current = self.current.lock();
        current
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn open_connection(&self) -> Option<Arc<Connection>> {
        self.current().filter(|connection| !connection.is_closed())
    }

    fn replace(&self, by: Option<Arc<Connection>>) {
        let current = self.current.lock();
        *current.unwrap_or_else(std::sync::PoisonError::into_inner) = by;
    }

    async fn connect(
        &self,
        mut state: OwnedMutexGuard<State>,
    ) -> Result<Arc<Connection>, AgentError> {
        let now = Instant::now();
        if let Some(dead) = self.current() {
            let at = dead.fate.at().unwrap_or(now);
            state.restart.ended(dead.since, at, &self.limits);
            state.last = self.secrets.scrub(&error::how_it_ended(dead.fate.end()));
            self.replace(None);
        }
        if let Some(wait) = state.restart.wait(now) {
            return Err(error::waiting(&self.name, wait, &state.last));
        }
        let fate = Fate::default();
        let opened = match timeout(self.limits.connect, self.open(fate.clone())).await {
            Ok(opened) => opened,
            Err(_) => Err(error::connect_timed_out(&self.name, self.limits.connect)),
        };
        match opened {
            Ok(connection) => {
                self.connections.fetch_add(1, Ordering::Relaxed);
                let connection = Arc::new(connection);
                self.replace(Some(Arc::clone(&connection)));
                Ok(connection)
            }
            Err(error) => {
                state.restart.failed(Instant::now(), &self.limits);
                state.last = error.message.clone();
                Err(error)
            }
        }
    }

    async fn open(&self, fate: Fate) -> Result<Connection, AgentError> {
        let opened = match &self.transport {
            #[cfg(unix)]
            McpTransport::Stdio(stdio) => {
                let transport = stdio
                    .start(self.limits.message_bytes, fate.clone())
                    .map_err(|error| error::not_started(&self.name, error))?;
                Connection::open(transport, fate.clone()).await
            }
            McpTransport::Http(http) => {
                let transport = http
                    .transport(self.limits.message_bytes)
                    .map_err(|error| error::not_started(&self.name, error))?;
                Connection::open(transport, fate.clone()).await
            }
        };
        opened
            .map_err(|failed| self.scrubbed(error::not_connected(&self.name, &failed, fate.end())))
    }

    fn not_answered(&self, failed: &CallError) -> AgentError {
        if let ServiceError::McpError(error) = &failed.error {
            trace::refused(error.code.0);
        }
        self.scrubbed(error::not_answered(&self.name, failed))
    }

    fn scrubbed(&self, error: AgentError) -> AgentError {
        let message = self.secrets.scrub(&error.message);
        error.with_message(message)
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer")
            .field("name", &self.inner.name)
            .field("transport", &self.inner.transport)
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}
