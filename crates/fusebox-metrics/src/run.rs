//! Runs as metrics.

use std::time::Duration;

use fusebox_orchestrator::{Event, EventKind, RtoVerdict};
use metrics::{counter, histogram};

use crate::labels::Labels;
use crate::table::{
    AT_RISK, BREACHED, DETECT, QUEUE_WAIT, RECOVERY, REFUSED, RETRIES, RUN_DURATION, RUNS,
    SHIELDED, STEP_DURATION, STEPS, STORE_AWAY,
};

/// Reports the events of an engine to the installed recorder.
///
/// Labels are the names of steps and agents, as many as workflows define and [`Labels`] lets through; runs are never
/// a label.
#[derive(Debug, Default, Clone)]
pub struct RunMetrics {
    labels: Labels,
}

impl RunMetrics {
    /// With the default bound on labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bounds the names of steps and agents. Default: [`DEFAULT_LABEL_VALUES`](crate::DEFAULT_LABEL_VALUES) each.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Counts one event.
    pub fn event(&self, event: &Event) {
        match &event.kind {
            EventKind::StepEnded {
                step,
                status,
                duration_ms,
                ..
            } => {
                let step = self.step(step);
                counter!(STEPS, "step" => step.clone(), "status" => status.to_string())
                    .increment(1);
                histogram!(STEP_DURATION, "step" => step).record(seconds(*duration_ms));
            }
            EventKind::StepRetrying { step, .. } => {
                counter!(RETRIES, "step" => self.step(step)).increment(1);
            }
            EventKind::StepShielded { step, by } => {
                counter!(SHIELDED, "step" => self.step(step), "by" => self.step(by)).increment(1);
            }
            EventKind::RunEnded {
                status,
                duration_ms,
                ..
            } => {
                counter!(RUNS, "status" => status.to_string()).increment(1);
                histogram!(RUN_DURATION, "status" => status.to_string())
                    .record(seconds(*duration_ms));
            }
            EventKind::StoreAway { .. } => counter!(STORE_AWAY).increment(1),
            kind => self.agent_event(kind),
        }
    }

    /// Counts what concerns an agent.
    fn agent_event(&self, kind: &EventKind) {
        match kind {
            EventKind::CallRefused { agent, by, .. } => {
                counter!(REFUSED, "agent" => self.agent(agent), "reason" => by.clone())
                    .increment(1);
            }
            EventKind::SlotAwaited {
                agent, waited_ms, ..
            } => {
                histogram!(QUEUE_WAIT, "agent" => self.agent(agent)).record(seconds(*waited_ms));
            }
            EventKind::Recovered {
                agent,
                took_ms,
                verdict,
                detect_ms,
                ..
            } => {
                let agent = self.agent(agent);
                histogram!(RECOVERY, "agent" => agent.clone(), "verdict" => word(*verdict))
                    .record(seconds(*took_ms));
                if let Some(detect_ms) = detect_ms {
                    histogram!(DETECT, "agent" => agent).record(seconds(*detect_ms));
                }
            }
            EventKind::ObjectiveAtRisk { agent, .. } => {
                counter!(AT_RISK, "agent" => self.agent(agent)).increment(1);
            }
            EventKind::ObjectiveBreached { agent, .. } => {
                counter!(BREACHED, "agent" => self.agent(agent)).increment(1);
            }
            _ => {}
        }
    }

    fn step(&self, name: &str) -> String {
        self.labels.bound("step", name).to_string()
    }

    fn agent(&self, name: &str) -> String {
        self.labels.bound("agent", name).to_string()
    }
}

fn word(verdict: RtoVerdict) -> &'static str {
    match verdict {
        RtoVerdict::Met => "met",
        RtoVerdict::Breached => "breached",
        RtoVerdict::Pending => "pending",
        _ => "unset",
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}
