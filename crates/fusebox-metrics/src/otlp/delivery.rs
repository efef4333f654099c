//! What became of what was sent.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// The collector did not take everything; it is lost. Told once, at the end: the work itself was not held up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{failed} of {tried} deliveries to the collector failed and are lost, the first because: {why}"
)]
pub struct Undelivered {
    failed: u64,
    tried: u64,
    why: String,
}

/// Counts deliveries. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Deliveries(Arc<Mutex<Tally>>);

#[derive(Debug, Default)]
struct Tally {
    tried: u64,
    failed: u64,
    why: Option<String>,
}

impl Deliveries {
    fn note(&self, result: &OTelSdkResult) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.tried += 1;
        if let Err(error) = result {
            tally.failed += 1;
            tally.why.get_or_insert_with(|| words(error));
        }
    }

    /// How all of it went, given how the end did.
    pub(super) fn sum(&self, end: OTelSdkResult) -> Result<(), Undelivered> {
        // An end for want of time is a delivery that nobody waits for any longer. Other errors have been counted.
        if matches!(end, Err(OTelSdkError::Timeout(_))) {
            self.note(&end);
        }
        let tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &tally.why {
            None => Ok(()),
            Some(why) => Err(Undelivered {
                failed: tally.failed,
                tried: tally.tried,
                why: why.clone(),
            }),
        }
    }
}

fn words(error: &OTelSdkError) -> String {
    match error {
        OTelSdkError::Timeout(limit) => format!("not done within {limit:?}"),
        OTelSdkError::InternalFailure(why) => why.clone(),
        other => other.to_string(),
    }
}

/// An exporter whose deliveries are counted.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) exporter: E,
    pub(super) deliveries: Deliveries,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.deliveries.note(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter + fmt::Debug> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.deliveries.note(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
