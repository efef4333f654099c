//! Steps whose turn has come: which calls they make, and what each call is given.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use fusebox_agent::{Context, Task};
use fusebox_breaker::Availability;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::call::{self, Refused, StepHooks};
use super::hand_out::Calling;
use super::purse::Admission;
use super::{CallId, Run};
use crate::digest::sha256_hex;
use crate::event::EventKind;
use crate::recovery::{HeldTurn, Turn};
use crate::run_id::RunId;
use crate::shared::Member;
use crate::status::StepStatus;
use crate::trace::StepSpan;
use crate::workflow::{Step, Work};

impl Run {
    /// Marks every step that can start now as running. The caller commits, then hands the calls out: the
    /// count of executions is durable before the agent is called.
    pub(super) fn take_ready(&mut self) -> Vec<(CallId, Option<Turn>)> {
        let (workflow, now) = (Arc::clone(&self.workflow), Instant::now());
        let mut ready = Vec::new();
        for step in workflow.steps() {
            // What was settled on the way decides about the steps behind it, their conditions first.
            if self.unrouted {
                self.route();
            }
            let live = &self.steps[step.name()];
            let turn = match live.record.status {
                StepStatus::Pending => self.is_ready(step) && self.open(step),
                StepStatus::Waiting => live.alarm().is_some_and(|due| due <= now),
                StepStatus::Suspended => {
                    live.due.is_some_and(|due| due <= now) && self.open_late(step)
                }
                StepStatus::Running => live.parts.has_room(step.work().width()),
                _ => false,
            };
            if turn {
                self.take_calls(step, now, &mut ready);
            }
        }
        ready
    }

    /// Prepares a step whose turn has come. Answers whether there is a call to make.
    fn open(&mut self, step: &Step) -> bool {
        match step.work() {
            Work::Approval(approval) => self.consult(step, approval),
            Work::Enter(enter) => self.enter(step, enter),
            Work::Leave => self.leave(step),
            _ => self.open_parts(step),
        }
    }

    /// The same of a step that nobody has decided in time.
    fn open_late(&mut self, step: &Step) -> bool {
        matches!(step.work(), Work::Approval(approval) if self.expire(step, approval))
    }

    /// Begins as many calls of a step as may be in flight at once, and as its agent's breaker allows.
    fn take_calls(&mut self, step: &Step, now: Instant, ready: &mut Vec<(CallId, Option<Turn>)>) {
        let name = step.name();
        let one_call = !step.work().has_parts();
        let mut begun = false;
        while !(begun && one_call) {
            let parts = &self.steps[name].parts;
            if !one_call && !parts.has_room(step.work().width()) {
                break;
            }
            let in_flight = parts.is_running();
            let turn = match self.gate(step) {
                // The calls in flight will show how the agent is.
                Err(_) if in_flight => break,
                Ok(_) if in_flight && self.is_probing(step) => break,
                Err(refused) => {
                    self.tell_refusal(step, &refused);
                    return self.unavailable(name, refused);
                }
                Ok(turn) => turn,
            };
            let live = self.live(name);
            let part = live.parts.next(step.work().width());
            match self.admit(step, part) {
                Admission::Granted => {}
                Admission::Later(_) if in_flight || self.is_untouched(name) => {
                    part.into_iter().for_each(|part| self.put_back(name, part));
                    break;
                }
                Admission::Later(refused) | Admission::Never(refused) => {
                    part.into_iter().for_each(|part| self.put_back(name, part));
                    if in_flight {
                        break;
                    }
                    self.tell_refusal(step, &refused);
                    return self.unavailable(name, refused);
                }
            }
            let live = self.live(name);
            let execution = live.count();
            live.due = None;
            live.begun.get_or_insert(now);
            if std::mem::replace(&mut live.record.status, StepStatus::Running)
                != StepStatus::Running
            {
                let step = name.to_owned();
                self.tell(EventKind::StepStarted { step, execution });
            }
            let call = CallId {
                step: name.to_owned(),
                agent: agent_of(step).to_owned(),
                part,
            };
            ready.push((call, turn));
            begun = true;
        }
        if begun {
            let record = self.steps[name].record.clone();
            self.changes.steps.push(record);
        }
    }

    /// Whether a step can be left as it is until something else has ended.
    fn is_untouched(&self, name: &str) -> bool {
        self.steps[name].record.status == StepStatus::Pending
    }

    fn put_back(&mut self, name: &str, part: u32) {
        self.live(name).parts.put_back(part);
    }

    /// Whether the agent's breaker lets only a probe through.
    fn is_probing(&self, step: &Step) -> bool {
        self.member(step).breaker.availability() == Availability::ProbeReady
    }

    /// Looks at the agent's breaker without moving it, and at who stands in line for it. An agent with
    /// a fallback is always called.
    fn gate(&mut self, step: &Step) -> Result<Option<Turn>, Refused> {
        let member = self.member(step);
        let retry_after = match member.breaker.availability() {
            _ if member.has_fallback => return Ok(None),
            Availability::Ready | Availability::ProbeReady => {
                return match self.barred(step) {
                    None => self.turn(step),
                    Some(refused) => Err(refused),
                };
            }
            Availability::NotBefore(wait) => Some(wait),
            Availability::Never => None,
        };
        // What was leave to call has been overtaken.
        self.live(step.name()).turn = None;
        let member = self.member(step);
        let snapshot = member.breaker.snapshot();
        let why = snapshot
            .reason
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default();
        let reason = format!(
            "breaker of agent `{}` is {}{why}",
            member.breaker.name(),
            snapshot.state
        );
        Err(Refused::unmade(
            reason,
            retry_after,
            snapshot.state.as_str(),
        ))
    }

    /// The call, to be polled.
    pub(super) fn calling(&self, call: &CallId, turn: Option<Arc<HeldTurn>>) -> Calling {
        let step = self.workflow.step(&call.step);
        let step = step.expect("only steps of the workflow are run");
        let task = Task::new(self.task_input(step, call.part));
        let context = self.context(step, call.part);
        let hooks = StepHooks {
            shared: Arc::clone(&self.shared),
            agent: call.agent.clone(),
            step: call.step.clone(),
            sender: self.sender.clone(),
            breaker: self.member(step).breaker.clone(),
            timed_out: AtomicBool::new(false),
            queued: Mutex::default(),
            tenant: self.purse.as_ref().and_then(|purse| purse.share(call)),
            turn,
        };
        let span = StepSpan::open(&self.id, step.name(), call.part);
        match hooks.tenant.clone() {
            None => Box::pin(async move { span.around(call::call(task, context, &hooks)).await }),
            Some(share) => {
                Box::pin(async move { span.around(share.call(task, context, &hooks)).await })
            }
        }
    }

    fn context(&self, step: &Step, part: Option<u32>) -> Context {
        let (shared, run) = (Arc::clone(&self.shared), self.id.clone());
        let name = step.name();
        let key = idempotency_key(&self.id, step, part, self.iteration_of(step, part));
        let (step, pulse): (Arc<str>, _) = (name.into(), Arc::clone(&self.pulse));
        let mut context = Context::keyed(run.shared_name(), Arc::clone(&step), key)
            .with_deadline(self.deadline)
            .with_tenant(self.settings.tenant.clone())
            .with_priority(self.settings.priority)
            .with_retry_budget(self.settings.retry_budget.clone())
            .with_cancellation(self.settings.cancellation.clone())
            .with_progress(move |message: &str| {
                pulse.sign();
                shared.events.of_run(
                    &run,
                    EventKind::StepProgress {
                        step: step.to_string(),
                        message: message.to_owned(),
                    },
                );
            });
        if let Some(purse) = &self.purse {
            context = context.with_budget(purse.budget().clone());
        }
        if let Some(directory) = self.artifacts_of(name) {
            context = context.with_artifacts(directory);
        }
        context
    }

    /// Where a step's agent leaves files: those of an inner workflow in a directory of its own, since
    /// two steps may be one workflow.
    fn artifacts_of(&self, name: &str) -> Option<PathBuf> {
        let directory = self.settings.artifacts.as_ref()?;
        let step = self.workflow.step(name)?;
        let Some(within) = step.within() else {
            return Some(directory.clone());
        };
        let inside = directory.join(within);
        // An agent that finds none says so where it writes.
        let _ = std::fs::create_dir_all(&inside);
        Some(inside)
    }

    /// What a step's agent is given: the input of its workflow and the outputs along the step's edges, and of a
    /// call among several what makes it that one.
    pub(super) fn task_input(&self, step: &Step, part: Option<u32>) -> Value {
        let mut upstream = serde_json::Map::new();
        let mut missing = serde_json::Map::new();
        for name in step.upstream() {
            // Every call would carry the whole list besides its own item.
            if matches!(step.work(), Work::Map(map) if map.step() == name) {
                continue;
            }
            // What an inner workflow was given is its input.
            if name.ends_with('/') {
                continue;
            }
            let (live, local) = (&self.steps[name], step.calls(name).to_owned());
            match self.given(step, name) {
                Some(output) => upstream.insert(local, Value::clone(output)),
                None => missing.insert(local, json!(live.record.reason)),
            };
        }
        let parts = [
            ("run", self.id.as_str().into()),
            ("step", step.name().into()),
            ("input", self.input_of(step).clone()),
            ("upstream", upstream.into()),
            ("missing", missing.into()),
        ];
        let mut input: Value = parts.into_iter().collect();
        if let Some(part) = part {
            self.add_part(step, part, &mut input);
        }
        input
    }

    pub(super) fn member(&self, step: &Step) -> &Member {
        &self.shared.members[agent_of(step)]
    }
}

/// The agent of a step that makes a call.
fn agent_of(step: &Step) -> &str {
    step.agent().expect("what has none makes no call")
}

/// Under which an agent's other side may recognise a call: a hash of the run, the step and, of a step
/// that makes several calls, item and iteration.
fn idempotency_key(run: &RunId, step: &Step, part: Option<u32>, iteration: u32) -> String {
    let name = step.name();
    let call = match (step.work(), part) {
        (Work::Map(_), Some(item)) => format!("{run}\n{name}\n{item}\n{iteration}"),
        (_, Some(_)) => format!("{run}\n{name}\n0\n{iteration}"),
        (_, None) => format!("{run}\n{name}\n0"),
    };
    sha256_hex(call.as_bytes())[..32].to_owned()
}
