//! Spans and metrics, sent to an OpenTelemetry collector.
//!
//! ```no_run
//! use fusebox_metrics::EngineMetrics;
//! use fusebox_metrics::otlp::{Metrics, Spans};
//! # use fusebox_orchestrator::Engine;
//! # use fusebox_state::MemoryStore;
//! # use std::sync::Arc;
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let engine = Engine::builder(Arc::new(MemoryStore::new())).build()?;
//! let spans = Spans::to("http://127.0.0.1:4318", "review-desk")?;
//! spans.install()?;
//! let metrics = Metrics::to("http://127.0.0.1:4318", "review-desk")?;
//! let looks = EngineMetrics::of(&engine).sending(metrics.clone());
//! let looking = tokio::spawn(looks.follow(Duration::from_secs(1)));
//! // … runs …
//! // What has not been sent yet is sent now; both calls block.
//! tokio::task::spawn_blocking(move || (spans.finish(), metrics.finish())).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A run is a span, within it each call of a step, within that each attempt at an agent (`invoke_agent`), and within
//! that what a model, a tool or a service is asked (`chat`, `execute_tool`, `POST`). The metrics are those of
//! [`METRICS`](crate::METRICS).
//!
//! Nobody waits for a collector: both are sent from threads of their own, with little memory; what cannot be delivered
//! within seconds is lost, and told by `finish`. Plain HTTP: a collector stands beside its process. TLS is there if
//! another part of the program brings it into `reqwest`. What the collector wants to see of whoever sends goes into
//! `OTEL_EXPORTER_OTLP_HEADERS`, and what there is to say of the process into `OTEL_RESOURCE_ATTRIBUTES`.

mod delivery;
mod metrics;
mod spans;

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

pub use crate::table::BUCKETS;
pub use delivery::Undelivered;
pub use metrics::Metrics;
pub use spans::{AlreadyInstalled, Spans};

/// How long one delivery may take: less than the five seconds for which the SDK waits at its end.
const PATIENCE: Duration = Duration::from_secs(4);

/// The collector's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{endpoint}` is no address of a collector; give one like http://127.0.0.1:4318")]
pub struct BadEndpoint {
    endpoint: String,
    source: Box<dyn Error + Send + Sync>,
}

impl BadEndpoint {
    fn new(endpoint: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            source: source.into(),
        }
    }
}

/// Has an exporter send Protobuf to a path of the collector.
///
/// # Errors
/// An address with a user or a password in it, which would show where it is shown.
fn aimed<B: WithExportConfig>(exporter: B, endpoint: &str, path: &str) -> Result<B, BadEndpoint> {
    let after = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, after)| after);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((_, host)) = authority.rsplit_once('@') {
        let why = "it holds a user or a password; give those by OTEL_EXPORTER_OTLP_HEADERS";
        return Err(BadEndpoint::new(&format!("[redacted]@{host}"), why));
    }
    // The exporter's client wants one where another crate of the program has TLS, whatever the collector's address.
    // An error only says that the program has chosen its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(exporter
        .with_endpoint(format!("{}{path}", endpoint.trim_end_matches('/')))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE))
}

/// Who sends. Counters begin anew with each process, so each is an instance of its own, unless the environment names it.
fn resource(service: &str) -> Resource {
    const INSTANCE: &str = "service.instance.id";
    static OWN: LazyLock<String> =
        LazyLock::new(|| RandomIdGenerator::default().new_trace_id().to_string());
    let known = Resource::builder().build();
    let builder = Resource::builder().with_service_name(service.to_owned());
    match known.get(&Key::from_static_str(INSTANCE)) {
        Some(_) => builder.build(),
        None => {
            let instance = KeyValue::new(INSTANCE, OWN.as_str());
            builder.with_attribute(instance).build()
        }
    }
}
