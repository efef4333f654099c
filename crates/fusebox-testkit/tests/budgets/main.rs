//! Budgets of runs and of tenants: never more is set aside than there is, nothing is forgotten over a crash, and
//! nothing counts twice.

mod crashes;
mod runs;
mod tenants;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task};
use fusebox_orchestrator::{
    Allowance, Engine, EngineBuilder, Resilience, RunOptions, RunReport, Step, StepStatus, Workflow,
};
use fusebox_policy::Spend;
use fusebox_state::MemoryStore;
use fusebox_testkit::{FailingStore, VirtualTime};
use serde_json::json;

/// Longer than a run's lease lasts.
const LEASE: Duration = Duration::from_secs(11);

type Store = FailingStore<MemoryStore>;

/// A model that says what it costs at most, and costs what it is made to.
struct Model {
    description: Description,
    takes: Duration,
    estimate: u64,
    cost: u64,
    fails: bool,
    bill: Arc<Bill>,
}

/// What the model's provider knows.
#[derive(Default)]
struct Bill {
    /// Of calls that were begun, whether or not anybody got the answer.
    tokens: AtomicU64,
    steps: Mutex<Vec<String>>,
}

impl Bill {
    fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::SeqCst)
    }

    fn calls(&self) -> usize {
        self.steps.lock().unwrap().len()
    }
}

#[async_trait]
impl Agent for Model {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _: Task, cx: &Context) -> Result<Reply, AgentError> {
        self.bill.tokens.fetch_add(self.cost, Ordering::SeqCst);
        self.bill.steps.lock().unwrap().push(cx.step().to_owned());
        tokio::time::sleep(self.takes).await;
        cx.spend(Spend::tokens(self.cost));
        if self.fails {
            return Err(AgentError::api("503"));
        }
        Ok(Reply::new(json!("an answer")))
    }

    fn estimate(&self, _: &Task) -> Spend {
        Spend::tokens(self.estimate)
    }
}

/// A store, the model, and what it has billed, whatever processes there are.
struct World {
    time: VirtualTime,
    store: Arc<Store>,
    bill: Arc<Bill>,
    estimate: u64,
    cost: u64,
}

impl World {
    fn new(time: VirtualTime, estimate: u64, cost: u64) -> Self {
        Self {
            time,
            store: Arc::new(FailingStore::new(time.memory_store())),
            bill: Arc::default(),
            estimate,
            cost,
        }
    }

    fn model(&self, fails: bool) -> Model {
        Model {
            description: Description::new("model", "test"),
            takes: Duration::from_secs(1),
            estimate: self.estimate,
            cost: self.cost,
            fails,
            bill: Arc::clone(&self.bill),
        }
    }

    /// A process that begins.
    fn engine(&self) -> EngineBuilder {
        Engine::builder(self.store.clone())
            .seed(self.time.seed())
            .agent(self.model(false), Resilience::default())
    }
}

/// Steps that ask the model, all at once.
fn wide(steps: usize) -> Workflow {
    let builder = Workflow::builder("wide").objective(Duration::from_secs(3600));
    let steps = (0..steps).map(|n| Step::new(format!("s{n}")).with_agent("model"));
    steps
        .fold(builder, |builder, step| builder.step(step))
        .build()
        .unwrap()
}

/// Steps that ask the model, one after the other.
fn chain(steps: usize) -> Workflow {
    let mut builder = Workflow::builder("chain").objective(Duration::from_secs(3600));
    for n in 0..steps {
        let step = Step::new(format!("s{n}")).with_agent("model");
        builder = builder.step(match n {
            0 => step,
            n => step.requires([format!("s{}", n - 1)]),
        });
    }
    builder.build().unwrap()
}

fn named(id: &str) -> RunOptions {
    RunOptions::default().with_id(id.parse().unwrap())
}

fn tokens(tokens: u64) -> Allowance {
    Allowance::new().with_tokens(tokens)
}

fn count(report: &RunReport, status: StepStatus) -> usize {
    report
        .steps
        .iter()
        .filter(|step| step.status == status)
        .count()
}

fn spent(report: &RunReport) -> u64 {
    report.spending.expect("it has a budget").spent.tokens
}
