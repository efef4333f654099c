//! Steps that a person decides: asking, taking the decision, and what becomes of a question that
//! nobody answers.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Run;
use crate::event::EventKind;
use crate::record::{ApprovalRecord, Decision};
use crate::status::StepStatus;
use crate::time::{millis, now_ms, short};
use crate::workflow::{Approval, Step};

impl Run {
    /// Takes the decision about a step, or asks for it. Answers whether the step's fallback is to be
    /// called.
    pub(super) fn consult(&mut self, step: &Step, approval: &Approval) -> bool {
        let asked = self.steps[step.name()].record.approval.clone();
        let asked = asked.unwrap_or_else(|| {
            let asked_ms = now_ms();
            let lasts = approval.expiry().map(millis);
            ApprovalRecord {
                asked_ms,
                expires_ms: lasts.map(|lasts| asked_ms.saturating_add(lasts)),
                expired: false,
                decision: None,
            }
        });
        let now_ms = now_ms();
        if let Some(decision) = asked.decision.clone() {
            self.live(step.name()).record.approval = Some(asked);
            self.take_decision(step.name(), &decision);
            return false;
        }
        let expired = asked.is_expired(now_ms);
        let left = asked
            .expires_ms
            .map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
        self.live(step.name()).record.approval = Some(asked);
        if expired {
            return self.expire(step, approval);
        }
        self.suspend(step.name(), approval, left);
        false
    }

    /// Nobody has decided in time. Answers whether the step's fallback is to be called.
    pub(super) fn expire(&mut self, step: &Step, approval: &Approval) -> bool {
        let live = self.live(step.name());
        live.due = None;
        if let Some(asked) = &mut live.record.approval {
            asked.expired = true;
        }
        if approval.fallback().is_some() {
            return true;
        }
        self.settle(step.name(), StepStatus::Failed, Some(undecided(approval)));
        false
    }

    fn suspend(&mut self, name: &str, approval: &Approval, left: Option<Duration>) {
        self.unrouted = true;
        let live = self.live(name);
        live.due = left.and_then(|left| Instant::now().checked_add(left));
        live.record.status = StepStatus::Suspended;
        live.record.reason = Some(approval.prompt().to_owned());
        let record = live.record.clone();
        self.changes.steps.push(record);
        self.tell(EventKind::StepSuspended {
            step: name.to_owned(),
            prompt: approval.prompt().to_owned(),
            expires_in_ms: left.map(millis),
        });
    }

    fn take_decision(&mut self, name: &str, decision: &Decision) {
        let Decision {
            approved,
            by,
            reason,
            at_ms,
        } = decision;
        if *approved {
            let output = json!({ "approved": true, "by": by, "reason": reason, "at_ms": at_ms });
            return self.deliver(name, output, None);
        }
        let why = reason.as_deref().map(|why| format!(": {why}"));
        let reason = format!("rejected by {by}{}", why.unwrap_or_default());
        self.settle(name, StepStatus::Failed, Some(reason));
    }
}

/// Why the answer of a step's fallback is not a person's.
pub(super) fn stood_in(approval: &Approval) -> String {
    let agent = approval.fallback().unwrap_or_default();
    format!("{}, answered by `{agent}`", undecided(approval))
}

fn undecided(approval: &Approval) -> String {
    let lasted = approval.expiry().map_or_else(String::new, short);
    format!("nobody decided within {lasted}")
}
