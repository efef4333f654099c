//! Who is told.

/// Where an engine's metrics go.
#[derive(Debug, Clone)]
pub(super) enum Recorder {
    /// To the recorder of the process, or of the thread.
    Installed,
    #[cfg(feature = "prometheus")]
    Exporter(crate::prometheus::Exporter),
    #[cfg(feature = "figures")]
    Tally(crate::figures::Tally),
    #[cfg(feature = "otlp")]
    Collector(crate::otlp::Metrics),
}

impl Recorder {
    /// Runs `report` on this thread, so that what it reports comes to this recorder.
    pub(super) fn observe<T>(&self, report: impl FnOnce() -> T) -> T {
        match self {
            Self::Installed => report(),
            #[cfg(feature = "prometheus")]
            Self::Exporter(exporter) => exporter.observe(report),
            #[cfg(feature = "figures")]
            Self::Tally(tally) => tally.observe(report),
            #[cfg(feature = "otlp")]
            Self::Collector(metrics) => metrics.observe(report),
        }
    }

    /// Keeps its memory small while nobody scrapes.
    pub(super) fn upkeep(&self) {
        #[cfg(feature = "prometheus")]
        if let Self::Exporter(exporter) = self {
            exporter.upkeep();
        }
    }
}
