//! The agents of the desk, and what stands around each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fusebox::agent::Behind;
use fusebox::breaker::{Config, ConfigError};
use fusebox::endpoints::{HttpAgent, McpHttp, McpLimits, McpServer, WireLimits};
use fusebox::orchestrator::load_output;
use fusebox::policy::TokioClock;
use fusebox::state::StateStore;
use fusebox::{Breaker, Engine, Resilience, RunId, RunOptions, RunReport, Workflow};
use serde_json::{Value, json};

use crate::models::{self, Patience, Target};
use crate::{Failure, code, workflow};

/// How patient the desk is.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Of a model: each phase of an answer, and one attempt as a whole.
    pub model: WireLimits,
    /// One attempt at a model.
    pub attempt: Duration,
    /// One attempt at the tool server and at the service.
    pub data: Duration,
    /// The first wait of an open breaker; it doubles.
    pub open: Duration,
    /// How long a run waits for what is away.
    pub objective: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: WireLimits::default()
                .with_connect(Duration::from_secs(2))
                .with_first_byte(Duration::from_secs(20))
                .with_first_token(Duration::from_secs(10))
                .with_idle(Duration::from_secs(5))
                .with_total(Duration::from_secs(30)),
            attempt: Duration::from_secs(40),
            data: Duration::from_secs(3),
            open: Duration::from_secs(5),
            objective: Duration::from_secs(120),
        }
    }
}

impl Settings {
    /// A breaker that opens at the second failure in a row.
    ///
    /// # Errors
    /// If the settings contradict each other.
    pub fn breaker(&self, name: &str) -> Result<Breaker, ConfigError> {
        let breaker = Breaker::builder(name, self.breaker_config()?);
        Ok(breaker.clock(Arc::new(TokioClock::new())).build())
    }

    fn breaker_config(&self) -> Result<Config, ConfigError> {
        Config::builder()
            .consecutive_failures(2)
            .wait_duration_in_open(self.open)
            .max_wait_duration_in_open(self.open * 4)
            .recovery_objective(self.objective.max(self.open * 8))
            .probe_deadline(self.attempt + Duration::from_secs(5))
            .build()
    }

    /// One attempt for a model, since the failover has its own; two for data, which is cheap.
    fn resilience(&self, attempts: u32, limit: Duration) -> Result<Resilience, ConfigError> {
        Ok(Resilience::default()
            .with_breaker(self.breaker_config()?)
            .with_max_attempts(attempts)
            .with_attempt_timeout(limit))
    }
}

/// Where everything is.
#[derive(Debug)]
pub struct DeskSetup {
    /// The models, first choice first.
    pub targets: Vec<Target>,
    /// The URL of the tool server.
    pub tools: String,
    /// The URL of the order service.
    pub orders: String,
    /// Where runs are kept.
    pub store: Arc<dyn StateStore>,
    /// How patient the desk is.
    pub settings: Settings,
}

/// The desk, ready for tickets.
pub struct Desk {
    engine: Engine,
    workflow: Workflow,
    store: Arc<dyn StateStore>,
    /// The breaker of the tool server, beside that of its tool.
    pub tool_server: Breaker,
}

impl Desk {
    /// Makes the agents and puts guards around them. Nothing is asked yet.
    ///
    /// # Errors
    /// If a URL or a setting cannot be used.
    pub fn new(setup: DeskSetup) -> Result<Self, Failure> {
        let settings = setup.settings;
        let patience = Patience {
            limits: settings.model,
            attempt: settings.attempt,
        };
        // All targets may have to be tried, one after the other.
        let targets = u32::try_from(setup.targets.len()).unwrap_or(u32::MAX);
        let model = settings.resilience(2, settings.attempt * targets + settings.data)?;
        let data = settings.resilience(2, settings.data)?;

        let tool_server = settings.breaker("tools")?;
        let orders = HttpAgent::builder("orders", &setup.orders)
            .output_schema(json!({"type": "object", "required": ["orders"]}))
            .build()?;
        let engine = Engine::builder(Arc::clone(&setup.store))
            .agent(models::triage(&setup.targets, patience)?, model.clone())
            .agent(models::supervisor(&setup.targets, patience)?, model.clone())
            .agent(models::optimization(&setup.targets, patience)?, model)
            .agent(orders, data.clone())
            .agent(runbook(&setup.tools, tool_server.clone())?, data.clone())
            .agent(code::aggregation(), data.clone())
            .agent(code::completion(), data)
            .build()?;
        Ok(Self {
            engine,
            workflow: workflow(settings.objective)?,
            store: setup.store,
            tool_server,
        })
    }

    /// Works on a ticket.
    ///
    /// # Errors
    /// If the run could not even be started; what happens later is in the report.
    pub async fn handle(&self, ticket: &str, options: RunOptions) -> Result<RunReport, Failure> {
        let input = json!({"ticket": ticket, "customer": "c-17"});
        Ok(self
            .engine
            .run(&self.workflow, options.with_input(input))
            .await?)
    }

    /// What a step of a run gave; null if it gave nothing.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn output(&self, report: &RunReport, step: &str) -> Result<Value, Failure> {
        let id: RunId = report.run.parse()?;
        let output = load_output(&*self.store, &id, step).await?;
        Ok(match output {
            Some(bytes) => serde_json::from_slice(&bytes)?,
            None => Value::Null,
        })
    }

    /// The engine, for its events and breakers.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// A tool behind the breaker of its server: were there more tools, they would share it.
fn runbook(url: &str, server_breaker: Breaker) -> Result<Behind, Failure> {
    let limits = McpLimits::default()
        .with_connect(Duration::from_secs(2))
        .with_restart(Duration::from_millis(50), Duration::from_secs(1));
    let server = McpServer::with_limits("tools", McpHttp::try_new(url)?, limits);
    let tool = server.tool("runbook").with_arguments(|input| {
        let category = &input["upstream"]["supervisor"]["tool_calls"];
        let team = category[0]["arguments"]["team"]
            .as_str()
            .unwrap_or("support");
        Ok(json!({"team": team}))
    });
    Ok(Behind::new(Arc::new(tool), server_breaker))
}
