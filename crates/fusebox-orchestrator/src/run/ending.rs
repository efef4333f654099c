//! The end of a run in this process: its status, its last commit, its report.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::chain;
use super::{Interrupted, Run};
use crate::event::EventKind;
use crate::journal::JournalError;
use crate::report::{RunReport, StepReport};
use crate::status::{RunStatus, StepStatus};
use crate::time::{millis, now_ms, short};

impl Run {
    pub(super) async fn finish(mut self, interrupted: Option<Interrupted>) -> RunReport {
        let account = self.purse.as_mut().and_then(|purse| purse.close());
        let lost = match interrupted {
            Some(Interrupted::Journal(error)) => Some(error),
            Some(Interrupted::Cancelled) => {
                self.stop_steps(StepStatus::Cancelled, "the run was cancelled while it ran");
                None
            }
            Some(Interrupted::Objective) => {
                let objective = short(self.settings.objective);
                self.stop_steps(
                    StepStatus::Failed,
                    &format!("the run's objective of {objective} passed"),
                );
                self.route();
                None
            }
            None => None,
        };
        let cancelled = self.settings.cancellation.is_cancelled();
        let mut ending = if lost.is_some() {
            Ending::default()
        } else {
            self.ending(cancelled)
        };
        // A journal that is lost is not tried again: its patience is over.
        let unwritten = match lost {
            Some(error) => Some(error),
            None => self.write_end(&ending).await.err(),
        };
        if let Some(error) = unwritten {
            ending = self.unacknowledged(&error);
            let ended = EventKind::RunEnded {
                status: ending.status,
                reason: ending.reason.clone(),
                duration_ms: millis(self.begun.elapsed()),
            };
            self.shared.events.of_run(&self.id, ended);
        } else if let Some(account) = account {
            account.close(ending.status.is_over()).await;
        }
        self.report(ending)
    }

    async fn write_end(&mut self, ending: &Ending) -> Result<(), JournalError> {
        self.absorb_transitions();
        self.mark_held_back();
        self.record_outages();
        let breakers = self.saved_breakers();
        if self.breakers_moved || !breakers.is_empty() {
            self.changes.breakers = Some(breakers);
        }
        let due_ms = ending.due_in.map(|due| now_ms() + millis(due));
        self.journal
            .set_status(ending.status, ending.reason.clone(), due_ms);
        let keep = ending.status.is_over().then_some(self.shared.retention);
        self.journal.head.keep_ms = keep.map(millis);
        self.changes.events.push(EventKind::RunEnded {
            status: ending.status,
            reason: ending.reason.clone(),
            duration_ms: millis(self.begun.elapsed()),
        });
        self.flush().await
    }

    /// Puts each agent's worst outage on record with its steps.
    fn record_outages(&mut self) {
        let now = self.shared.clock.now();
        let workflow = Arc::clone(&self.workflow);
        for step in workflow.steps() {
            let entry = step.agent().and_then(|agent| self.ledger.entry(agent, now));
            if let Some(entry) = entry {
                let live = self.live(step.name());
                live.record.rto = Some(entry);
                let record = live.record.clone();
                self.changes.steps.push(record);
            }
        }
    }

    /// Stops what runs and gives up what waits.
    fn stop_steps(&mut self, status: StepStatus, reason: &str) {
        let names: Vec<String> = self.steps.keys().cloned().collect();
        for name in names {
            match self.steps[&name].record.status {
                StepStatus::Running => self.settle(&name, status, Some(reason.to_owned())),
                StepStatus::Waiting if status == StepStatus::Failed => {
                    let before = self.steps[&name].record.reason.clone().unwrap_or_default();
                    self.settle(&name, status, Some(format!("{before}; {reason}")));
                }
                _ => {}
            }
        }
    }

    /// Steps behind a waiting one are on record as shielded; a resume opens them again.
    fn mark_held_back(&mut self) {
        for (name, by) in self.held_back() {
            let status = self.steps[&by].record.status;
            let live = self.live(&name);
            live.record.status = StepStatus::Shielded;
            live.record.reason = Some(format!("required step `{by}` is {status}"));
            let record = live.record.clone();
            let is_told = std::mem::replace(&mut live.shield_told, true);
            self.changes.steps.push(record);
            if !is_told {
                self.tell(EventKind::StepShielded { step: name, by });
            }
        }
    }

    fn ending(&self, cancelled: bool) -> Ending {
        let outputs = self.workflow.outputs().iter();
        let records = outputs.map(|name| &self.steps[name].record);
        let owed: Vec<StepStatus> = records
            .filter(|record| !record.status.has_output() && !record.is_left_out())
            .map(|record| record.status)
            .collect();
        let is_lost = owed.iter().any(|status| status.is_settled());
        let reasons = |wanted: StepStatus| {
            let steps = self
                .steps
                .values()
                .filter(move |live| live.record.status == wanted && !live.record.is_left_out());
            steps.map(|live| {
                format!(
                    "{}: {}",
                    live.record.name,
                    live.record.reason.as_deref().unwrap_or("no reason given")
                )
            })
        };
        let joined = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join("; "));
        let asked: Vec<String> = reasons(StepStatus::Suspended).collect();
        if owed.is_empty() && asked.is_empty() {
            let lesser = [
                StepStatus::Degraded,
                StepStatus::Skipped,
                StepStatus::Failed,
            ];
            let parts: Vec<String> = lesser.into_iter().flat_map(reasons).collect();
            let status = if parts.is_empty() {
                RunStatus::Completed
            } else {
                RunStatus::Degraded
            };
            return Ending {
                status,
                reason: joined(parts),
                due_in: None,
            };
        }
        if cancelled {
            let why = self.pulse.cancelled().unwrap_or("cancelled");
            let why = format!("{why}; what is finished is kept");
            return Ending::because(RunStatus::Cancelled, &why);
        }
        if is_lost {
            let failed = reasons(StepStatus::Failed).chain(reasons(StepStatus::Skipped));
            return Ending {
                status: RunStatus::Failed,
                reason: joined(failed.collect()),
                due_in: None,
            };
        }
        let (status, why) = if asked.is_empty() {
            (RunStatus::Waiting, reasons(StepStatus::Waiting).collect())
        } else {
            (RunStatus::Suspended, asked)
        };
        let due = self.steps.values().filter_map(|live| live.due).min();
        Ending {
            status,
            reason: joined(why),
            due_in: due.map(|due| due.saturating_duration_since(Instant::now())),
        }
    }

    /// The journal did not take the end of the run, so the report claims nothing it does not hold.
    fn unacknowledged(&mut self, error: &JournalError) -> Ending {
        let changed = self.changes.steps.iter().map(|step| step.name.clone());
        let unsure: Vec<String> = self.unsure.iter().cloned().chain(changed).collect();
        for live in self.steps.values_mut() {
            let in_flight = live.record.status == StepStatus::Running;
            let unsure = unsure.contains(&live.record.name);
            if in_flight && unsure {
                live.record.executions -= live.unsure;
            }
            if in_flight || unsure {
                live.record.status = StepStatus::Waiting;
                live.record.reason =
                    Some("not acknowledged by the state store; runs again on resume".into());
            }
        }
        Ending::because(
            RunStatus::Waiting,
            &format!(
                "{}; acknowledged steps are kept, resume the run to go on",
                chain(error)
            ),
        )
    }

    fn report(mut self, ending: Ending) -> RunReport {
        let now = self.shared.clock.now();
        let mut steps = std::mem::take(&mut self.steps);
        let steps = self.workflow.steps().iter().map(|step| {
            let live = steps.remove(step.name()).expect("each step once");
            let attempts = live.attempts();
            let record = live.record;
            StepReport {
                name: record.name,
                agent: step.agent().unwrap_or_default().to_owned(),
                status: record.status,
                attempts,
                executions: record.executions,
                duration_ms: record
                    .duration_ms
                    .or_else(|| live.begun.map(|begun| millis(begun.elapsed()))),
                breaker: step
                    .agent()
                    .map(|agent| self.shared.members[agent].breaker.state().to_string())
                    .unwrap_or_default(),
                reason: record.reason,
                output_sha256: record.output_sha256,
                rto: step
                    .agent()
                    .and_then(|agent| self.ledger.entry(agent, now))
                    .or(record.rto),
            }
        });
        RunReport {
            run: self.id.to_string(),
            workflow: self.workflow.name().to_owned(),
            status: ending.status,
            reason: ending.reason,
            duration_ms: millis(self.begun.elapsed()),
            objective_ms: millis(self.settings.objective),
            due_in_ms: ending.due_in.map(millis),
            processes: self.journal.head.processes,
            durability: self.journal.durability.map(|level| level.to_string()),
            min_durability: self.journal.head.min_durability.clone(),
            spending: self.purse.as_ref().map(|purse| purse.spending()),
            steps: steps.collect(),
        }
    }
}

/// How a run ended in this process.
struct Ending {
    status: RunStatus,
    reason: Option<String>,
    due_in: Option<Duration>,
}

impl Default for Ending {
    fn default() -> Self {
        Self {
            status: RunStatus::Waiting,
            reason: None,
            due_in: None,
        }
    }
}

impl Ending {
    fn because(status: RunStatus, reason: &str) -> Self {
        Self {
            status,
            reason: Some(reason.to_owned()),
            due_in: None,
        }
    }
}
