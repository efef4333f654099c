//! Puts guards around agents and makes an engine of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Agent, Guard};
use fusebox_breaker::{Breaker, Clock, Config, TransitionQueue};
use fusebox_policy::{Budget, Bulkhead, Policy, Retry, RetryBudget, TokioClock};
use fusebox_state::{Durability, StateStore};
use tokio::sync::{Notify, broadcast};

use super::alternatives::Alternatives;
use super::dependency::Dependencies;
use super::{Engine, EngineError};
use crate::event::Events;
use crate::live::LiveRuns;
use crate::objectives::Objectives;
use crate::recovery::{Recovery, Settings};
use crate::resilience::Resilience;
use crate::retention::DEFAULT_RETENTION;
use crate::run::Pace;
use crate::shared::{Member, Shared};
use crate::tenant::TenantBudget;
use crate::trace;

/// Events a listener may be behind before it loses the oldest.
const EVENT_BUFFER: usize = 1024;

/// Builds an [`Engine`].
///
/// Over a store that may go away, a [`FallbackStore`](fusebox_state::FallbackStore) lets a run go on
/// without it and delivers what was written meanwhile:
///
/// ```
/// use std::sync::Arc;
///
/// use fusebox_agent::{Reply, agent_fn};
/// use fusebox_orchestrator::{Engine, Resilience, RunOptions, RunStatus, Step, Workflow};
/// use fusebox_state::{FallbackConfig, FallbackStore, MemoryStore};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let primary = Arc::new(MemoryStore::new()); // in earnest a `RedisStore`
/// let config = FallbackConfig::degrade_volatile() // or `degrade_durable_in` a directory
///     .past_lease(true); // nobody else takes this run over meanwhile
/// let store = Arc::new(FallbackStore::open(primary, config).await?);
///
/// let hello = agent_fn("hello", |_task, _cx| async { Ok(Reply::new(json!("hello"))) });
/// let engine = Engine::builder(store.clone())
///     .agent(hello, Resilience::default())
///     .build()?;
/// let workflow = Workflow::builder("greeting").step(Step::new("hello")).build()?;
/// let report = engine.run(&workflow, RunOptions::default()).await?;
/// assert_eq!(report.status, RunStatus::Completed);
/// assert!(store.settle(std::time::Duration::from_secs(3)).await); // nothing waits to be delivered
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct EngineBuilder {
    store: Arc<dyn StateStore>,
    agents: Vec<(Arc<dyn Agent>, Resilience)>,
    fallbacks: BTreeMap<String, Arc<dyn Agent>>,
    failovers: Vec<(Alternatives, Resilience)>,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    store_patience: Duration,
    lease_ttl: Duration,
    retention: Duration,
    min_durability: Option<Durability>,
    recovery: Settings,
    pools: BTreeMap<String, Bulkhead>,
    stall_after: Duration,
    tenants: BTreeMap<String, TenantBudget>,
    dependencies: Dependencies,
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
    pub(super) fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            agents: Vec::new(),
            fallbacks: BTreeMap::new(),
            failovers: Vec::new(),
            clock: Arc::new(TokioClock::new()),
            seed: None,
            store_patience: Duration::from_secs(5),
            lease_ttl: Duration::from_secs(10),
            retention: DEFAULT_RETENTION,
            min_durability: None,
            recovery: Settings::default(),
            pools: BTreeMap::new(),
            stall_after: Duration::from_secs(300),
            tenants: BTreeMap::new(),
            dependencies: Dependencies::default(),
        }
    }

    /// Adds an agent under the name it describes itself with.
    pub fn agent(self, agent: impl Agent + 'static, resilience: Resilience) -> Self {
        self.shared_agent(Arc::new(agent), resilience)
    }

    /// Adds an agent that is already shared.
    pub fn shared_agent(mut self, agent: Arc<dyn Agent>, resilience: Resilience) -> Self {
        self.agents.push((agent, resilience));
        self
    }

    /// Adds something that several agents depend on, such as the server of their tools, with a breaker of its own. It
    /// is charged for what is its fault and no agent is, see [`Behind`](fusebox_agent::Behind); it is operated, counted
    /// and kept across resumes like that of an agent. One of the same name replaces it.
    pub fn dependency(mut self, name: impl Into<String>, rules: Config) -> Self {
        self.dependencies.add(name.into(), rules);
        self
    }

    /// Adds an agent that stands behind a [dependency](Self::dependency), its own protection around both.
    pub fn agent_behind(
        mut self,
        agent: Arc<dyn Agent>,
        dependency: impl Into<String>,
        resilience: Resilience,
    ) -> Self {
        let name = &agent.describe().name;
        self.dependencies.put_behind(name, dependency.into());
        self.shared_agent(agent, resilience)
    }

    /// Lets `fallback` answer when the agent called `name` fails, times out or is refused. A step
    /// answered so is marked degraded.
    pub fn fallback(mut self, name: impl Into<String>, fallback: Arc<dyn Agent>) -> Self {
        self.fallbacks.insert(name.into(), fallback);
        self
    }

    /// Adds an agent that is one out of others of this engine, each behind its own protection;
    /// `resilience` is around all of them.
    pub fn failover(mut self, alternatives: Alternatives, resilience: Resilience) -> Self {
        self.failovers.push((alternatives, resilience));
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

    /// How long the journal of a run is kept once the run is over: completed, degraded, failed or
    /// cancelled. Defaults to [`DEFAULT_RETENTION`], 30 days; zero removes it at its end. A run that
    /// waits or is suspended is kept until it is resumed.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// The level below which a commit does not count as acknowledged: it is repeated, under the same
    /// write id, until it reaches the level or [`store_patience`](Self::store_patience) is over; then
    /// the run ends as waiting and says what was reached. By default whatever the store acknowledges
    /// counts.
    ///
    /// A run has its minimum on record and keeps it in a process whose engine has none.
    pub fn min_durability(mut self, minimum: Durability) -> Self {
        self.min_durability = Some(minimum);
        self
    }

    /// Adds a pool of slots that several agents share, such as the connections of one provider: each agent names it
    /// in [`Resilience::pool`]. Its queue lets tenants take turns, see [`RunOptions::tenant`](super::RunOptions).
    pub fn pool(mut self, pool: Bulkhead) -> Self {
        self.pools.insert(pool.name().to_string(), pool);
        self
    }

    /// Limits what all runs of a tenant may cost together, those of other processes over the same store included. It
    /// is kept in the store: each attempt is set aside there before it is made, two round trips, and settled after its
    /// call, two more. So the limit is exceeded only by what calls cost beyond their estimates, however many processes
    /// there are.
    ///
    /// While the store cannot be asked, nothing is called: the step waits like one whose agent is away. What a process
    /// had set aside that died counts until its run is taken over, or the period is over. By default no tenant is
    /// limited.
    pub fn tenant_budget(mut self, tenant: impl Into<String>, budget: TenantBudget) -> Self {
        self.tenants.insert(tenant.into(), budget);
        self
    }

    /// How long a run with a call in flight may show no sign of life before [`Engine::health`] calls it stalled.
    /// Defaults to 5 minutes. Nothing else comes of it; to end such calls see [`Resilience::max_silence`].
    pub fn stall_after(mut self, limit: Duration) -> Self {
        self.stall_after = limit;
        self
    }

    /// Whether runs that wait for an agent come back to it in line: first its probes, then cohorts that grow. Defaults
    /// to true. Without it each goes when the breaker lets it, which after an outage is all at once; for comparison, or
    /// where something else already paces them.
    pub fn paced(mut self, paced: bool) -> Self {
        self.recovery.is_paced = paced;
        self
    }

    /// How many agents may be probed at the same time, over all runs; 0 is read as 1. Defaults to 4. Agents beyond
    /// wait for their turn, those upstream first. How many probes each takes is its breaker's own setting.
    pub fn max_agents_probed(mut self, agents: usize) -> Self {
        self.recovery.max_agents_probed = agents.max(1);
        self
    }

    /// How many waiting calls of one agent may be out at the same time once it is back, where the agent has no
    /// [`max_concurrent_calls`](Resilience::max_concurrent_calls); 0 is read as 1. Defaults to 64. They begin with as
    /// many as the breaker takes for probes, and each success makes room for one more.
    pub fn max_released(mut self, calls: usize) -> Self {
        self.recovery.max_released = calls.max(1);
        self
    }

    /// Puts the guards around the agents.
    ///
    /// # Errors
    /// Two of one name, a fallback for none, a failover without targets, or a dependency that there is not.
    pub fn build(mut self) -> Result<Engine, EngineError> {
        let queue = TransitionQueue::new(1024);
        let dependencies = self.dependencies.breakers(&self.clock, &queue, self.seed);
        let mut members = BTreeMap::new();
        let agents = std::mem::take(&mut self.agents).into_iter();
        let agents = agents.map(|(agent, resilience)| (Either::Agent(agent), resilience));
        let failovers = std::mem::take(&mut self.failovers).into_iter();
        let failovers = failovers
            .map(|(failover, resilience)| (Either::Failover(Box::new(failover)), resilience));
        for (index, (one, resilience)) in agents.chain(failovers).enumerate() {
            let agent = match one {
                Either::Agent(agent) => self.dependencies.around(agent, &dependencies)?,
                Either::Failover(failover) => failover.agent(&members)?,
            };
            let name = agent.describe().name.clone();
            let fallback = self.fallbacks.remove(&name);
            let fallback = fallback.map(|agent| self.dependencies.around(agent, &dependencies));
            let fallback = fallback.transpose()?;
            let around = Around {
                clock: &self.clock,
                queue: &queue,
                seed: self.seed.map(|seed| seed.wrapping_add(index as u64)),
                bulkhead: self.bulkhead(&name, &resilience)?,
                fallback,
            };
            let mut member = guard(&name, agent, &resilience, around);
            member.dependency = self.dependencies.of(&name).map(str::to_owned);
            let is_taken = dependencies.contains_key(&name);
            if is_taken || members.insert(name.clone(), member).is_some() {
                return Err(EngineError::DuplicateAgent(name));
            }
        }
        if let Some((name, _)) = self.fallbacks.pop_first() {
            return Err(EngineError::FallbackWithoutAgent(name));
        }
        let breakers = members.iter();
        let breakers = breakers.map(|(name, member)| (name.clone(), member.breaker.clone()));
        let events = Events::new(EVENT_BUFFER);
        let watched = members.values().map(|member: &Member| &member.breaker);
        let objectives = Objectives::new(watched, &self.clock, &events);
        let shared = Shared {
            store: self.store,
            recovery: Arc::new(Recovery::new(breakers.collect(), self.recovery)),
            members,
            dependencies,
            dependency_moved: Notify::new(),
            clock: self.clock,
            events,
            objectives,
            queue,
            transitions: broadcast::Sender::new(EVENT_BUFFER),
            store_patience: self.store_patience,
            lease_ttl: self.lease_ttl,
            retention: self.retention,
            min_durability: self.min_durability,
            runs: LiveRuns::new(self.stall_after),
            commits: Arc::default(),
            tenants: self.tenants,
        };
        Ok(Engine {
            shared: Arc::new(shared),
        })
    }

    fn bulkhead(
        &self,
        agent: &str,
        resilience: &Resilience,
    ) -> Result<Option<Bulkhead>, EngineError> {
        let Some(pool) = &resilience.pool else {
            let own = |limit| Bulkhead::new(agent, limit).with_max_wait(resilience.max_wait);
            return Ok(resilience.max_concurrent_calls.map(own));
        };
        let bulkhead = self.pools.get(pool).cloned();
        let unknown = || EngineError::UnknownPool {
            agent: agent.to_owned(),
            pool: pool.clone(),
            known: self.pools.keys().cloned().collect(),
        };
        bulkhead.map(Some).ok_or_else(unknown)
    }
}

/// What a guard is put around.
enum Either {
    Agent(Arc<dyn Agent>),
    Failover(Box<Alternatives>),
}

/// What stands around an agent besides its resilience.
struct Around<'a> {
    clock: &'a Arc<dyn Clock>,
    queue: &'a TransitionQueue,
    seed: Option<u64>,
    bulkhead: Option<Bulkhead>,
    fallback: Option<Arc<dyn Agent>>,
}

fn guard(name: &str, agent: Arc<dyn Agent>, resilience: &Resilience, around: Around<'_>) -> Member {
    let mut breaker = Breaker::builder(name, resilience.breaker.clone())
        .clock(Arc::clone(around.clock))
        .transitions(around.queue.clone());
    let budget = RetryBudget::new(resilience.retry_ratio, resilience.retry_reserve);
    let mut retry = Retry::new(resilience.max_attempts)
        .with_base(resilience.retry_base)
        .with_cap(resilience.retry_cap)
        .with_budget(budget);
    if let Some(seed) = around.seed {
        breaker = breaker.seed(seed);
        retry = retry.with_seed(seed);
    }
    let breaker = breaker.build();
    let mut policy = Policy::builder(breaker.clone()).retry(retry);
    if let Some(limit) = resilience.attempt_timeout {
        policy = policy.attempt_timeout(limit);
    }
    let max_concurrent_calls = around.bulkhead.as_ref().map(Bulkhead::limit);
    if let Some(bulkhead) = around.bulkhead {
        policy = policy.bulkhead(bulkhead);
    }
    if let Some(limits) = resilience.budget {
        policy = policy.budget(Budget::new(name, limits));
    }
    let has_fallback = around.fallback.is_some();
    let mut guard = Guard::new(trace::attempts(agent), policy.build());
    if let Some(fallback) = around.fallback {
        guard = guard.with_fallback(trace::attempts(fallback));
    }
    if let Some(limit) = resilience.max_silence {
        guard = guard.with_max_silence(limit);
    }
    Member {
        guard,
        breaker,
        has_fallback,
        max_concurrent_calls,
        pace: Pace::default(),
        pause: resilience.retry_cap,
        dependency: None,
    }
}
