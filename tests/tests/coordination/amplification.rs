//! An agent that asks an agent that asks an agent, each three times if need be: what the last one sees of an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fusebox::agent::{Agent, Guard, GuardError};
use fusebox::breaker::Config;
use fusebox::policy::{Policy, Retry, RetryBudget, TokioClock};
use fusebox::{
    AgentError, Breaker, Context, Engine, Reply, Resilience, RunOptions, RunStatus, Step, Task,
    Workflow, agent_fn,
};
use fusebox_testkit::{VirtualTime, virtual_time};
use serde_json::json;
use tokio::task::JoinSet;

const RUNS: usize = 1_000;
const ATTEMPTS: u32 = 3;
const OUTAGE: Duration = Duration::from_secs(120);

/// The last agent: down, then up.
#[derive(Clone, Default)]
struct Leaf {
    up: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Leaf {
    fn agent(&self) -> Arc<dyn Agent> {
        let leaf = self.clone();
        Arc::new(agent_fn("leaf", move |_: Task, _: Context| {
            leaf.calls.fetch_add(1, Ordering::Relaxed);
            let up = leaf.up.load(Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if up {
                    Ok(Reply::new(json!("up")))
                } else {
                    Err(AgentError::api("503"))
                }
            }
        }))
    }
}

fn config(protected: bool) -> Config {
    let config = Config::builder().wait_duration_in_open(Duration::from_secs(5));
    let config = match protected {
        true => config,
        false => config.consecutive_failures(500_000).without_count_window(),
    };
    config.build().unwrap()
}

/// Puts an agent that does nothing but ask `inner` around it.
fn asking(name: &'static str, inner: Arc<dyn Agent>, protected: bool) -> Arc<dyn Agent> {
    let inner_name = inner.describe().name.clone();
    let breaker = Breaker::builder(inner_name, config(protected))
        .clock(Arc::new(TokioClock::new()))
        .seed(1)
        .build();
    let guard = Guard::new(
        inner,
        Policy::builder(breaker).retry(Retry::new(ATTEMPTS)).build(),
    );
    Arc::new(agent_fn(name, move |task: Task, cx: Context| {
        let guard = guard.clone();
        async move {
            let answer = guard.call(task, cx, &()).await;
            answer.map(|answer| answer.reply).map_err(passed_on)
        }
    }))
}

/// What an agent says that another one did not answer it.
fn passed_on(error: GuardError) -> AgentError {
    match error.kind() {
        fusebox::agent::ErrorKind::BreakerOpen => {
            AgentError::breaker_open(error.agent(), error.retry_after()).retryable(true)
        }
        _ => AgentError::api(error.to_string()),
    }
}

/// How often the leaf was called, per run.
async fn calls_per_run(time: VirtualTime, runs: usize, protected: bool) -> f64 {
    let leaf = Leaf::default();
    let middle = asking("middle", leaf.agent(), protected);
    let top = asking("top", middle, protected);
    let mut resilience = Resilience::default().with_breaker(config(protected));
    if !protected {
        resilience = resilience.with_retry_budget(1.0, 1_000_000);
    }
    let engine = Engine::builder(Arc::new(time.memory_store()))
        .shared_agent(top, resilience)
        .seed(time.seed())
        .build()
        .unwrap();
    let workflow = Workflow::builder("ask")
        .step(Step::new("top"))
        .build()
        .unwrap();
    let mut begun = JoinSet::new();
    for _ in 0..runs {
        let mut options = RunOptions::default();
        options.objective = Some(Duration::from_secs(3600));
        options.wait = protected;
        options.retry_budget = (!protected).then(|| RetryBudget::new(1.0, 1_000_000));
        let (engine, workflow) = (engine.clone(), workflow.clone());
        begun.spawn(async move { engine.run(&workflow, options).await });
    }
    tokio::time::sleep(OUTAGE).await;
    leaf.up.store(true, Ordering::Relaxed);
    while let Some(report) = begun.join_next().await {
        let report = report.unwrap().unwrap();
        let wanted = if protected {
            RunStatus::Completed
        } else {
            RunStatus::Waiting
        };
        assert_eq!(report.status, wanted, "{:?}", report.reason);
    }
    leaf.calls.load(Ordering::Relaxed) as f64 / runs as f64
}

#[test]
fn the_last_of_three_agents_is_called_little_more_than_once_per_run() {
    for (seed, runs) in [(0, RUNS), (1, 200), (2, 200)] {
        let calls = virtual_time(seed, async |time| calls_per_run(time, runs, true).await);
        println!("seed {seed}: {calls} calls of the leaf per run");
        assert!(calls <= 1.2, "{calls} calls of the leaf per run");
    }
}

#[test]
fn the_last_of_three_agents_is_called_27_times_per_run_without_protection() {
    let calls = virtual_time(1, async |time| calls_per_run(time, 20, false).await);
    assert_eq!(calls, 27.0);
}
