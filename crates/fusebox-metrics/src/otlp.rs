//! The spans of runs, steps and attempts, sent to an OpenTelemetry collector.
//!
//! ```no_run
//! use fusebox_metrics::otlp::Spans;
//! use tracing_subscriber::layer::SubscriberExt;
//! use tracing_subscriber::util::SubscriberInitExt;
//!
//! let spans = Spans::to("http://127.0.0.1:4318", "review-desk")?;
//! tracing_subscriber::registry().with(spans.layer()).init();
//! // … runs …
//! spans.finish(); // what has not been sent yet is sent now
//! # Ok::<(), fusebox_metrics::otlp::BadEndpoint>(())
//! ```
//!
//! A run is a span, within it each call of a step, within that each attempt at an agent (`invoke_agent`), and within
//! that what a model or a tool is asked (`chat`, `execute_tool`).

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// How long one delivery may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Spans on their way to a collector, in batches, from a thread of their own: nobody waits for it. What it cannot
/// deliver in time is lost. Clones are one.
#[derive(Debug, Clone)]
pub struct Spans {
    provider: SdkTracerProvider,
}

/// The collector's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{endpoint}` is no address of a collector; give one like http://127.0.0.1:4318")]
pub struct BadEndpoint {
    endpoint: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Spans {
    /// Spans for the collector at `endpoint` (OTLP over HTTP, Protobuf; its path `/v1/traces` is added), as those of
    /// `service`.
    ///
    /// Plain HTTP: a collector stands beside its process. TLS is there if another part of the program brings it into
    /// `reqwest`.
    ///
    /// # Errors
    /// An address that is none. A collector that does not answer is no error, now or later.
    pub fn to(endpoint: &str, service: &str) -> Result<Self, BadEndpoint> {
        // The exporter's client wants one where another crate of the program has TLS, whatever the collector's
        // address. An error only says that the program has chosen its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| BadEndpoint {
                endpoint: endpoint.to_owned(),
                source: error.into(),
            })?;
        let service = Resource::builder().with_service_name(service.to_owned());
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(service.build())
            .build();
        Ok(Self { provider })
    }

    /// What collects the spans, for a subscriber of `tracing`.
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, Tracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("fusebox"))
    }

    /// Sends what has not been sent yet and ends the thread; blocks for some seconds at most. Spans that end later
    /// are lost.
    pub fn finish(&self) {
        // What could not be delivered is lost, as it says above.
        let _ = self.provider.shutdown();
    }
}
