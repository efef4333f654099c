//! The standard workflow: six agents under their presets, faults where they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, FaultPlan, Reply, Task, agent_fn};
use fusebox_breaker::presets;
use fusebox_orchestrator::{Engine, Resilience, RunId, RunOptions, RunReport, Step, Workflow};
use fusebox_testkit::VirtualTime;
use serde_json::json;

/// Each agent and what it takes from.
pub(crate) const AGENTS: [(&str, &[&str]); 6] = [
    ("triage", &[]),
    ("supervisor", &["triage"]),
    ("data", &["supervisor", "triage"]),
    ("optimization", &["data", "supervisor"]),
    ("aggregation", &["optimization", "data"]),
    ("completion", &["aggregation"]),
];

const CALL: Duration = Duration::from_millis(200);

pub(crate) fn workflow(objective: Duration) -> Workflow {
    let steps = AGENTS
        .iter()
        .map(|(name, from)| Step::new(*name).requires(from.iter().copied()));
    let builder = Workflow::builder("standard").objective(objective);
    let workflow = steps
        .fold(builder, |builder, step| builder.step(step))
        .build();
    workflow.expect("the standard graph has no cycle")
}

/// The protection of the agent called `name`: its preset.
pub(crate) fn resilience(name: &str) -> Resilience {
    let preset = presets::by_name(name).expect("every agent has a preset");
    Resilience::preset(preset).expect("presets are consistent")
}

/// The most calls that were in flight at any agent.
#[derive(Clone, Default)]
pub(crate) struct Peak(Arc<AtomicUsize>);

impl Peak {
    pub(crate) fn calls(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An engine over the standard agents with faults around them. With `fallbacks` a second agent
/// answers for each that does not.
pub(crate) fn engine(time: &VirtualTime, faults: &str, fallbacks: bool) -> (Engine, Peak) {
    let plan: FaultPlan = faults.parse().expect("a fault plan");
    let (peak, mut builder) = (Peak::default(), None);
    for (name, _) in AGENTS {
        let agent = plan.wrap(healthy(name, &peak), time.seed());
        let so_far = builder
            .take()
            .unwrap_or_else(|| Engine::builder(Arc::new(time.memory_store())).seed(time.seed()));
        let with_agent = so_far.shared_agent(agent, resilience(name));
        builder = Some(match fallbacks {
            true => with_agent.fallback(name, spare(name)),
            false => with_agent,
        });
    }
    let engine = builder.expect("there are agents").build();
    (engine.expect("agents of different names"), peak)
}

fn healthy(name: &'static str, peak: &Peak) -> Arc<dyn Agent> {
    let (in_flight, peak) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&peak.0));
    Arc::new(agent_fn(name, move |_: Task, _| {
        let (in_flight, peak) = (Arc::clone(&in_flight), Arc::clone(&peak));
        async move {
            let call = InFlight::begin(in_flight, &peak);
            tokio::time::sleep(CALL).await;
            drop(call);
            Ok::<_, AgentError>(Reply::new(json!({ "by": name })))
        }
    }))
}

/// A call, counted until it is over or dropped.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn begin(calls: Arc<AtomicUsize>, peak: &AtomicUsize) -> Self {
        let now = calls.fetch_add(1, Ordering::Relaxed) + 1;
        peak.fetch_max(now, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spare(name: &'static str) -> Arc<dyn Agent> {
    let answer = move |_, _| async move { Ok(Reply::new(json!({ "instead_of": name }))) };
    Arc::new(agent_fn(format!("{name}-spare"), answer))
}

pub(crate) async fn run(engine: Engine, workflow: Arc<Workflow>, number: usize) -> RunReport {
    let id: RunId = format!("run-{number}").parse().expect("a name");
    let options = RunOptions::default().with_id(id);
    engine.run(&workflow, options).await.expect("a start")
}

/// Begins a run every `every`, `count` of them, and waits for all.
pub(crate) async fn runs(
    engine: &Engine,
    workflow: &Arc<Workflow>,
    count: usize,
    every: Duration,
) -> Vec<RunReport> {
    let mut tasks = Vec::new();
    for number in 0..count {
        tasks.push(tokio::spawn(run(
            engine.clone(),
            Arc::clone(workflow),
            number,
        )));
        tokio::time::sleep(every).await;
    }
    let mut reports = Vec::new();
    for task in tasks {
        reports.push(task.await.expect("no panic"));
    }
    reports
}
