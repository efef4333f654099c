//! The account of a run, for people and machines.

use fusebox_breaker::State;
use serde::{Deserialize, Serialize};

use crate::ledger::RtoEntry;
use crate::record::RunRecord;
use crate::spending::Spending;
use crate::status::{RunStatus, StepStatus};

/// How a run stands, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The run.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// How it stands.
    pub status: RunStatus,
    /// Why, unless it simply completed.
    pub reason: Option<String>,
    /// Time spent on it in this process, in milliseconds.
    pub duration_ms: u64,
    /// The objective, in milliseconds from each start or resume.
    pub objective_ms: u64,
    /// When a waiting run is worth resuming, in milliseconds from the report.
    pub due_in_ms: Option<u64>,
    /// How many processes have worked on it.
    pub processes: u32,
    /// The weakest level at which a commit of this process was acknowledged; in a report from the
    /// record, of any process, the last commit left out.
    pub durability: Option<String>,
    /// The level below which a commit does not count as acknowledged, where one was asked for.
    pub min_durability: Option<String>,
    /// What it has spent of its budget, over all processes; where it or its tenant has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
    /// Its steps in topological order.
    pub steps: Vec<StepReport>,
}

/// How one step of a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The step.
    pub name: String,
    /// The agent it calls; empty where a person decides and nobody is called.
    pub agent: String,
    /// How it stands.
    pub status: StepStatus,
    /// Attempts made in this process; 0 where an earlier process had settled it.
    pub attempts: u32,
    /// How often its agent was called for it, over all processes.
    pub executions: u32,
    /// From the first hand-out to the end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The state of its agent's breaker; empty where nobody is called.
    pub breaker: String,
    /// Why, unless it simply succeeded.
    pub reason: Option<String>,
    /// SHA-256 of its output's bytes, in hex.
    pub output_sha256: Option<String>,
    /// The agent's worst outage against its objective; absent where there was none.
    pub rto: Option<RtoEntry>,
}

impl RunReport {
    /// The account of a run that this process does not work on.
    pub fn from_record(record: &RunRecord) -> Self {
        let now = crate::time::now_ms();
        let steps = record.workflow.steps().iter().map(|step| {
            let known = record.steps.get(step.name()).cloned().unwrap_or_default();
            let saved = |agent: &str| record.breakers.get(agent);
            let state = |agent| saved(agent).map_or(State::Closed, |saved| saved.snapshot.state);
            StepReport {
                name: step.name().to_owned(),
                agent: step.agent().unwrap_or_default().to_owned(),
                status: known.status,
                attempts: 0,
                executions: known.executions,
                duration_ms: known.duration_ms,
                breaker: step
                    .agent()
                    .map(|agent| state(agent).to_string())
                    .unwrap_or_default(),
                reason: known.reason,
                output_sha256: known.output_sha256,
                rto: known.rto,
            }
        });
        Self {
            run: record.head.run.clone(),
            workflow: record.head.workflow.clone(),
            status: record.head.status,
            reason: record.head.reason.clone(),
            duration_ms: record
                .head
                .updated_ms
                .saturating_sub(record.head.created_ms),
            objective_ms: crate::time::millis(record.workflow.objective()),
            due_in_ms: record.head.due_ms.map(|due| due.saturating_sub(now)),
            processes: record.head.processes,
            durability: record.head.durability.clone(),
            min_durability: record.head.min_durability.clone(),
            spending: record.head.spending,
            steps: steps.collect(),
        }
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.name == name)
    }
}
