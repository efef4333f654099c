//! The orchestrator's front: agents with their protection, a store, and runs over them.

mod alternatives;
mod builder;
mod dependency;
mod error;
mod options;
mod watch;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fusebox_breaker::Breaker;
use fusebox_policy::RetryBudget;
use fusebox_state::{AcquireOutcome, Durability, Fence, Lease, LeaseRequest, StateStore};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::alternatives::Alternatives;
pub use self::builder::EngineBuilder;
pub use self::error::EngineError;
pub use self::options::RunOptions;
use crate::event::{Event, EventKind};
use crate::health::Health;
use crate::journal::{Journal, JournalError};
use crate::lease::LeaseKeeper;
use crate::objectives::RtoAccount;
use crate::owner::{Life, Owner};
use crate::record::{JOURNAL_FORMAT, RunHead, SavedDefinition, load_run};
use crate::report::RunReport;
use crate::retention::retire;
use crate::run::{Run, Settings};
use crate::run_id::RunId;
use crate::shared::Shared;
use crate::spending::Spending;
use crate::status::RunStatus;
use crate::time::{millis, now_ms};
use crate::trace;
use crate::workflow::{Ports, Workflow};

/// Retries a run's calls earn for it, beyond those it has at first.
const RETRY_RATIO: f64 = 0.2;

/// Retries the shortest run has at first.
const LEAST_RETRIES: u32 = 10;

/// Runs workflows over guarded agents. Cloning it is cheap and shares everything.
///
/// Breakers belong to the engine: all its runs see one state per agent.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// An engine over `store`, with no agents yet.
    pub fn builder(store: Arc<dyn StateStore>) -> EngineBuilder {
        EngineBuilder::new(store)
    }

    /// Listens to everything that happens in this engine's runs from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// The breaker of an agent, or of a dependency.
    pub fn breaker(&self, name: &str) -> Option<&Breaker> {
        self.shared.breaker(name)
    }

    /// How the system is: from its breakers, its objectives, and the progress of its runs.
    pub fn health(&self) -> Health {
        self.shared.pump_transitions();
        Health::of(&self.shared)
    }

    /// How many calls wait for each agent that is away or coming back. Agents nobody waits for are left out.
    pub fn waiting(&self) -> BTreeMap<String, usize> {
        let waiting = self.shared.recovery.waiting().into_iter();
        let calls = waiting.map(|(agent, waits)| (agent, waits.calls));
        calls.filter(|(_, calls)| *calls > 0).collect()
    }

    /// The agents' recovery objectives and what became of them, by name.
    pub fn objectives(&self) -> Vec<RtoAccount> {
        self.shared.pump_transitions();
        self.shared.objectives.all()
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
        self.check_ports(workflow)?;
        let id = options
            .id
            .clone()
            .unwrap_or_else(|| RunId::generate(workflow.name()));
        let (fence, acquired) = self.own_new(&id).await?;
        let head = new_head(&id, workflow, &options, self.shared.min_durability);
        let journal = self.journal(&id, fence.clone(), (head, 0));
        let definition = SavedDefinition::written(workflow, &options.attachment);
        let mut run = Run::new(
            Arc::clone(&self.shared),
            workflow.clone(),
            id.clone(),
            journal,
            settings(workflow, options),
        );
        match run.begin(definition).await {
            // Boxed, so that a caller does not move the whole of it about.
            Ok(()) => Ok(Box::pin(self.drive(run, fence, acquired)).await),
            // The run is there, only not as firmly as it was asked for: it waits.
            Err(error @ JournalError::Weak { .. }) => {
                let report = run.abandon(error).await;
                self.leave(&id, report.status, &fence).await;
                Ok(report)
            }
            Err(error) => {
                // Nothing was started, so nothing is held; where this fails too, the lease runs out.
                let _ = self.shared.store.release(&id.partition(), &fence).await;
                Err(match error {
                    JournalError::Store(error) => error.into(),
                    _ => EngineError::Exists(id),
                })
            }
        }
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
            // A courtesy to the store: whoever delivered it may have died before saying how long it is kept.
            let _ = retire(&*self.shared.store, id).await;
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
        if let Some(budget) = options.budget {
            head.spending.get_or_insert_default().budget = budget;
        }
        if let Some(minimum) = self.shared.min_durability {
            head.min_durability = Some(minimum.to_string());
        }
        let journal = self.journal(id, fence.clone(), (head, record.head_version));
        let settings = settings(
            workflow,
            RunOptions {
                input: record.head.input.clone(),
                tenant: record.head.tenant.clone(),
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
        run.look_back().await;
        Ok(self.drive(run, fence, acquired).await)
    }

    async fn drive(&self, run: Run, fence: Fence, acquired: Instant) -> RunReport {
        let (id, shared) = (run.id().clone(), &self.shared);
        let pulse = run.pulse();
        let lost = CancellationToken::new();
        let workflow = run.workflow_name().to_owned();
        let mut driving = pin!(trace::run(&id, &workflow, run.drive(lost.clone())));
        // A run that never waits is over long before its lease is, or anybody asks how it fares.
        let begun = poll_fn(|cx| Poll::Ready(driving.as_mut().poll(cx))).await;
        let report = match begun {
            Poll::Ready(report) => report,
            Poll::Pending => {
                let _keeper = LeaseKeeper::start(
                    Arc::clone(&shared.store),
                    id.partition(),
                    fence.clone(),
                    shared.lease_ttl,
                    acquired,
                    lost,
                );
                let _live = shared.runs.enter(&id, pulse);
                driving.await
            }
        };
        self.leave(&id, report.status, &fence).await;
        report
    }

    /// Both are a courtesy: an unreleased lease runs out, an unlimited run is found by `retire_ended`.
    async fn leave(&self, id: &RunId, status: RunStatus, fence: &Fence) {
        let (store, partition) = (&self.shared.store, id.partition());
        let release = store.release(&partition, fence);
        if status.is_over() {
            let kept_for = Some(self.shared.retention);
            let _ = tokio::join!(store.expire(&partition, kept_for), release);
        } else {
            let _ = release.await;
        }
    }

    fn check_agents(&self, workflow: &Workflow) -> Result<(), EngineError> {
        for step in workflow.steps() {
            let Some(agent) = step.agent() else {
                continue;
            };
            if !self.shared.members.contains_key(agent) {
                return Err(EngineError::UnknownAgent {
                    step: step.name().to_owned(),
                    agent: agent.to_owned(),
                    known: self.shared.members.keys().cloned().collect(),
                });
            }
        }
        Ok(())
    }

    fn check_ports(&self, workflow: &Workflow) -> Result<(), EngineError> {
        let ports = |agent: &str| {
            let member = self.shared.members.get(agent);
            member.map_or_else(Ports::default, |member| {
                let description = member.guard.agent().describe();
                Ports {
                    input: description.input_schema.as_ref(),
                    output: description.output_schema.as_ref(),
                }
            })
        };
        Ok(workflow.check_ports(&ports, None)?)
    }

    fn journal(&self, id: &RunId, fence: Fence, head: (RunHead, u64)) -> Journal {
        let (shared, run) = (Arc::clone(&self.shared), id.clone());
        let notify = Box::new(move |kind| shared.events.of_run(&run, kind));
        Journal::new(
            Arc::clone(&self.shared.store),
            id.partition(),
            fence,
            head,
            self.shared.store_patience,
            notify,
        )
        .counted_in(Arc::clone(&self.shared.commits))
    }

    /// Acquires the lease of a run that is to be made.
    async fn own_new(&self, id: &RunId) -> Result<(Fence, Instant), EngineError> {
        let (store, sent) = (&self.shared.store, Instant::now());
        // Not even a lease that has run out is touched before it is known that there is no run: its
        // owner may only be slow.
        let request = self.lease_request().only_first();
        match store.acquire(&id.partition(), request).await? {
            AcquireOutcome::Acquired { fence, .. } => Ok((fence, sent)),
            AcquireOutcome::Held(_) if load_run(&**store, id).await?.is_some() => {
                Err(EngineError::Exists(id.clone()))
            }
            // Whoever had it died before the first commit, or is about to make it.
            AcquireOutcome::Held(_) => self.own(id, false).await,
        }
    }

    fn lease_request(&self) -> LeaseRequest {
        LeaseRequest::new(Owner::current().to_string(), self.shared.lease_ttl)
    }

    /// Acquires the run's lease: at once from nobody or from a dead process of this host; with
    /// `patient`, after the lease of an owner that cannot be looked at from here.
    async fn own(&self, id: &RunId, patient: bool) -> Result<(Fence, Instant), EngineError> {
        let shared = &self.shared;
        let partition = id.partition();
        let mut request = self.lease_request();
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
        self.shared.events.of_run(id, awaited);
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

fn new_head(
    id: &RunId,
    workflow: &Workflow,
    options: &RunOptions,
    minimum: Option<Durability>,
) -> RunHead {
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
        tenant: options.tenant.clone(),
        min_durability: minimum.map(|level| level.to_string()),
        durability: None,
        keep_ms: None,
        spending: options.budget.map(Spending::of),
    }
}

fn settings(workflow: &Workflow, options: RunOptions) -> Settings {
    let own_budget = || {
        let steps = u32::try_from(workflow.steps().len()).unwrap_or(u32::MAX);
        RetryBudget::new(RETRY_RATIO, steps.saturating_mul(2).max(LEAST_RETRIES))
    };
    Settings {
        input: options.input,
        objective: options.objective.unwrap_or_else(|| workflow.objective()),
        wait: options.wait,
        artifacts: options.artifacts,
        tenant: options.tenant.map(Into::into),
        priority: options.priority,
        retry_budget: options.retry_budget.unwrap_or_else(own_budget),
        // The caller's may stop other runs too; what stops this one must not.
        cancellation: options.cancellation.child_token(),
    }
}
