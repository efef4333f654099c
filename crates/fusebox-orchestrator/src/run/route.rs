//! Which way the run goes: steps whose join holds, steps not taken, steps shielded.
//!
//! Read-only towards the agents: one that is not called is not charged.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Run;
use crate::event::EventKind;
use crate::status::StepStatus;
use crate::workflow::{Readiness, Step, Tally};

/// Pending steps that wait for one that waits, and for which.
type Held = BTreeMap<String, String>;

impl Run {
    /// Decides about every pending step: settles those that cannot start any more, asks the conditions
    /// of those that can, and tells of those that must wait for one that waits.
    pub(super) fn route(&mut self) {
        let (workflow, mut held) = (Arc::clone(&self.workflow), Held::new());
        // Topological order makes one pass transitive.
        for step in workflow.steps() {
            if self.steps[step.name()].record.status != StepStatus::Pending {
                continue;
            }
            match self.readiness(step, &held) {
                Readiness::Shielded => {
                    let reason = self.blame(step);
                    self.settle(step.name(), StepStatus::Shielded, Some(reason));
                }
                Readiness::LeftOut => {
                    let reason = "a step it requires was not taken".to_owned();
                    self.leave_out(step.name(), reason);
                }
                Readiness::HeldBack => {
                    let by = self.holder(step, &held);
                    self.tell_held_back(step.name(), &by);
                    held.insert(step.name().to_owned(), by);
                }
                Readiness::Holds if self.optionals_settled(step) => self.choose(step),
                Readiness::Holds | Readiness::Open => {}
            }
        }
        self.unrouted = false;
    }

    /// Whether a pending step can start now: its join holds and its conditions do.
    pub(super) fn is_ready(&self, step: &Step) -> bool {
        self.readiness(step, &Held::new()) == Readiness::Holds && self.optionals_settled(step)
    }

    /// The output of an upstream step as `step` is given it. One that came after a step was handed out
    /// is not among them: a further attempt must see what the first one saw.
    pub(super) fn given(&self, step: &Step, upstream: &str) -> Option<&Arc<Value>> {
        let inputs = self.steps[step.name()].record.inputs.as_ref();
        let among = |names: &[String]| names.iter().any(|name| name == upstream);
        let too_late = inputs.is_some_and(|inputs| among(step.required()) && !among(inputs));
        let output = self.steps[upstream].output.as_ref();
        output.filter(|_| !too_late)
    }

    /// The pending steps that wait for one that waits, each with it.
    pub(super) fn held_back(&self) -> Held {
        let mut held = Held::new();
        for step in self.workflow.steps() {
            let pending = self.steps[step.name()].record.status == StepStatus::Pending;
            if pending && self.readiness(step, &held) == Readiness::HeldBack {
                held.insert(step.name().to_owned(), self.holder(step, &held));
            }
        }
        held
    }

    fn readiness(&self, step: &Step, held: &Held) -> Readiness {
        if let Some(never) = self.not_begun(step) {
            return never;
        }
        let mut tally = Tally::default();
        for up in step.required() {
            let record = &self.steps[up].record;
            let count = match record.status {
                status if status.has_output() => &mut tally.outputs,
                StepStatus::Skipped if record.is_left_out() => &mut tally.left_out,
                status if status.is_settled() => &mut tally.failed,
                StepStatus::Waiting | StepStatus::Suspended => &mut tally.held,
                _ if held.contains_key(up) => &mut tally.held,
                _ => &mut tally.open,
            };
            *count += 1;
        }
        step.join_rule().decide(&tally)
    }

    fn optionals_settled(&self, step: &Step) -> bool {
        let mut statuses = step
            .optionals()
            .iter()
            .map(|up| self.steps[up].record.status);
        statuses.all(StepStatus::is_settled)
    }

    /// Why a step is shielded: the first required one that has no output.
    fn blame(&self, step: &Step) -> String {
        let failed = step.required().iter().find(|up| {
            let record = &self.steps[*up].record;
            record.status.is_settled() && !record.status.has_output() && !record.is_left_out()
        });
        let up = failed.expect("a step is shielded by one that failed");
        let upstream = &self.steps[up].record;
        match (&upstream.status, &upstream.reason) {
            (StepStatus::Shielded, Some(reason)) => reason.clone(),
            (status, _) => format!("required step `{up}` {status}"),
        }
    }

    /// The waiting step that a pending one depends on, directly or through others.
    fn holder(&self, step: &Step, held: &Held) -> String {
        let of = |up: &String| match self.steps[up].record.status {
            StepStatus::Waiting | StepStatus::Suspended => Some(up.clone()),
            _ => held.get(up).cloned(),
        };
        let holder = step.required().iter().find_map(of);
        holder.expect("a step is held back by one that waits")
    }

    fn tell_held_back(&mut self, name: &str, by: &str) {
        if !std::mem::replace(&mut self.live(name).shield_told, true) {
            self.tell(EventKind::StepShielded {
                step: name.to_owned(),
                by: by.to_owned(),
            });
        }
    }

    /// Puts on record what a step is given, and whether it runs at all. Both are decided once.
    fn choose(&mut self, step: &Step) {
        if step.join_rule().is_partial() && self.steps[step.name()].record.inputs.is_none() {
            let there = step.required().iter().cloned();
            let inputs = there.filter(|up| self.steps[up].output.is_some()).collect();
            self.live(step.name()).record.inputs = Some(inputs);
        }
        if step.conditions().is_empty() || self.steps[step.name()].record.taken.is_some() {
            return;
        }
        let (taken, reason) = self.ask(step);
        self.tell(EventKind::StepRouted {
            step: step.name().to_owned(),
            taken,
            reason: reason.clone(),
        });
        if taken {
            // Written with the commit that starts the step.
            self.live(step.name()).record.taken = Some(true);
        } else {
            self.leave_out(step.name(), reason);
        }
    }

    /// Whether the conditions of a step hold, and what was found: of the first that does not, or of all.
    fn ask(&self, step: &Step) -> (bool, String) {
        let mut found = Vec::new();
        for condition in step.conditions() {
            let output = self.given(step, condition.step());
            let output = output.map(|output| &**output);
            let seen = condition.predicate().found(output);
            if !condition.predicate().holds(output) {
                return (
                    false,
                    format!("not taken: {condition} does not hold, it is {seen}"),
                );
            }
            found.push(format!("{condition} holds, it is {seen}"));
        }
        (true, found.join("; "))
    }

    fn leave_out(&mut self, name: &str, reason: String) {
        self.live(name).record.taken = Some(false);
        self.settle(name, StepStatus::Skipped, Some(reason));
    }
}
