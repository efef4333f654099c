//! Spans on their way to a collector.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::delivery::{Counted, Deliveries, Undelivered};
use super::{BadEndpoint, aimed, resource};

/// Spans on their way to a collector, in batches, from a thread of their own. At most 2,048 wait for it; what comes
/// beyond is lost. Clones are one.
#[derive(Debug, Clone)]
pub struct Spans {
    provider: SdkTracerProvider,
    deliveries: Deliveries,
}

/// Another subscriber of `tracing` is installed already, perhaps by the application.
#[derive(Debug, thiserror::Error)]
#[error("another subscriber of spans is installed already; add a layer to that one")]
pub struct AlreadyInstalled;

impl Spans {
    /// Spans for the collector at `endpoint` (OTLP over HTTP, Protobuf; its path `/v1/traces` is added), as those of
    /// `service`.
    ///
    /// # Errors
    /// An address that is none. A collector that does not answer is no error, now or later.
    pub fn to(endpoint: &str, service: &str) -> Result<Self, BadEndpoint> {
        let exporter = SpanExporter::builder().with_http();
        let exporter = aimed(exporter, endpoint, "/v1/traces")?
            .build()
            .map_err(|error| BadEndpoint::new(endpoint, error))?;
        let deliveries = Deliveries::default();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Counted {
                exporter,
                deliveries: deliveries.clone(),
            })
            .with_resource(resource(service))
            .build();
        Ok(Self {
            provider,
            deliveries,
        })
    }

    /// What collects the spans, for a subscriber of `tracing`.
    ///
    /// It takes fusebox's own spans and nothing else: those of HTTP clients and of protocols hold what was sent. A
    /// program that sends spans of its own needs none of this; its own layer takes ours along with them.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("fusebox"))
            // Where in our sources a span is made, and on which thread, is nobody's concern.
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours))
    }

    /// Has the spans of this process collected.
    ///
    /// # Errors
    /// A process has one subscriber; one that has another adds [`layer`](Self::layer) to it.
    pub fn install(&self) -> Result<(), AlreadyInstalled> {
        let subscriber = tracing_subscriber::registry().with(self.layer());
        tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInstalled)
    }

    /// Sends what has not been sent yet and ends the thread; blocks for five seconds at most. Spans that end later are
    /// lost.
    ///
    /// # Errors
    /// What the collector did not take, since the start.
    pub fn finish(&self) -> Result<(), Undelivered> {
        self.deliveries.sum(self.provider.shutdown())
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.target().split("::").next();
    metadata.is_span() && krate.is_some_and(|krate| krate.starts_with("fusebox"))
}
