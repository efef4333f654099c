//! How an HTTP agent is made.

use std::fmt;

use fusebox_agent::Description;
use reqwest::header::HeaderName;
use serde_json::Value;

use super::HttpAgent;
use crate::web::{Client, ClientSetup, Destination, Redirects, Secret, SetupError, WireLimits};

/// Makes an [`HttpAgent`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct HttpAgentBuilder {
    description: Description,
    url: String,
    method: HttpMethod,
    key_header: String,
    setup: ClientSetup,
}

/// How the request is made. Not how often: whether a service may be asked twice it knows by the
/// idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HttpMethod {
    /// With the input as its body. The default.
    #[default]
    Post,
    /// With the input as its body.
    Put,
    /// With the input as its body.
    Patch,
    /// Without a body: the input is not sent.
    Get,
}

impl HttpAgentBuilder {
    pub(super) fn new(name: String, url: String) -> Self {
        Self {
            description: Description::new(name, "http"),
            url,
            method: HttpMethod::default(),
            key_header: "idempotency-key".to_owned(),
            setup: ClientSetup::default(),
        }
    }

    /// Sets the method; default POST.
    pub fn method(mut self, method: HttpMethod) -> Self {
        self.method = method;
        self
    }

    /// Adds a header to every request. Its value is treated as a secret.
    pub fn header(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.setup.headers.push((name.into(), value));
        self
    }

    /// Adds `Authorization: Bearer` with this token to every request.
    pub fn bearer(self, token: Secret) -> Self {
        let value = format!("Bearer {}", token.expose());
        self.header("authorization", Secret::new(value))
    }

    /// Sets the name of the header that holds the idempotency key; default `Idempotency-Key`, as
    /// in draft-ietf-httpapi-idempotency-key-header.
    pub fn idempotency_header(mut self, name: impl Into<String>) -> Self {
        self.key_header = name.into();
        self
    }

    /// Sets how long answers may take and how large they may be.
    pub fn limits(mut self, limits: WireLimits) -> Self {
        self.setup.limits = limits;
        self
    }

    /// Sets what is done with an answer that points elsewhere; default [`Redirects::Refuse`].
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.setup.redirects = redirects;
        self
    }

    /// Speaks HTTP/2 from the first byte. By default it is agreed upon under TLS, and without TLS
    /// it is HTTP/1.1.
    pub fn only_http2(mut self) -> Self {
        self.setup.only_http2 = true;
        self
    }

    /// Trusts the certificates in this PEM beside those of the system.
    pub fn certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.setup.certificates = Some(pem.into());
        self
    }

    /// Describes the input with a JSON Schema, for the guard to check.
    pub fn input_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_input_schema(schema);
        self
    }

    /// Describes the reply with a JSON Schema, for the guard to check.
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_output_schema(schema);
        self
    }

    /// Makes the agent. Nothing is sent.
    ///
    /// # Errors
    /// If the URL is none, has another scheme than `http` or `https`, or holds a password; if a
    /// header or a certificate cannot be used; if an `https` service is to be trusted by the
    /// system's certificates and there are none.
    pub fn build(self) -> Result<HttpAgent, SetupError> {
        let to = Destination::parse(&self.url)?;
        let name = &self.key_header;
        let key_header: HeaderName = name
            .parse()
            .map_err(|_| SetupError::new(format!("`{name}` cannot be the name of a header")))?;
        let client = Client::build(&self.setup, &to)?;
        Ok(HttpAgent {
            description: self.description,
            to,
            method: self.method,
            key_header,
            client,
        })
    }
}

impl fmt::Debug for HttpAgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the URL, which is not checked yet, nor headers.
        f.debug_struct("HttpAgentBuilder")
            .field("description", &self.description)
            .field("method", &self.method)
            .field("limits", &self.setup.limits)
            .field("redirects", &self.setup.redirects)
            .finish_non_exhaustive()
    }
}
