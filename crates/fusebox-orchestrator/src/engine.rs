//! The orchestrator's front: agents with their protection, a store, and runs over them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Agent, Guard};
use fusebox_breaker::{Breaker, Clock, Transition, TransitionQueue};
use fusebox_policy::{Bulkhead, Policy, Retry, TokioClock};
use fusebox_state::{AcquireOutcome, Fence, Lease, LeaseRequest, StateStore, StoreError};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, EventKind, millis};
use crate::journal::{Changes, Journal, JournalError};
use crate::lease::LeaseKeeper;
use crate::owner::{Life, Owner};
use crate::record::{HistoryError, JOURNAL_FORMAT, RunHead, SavedDefinition, load_run, now_ms};
use crate::report::RunReport;
use crate::resilience::Resilience;
use crate::run::{Run, Settings};
use crate::run_id::RunId;
use crate::status::RunStatus;
use crate::workflow::Workflow;

/// Events a listener may be behind before it loses the oldest.
const EVENT_BUFFER: usize = 1024;

/// Runs workflows over guarded agents. Cloning it is cheap and shares everything.
///
/// Breakers belong to the engine: all its runs see one state per agent.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all runs of an engine share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) clock: Arc<dyn Clock>,
    events: broadcast::Sender<Event>,
    queue: TransitionQueue,
    transitions: broadcast::Sender<Transition>,
    store_patience: Duration,
    lease_ttl: Duration,
    retention: Duration,
}

/// An agent behind its guard.
pub(crate) struct Member {
    pub(crate) guard: Guard,
    pub(crate) breaker: Breaker,
    pub(crate) has_fallback: bool,
    /// The wait before a call is made again that failed while the breaker stayed closed.
    pub(crate) pause: Duration,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.store)
            .field("agents", &self.members.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn emit(&self, run: &RunId, kind: EventKind) {
        // An error only says that nobody listens.
        let _ = self.events.send(Event {
            run: run.to_string(),
            kind,
        });
    }

    /// Hands the breakers' transitions to every run that listens.
    pub(crate) fn pump_transitions(&self) {
        for transition in self.queue.drain() {
            let _ = self.transitions.send(transition);
        }
    }

    pub(crate) fn subscribe_transitions(&self) -> broadcast::Receiver<Transition> {
        self.transitions.subscribe()
    }
}

/// How one run is to be run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// The run's name. Defaults to a generated one.
    pub id: Option<RunId>,
    /// What the workflow starts with; every step sees it under `input`.
    pub input: Value,
    /// Anything the caller needs to build the same agents again when the run is resumed.
    pub attachment: Value,
    /// Replaces the workflow's objective for this process.
    pub objective: Option<Duration>,
    /// Whether to wait for unavailable agents while the objective allows. Defaults to `true`.
    pub wait: bool,
    /// A directory for files the agents make.
    pub artifacts: Option<PathBuf>,
    /// Cancelling it stops the run; what is finished stays finished.
    pub cancellation: CancellationToken,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            id: None,
            input: Value::Null,
            attachment: Value::Null,
            objective: None,
            wait: true,
            artifacts: None,
            cancellation: CancellationToken::new(),
        }
    }
}

impl RunOptions {
    /// Names the run.
    #[must_use]
    pub fn with_id(mut self, id: RunId) -> Self {
        self.id = Some(id);
        self
    }

    /// Gives the run its input.
    #[must_use]
    pub fn with_input(mut self, input: Value) -> Self {
        self.input = input;
        self
    }

    /// Ends the run as waiting, instead of waiting, when an agent is not available.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }
}

/// Why a run did not start. Nothing was called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A step names an agent the engine does not have.
    #[error("step `{step}` calls agent `{agent}`, which this engine does not have; it has: {}", .known.join(", "))]
    UnknownAgent {
        /// The step.
        step: String,
        /// The agent it names.
        agent: String,
        /// The agents there are.
        known: Vec<String>,
    },
    /// Two agents have one name.
    #[error("agent `{0}` is registered twice; names must be unique")]
    DuplicateAgent(String),
    /// A fallback is given for an agent that is not registered.
    #[error("a fallback is given for agent `{0}`, which is not registered")]
    FallbackWithoutAgent(String),
    /// A run of this name exists.
    #[error("run `{0}` exists already; resume it, or choose another name")]
    Exists(RunId),
    /// There is no run of this name.
    #[error("there is no run `{0}` in this store")]
    NotFound(RunId),
    /// Another process works on the run.
    #[error("run `{run}` is being worked on by {owner}; its lease lasts another {} ms", millis(*.remaining))]
    Held {
        /// The run.
        run: RunId,
        /// Who holds it.
        owner: String,
        /// How long its lease lasts unless renewed.
        remaining: Duration,
    },
    /// The run began under another definition.
    #[error("run `{run}` began under another definition: {}", .differences.join("; "))]
    DefinitionChanged {
        /// The run.
        run: RunId,
        /// What differs.
        differences: Vec<String>,
    },
    /// The store could not be asked.
    #[error("the state store could not be reached")]
    Store(#[from] StoreError),
    /// The run's journal could not be read.
    #[error("the run's journal could not be read")]
    History(#[from] HistoryError),
}

/// Builds an [`Engine`].
#[must_use]
pub struct EngineBuilder {
    store: Arc<dyn StateStore>,
    agents: Vec<(Arc<dyn Agent>, Resilience)>,
    fallbacks: BTreeMap<String, Arc<dyn Agent>>,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    store_patience: Duration,
    lease_ttl: Duration,
    retention: Duration,
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let agents: Vec<_> = self
            .agents
            .iter()
            .map(|(agent, _)| &agent.describe().name)
            .collect();
        f.debug_struct("EngineBuilder")
            .field("store", &self.store)
            .field("agents", &agents)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Adds an agent under the name it describes itself with.
    pub fn agent(self, agent: impl Agent + 'static, resilience: Resilience) -> Self {
        self.shared_agent(Arc::new(agent), resilience)
    }

    /// Adds an agent that is already shared.
    pub fn shared_agent(mut self, agent: Arc<dyn Agent>, resilience: Resilience) -> Self {
        self.agents.push((agent, resilience));
        self
    }

    /// Lets `fallback` answer when the agent called `name` fails, times out or is refused. A step
    /// answered so is marked degraded.
    pub fn fallback(mut self, name: impl Into<String>, fallback: Arc<dyn Agent>) -> Self {
        self.fallbacks.insert(name.into(), fallback);
        self
    }

    /// The breakers' clock. Defaults to tokio's, which is the system's monotonic clock unless a test
    /// pauses it.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Fixes every random draw (jitter), so that a run can be repeated. Defaults to random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long a commit is repeated while the store does not answer. Defaults to 5 s; a run whose
    /// store stays away longer ends as waiting and can be resumed.
    pub fn store_patience(mut self, patience: Duration) -> Self {
        self.store_patience = patience;
        self
    }

    /// How long a run's lease outlives its last renewal. Defaults to 10 s. After a crash, another
    /// host can take the run over that much later; the same host at once.
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = ttl;
        self
    }

    /// How long the journal of a run is kept after it ended. Defaults to 30 days.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Puts the guards around the agents.
    ///
    /// # Errors
    /// Two agents of one name, or a fallback for none.
    pub fn build(mut self) -> Result<Engine, EngineError> {
        let queue = TransitionQueue::new(1024);
        let mut members = BTreeMap::new();
        for (index, (agent, resilience)) in std::mem::take(&mut self.agents).into_iter().enumerate()
        {
            let name = agent.describe().name.clone();
            let seed = self.seed.map(|seed| seed.wrapping_add(index as u64));
            let fallback = self.fallbacks.remove(&name);
            let member = guard(
                &name,
                agent,
                &resilience,
                fallback,
                (&self.clock, &queue, seed),
            );
            if members.insert(name.clone(), member).is_some() {
                return Err(EngineError::DuplicateAgent(name));
            }
        }
        if let Some((name, _)) = self.fallbacks.pop_first() {
            return Err(EngineError::FallbackWithoutAgent(name));
        }
        let shared = Shared {
            store: self.store,
            members,
            clock: self.clock,
            events: broadcast::Sender::new(EVENT_BUFFER),
            queue,
            transitions: broadcast::Sender::new(EVENT_BUFFER),
            store_patience: self.store_patience,
            lease_ttl: self.lease_ttl,
            retention: self.retention,
        };
        Ok(Engine {
            shared: Arc::new(shared),
        })
    }
}

fn guard(
    name: &str,
    agent: Arc<dyn Agent>,
    resilience: &Resilience,
    fallback: Option<Arc<dyn Agent>>,
    (clock, queue, seed): (&Arc<dyn Clock>, &TransitionQueue, Option<u64>),
) -> Member {
    let mut breaker = Breaker::builder(name, resilience.breaker.clone())
        .clock(Arc::clone(clock))
        .transitions(queue.clone());
    let mut retry = Retry::new(resilience.max_attempts)
        .with_base(resilience.retry_base)
        .with_cap(resilience.retry_cap);
    if let Some(seed) = seed {
        breaker = breaker.seed(seed);
        retry = retry.with_seed(seed);
    }
    let breaker = breaker.build();
    let mut policy = Policy::builder(breaker.clone()).retry(retry);
    if let Some(limit) = resilience.attempt_timeout {
        policy = policy.attempt_timeout(limit);
    }
    if let Some(limit) = resilience.max_concurrent_calls {
        policy = policy.bulkhead(Bulkhead::new(name, limit).with_max_wait(resilience.max_wait));
    }
    let has_fallback = fallback.is_some();
    let mut guard = Guard::new(agent, policy.build());
    if let Some(fallback) = fallback {
        guard = guard.with_fallback(fallback);
    }
    Member {
        guard,
        breaker,
        has_fallback,
        pause: resilience.retry_cap,
    }
}

impl Engine {
    /// An engine over `store`, with no agents yet.
    pub fn builder(store: Arc<dyn StateStore>) -> EngineBuilder {
        EngineBuilder {
            store,
            agents: Vec::new(),
            fallbacks: BTreeMap::new(),
            clock: Arc::new(TokioClock::new()),
            seed: None,
            store_patience: Duration::from_secs(5),
            lease_ttl: Duration::from_secs(10),
            retention: Duration::from_secs(30 * 24 * 3600),
        }
    }

    /// Listens to everything that happens in this engine's runs from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// The breaker of an agent.
    pub fn breaker(&self, agent: &str) -> Option<&Breaker> {
        self.shared.members.get(agent).map(|member| &member.breaker)
    }

    /// Runs a workflow to its end, or as far as it gets. The report tells the truth about both.
    ///
    /// Dropping the future stops the run where it is; it can be resumed like after a crash.
    ///
    /// # Errors
    /// Only where nothing was started, see [`EngineError`]. Whatever happens later is in the report.
    pub async fn run(
        &self,
        workflow: &Workflow,
        options: RunOptions,
    ) -> Result<RunReport, EngineError> {
        self.check_agents(workflow)?;
        let id = options
            .id
            .clone()
            .unwrap_or_else(|| RunId::generate(workflow.name()));
        if load_run(&*self.shared.store, &id).await?.is_some() {
            return Err(EngineError::Exists(id));
        }
        let (fence, acquired) = self.own(&id, false).await?;
        let head = new_head(&id, workflow, &options);
        let mut journal = self.journal(&id, fence.clone(), (head, 0));
        let definition = SavedDefinition {
            workflow: workflow.clone(),
            attachment: options.attachment.clone(),
        };
        let started = EventKind::RunStarted {
            workflow: workflow.name().to_owned(),
        };
        let changes = Changes {
            events: vec![started.clone()],
            ..Changes::default()
        };
        match journal.create(&definition, changes).await {
            Ok(()) => {}
            Err(JournalError::Lost) => return Err(EngineError::Exists(id)),
            Err(JournalError::Store(error)) => return Err(error.into()),
        }
        self.shared.emit(&id, started);
        let run = Run::new(
            Arc::clone(&self.shared),
            workflow.clone(),
            id,
            journal,
            settings(workflow, options),
        );
        Ok(self.drive(run, fence, acquired).await)
    }

    /// Goes on with a run, here or where another process died. Steps with a committed output keep
    /// it and do not run again; a step that was in flight runs again under the same idempotency key.
    ///
    /// A run that has delivered is not run again: its report is returned as it stands. Where the
    /// former owner's lease has not run out and its process is not known to be dead, it is waited for.
    ///
    /// # Errors
    /// Only where nothing was started, see [`EngineError`].
    pub async fn resume(
        &self,
        workflow: &Workflow,
        id: &RunId,
        options: RunOptions,
    ) -> Result<RunReport, EngineError> {
        self.check_agents(workflow)?;
        let record = load_run(&*self.shared.store, id)
            .await?
            .ok_or_else(|| EngineError::NotFound(id.clone()))?;
        if record.head.fingerprint != workflow.fingerprint() {
            let differences = record.workflow.differences(workflow);
            return Err(EngineError::DefinitionChanged {
                run: id.clone(),
                differences,
            });
        }
        if record.head.status.is_delivered() {
            return Ok(RunReport::from_record(&record));
        }
        let (fence, acquired) = self.own(id, true).await?;
        // Read again under the lease: the former owner may have written until it lost it.
        let record = load_run(&*self.shared.store, id)
            .await?
            .ok_or_else(|| EngineError::NotFound(id.clone()))?;
        if record.head.status.is_delivered() {
            let _ = self.shared.store.release(&id.partition(), &fence).await;
            return Ok(RunReport::from_record(&record));
        }
        self.shared.store.expire(&id.partition(), None).await?;
        let mut head = record.head.clone();
        head.processes += 1;
        let journal = self.journal(id, fence.clone(), (head, record.head_version));
        let settings = settings(
            workflow,
            RunOptions {
                input: record.head.input.clone(),
                ..options
            },
        );
        let mut run = Run::new(
            Arc::clone(&self.shared),
            workflow.clone(),
            id.clone(),
            journal,
            settings,
        );
        run.restore(&record).await?;
        Ok(self.drive(run, fence, acquired).await)
    }

    async fn drive(&self, run: Run, fence: Fence, acquired: Instant) -> RunReport {
        let (id, shared) = (run.id().clone(), &self.shared);
        let partition = id.partition();
        let keeper = LeaseKeeper::start(
            Arc::clone(&shared.store),
            partition.clone(),
            fence.clone(),
            shared.lease_ttl,
            acquired,
        );
        let report = run.drive(keeper.lost()).await;
        drop(keeper);
        // Both are a courtesy: an unreleased lease runs out, an unlimited run is limited by the next end.
        if report.status != RunStatus::Waiting {
            let _ = shared
                .store
                .expire(&partition, Some(shared.retention))
                .await;
        }
        let _ = shared.store.release(&partition, &fence).await;
        report
    }

    fn check_agents(&self, workflow: &Workflow) -> Result<(), EngineError> {
        for step in workflow.steps() {
            if !self.shared.members.contains_key(step.agent()) {
                return Err(EngineError::UnknownAgent {
                    step: step.name().to_owned(),
                    agent: step.agent().to_owned(),
                    known: self.shared.members.keys().cloned().collect(),
                });
            }
        }
        Ok(())
    }

    fn journal(&self, id: &RunId, fence: Fence, head: (RunHead, u64)) -> Journal {
        let (shared, run) = (Arc::clone(&self.shared), id.clone());
        let notify = Box::new(move |kind| shared.emit(&run, kind));
        Journal::new(
            Arc::clone(&self.shared.store),
            id.clone(),
            fence,
            head,
            self.shared.store_patience,
            notify,
        )
    }

    /// Acquires the run's lease: at once from nobody or from a dead process of this host; with
    /// `patient`, after the lease of an owner that cannot be looked at from here.
    async fn own(&self, id: &RunId, patient: bool) -> Result<(Fence, Instant), EngineError> {
        let shared = &self.shared;
        let partition = id.partition();
        let mut request = LeaseRequest::new(Owner::current().to_string(), shared.lease_ttl);
        // One lease more than the one found may have to run out: that of a renewal just made.
        for _ in 0..3 {
            let sent = Instant::now();
            let lease = match shared.store.acquire(&partition, request.clone()).await? {
                AcquireOutcome::Acquired { fence, .. } => return Ok((fence, sent)),
                AcquireOutcome::Held(lease) => lease,
            };
            match Owner::parse(&lease.owner).map_or(Life::Unknown, |owner| owner.life()) {
                Life::Dead => request.takeover = Some(lease.token_id),
                Life::Unknown if patient => self.outwait(id, &lease).await,
                Life::Alive | Life::Unknown => return Err(held(id, lease)),
            }
        }
        let lease = shared.store.lease(&partition).await?;
        Err(lease.map_or_else(
            || EngineError::NotFound(id.clone()),
            |lease| held(id, lease),
        ))
    }

    async fn outwait(&self, id: &RunId, lease: &Lease) {
        let awaited = EventKind::LeaseAwaited {
            owner: lease.owner.clone(),
            remaining_ms: millis(lease.remaining),
        };
        self.shared.emit(id, awaited);
        tokio::time::sleep(lease.remaining + Duration::from_millis(20)).await;
    }
}

fn held(id: &RunId, lease: Lease) -> EngineError {
    EngineError::Held {
        run: id.clone(),
        owner: lease.owner,
        remaining: lease.remaining,
    }
}

fn new_head(id: &RunId, workflow: &Workflow, options: &RunOptions) -> RunHead {
    let now = now_ms();
    RunHead {
        format: JOURNAL_FORMAT,
        run: id.to_string(),
        workflow: workflow.name().to_owned(),
        fingerprint: workflow.fingerprint(),
        status: RunStatus::Running,
        reason: None,
        input: options.input.clone(),
        created_ms: now,
        updated_ms: now,
        due_ms: None,
        processes: 1,
        events: 0,
    }
}

fn settings(workflow: &Workflow, options: RunOptions) -> Settings {
    Settings {
        input: options.input,
        objective: options.objective.unwrap_or_else(|| workflow.objective()),
        wait: options.wait,
        artifacts: options.artifacts,
        cancellation: options.cancellation,
    }
}
