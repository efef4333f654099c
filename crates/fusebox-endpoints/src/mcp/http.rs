//! A server that is a service, spoken to over streamable HTTP.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::SseRetryPolicy;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

use super::Redacted;

/// Bytes of the body of a refusal that are read.
const MAX_REFUSAL: usize = 4 * 1024;
/// How long a connection may take to come about; the handshake has its own limit.
const CONNECT: Duration = Duration::from_secs(5);

/// A server that is a service at a URL, spoken to over the protocol's streamable HTTP.
///
/// Redirects are not followed, and nothing is sent twice but what the server refused unread
/// because its session was over (HTTP 404). A stream of answers that breaks is not resumed: the
/// call fails.
#[derive(Clone)]
pub struct McpHttp {
    url: Url,
    token: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A URL or header that no request can have. Its text shows neither: they may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMcpUrl(&'static str);

impl McpHttp {
    /// A server at `url`.
    ///
    /// # Errors
    /// If it is not an absolute URL of the scheme `http` or `https`, or holds a user name or a
    /// password: give those as a token or a header, which are kept out of errors.
    pub fn try_new(url: &str) -> Result<Self, InvalidMcpUrl> {
        let url = Url::parse(url).map_err(|_| InvalidMcpUrl("the url cannot be read"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InvalidMcpUrl(
                "the url is not one of http or https, with a host",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidMcpUrl(
                "the url holds credentials, give them as a token or a header",
            ));
        }
        Ok(Self {
            url,
            token: None,
            headers: Vec::new(),
        })
    }

    /// Sets the bearer token sent with every request. Never shows in `Debug` output or errors.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Adds a header to every request. Its value never shows in `Debug` output or errors.
    ///
    /// # Errors
    /// If no request can have a header of this name or value.
    pub fn try_with_header(mut self, name: &str, value: &str) -> Result<Self, InvalidMcpUrl> {
        let name = name.parse();
        let name = name.map_err(|_| {
            InvalidMcpUrl("the name of a header has a character that none may have")
        })?;
        let value = HeaderValue::from_str(value);
        let mut value = value.map_err(|_| {
            InvalidMcpUrl("the value of a header has a character that none may have")
        })?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    pub(super) fn transport(
        &self,
        message_bytes: usize,
    ) -> io::Result<StreamableHttpClientTransport<Client>> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str());
        config.retry_config = Arc::new(Never);
        config.max_sse_event_size = message_bytes;
        config.max_json_response_size = message_bytes;
        config.max_error_response_size = MAX_REFUSAL;
        config.auth_header.clone_from(&self.token);
        config.custom_headers = self.headers.iter().cloned().collect::<HashMap<_, _>>();
        let client = client().map_err(io::Error::other)?;
        Ok(StreamableHttpClientTransport::with_client(client, config))
    }
}

/// A client that follows no redirect: one could lead to where only this machine may go.
fn client() -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .connect_timeout(CONNECT);
    Ok(client.build()?)
}

impl fmt::Debug for McpHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        shown.set_query(self.url.query().map(|_| "redacted"));
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, _)| (name, Redacted))
            .collect();
        f.debug_struct("McpHttp")
            .field("url", &shown.as_str())
            .field("token", &self.token.as_ref().map(|_| Redacted))
            .field("headers", &headers)
            .finish()
    }
}

/// A stream that broke is not opened again: whether to try again is decided elsewhere.
#[derive(Debug)]
struct Never;

impl SseRetryPolicy for Never {
    fn retry(&self, _: usize) -> Option<Duration> {
        None
    }
}
