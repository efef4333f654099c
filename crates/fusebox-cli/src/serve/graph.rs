//! A run's graph as data: what each step is, how it stands, and what keeps it from going on.

use std::collections::BTreeMap;

use fusebox::orchestrator::control::Overview;
use fusebox::orchestrator::{AgentHealth, EventKind, EventRecord, RunRecord};
use fusebox::{RunReport, Step, StepStatus};
use serde_json::{Value, json};

/// What the journal says last about a step, beyond its record.
#[derive(Debug, Default, Clone)]
struct Lately {
    /// The step that shields it.
    shielded_by: Option<String>,
    /// What a person is asked.
    prompt: Option<String>,
    /// Why it waits.
    waits: Option<String>,
}

/// Nodes in topological order, edges from what is given to what takes it.
pub(super) fn document(record: &RunRecord, events: &[EventRecord], engines: &[Overview]) -> Value {
    let engine = engines
        .iter()
        .find(|engine| engine.runs.iter().any(|run| run.run == record.head.run));
    let report = RunReport::from_record(record);
    let lately = lately(events);
    let mut blocked: BTreeMap<&str, String> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (step, stands) in record.workflow.steps().iter().zip(&report.steps) {
        let told = lately.get(step.name()).cloned().unwrap_or_default();
        let agent = engine.and_then(|engine| agent(engine, step.agent()?));
        let breaker = agent.map_or(&stands.breaker, |agent| &agent.state);
        let shielded_by = shield(step, stands.status, &told, &blocked);
        let status = match &shielded_by {
            Some(_) => StepStatus::Shielded,
            None => stands.status,
        };
        let cause = shielded_by.clone();
        if let Some(cause) = cause.or_else(|| stops(step, status, breaker)) {
            blocked.insert(step.name(), cause);
        }
        nodes.push(json!({
            "step": step.name(),
            "agent": step.agent(),
            "status": status,
            "reason": stands.reason.as_ref().or(told.waits.as_ref()),
            "shielded_by": shielded_by,
            "prompt": told.prompt,
            "executions": stands.executions,
            "duration_ms": stands.duration_ms,
            "breaker": breaker,
            "breaker_reason": agent.and_then(|agent| agent.reason.as_ref()),
            "due_in_ms": agent.and_then(|agent| agent.due_in_ms),
            "particulars": step.particulars(),
        }));
    }
    json!({
        "run": report.run,
        "workflow": report.workflow,
        "status": report.status,
        "live": engine.map(|engine| engine.engine.pid),
        "nodes": nodes,
        "edges": edges(record.workflow.steps()),
    })
}

fn edges(steps: &[Step]) -> Vec<Value> {
    let edges = steps.iter().flat_map(|step| {
        let edge = |from: &String, kind| json!({ "from": from, "to": step.name(), "kind": kind });
        let required = step
            .required()
            .iter()
            .map(move |from| edge(from, "requires"));
        let optional = step
            .optionals()
            .iter()
            .map(move |from| edge(from, "optional"));
        required.chain(optional)
    });
    edges.collect()
}

fn agent<'a>(engine: &'a Overview, name: &str) -> Option<&'a AgentHealth> {
    let agents = &engine.health.agents;
    agents.iter().find(|agent| agent.agent == name)
}

fn lately(events: &[EventRecord]) -> BTreeMap<&str, Lately> {
    let mut steps: BTreeMap<&str, Lately> = BTreeMap::new();
    for record in events {
        match &record.event {
            EventKind::StepShielded { step, by } => {
                steps.entry(step).or_default().shielded_by = Some(by.clone());
            }
            EventKind::StepSuspended { step, prompt, .. } => {
                steps.entry(step).or_default().prompt = Some(prompt.clone());
            }
            EventKind::StepWaiting { step, reason, .. } => {
                steps.entry(step).or_default().waits = Some(reason.clone());
            }
            // Whatever was said of it before is over.
            EventKind::StepStarted { step, .. } | EventKind::StepEnded { step, .. } => {
                steps.insert(step, Lately::default());
            }
            // Who is shielded for whom is found out anew.
            EventKind::RunResumed { .. } => {
                for told in steps.values_mut() {
                    told.shielded_by = None;
                }
            }
            _ => {}
        }
    }
    steps
}

/// The step that keeps this one from being called, where one does.
fn shield(
    step: &Step,
    status: StepStatus,
    told: &Lately,
    blocked: &BTreeMap<&str, String>,
) -> Option<String> {
    let behind = || {
        let required = step.required().iter();
        required
            .filter_map(|name| blocked.get(name.as_str()))
            .next()
            .cloned()
    };
    match status {
        StepStatus::Shielded => behind().or_else(|| told.shielded_by.clone()).or_else(|| {
            // Its record says so and nothing says why: something it requires.
            step.required().first().cloned()
        }),
        // The journal is told at once, but the step behind the one that waits may be back already.
        StepStatus::Pending => behind(),
        _ => None,
    }
}

/// The step's own name where those behind it cannot be called because of it.
fn stops(step: &Step, status: StepStatus, breaker: &str) -> Option<String> {
    let away = matches!(breaker, "open" | "forced_open");
    let stops = match status {
        StepStatus::Waiting | StepStatus::Failed | StepStatus::Cancelled => true,
        StepStatus::Pending => away,
        _ => false,
    };
    stops.then(|| step.name().to_owned())
}
