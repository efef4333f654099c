//! Taking a run over from another process.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Snapshot, State};

use super::Run;
use crate::event::EventKind;
use crate::record::{HistoryError, RunRecord, load_output, load_parts};
use crate::status::RunStatus;
use crate::time::{millis, now_ms};

impl Run {
    /// Takes over what another process left: outputs stay and so does what was decided, everything
    /// else is open again.
    pub(crate) async fn restore(&mut self, record: &RunRecord) -> Result<(), HistoryError> {
        if let Some(purse) = &self.purse {
            purse.restore().await?;
        }
        let mut kept = Vec::new();
        for (name, known) in &record.steps {
            let Some(live) = self.steps.get_mut(name) else {
                continue;
            };
            live.record.executions = known.executions;
            live.executions_before = known.executions;
            live.record.taken = known.taken;
            live.record.inputs.clone_from(&known.inputs);
            live.record.approval.clone_from(&known.approval);
            if known.is_left_out() {
                live.record = known.clone();
                continue;
            }
            if !known.status.has_output() {
                self.restore_parts(name).await?;
                continue;
            }
            let missing = || HistoryError::Incomplete {
                run: self.id.to_string(),
                key: format!("output.{name}"),
            };
            let bytes = load_output(&*self.shared.store, &self.id, name)
                .await?
                .ok_or_else(missing)?;
            let output =
                serde_json::from_slice(&bytes).map_err(|source| HistoryError::Malformed {
                    run: self.id.to_string(),
                    key: format!("output.{name}"),
                    source,
                })?;
            live.output = Some(Arc::new(output));
            live.record = known.clone();
            kept.push(name.clone());
        }
        self.breakers_moved = !record.breakers.is_empty();
        for (agent, saved) in &record.breakers {
            if let Some(breaker) = self.shared.breaker(agent) {
                let elapsed = Duration::from_millis(now_ms().saturating_sub(saved.saved_ms));
                // One that has moved or been called here knows more than the record does.
                if breaker.state() == State::Closed && breaker.counts().total() == 0 {
                    breaker.restore(&later(&saved.snapshot, elapsed));
                }
                if let Some(away) = saved.away_ms.filter(|_| breaker.state() != State::Closed) {
                    let away = Duration::from_millis(away) + elapsed;
                    self.ledger.carry(agent, away, self.shared.clock.now());
                    self.shared.objectives.carry(agent, away);
                }
            }
        }
        self.journal.set_status(RunStatus::Running, None, None);
        self.journal.head.keep_ms = None;
        self.tell(EventKind::RunResumed { kept });
        Ok(())
    }

    /// The answers of a step that makes several calls: those are not made again.
    async fn restore_parts(&mut self, name: &str) -> Result<(), HistoryError> {
        let step = self.workflow.step(name).expect("only its steps are live");
        if !step.work().has_parts() {
            return Ok(());
        }
        let known = load_parts(&*self.shared.store, &self.id, name).await?;
        for (part, record) in known {
            self.live(name).parts.restore(part, record);
        }
        Ok(())
    }
}

/// A saved breaker as it is after `elapsed`: what remained has become less.
fn later(snapshot: &Snapshot, elapsed: Duration) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.remaining_ms = snapshot
        .remaining_ms
        .map(|remaining| remaining.saturating_sub(millis(elapsed)));
    snapshot
}
