//! Everything in the Prometheus text format, without a server of its own.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// The installed recorder.
#[derive(Debug, Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

/// A recorder is installed already, perhaps by the application; use that one.
#[derive(Debug, thiserror::Error)]
#[error("another metrics recorder is installed already; report through that one")]
pub struct AlreadyInstalled;

/// Installs the recorder for the whole process and describes every metric.
///
/// # Errors
/// There can be one recorder per process.
pub fn install() -> Result<Exporter, AlreadyInstalled> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|_| AlreadyInstalled)?;
    crate::describe();
    Ok(Exporter { handle })
}

impl Exporter {
    /// All metrics as one page of text, version 0.0.4 of the format.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}
