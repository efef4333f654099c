//! A whole engine as metrics: what it tells, and how it stands when it is looked at.

mod recorder;
mod sample;

use std::time::Duration;

use fusebox_breaker::Transition;
use fusebox_orchestrator::{Engine, Event};
use metrics::counter;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{mpsc, oneshot};

use self::recorder::Recorder;
#[cfg(feature = "figures")]
pub(crate) use self::sample::standing;
use crate::labels::Labels;
use crate::table::DROPPED;
use crate::{BreakerMetrics, RunMetrics};

/// Reports an engine to the installed recorder: every line of the table.
///
/// [`collect`](Self::collect) counts what the engine has told since the last time and sets the gauges; call it before
/// a scrape. An engine keeps 1024 events for a listener that is behind, so a program that runs for long lets
/// [`follow`](Self::follow) count them as they come. What is lost all the same is counted too.
///
/// ```
/// # use std::sync::Arc;
/// use fusebox_metrics::EngineMetrics;
/// # use fusebox_orchestrator::Engine;
/// # use fusebox_state::MemoryStore;
///
/// # let engine = Engine::builder(Arc::new(MemoryStore::new())).build().unwrap();
/// let mut metrics = EngineMetrics::of(&engine);
/// // … runs …
/// metrics.collect();
/// ```
#[derive(Debug)]
pub struct EngineMetrics {
    engine: Engine,
    labels: Labels,
    breakers: BreakerMetrics,
    runs: RunMetrics,
    events: Receiver<Event>,
    transitions: Receiver<Transition>,
    recorder: Recorder,
}

impl EngineMetrics {
    /// Begins to listen. What happened before is in no event; the gauges and the breakers' counts are whole.
    pub fn of(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            labels: Labels::default(),
            breakers: BreakerMetrics::new(),
            runs: RunMetrics::new(),
            events: engine.subscribe(),
            transitions: engine.transitions(),
            recorder: Recorder::Installed,
        }
    }

    /// Bounds the names of agents, breakers and steps. Default:
    /// [`DEFAULT_LABEL_VALUES`](crate::DEFAULT_LABEL_VALUES) each.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.breakers = self.breakers.with_labels(labels.clone());
        self.runs = self.runs.with_labels(labels.clone());
        self.labels = labels;
        self
    }

    /// Reports to this exporter, whether or not it is the installed one, and keeps its memory small while nobody
    /// scrapes. So several engines of one process can have a page each.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn exporting(mut self, exporter: crate::prometheus::Exporter) -> Self {
        self.recorder = Recorder::Exporter(exporter);
        self
    }

    /// Sends to this collector instead of the installed recorder. For a page beside it, make a second of these.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn sending(mut self, metrics: crate::otlp::Metrics) -> Self {
        self.recorder = Recorder::Collector(metrics);
        self
    }

    /// Reports to this tally instead of the installed recorder.
    #[cfg(feature = "figures")]
    #[must_use]
    pub fn tallying(mut self, tally: crate::figures::Tally) -> Self {
        self.recorder = Recorder::Tally(tally);
        self
    }

    /// Counts what was told since the last time and brings every gauge up to date. Takes some microseconds per agent,
    /// never waits, and holds nobody up.
    pub fn collect(&mut self) {
        let recorder = self.recorder.clone();
        recorder.observe(|| self.report());
        recorder.upkeep();
    }

    /// Collects every `interval`, and in between counts events as they come. Never returns; to be spawned, and
    /// aborted with the engine. `interval` is how old the gauges get (1 s is good); zero is read as a millisecond.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing but the counting.
    pub async fn follow(self, interval: Duration) {
        self.follow_until(interval, std::future::pending::<()>())
            .await;
    }

    /// As [`follow`](Self::follow), until `stop` is over; then collects a last time, so that nothing told before is
    /// missing.
    pub async fn follow_until(self, interval: Duration, stop: impl Future) {
        let (_nobody, asks) = mpsc::channel(1);
        self.attend(interval, asks, stop).await;
    }

    /// As [`follow_until`](Self::follow_until), and collects for whoever asks; until nobody can ask any more.
    pub(crate) async fn attend(
        mut self,
        interval: Duration,
        mut asks: mpsc::Receiver<oneshot::Sender<()>>,
        stop: impl Future,
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                _ = &mut stop => return self.collect(),
                ask = asks.recv() => {
                    self.collect();
                    match ask {
                        // Who asked may be gone.
                        Some(ask) => { let _ = ask.send(()); }
                        None => return,
                    }
                    continue;
                }
                _ = ticks.tick() => None,
                event = self.events.recv() => Some(event),
            };
            match told {
                None => self.collect(),
                Some(Ok(event)) => self.recorder.observe(|| self.runs.event(&event)),
                Some(Err(RecvError::Lagged(lost))) => {
                    self.recorder.observe(|| dropped("events", lost));
                }
                // It holds the engine, which keeps telling.
                Some(Err(RecvError::Closed)) => return,
            }
        }
    }

    fn report(&mut self) {
        // Asked first: that makes the engine tell what its breakers did since anyone looked.
        let health = self.engine.health();
        while let Some(transition) = next(&mut self.transitions, "transitions") {
            self.breakers.transition(&transition);
        }
        while let Some(event) = next(&mut self.events, "events") {
            self.runs.event(&event);
        }
        for queue in ["transitions", "events"] {
            dropped(queue, 0);
        }
        counter!(DROPPED, "queue" => "breakers").absolute(self.engine.transitions_dropped());
        for breaker in self.engine.breakers() {
            self.breakers.counts(breaker);
        }
        sample::health(&health, &self.labels);
        sample::store(&self.engine);
        sample::looked_at();
    }
}

/// The next of what was told; what was lost before it is counted.
fn next<T: Clone>(receiver: &mut Receiver<T>, queue: &'static str) -> Option<T> {
    loop {
        match receiver.try_recv() {
            Ok(told) => return Some(told),
            Err(TryRecvError::Lagged(lost)) => dropped(queue, lost),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
        }
    }
}

fn dropped(queue: &'static str, lost: u64) {
    counter!(DROPPED, "queue" => queue).increment(lost);
}
