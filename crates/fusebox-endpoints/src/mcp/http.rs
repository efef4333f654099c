//! A server that is a service, spoken to over streamable HTTP.

mod quiet;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::SseRetryPolicy;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use self::quiet::QuietClient;
use crate::web::{ClientSetup, Destination, Secret, SetupError, tls};

/// Bytes of the body of a refusal that are read.
const MAX_REFUSAL: usize = 4 * 1024;
/// How long a connection may take to come about; the handshake has its own limit.
const CONNECT: Duration = Duration::from_secs(5);

/// A server that is a service at a URL, spoken to over the protocol's streamable HTTP.
///
/// Redirects are not followed, and nothing is sent twice but what the server refused unread
/// because its session was over (HTTP 404). A stream of answers that breaks is not resumed: the
/// call fails. Proxies of the environment are not used.
#[derive(Clone)]
pub struct McpHttp {
    to: Destination,
    token: Option<Secret>,
    headers: Vec<(HeaderName, Secret)>,
}

impl McpHttp {
    /// A server at `url`.
    ///
    /// # Errors
    /// If it is not a URL with scheme `http` or `https` and a host, or if it holds a user or a
    /// password: give those as a token or a header, which are kept out of errors.
    pub fn try_new(url: &str) -> Result<Self, SetupError> {
        Ok(Self {
            to: Destination::parse(url)?,
            token: None,
            headers: Vec::new(),
        })
    }

    /// Sets the bearer token sent with every request.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Adds a header to every request.
    ///
    /// # Errors
    /// If no request can have a header of this name, or of this value, which is not shown.
    pub fn try_with_header(mut self, name: &str, value: Secret) -> Result<Self, SetupError> {
        let unfit = |what: &str| {
            let why = "holds a character that no header may hold";
            SetupError::new(format!(
                "the {what} of header `{}` {why}",
                name.escape_debug()
            ))
        };
        let header = name.parse().map_err(|_| unfit("name"))?;
        HeaderValue::from_str(value.expose()).map_err(|_| unfit("value"))?;
        self.headers.push((header, value));
        Ok(self)
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn destination(&self) -> &Destination {
        &self.to
    }

    /// What the server may repeat, and nobody should see.
    pub(super) fn secrets(&self) -> Vec<String> {
        let headers = self.headers.iter().map(|(_, value)| value.expose());
        let token = self.token.iter().map(Secret::expose);
        let query = self.to.query_values();
        headers
            .chain(token)
            .map(str::to_owned)
            .chain(query)
            .collect()
    }

    pub(super) fn transport(
        &self,
        message_bytes: usize,
    ) -> Result<StreamableHttpClientTransport<QuietClient>, SetupError> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.to.url().as_str());
        config.retry_config = Arc::new(Never);
        config.max_sse_event_size = message_bytes;
        config.max_json_response_size = message_bytes;
        config.max_error_response_size = MAX_REFUSAL;
        config.auth_header = self.token.as_ref().map(|token| token.expose().to_owned());
        config.custom_headers = self.header_map();
        let client = Client::builder()
            .tls_backend_preconfigured(tls(&ClientSetup::default(), &self.to)?)
            .connect_timeout(CONNECT)
            // One could lead to where only this machine may go.
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|_| SetupError::new("no HTTP client can be made"))?;
        let client = QuietClient(client);
        Ok(StreamableHttpClientTransport::with_client(client, config))
    }

    fn header_map(&self) -> HashMap<HeaderName, HeaderValue> {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        });
        headers.collect()
    }
}

impl fmt::Debug for McpHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpHttp")
            .field("url", &self.to)
            .field("token", &self.token)
            .field("headers", &self.headers)
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
