//! Metrics on their way to a collector.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::{KeyName, Recorder, Unit};
use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

use super::delivery::{Counted, Deliveries, Undelivered};
use super::{BadEndpoint, aimed, resource};
use crate::table::{BUCKETS, Kind, METRICS, Metric};

/// How often metrics are sent: as often as they are scraped elsewhere.
const EVERY: Duration = Duration::from_secs(15);

/// Metrics on their way to a collector, every 15 seconds and at the end, from a thread of their own: every line of
/// [`METRICS`](crate::METRICS) with its kind, unit and meaning, cumulative, histograms with the buckets they have for
/// Prometheus. It only hears what [`observe`](Self::observe) runs. Clones are one.
///
/// A metric takes 2,000 sets of labels; what comes beyond is counted together, as OpenTelemetry has it
/// (`otel.metric.overflow`).
#[derive(Clone)]
pub struct Metrics {
    provider: SdkMeterProvider,
    recorder: Arc<OpenTelemetryRecorder>,
    deliveries: Deliveries,
}

impl Metrics {
    /// Metrics for the collector at `endpoint` (OTLP over HTTP, Protobuf; its path `/v1/metrics` is added), as those of
    /// `service`.
    ///
    /// # Errors
    /// An address that is none. A collector that does not answer is no error, now or later.
    pub fn to(endpoint: &str, service: &str) -> Result<Self, BadEndpoint> {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_temporality(Temporality::Cumulative);
        let exporter = aimed(exporter, endpoint, "/v1/metrics")?
            .build()
            .map_err(|error| BadEndpoint::new(endpoint, error))?;
        let deliveries = Deliveries::default();
        let reader = PeriodicReader::builder(Counted {
            exporter,
            deliveries: deliveries.clone(),
        });
        let provider = SdkMeterProvider::builder()
            .with_reader(reader.with_interval(EVERY).build())
            .with_resource(resource(service))
            .build();
        let mut recorder =
            OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(provider.meter("fusebox")));
        let histograms = METRICS
            .iter()
            .filter(|metric| metric.kind == Kind::Histogram);
        recorder.set_histogram_bounds_mut(histograms.map(|metric| metric.name), &BUCKETS);
        describe(&recorder);
        Ok(Self {
            provider,
            recorder: Arc::new(recorder),
            deliveries,
        })
    }

    /// Runs `report` on this thread, so that what it reports is sent.
    pub fn observe<T>(&self, report: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, report)
    }

    /// Sends what has not been sent yet and ends the thread; blocks for five seconds at most. What is reported later is
    /// lost. On a runtime of one thread call it from another.
    ///
    /// # Errors
    /// What the collector did not take, since the start.
    pub fn finish(&self) -> Result<(), Undelivered> {
        self.deliveries.sum(self.provider.shutdown())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

fn describe(recorder: &OpenTelemetryRecorder) {
    for metric in METRICS {
        let (name, unit) = (KeyName::from_const_str(metric.name), unit(metric));
        let meaning = metric.meaning.into();
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, unit, meaning),
            Kind::Gauge => recorder.describe_gauge(name, unit, meaning),
            Kind::Histogram => recorder.describe_histogram(name, unit, meaning),
        }
    }
}

/// A gauge that counts things has no unit of its own: `1` would say that it is a ratio, and Prometheus behind the
/// collector would call it so.
fn unit(metric: &Metric) -> Option<Unit> {
    let counts = metric.kind == Kind::Gauge && metric.unit == Unit::Count;
    (!counts || metric.name.ends_with("_ratio")).then_some(metric.unit)
}
