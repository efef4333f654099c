//! Counts one engine for as long as it lives.

use std::time::Duration;

use fusebox_orchestrator::Engine;
use tokio::sync::{mpsc, oneshot};

use crate::EngineMetrics;
use crate::figures::{Figures, Tally};

/// How long gauges wait for an event, where nobody asks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Counts an engine from its start, for whoever asks. Clones are one.
///
/// It costs what [`EngineMetrics::follow`] does: an update in memory per event, and a look at the engine each second.
///
/// ```
/// # use std::sync::Arc;
/// # use fusebox_orchestrator::Engine;
/// # use fusebox_state::MemoryStore;
/// use fusebox_metrics::Meter;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let engine = Engine::builder(Arc::new(MemoryStore::new())).build().unwrap();
/// let meter = Meter::start(&engine);
/// // … runs …
/// let page = meter.figures().await.render();
/// # assert!(page.contains("fusebox_runs_live 0"));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Meter {
    tally: Tally,
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl Meter {
    /// Begins to count, in a task of its own that ends with the last clone.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(engine: &Engine) -> Self {
        let tally = Tally::new();
        let (asks, asked) = mpsc::channel(8);
        let metrics = EngineMetrics::of(engine).tallying(tally.clone());
        tokio::spawn(metrics.attend(BETWEEN_LOOKS, asked, std::future::pending::<()>()));
        Self { tally, asks }
    }

    /// Everything counted by now: what the engine has told before the call is in it, and the gauges are of this
    /// moment.
    ///
    /// # Cancellation
    /// Nothing is lost when the future is dropped.
    pub async fn figures(&self) -> Figures {
        let (answer, answered) = oneshot::channel();
        // Where the task is gone, with its runtime, what it had counted is still there.
        if self.asks.send(answer).await.is_ok() {
            let _ = answered.await;
        }
        self.tally.figures()
    }
}
