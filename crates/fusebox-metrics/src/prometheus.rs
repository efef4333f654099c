//! Everything in the Prometheus text format, without a server of its own.

use std::fmt;
use std::sync::Arc;

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

pub use crate::table::{BUCKETS, CONTENT_TYPE};
use crate::table::{Kind, METRICS};

/// A recorder with its page. Clones are one.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
    /// The recorder, where it is not the process's.
    own: Option<Arc<PrometheusRecorder>>,
}

/// A recorder is installed already, perhaps by the application; use that one.
#[derive(Debug, thiserror::Error)]
#[error("another metrics recorder is installed already; report through that one")]
pub struct AlreadyInstalled;

/// Installs the recorder for the whole process and describes every metric.
///
/// Histograms grow until a page is rendered or [`Exporter::upkeep`] is called, so do one of both from time to time.
///
/// # Errors
/// There can be one recorder per process.
pub fn install() -> Result<Exporter, AlreadyInstalled> {
    let handle = builder().install_recorder().map_err(|_| AlreadyInstalled)?;
    crate::describe();
    Ok(Exporter { handle, own: None })
}

impl Exporter {
    /// A recorder of its own, with every metric described, that only hears what [`observe`](Self::observe) runs.
    pub fn new() -> Self {
        let recorder = builder().build_recorder();
        let exporter = Self {
            handle: recorder.handle(),
            own: Some(Arc::new(recorder)),
        };
        exporter.observe(crate::describe);
        exporter
    }

    /// Runs `report` on this thread, so that what it reports comes to this page. For one that is
    /// [installed](install) it comes there anyway.
    pub fn observe<T>(&self, report: impl FnOnce() -> T) -> T {
        match &self.own {
            Some(recorder) => metrics::with_local_recorder(&**recorder, report),
            None => report(),
        }
    }

    /// All metrics as one page of text, version 0.0.4 of the format; its [`CONTENT_TYPE`] goes with it.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Sorts what the histograms were told into their buckets; a page does so too.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl Default for Exporter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("is_installed", &self.own.is_none())
            .finish_non_exhaustive()
    }
}

fn builder() -> PrometheusBuilder {
    let histograms = METRICS
        .iter()
        .filter(|metric| metric.kind == Kind::Histogram);
    histograms.fold(PrometheusBuilder::new(), |builder, metric| {
        let matcher = Matcher::Full(metric.name.to_owned());
        builder
            .set_buckets_for_metric(matcher, &BUCKETS)
            .expect("there are buckets")
    })
}
