//! One connection to a server, shared by its calls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rmcp::ClientHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, ClientRequest,
    Implementation, PaginatedRequestParams, PingRequest, Tool,
};
use rmcp::service::{
    ClientInitializeError, RoleClient, RunningService, ServiceError, serve_client,
};
use rmcp::transport::IntoTransport;
use tokio::time::{Instant, timeout};

/// Pages of tools asked for; a server that has more, or goes in circles, is not asked further.
const MAX_PAGES: usize = 100;

/// Why a connection ended, as far as this side saw it.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// A program is gone: how, to go on after "the program", and what it said last.
    Program(String),
    /// A message has more bytes than this.
    TooLong(usize),
    /// It says what is not the protocol.
    Spoiled(String),
    /// No answer to a ping within this time.
    NoSignOfLife(Duration),
}

/// The end of a connection, told once by whoever sees it first.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<OnceLock<(End, Instant)>>);

impl Fate {
    pub(super) fn seal(&self, end: End) {
        let _ = self.0.set((end, Instant::now()));
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.0.get().map(|(end, _)| end)
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.0.get().map(|&(_, at)| at)
    }
}

/// An open connection. Dropping it closes it; a program is given a second to end.
pub(super) struct Connection {
    service: RunningService<RoleClient, Client>,
    pub(super) fate: Fate,
    pub(super) since: Instant,
    calls: AtomicUsize,
    is_pinged: AtomicBool,
}

impl Connection {
    /// Shakes hands over `transport`.
    pub(super) async fn open<T, E, A>(
        transport: T,
        fate: Fate,
    ) -> Result<Self, Box<ClientInitializeError>>
    where
        T: IntoTransport<RoleClient, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let service = serve_client(Client, transport).await.map_err(Box::new)?;
        Ok(Self {
            service,
            fate,
            since: Instant::now(),
            calls: AtomicUsize::new(0),
            is_pinged: AtomicBool::new(false),
        })
    }

    /// The version of the protocol that was agreed upon.
    pub(super) fn protocol(&self) -> Option<String> {
        let server = self.service.peer_info()?;
        Some(server.protocol_version.to_string())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.is_transport_closed()
    }

    /// Calls a tool. Dropping the future sends the server the notice of cancellation.
    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
    ) -> Result<CallToolResponse, CallError> {
        let mut call = InFlight::new(&self.calls);
        let result = self.service.call_tool_once(request).await;
        result.map_err(|error| CallError {
            error,
            end: self.fate.end().cloned(),
            was_alone: call.was_alone(),
        })
    }

    /// The server's tools.
    pub(super) async fn tools(&self) -> Result<Vec<Tool>, CallError> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.service.list_tools(Some(params)).await;
            let page = page.map_err(|error| CallError {
                error,
                end: self.fate.end().cloned(),
                was_alone: false,
            })?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Asks for a sign of life, and closes the connection if there is none within `limit`.
    pub(super) async fn ping(&self, limit: Duration) {
        if self.is_closed() || self.is_pinged.swap(true, Ordering::Relaxed) {
            return;
        }
        let ping = ClientRequest::PingRequest(PingRequest::default());
        // An answer of any kind is a sign of life, an error as well.
        if timeout(limit, self.service.send_request(ping))
            .await
            .is_err()
        {
            self.fate.seal(End::NoSignOfLife(limit));
            self.service.cancellation_token().cancel();
        }
        self.is_pinged.store(false, Ordering::Relaxed);
    }
}

/// Why a call brought no result.
pub(super) struct CallError {
    pub(super) error: ServiceError,
    /// How the connection ended, if it did.
    pub(super) end: Option<End>,
    /// Whether no other call was under way: what ended the connection was this one's doing.
    pub(super) was_alone: bool,
}

/// One of the calls under way.
struct InFlight<'a> {
    calls: &'a AtomicUsize,
}

impl<'a> InFlight<'a> {
    fn new(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self { calls }
    }

    fn was_alone(&mut self) -> bool {
        self.calls.load(Ordering::Relaxed) == 1
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// This side of the handshake. It offers a server nothing to ask back for.
#[derive(Debug)]
pub(super) struct Client;

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let own = Implementation::new("fusebox", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), own)
    }
}
