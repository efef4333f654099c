//! An outage with everything in it, in virtual or in real time: it has no clock of its own.

#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fusebox::agent::{AgentError, Reply, agent_fn};
use fusebox::breaker::{Config, Jitter};
#[cfg(target_os = "linux")]
use fusebox::metrics::Meter;
use fusebox::metrics::{EngineMetrics, otlp, prometheus::Exporter};
#[cfg(target_os = "linux")]
use fusebox::orchestrator::control::{Listener, ListenerBuilder};
use fusebox::orchestrator::{Engine, EventKind, Resilience, RunOptions, RunStatus, Step, Workflow};
use fusebox::state::{FallbackConfig, FallbackStore, MemoryStore, StateStore};
use fusebox_testkit::{EventLog, FailingStore, Operation, ScriptedAgent, StoreFault};
use tokio::task::JoinHandle;

/// How often the gauges are brought up to date.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// Long enough for several looks.
const WHILE: Duration = Duration::from_millis(400);

/// Plays an outage of an agent, and then one of a store, before the eyes of `exporter`.
///
/// On a runtime of one thread: an agent that talks without a pause has to drown out who listens.
pub(crate) async fn play(exporter: &Exporter) {
    play_before(&Eyes::Exporter(exporter.clone())).await;
}

/// The same before other eyes.
pub(crate) async fn play_before(eyes: &Eyes) {
    agent_outage(eyes).await;
    store_outage(eyes).await;
}

/// Who sees an engine.
pub(crate) enum Eyes {
    /// A page of its own.
    Exporter(Exporter),
    /// A collector.
    Collector(otlp::Metrics),
    /// Whoever asks in this directory, as the command's engines are asked.
    #[cfg(target_os = "linux")]
    Counting(PathBuf),
    /// The same, of an engine that does not count.
    #[cfg(target_os = "linux")]
    NotCounting(PathBuf),
}

/// An engine that is seen.
struct Seen {
    follow: Option<JoinHandle<()>>,
    #[cfg(target_os = "linux")]
    listener: Option<Listener>,
}

impl Eyes {
    fn on(&self, engine: &Engine) -> Seen {
        #[cfg(target_os = "linux")]
        let listening = |listener: ListenerBuilder, directory: &Path| Seen {
            follow: None,
            listener: Some(listener.start(directory).unwrap()),
        };
        let following = |metrics: EngineMetrics| Seen {
            follow: Some(tokio::spawn(metrics.follow(LOOK))),
            #[cfg(target_os = "linux")]
            listener: None,
        };
        let metrics = || EngineMetrics::of(engine);
        match self {
            Self::Exporter(exporter) => following(metrics().exporting(exporter.clone())),
            Self::Collector(collector) => following(metrics().sending(collector.clone())),
            #[cfg(target_os = "linux")]
            Self::Counting(directory) => {
                let meter = Meter::start(engine);
                let figures = move || {
                    let meter = meter.clone();
                    async move { serde_json::json!(meter.figures().await) }
                };
                listening(Listener::builder(engine).figures(figures), directory)
            }
            #[cfg(target_os = "linux")]
            Self::NotCounting(directory) => listening(Listener::builder(engine), directory),
        }
    }
}

impl Seen {
    async fn end(self) {
        if let Some(follow) = self.follow {
            follow.abort();
        }
        #[cfg(target_os = "linux")]
        if let Some(listener) = self.listener {
            listener.close().await;
        }
    }
}

async fn agent_outage(eyes: &Eyes) {
    let store = Arc::new(FailingStore::new(MemoryStore::new()));
    let model = ScriptedAgent::new("model")
        .fails(AgentError::api("503"))
        .times(2)
        // The first probe hangs.
        .answers("late")
        .held()
        .answers("done");
    let slow = ScriptedAgent::new("slow")
        .answers("one")
        .held()
        .answers("two")
        .held()
        .answers("filed");
    let chatty = agent_fn("chatty", |_task, cx| async move {
        (0..1100).for_each(|line| cx.progress(&format!("line {line}")));
        Ok(Reply::new("said"))
    });
    let engine = Engine::builder(store.clone())
        .agent(model.clone(), fragile())
        .agent(slow.clone(), one_at_a_time())
        .agent(chatty, Resilience::default())
        .stall_after(WHILE / 2)
        .seed(7)
        .build()
        .unwrap();
    let seen = eyes.on(&engine);

    let talk = workflow("talk", [Step::new("chatty")]);
    assert_eq!(run(&engine, &talk).await, RunStatus::Completed);

    store.inject(
        StoreFault::unavailable_before()
            .on(Operation::Commit)
            .skipping(1)
            .times(1),
    );
    let queue = workflow(
        "queue",
        [
            Step::new("left").with_agent("slow"),
            Step::new("right").with_agent("slow"),
        ],
    );
    let (status, ()) = tokio::join!(run(&engine, &queue), async {
        for _ in 0..2 {
            tokio::time::sleep(WHILE).await;
            slow.release();
        }
    });
    assert_eq!(status, RunStatus::Completed);
    store.assert_struck();

    let mut log = EventLog::of(&engine);
    let report = workflow(
        "report",
        [
            Step::new("model"),
            Step::new("file").with_agent("slow").requires(["model"]),
        ],
    );
    let (status, ()) = tokio::join!(run(&engine, &report), async {
        log.until(|kind| matches!(kind, EventKind::StepWaiting { .. }))
            .await;
        // A stranger is refused by the breaker, a run that does not wait by the look at it.
        assert!(engine.breaker("model").unwrap().try_acquire().is_err());
        let impatient = RunOptions::default().without_waiting();
        let refused = engine.run(&report, impatient).await.unwrap();
        assert_eq!(refused.status, RunStatus::Waiting);
    });
    assert_eq!(status, RunStatus::Completed);
    tokio::time::sleep(WHILE).await;
    seen.end().await;
}

async fn store_outage(eyes: &Eyes) {
    let primary = Arc::new(FailingStore::new(MemoryStore::new()));
    let config = FallbackConfig::degrade_volatile().past_lease(true);
    let store = FallbackStore::open(primary.clone(), config).await.unwrap();
    let store = Arc::new(store);
    let agent = ScriptedAgent::new("agent").answers("written").held();
    let engine = Engine::builder(store.clone())
        .agent(agent.clone(), Resilience::default())
        .build()
        .unwrap();
    let seen = eyes.on(&engine);
    let work = workflow("work", [Step::new("agent")]);
    let mut log = EventLog::of(&engine);
    let (status, ()) = tokio::join!(run(&engine, &work), async {
        log.until(|kind| matches!(kind, EventKind::StepStarted { .. }))
            .await;
        primary.inject(StoreFault::unavailable_before());
        agent.release();
        while store.status().pending_commits == 0 {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(WHILE).await;
        primary.heal();
    });
    assert_eq!(status, RunStatus::Completed);
    assert!(store.settle(Duration::from_secs(30)).await);
    tokio::time::sleep(WHILE).await;
    seen.end().await;
}

fn workflow(name: &str, steps: impl IntoIterator<Item = Step>) -> Workflow {
    let builder = steps
        .into_iter()
        .fold(Workflow::builder(name), |builder, step| builder.step(step));
    builder.build().unwrap()
}

async fn run(engine: &Engine, workflow: &Workflow) -> RunStatus {
    engine
        .run(workflow, RunOptions::default())
        .await
        .unwrap()
        .status
}

/// Opens at the second failure, gives a probe less time than an attempt, and has an objective that the outage misses.
fn fragile() -> Resilience {
    let breaker = Config::builder()
        .consecutive_failures(2)
        .wait_duration_in_open(Duration::from_millis(200))
        .max_wait_duration_in_open(Duration::from_millis(200))
        .jitter(Jitter::None)
        .probe_deadline(Duration::from_millis(300))
        .successes_to_close(1)
        .recovery_objective(Duration::from_millis(900))
        .build()
        .unwrap();
    Resilience {
        retry_base: Duration::from_millis(20),
        ..Resilience::default()
            .with_breaker(breaker)
            .with_max_attempts(2)
            .with_attempt_timeout(Duration::from_millis(1500))
    }
}

fn one_at_a_time() -> Resilience {
    Resilience {
        max_concurrent_calls: Some(1),
        ..Resilience::default()
    }
}
