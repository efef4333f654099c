//! Agents that are one out of several, and agents that cost something, in runs on virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task};
use fusebox_breaker::Config;
use fusebox_orchestrator::{
    Alternatives, Engine, EngineError, Resilience, RunOptions, RunReport, RunStatus, Step, Workflow,
};
use fusebox_policy::{Limits, Spend};
use fusebox_state::MemoryStore;

/// A model that costs 100 tokens a call, and is rate limited for 20 s while it is away.
#[derive(Clone)]
struct Model {
    description: Description,
    is_away: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
}

impl Model {
    fn new(name: &str) -> Self {
        Self {
            description: Description::new(name, "test"),
            is_away: Arc::default(),
            calls: Arc::default(),
        }
    }

    fn away(name: &str) -> Self {
        let model = Self::new(name);
        model.is_away.store(true, Ordering::Relaxed);
        model
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Agent for Model {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _: Task, cx: &Context) -> Result<Reply, AgentError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            cx.spend(Spend::ZERO);
            return Err(AgentError::rate_limited(Duration::from_secs(20)));
        }
        cx.spend(Spend::tokens(100));
        Ok(Reply::new(self.description.name.as_str()))
    }

    fn estimate(&self, _: &Task) -> Spend {
        Spend::tokens(100)
    }
}

fn once() -> Resilience {
    let breaker = Config::builder()
        .wait_duration_in_open(Duration::from_secs(2))
        .successes_to_close(1)
        .build()
        .unwrap();
    let resilience = Resilience::default().with_breaker(breaker);
    resilience.with_max_attempts(1)
}

fn engine(far: &Model, near: &Model) -> Engine {
    Engine::builder(Arc::new(MemoryStore::new()))
        .agent(far.clone(), once())
        .agent(near.clone(), once())
        .failover(Alternatives::new("model", ["far", "near"]), once())
        .build()
        .unwrap()
}

async fn run(engine: &Engine, steps: &[&str], agent: &str) -> RunReport {
    let mut workflow = Workflow::builder("w").objective(Duration::from_secs(120));
    for (index, name) in steps.iter().enumerate() {
        let step = Step::new(*name).with_agent(agent);
        workflow = workflow.step(match index {
            0 => step,
            _ => step.requires([steps[index - 1]]),
        });
    }
    let workflow = workflow.build().unwrap();
    engine.run(&workflow, RunOptions::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_second_choice_answers_and_the_first_is_left_alone() {
    let (far, near) = (Model::away("far"), Model::new("near"));
    let report = run(&engine(&far, &near), &["a", "b", "c"], "model").await;
    assert_eq!(report.status, RunStatus::Completed);
    assert_eq!((far.calls(), near.calls()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_targets_are_all_away_waits_until_the_first_is_due() {
    let (far, near) = (Model::away("far"), Model::away("near"));
    let back = near.is_away.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        back.store(false, Ordering::Relaxed);
    });
    let started = tokio::time::Instant::now();
    let report = run(&engine(&far, &near), &["a"], "model").await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let took = started.elapsed().as_secs();
    assert!((20..30).contains(&took), "{took} s");
    assert_eq!(near.calls(), 2, "once away, once back");
}

#[tokio::test(start_paused = true)]
async fn a_call_over_budget_waits_for_the_window_to_move_on() {
    let model = Model::new("model");
    for (budget, took) in [(Some(250), 60..120), (None, 0..1)] {
        let mut resilience = once();
        resilience.budget = budget.map(|tokens| Limits::new().with_tokens_per_window(tokens));
        let engine = Engine::builder(Arc::new(MemoryStore::new()))
            .agent(model.clone(), resilience)
            .build()
            .unwrap();
        let started = tokio::time::Instant::now();
        let report = run(&engine, &["a", "b", "c"], "model").await;
        assert_eq!(report.status, RunStatus::Completed, "{report:?}");
        let seconds = started.elapsed().as_secs();
        assert!(took.contains(&seconds), "{budget:?}: {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_names_agents_of_its_engine() {
    let builder = || Engine::builder(Arc::new(MemoryStore::new())).agent(Model::new("far"), once());
    let unknown = builder().failover(Alternatives::new("model", ["near"]), once());
    assert!(matches!(
        unknown.build(),
        Err(EngineError::UnknownTarget { target, .. }) if target == "near"
    ));
    let none = builder().failover(Alternatives::new("model", [""; 0]), once());
    assert!(matches!(none.build(), Err(EngineError::NoTarget(agent)) if agent == "model"));
}
