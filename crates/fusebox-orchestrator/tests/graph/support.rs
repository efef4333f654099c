//! Agents that take their time and remember what they were given, and an engine around them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Reply, agent_fn};
use fusebox_breaker::Config;
use fusebox_orchestrator::{
    Engine, EngineBuilder, Event, EventKind, Resilience, RunId, RunOptions, RunReport, Workflow,
};
use fusebox_state::{
    AcquireOutcome, Fence, Key, LeaseRequest, MemoryStore, Partition, StateStore, TokenId,
};
use serde_json::Value;
use tokio::time::Instant;

/// One call of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) agent: String,
    pub(crate) input: Value,
    pub(crate) key: String,
    /// Since the bench was made.
    pub(crate) at: Duration,
}

/// A store, and what was called over it by however many engines.
pub(crate) struct Bench {
    pub(crate) store: Arc<MemoryStore>,
    calls: Arc<Mutex<Vec<Call>>>,
    begun: Instant,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            calls: Arc::default(),
            begun: Instant::now(),
        }
    }

    pub(crate) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap()
    }

    pub(crate) fn calls_of(&self, agent: &str) -> Vec<Call> {
        let calls = self.calls();
        let of = calls.iter().filter(|call| call.agent == agent);
        of.cloned().collect()
    }

    pub(crate) fn engine(&self) -> Members {
        Members {
            builder: Engine::builder(self.store.clone()).seed(1),
            calls: Arc::clone(&self.calls),
            begun: self.begun,
        }
    }

    /// Runs until `here` is told, and stops there as a crash would; then the lease is free again.
    pub(crate) async fn crash_at(
        &self,
        engine: &Engine,
        workflow: &Workflow,
        here: impl Fn(&EventKind) -> bool,
    ) {
        let mut events = engine.subscribe();
        let reached = async {
            while !here(&next(&mut events).await.kind) {}
            tokio::task::yield_now().await;
        };
        tokio::select! {
            report = engine.run(workflow, named("r")) => panic!("it ended before: {report:?}"),
            () = reached => {}
        }
        self.free_lease().await;
    }

    /// Whether an answer of a step that makes several calls is on record.
    pub(crate) async fn has_part(&self, step: &str, part: u64) -> bool {
        let key = Key::try_new(format!("part.{step}.{part:06}")).unwrap();
        self.store.get(&partition(), &key).await.unwrap().is_some()
    }

    /// What the run's journal holds, in bytes of keys and values.
    pub(crate) async fn bytes(&self) -> usize {
        let (partition, mut bytes, mut after) = (partition(), 0, None);
        loop {
            let page = self
                .store
                .scan(&partition, "", after.as_ref(), 256)
                .await
                .unwrap();
            let sizes = page.items.iter();
            bytes += sizes
                .map(|(key, entry)| key.as_str().len() + entry.value.len())
                .sum::<usize>();
            after = page.items.last().map(|(key, _)| key.clone());
            if page.next.is_none() {
                return bytes;
            }
        }
    }

    /// Ends the lease as its owner's death would: by naming it.
    async fn free_lease(&self) {
        let partition = partition();
        let lease = self.store.lease(&partition).await.unwrap().unwrap();
        let fence = self.lease(Some(lease.token_id)).await;
        let _ = self.store.release(&partition, &fence).await.unwrap();
    }

    /// The run's lease: nobody has it, or whoever `takeover` names.
    pub(crate) async fn lease(&self, takeover: Option<TokenId>) -> Fence {
        let mut request = LeaseRequest::new("test", Duration::from_secs(1));
        request.takeover = takeover;
        match self.store.acquire(&partition(), request).await.unwrap() {
            AcquireOutcome::Acquired { fence, .. } => fence,
            held @ AcquireOutcome::Held(_) => panic!("{held:?}"),
        }
    }
}

pub(crate) fn partition() -> Partition {
    Partition::try_new("run.r").unwrap()
}

async fn next(events: &mut tokio::sync::broadcast::Receiver<Event>) -> Event {
    events.recv().await.expect("the engine lives")
}

/// The agents of an engine to be.
pub(crate) struct Members {
    builder: EngineBuilder,
    calls: Arc<Mutex<Vec<Call>>>,
    begun: Instant,
}

impl Members {
    /// An agent that takes `secs` and answers `answer` of its input.
    pub(crate) fn agent<F>(mut self, name: &str, secs: u64, answer: F) -> Self
    where
        F: Fn(&Value) -> Result<Value, AgentError> + Send + Sync + 'static,
    {
        let (calls, begun, answer) = (Arc::clone(&self.calls), self.begun, Arc::new(answer));
        let own_name = name.to_owned();
        let agent = agent_fn(name, move |task, cx| {
            calls.lock().unwrap().push(Call {
                agent: own_name.clone(),
                input: task.input.clone(),
                key: cx.idempotency_key().to_owned(),
                at: begun.elapsed(),
            });
            let answer = Arc::clone(&answer);
            async move {
                tokio::time::sleep(Duration::from_secs(secs)).await;
                answer(&task.input).map(Reply::new)
            }
        });
        self.builder = self.builder.agent(agent, touchy());
        self
    }

    pub(crate) fn with(self, agent: impl Agent + 'static) -> Self {
        self.with_resilience(agent, touchy())
    }

    pub(crate) fn with_resilience(
        mut self,
        agent: impl Agent + 'static,
        resilience: Resilience,
    ) -> Self {
        self.builder = self.builder.agent(agent, resilience);
        self
    }

    /// Agents that answer with their own names, each after its seconds.
    pub(crate) fn plain(self, agents: &[(&str, u64)]) -> Self {
        agents.iter().fold(self, |members, (name, secs)| {
            let text = (*name).to_owned();
            members.agent(name, *secs, move |_| Ok(text.clone().into()))
        })
    }

    /// Agents that fail for good at once.
    pub(crate) fn broken(self, agents: &[&str]) -> Self {
        agents.iter().fold(self, |members, name| {
            members.agent(name, 0, |_| Err(AgentError::invalid_input("it cannot")))
        })
    }

    pub(crate) fn build(self) -> Engine {
        self.builder.build().unwrap()
    }
}

/// Opens after two failures in a row, for 1 to 2 s; one attempt per call.
fn touchy() -> Resilience {
    let breaker = Config::builder()
        .consecutive_failures(2)
        .without_count_window()
        .wait_duration_in_open(Duration::from_secs(2))
        .max_wait_duration_in_open(Duration::from_secs(4))
        .successes_to_close(1)
        .recovery_objective(Duration::from_secs(30))
        .build()
        .unwrap();
    let resilience = Resilience::default().with_breaker(breaker);
    resilience.with_max_attempts(1)
}

pub(crate) fn named(id: &str) -> RunOptions {
    RunOptions::default().with_id(id.parse().unwrap())
}

pub(crate) fn run_id(id: &str) -> RunId {
    id.parse().unwrap()
}

pub(crate) async fn run(engine: &Engine, workflow: &Workflow) -> RunReport {
    engine.run(workflow, named("r")).await.unwrap()
}

pub(crate) async fn resume(engine: &Engine, workflow: &Workflow) -> RunReport {
    let options = RunOptions::default();
    engine
        .resume(workflow, &run_id("r"), options)
        .await
        .unwrap()
}

pub(crate) fn ends(kind: &EventKind, wanted: &str) -> bool {
    matches!(kind, EventKind::StepEnded { step, .. } if step == wanted)
}

pub(crate) fn starts(kind: &EventKind, wanted: &str) -> bool {
    matches!(kind, EventKind::StepStarted { step, .. } if step == wanted)
}
