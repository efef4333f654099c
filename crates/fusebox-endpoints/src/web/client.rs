//! One HTTP client, with everything in it that nobody asked for turned off.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fusebox_agent::AgentError;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use super::body::Body;
use super::error::{Failure, Phase};
use super::{Destination, Redirects, Scrubber, Secret, SetupError, WireLimits, judge, request_id};
use crate::trace;

const REDIRECTS: usize = 5;
const HEADER_BYTES: u32 = 64 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What a client is made of. All header values are secrets: nobody but the one who set them knows
/// which are not.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSetup {
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) limits: WireLimits,
    pub(crate) redirects: Redirects,
    pub(crate) only_http2: bool,
    pub(crate) certificates: Option<Vec<u8>>,
}

/// Sends requests. No proxies from the environment, no cookies, no decompression, no retries: of
/// the latter only those of a request that was not written because its pooled connection was gone.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) limits: WireLimits,
    pub(crate) scrubber: Scrubber,
}

/// A request without its standing headers.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) to: &'a Destination,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
}

impl Client {
    /// # Errors
    /// If a header cannot be sent, or no certificates to trust are found for a TLS destination.
    pub(crate) fn build(setup: &ClientSetup, to: &Destination) -> Result<Self, SetupError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &setup.headers {
            let (name, value) = header(name, value)?;
            headers.append(name, value);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("fusebox/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls(setup, to)?)
            .connect_timeout(setup.limits.connect)
            .redirect(redirects(setup.redirects))
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_keep_alive_interval(KEEP_ALIVE);
        if setup.only_http2 {
            builder = builder.http2_prior_knowledge();
        }
        let http = builder
            .build()
            .map_err(|error| SetupError::new(format!("no HTTP client: {}", deepest(&error))))?;
        let secrets = setup.headers.iter().map(|(_, value)| value.expose());
        let tokens = secrets.clone().filter_map(|value| value.split_once(' '));
        let query = to.query_values();
        let query = query.iter().map(String::as_str);
        let scrubber = Scrubber::new(secrets.chain(tokens.map(|(_, token)| token)).chain(query));
        Ok(Self {
            http,
            limits: setup.limits,
            scrubber,
        })
    }

    /// Sends a request and gives the answer once it is known to be a good one, its headers that
    /// is; the answer that is none is read and judged.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection, or the stream of an HTTP/2 one.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Body, Failure> {
        let started = Instant::now();
        let limits = &self.limits;
        let total = later(started, limits.total);
        let headers_by = later(started, limits.first_byte).min(total);
        let mut sending = self
            .http
            .request(request.method, request.to.url().clone())
            .headers(request.headers);
        if let Some(parent) = trace::traceparent() {
            sending = sending.header("traceparent", parent);
        }
        if let Some(body) = request.body {
            sending = sending.body(body);
        }
        let response = match timeout_at(headers_by, sending.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.not_answered(&error)),
            Err(_) => {
                let error = AgentError::timed_out("sent no headers in time");
                let detail = format!("no headers within {:?}", headers_by - started);
                return Err(Failure::new(Phase::FirstByte, error, detail));
            }
        };
        trace::answered(&response);
        let status = response.status().as_u16();
        let request_id = request_id(response.headers(), &self.scrubber);
        let mut body = Body::new(response, *limits, total, request_id);
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let headers = body.headers().clone();
        // What the refusal says in words is worth less than that it is one: cut off or too large,
        // it counts by its status alone.
        let words = body.whole().await.unwrap_or_default();
        match judge(status, &headers, &words, SystemTime::now(), &self.scrubber) {
            Err(refusal) => Err(Failure::refused(Phase::Refused, refusal)),
            Ok(()) => Ok(body),
        }
    }

    fn not_answered(&self, error: &reqwest::Error) -> Failure {
        // The deepest cause: the ones above repeat the URL.
        let detail = self.scrubber.scrub(&deepest(error));
        if error.is_connect() && error.is_timeout() {
            let limit = self.limits.connect;
            let error = AgentError::timed_out("could not be connected to in time");
            let detail = format!("no connection within {limit:?}");
            return Failure::new(Phase::Connect, error, detail).may_have_run(false);
        }
        if error.is_connect() {
            let error = AgentError::unavailable("").with_message("cannot be connected to");
            return Failure::new(Phase::Connect, error, detail).may_have_run(false);
        }
        if error.is_builder() {
            let error = AgentError::invalid_input("cannot be sent this request");
            return Failure::new(Phase::Connect, error, detail);
        }
        let error = AgentError::unavailable("").with_message("hung up without an answer");
        Failure::new(Phase::FirstByte, error, detail)
    }
}

fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), SetupError> {
    let parsed: HeaderName = name
        .parse()
        .map_err(|_| SetupError::new(format!("`{name}` cannot be the name of a header")))?;
    let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
        // Not shown: it is the secret.
        SetupError::new(format!(
            "the value of header `{name}` holds a line break or another character that no header may hold"
        ))
    })?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

pub(crate) fn tls(setup: &ClientSetup, to: &Destination) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions");
    if !to.is_tls() {
        let nobody = RootCertStore::empty();
        return Ok(builder.with_root_certificates(nobody).with_no_client_auth());
    }
    let extra = match &setup.certificates {
        None => Vec::new(),
        Some(pem) => CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| SetupError::new(format!("the certificates are no PEM: {error}")))?,
    };
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)
        .map_err(|error| {
            SetupError::new(format!(
                "no certificates to trust: {error}; install those of the system (ca-certificates) or give some as PEM"
            ))
        })?;
    let mut config = builder
        .dangerous() // so called for verifiers in general; this one asks the system
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = match setup.only_http2 {
        true => vec![b"h2".to_vec()],
        false => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn redirects(redirects: Redirects) -> Policy {
    match redirects {
        Redirects::Refuse => Policy::none(),
        Redirects::SameOrigin => Policy::custom(|attempt: Attempt<'_>| {
            let from = attempt.previous().last();
            let stays = from.is_some_and(|from| from.origin() == attempt.url().origin());
            let keeps = matches!(attempt.status().as_u16(), 307 | 308);
            if stays && keeps && attempt.previous().len() <= REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }),
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A limit too long to be a moment never strikes: a century is as good.
fn later(from: Instant, limit: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(limit).unwrap_or_else(|| from + CENTURY)
}
