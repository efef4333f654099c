//! The collector that hears of a run while it is at work (`--otlp`).

use std::time::Duration;

use anyhow::Context as _;
use fusebox::Engine;
use fusebox::metrics::EngineMetrics;
use fusebox::metrics::otlp::{Metrics, Spans, Undelivered};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::output;

/// How old figures get while it runs.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How the command calls itself to a collector, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "fusebox";

/// The collector that `--otlp` names.
pub(crate) struct Collector {
    url: String,
    spans: Spans,
    metrics: Metrics,
    looking: Option<Looking>,
}

/// Looks at an engine until it is told to stop.
struct Looking {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Has spans sent to `url` from now on. Whether anybody is there shows at the end.
    pub(crate) fn at(url: &str) -> Result<Self, Failure> {
        let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| SERVICE.to_owned());
        let spans = Spans::to(url, &service)
            .context("--otlp")
            .map_err(Failure::Misuse)?;
        let metrics = Metrics::to(url, &service)
            .context("--otlp")
            .map_err(Failure::Misuse)?;
        spans.install().context("--otlp").map_err(Failure::Misuse)?;
        Ok(Self {
            url: url.to_owned(),
            spans,
            metrics,
            looking: None,
        })
    }

    /// Has the figures of `engine` sent as well.
    #[must_use]
    pub(crate) fn look_at(mut self, engine: &Engine) -> Self {
        let metrics = EngineMetrics::of(engine).sending(self.metrics.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(metrics.follow_until(BETWEEN_LOOKS, stopped));
        self.looking = Some(Looking { stop, task });
        self
    }

    /// Sends what has not been sent yet, for five seconds at most. What was lost takes nothing from the run; it is told
    /// once.
    pub(crate) async fn finish(self) {
        if let Some(looking) = self.looking {
            let _ = looking.stop.send(());
            let _ = looking.task.await;
        }
        let (spans, metrics) = (self.spans, self.metrics);
        let spans = tokio::task::spawn_blocking(move || spans.finish());
        let metrics = tokio::task::spawn_blocking(move || metrics.finish());
        let ends: [Result<(), Undelivered>; 2] = [
            spans.await.expect("it does not panic"),
            metrics.await.expect("it does not panic"),
        ];
        if let Some(lost) = ends.into_iter().find_map(Result::err) {
            output::complain(&format!("--otlp {}: {lost}", self.url));
        }
    }
}
