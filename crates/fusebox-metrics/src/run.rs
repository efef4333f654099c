//! Runs as metrics.

use std::time::Duration;

use fusebox_orchestrator::{Event, EventKind};
use metrics::{counter, histogram};

use crate::table::{RECOVERY, RETRIES, RUNS, SHIELDED, STEP_DURATION, STEPS, STORE_AWAY};

/// Reports the events of an engine to the installed recorder.
///
/// Labels are the names of steps and agents, as many as workflows define; runs are never a label.
#[derive(Debug, Default, Clone, Copy)]
pub struct RunMetrics;

impl RunMetrics {
    /// Counts one event.
    pub fn event(&self, event: &Event) {
        match &event.kind {
            EventKind::StepEnded {
                step,
                status,
                duration_ms,
                ..
            } => {
                counter!(STEPS, "step" => step.clone(), "status" => status.to_string())
                    .increment(1);
                histogram!(STEP_DURATION, "step" => step.clone()).record(seconds(*duration_ms));
            }
            EventKind::StepRetrying { step, .. } => {
                counter!(RETRIES, "step" => step.clone()).increment(1)
            }
            EventKind::StepShielded { step, by } => {
                counter!(SHIELDED, "step" => step.clone(), "by" => by.clone()).increment(1);
            }
            EventKind::Recovered {
                agent,
                took_ms,
                verdict,
                ..
            } => {
                let verdict = format!("{verdict:?}").to_lowercase();
                histogram!(RECOVERY, "agent" => agent.clone(), "verdict" => verdict)
                    .record(seconds(*took_ms));
            }
            EventKind::RunEnded { status, .. } => {
                counter!(RUNS, "status" => status.to_string()).increment(1)
            }
            EventKind::StoreAway { .. } => counter!(STORE_AWAY).increment(1),
            _ => {}
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}
