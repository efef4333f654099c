//! Steps of several calls: the items of a map, the iterations of a repeat.
//!
//! Each answer is committed when it comes, as a record of its own, so the journal grows with the
//! number of calls and not with its square.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::call::{Answered, Refused};
use super::{MAX_OUTPUT, Run};
use crate::event::EventKind;
use crate::record::PartRecord;
use crate::status::StepStatus;
use crate::workflow::{Exhausted, Map, Repeat, Step, Work};

/// The most items one step takes. Their answers have to fit one output in any case.
const MAX_ITEMS: usize = 100_000;

/// The calls of a step that makes several.
#[derive(Default)]
pub(super) struct Parts {
    is_open: bool,
    todo: VecDeque<u32>,
    running: BTreeSet<u32>,
    /// The answers; of a repeat the last one.
    done: BTreeMap<u32, Value>,
    /// Of items that are repeated, the last answers, which do not do yet.
    rounds: BTreeMap<u32, Round>,
    /// Why the first answer that a fallback gave is not the agent's own.
    degraded: Option<String>,
    /// Why the step cannot go on, once the calls in flight are over.
    refused: Option<Refused>,
}

/// An answer to an item that is repeated.
struct Round {
    iteration: u32,
    output: Value,
}

/// What becomes of an answer that is repeated until it will do.
enum Verdict {
    Good,
    /// It is the last one there may be, and does not do; why.
    Kept(String),
    Again,
    /// The same, and it is none.
    Exhausted(String),
}

impl Parts {
    /// Takes back what an earlier process had of the step.
    pub(super) fn restore(&mut self, part: u32, record: PartRecord) {
        self.note(record.degraded);
        match record.iteration {
            // Whether it does is judged when the step is opened.
            Some(iteration) => {
                let output = record.output;
                self.rounds.insert(part, Round { iteration, output });
            }
            None => {
                self.done.insert(part, record.output);
            }
        }
    }

    /// Judges the last answer to an item. Answers why it is none, if it is the last and does not do.
    fn judge(&mut self, part: u32, repeat: &Repeat) -> Option<String> {
        let round = self.rounds.get(&part)?;
        let kept = match verdict(repeat, round.iteration, &round.output) {
            Verdict::Again => return None,
            Verdict::Exhausted(reason) => return Some(format!("item {part}: {reason}")),
            Verdict::Good => None,
            Verdict::Kept(reason) => Some(format!("item {part}: {reason}")),
        };
        self.note(kept);
        if let Some(round) = self.rounds.remove(&part) {
            self.done.insert(part, round.output);
        }
        None
    }

    pub(super) fn has_room(&self, width: usize) -> bool {
        self.refused.is_none() && !self.todo.is_empty() && self.running.len() < width
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn next(&mut self, width: usize) -> Option<u32> {
        if !self.has_room(width) {
            return None;
        }
        let part = self.todo.pop_front()?;
        self.running.insert(part);
        Some(part)
    }

    /// The call could not be made, or brought nothing: it is the first to be made again.
    pub(super) fn put_back(&mut self, part: u32) {
        self.running.remove(&part);
        self.todo.push_front(part);
    }

    /// A reason that waiting cannot help outweighs one that it can.
    fn refuse(&mut self, refused: Refused) {
        let lesser = |known: &Refused| known.retryable && !refused.retryable;
        if self.refused.as_ref().is_none_or(lesser) {
            self.refused = Some(refused);
        }
    }

    fn note(&mut self, degraded: Option<String>) {
        if self.degraded.is_none() {
            self.degraded = degraded;
        }
    }

    fn last(&self) -> Option<(u32, &Value)> {
        self.done
            .last_key_value()
            .map(|(part, output)| (*part, output))
    }
}

impl Run {
    /// Finds out which calls a step still has to make, where it makes several. Answers whether there
    /// are any; a step without is settled.
    pub(super) fn open_parts(&mut self, step: &Step) -> bool {
        let todo = match step.work() {
            Work::Map(map) => self.items(step, map).map(|items| items.len() as u32),
            Work::Repeat(_) => Ok(0),
            _ => return true,
        };
        let total = match todo {
            Ok(total) => total,
            Err(reason) => {
                self.settle(step.name(), StepStatus::Failed, Some(reason));
                return false;
            }
        };
        let parts = &mut self.live(step.name()).parts;
        if let (false, Work::Map(map)) = (std::mem::replace(&mut parts.is_open, true), step.work())
        {
            let known: Vec<u32> = parts.rounds.keys().copied().collect();
            for part in known {
                let refused = map.repeat().and_then(|repeat| parts.judge(part, repeat));
                if let Some(reason) = refused {
                    parts.refuse(Refused::for_good(reason, 0));
                }
            }
            let open = (0..total).filter(|part| !parts.done.contains_key(part));
            parts.todo = open.collect();
        }
        self.conclude(step);
        self.give_up(step);
        !self.steps[step.name()].record.status.is_settled()
    }

    fn items(&self, step: &Step, map: &Map) -> Result<&Vec<Value>, String> {
        let place = format!("{}{}", map.step(), map.at());
        let output = self.given(step, map.step());
        let found = output.and_then(|output| output.pointer(map.at()));
        let Some(Value::Array(items)) = found else {
            return Err(format!(
                "`{place}` is not a list, so there is nothing to map over"
            ));
        };
        if items.len() > MAX_ITEMS {
            let count = items.len();
            return Err(format!(
                "`{place}` has {count} items, a step takes up to {MAX_ITEMS}"
            ));
        }
        Ok(items)
    }

    /// Adds to a task's input what tells a call from the others of its step.
    pub(super) fn add_part(&self, step: &Step, part: u32, input: &mut Value) {
        match step.work() {
            Work::Map(map) => {
                let items = self.items(step, map).expect("a part is one of the items");
                input["item"] = items[part as usize].clone();
                input["index"] = json!(part);
                if map.repeat().is_some() {
                    let round = self.steps[step.name()].parts.rounds.get(&part);
                    let previous = round.map(|round| round.output.clone());
                    input["previous"] = previous.unwrap_or_default();
                    input["iteration"] = json!(self.iteration_of(step, Some(part)));
                }
            }
            Work::Repeat(_) => {
                let last = self.steps[step.name()].parts.last();
                input["previous"] = last.map_or(Value::Null, |(_, output)| output.clone());
                input["iteration"] = json!(part);
            }
            _ => {}
        }
    }

    /// Which answer a call is to bring, from 0: of an item that is repeated, or of a repeat.
    pub(super) fn iteration_of(&self, step: &Step, part: Option<u32>) -> u32 {
        match (step.work(), part) {
            (Work::Map(_), Some(part)) => {
                let round = self.steps[step.name()].parts.rounds.get(&part);
                round.map_or(0, |round| round.iteration + 1)
            }
            (_, part) => part.unwrap_or(0),
        }
    }

    pub(super) fn part_answered(&mut self, step: &Step, part: u32, answered: Answered) {
        let (name, attempts) = (step.name(), answered.attempts);
        let repeat = match step.work() {
            Work::Map(map) => map.repeat(),
            _ => None,
        };
        let iteration = repeat.map(|_| self.iteration_of(step, Some(part)));
        let record = PartRecord {
            output: answered.output,
            degraded: answered.degraded,
            iteration,
        };
        let bytes = serde_json::to_vec(&record).expect("a JSON value can be written");
        if bytes.len() > MAX_OUTPUT {
            let reason = format!(
                "the output of part {part} has {} bytes, the journal takes up to {MAX_OUTPUT}; write large results to the artifacts directory",
                bytes.len()
            );
            return self.part_refused(step, part, Refused::for_good(reason, attempts));
        }
        self.changes.parts.push((name.to_owned(), part, bytes));
        let ended = EventKind::PartEnded {
            step: name.to_owned(),
            part,
            iteration,
            attempts,
            reason: record.degraded.clone(),
        };
        self.tell(ended);
        let parts = &mut self.live(name).parts;
        parts.running.remove(&part);
        if matches!(step.work(), Work::Repeat(_)) {
            parts.done.clear();
        }
        parts.restore(part, record);
        if let Some(repeat) = repeat {
            if let Some(reason) = parts.judge(part, repeat) {
                parts.refuse(Refused::for_good(reason, attempts));
            }
            if parts.rounds.contains_key(&part) {
                parts.todo.push_front(part);
            }
        }
        self.conclude(step);
        self.give_up(step);
    }

    pub(super) fn part_refused(&mut self, step: &Step, part: u32, refused: Refused) {
        let parts = &mut self.live(step.name()).parts;
        parts.put_back(part);
        parts.refuse(refused);
        self.give_up(step);
    }

    /// Once nothing is in flight, a step that was refused is not available.
    fn give_up(&mut self, step: &Step) {
        let parts = &mut self.live(step.name()).parts;
        if parts.is_running() {
            return;
        }
        if let Some(refused) = parts.refused.take() {
            self.unavailable(step.name(), refused);
        }
    }

    /// Settles a step that has all its answers, or readies its next call.
    fn conclude(&mut self, step: &Step) {
        match step.work() {
            Work::Map(_) => self.conclude_map(step.name()),
            Work::Repeat(repeat) => self.conclude_repeat(step.name(), repeat),
            _ => {}
        }
    }

    fn conclude_map(&mut self, name: &str) {
        let parts = &mut self.live(name).parts;
        if !parts.todo.is_empty() || parts.is_running() {
            return;
        }
        let outputs = std::mem::take(&mut parts.done).into_values().collect();
        let degraded = parts.degraded.take();
        self.deliver(name, Value::Array(outputs), degraded);
    }

    fn conclude_repeat(&mut self, name: &str, repeat: &Repeat) {
        let parts = &mut self.live(name).parts;
        let Some((part, output)) = parts.last() else {
            parts.todo = VecDeque::from([0]);
            return;
        };
        match verdict(repeat, part, output) {
            Verdict::Again => parts.todo = VecDeque::from([part + 1]),
            Verdict::Good => {
                let (output, degraded) = (output.clone(), parts.degraded.take());
                self.deliver(name, output, degraded);
            }
            Verdict::Kept(reason) => {
                let output = output.clone();
                self.deliver(name, output, Some(reason));
            }
            Verdict::Exhausted(reason) => self.settle(name, StepStatus::Failed, Some(reason)),
        }
    }
}

fn verdict(repeat: &Repeat, iteration: u32, output: &Value) -> Verdict {
    let (made, predicate) = (iteration + 1, repeat.predicate());
    if predicate.holds(Some(output)) {
        return Verdict::Good;
    }
    if made < repeat.at_most() {
        return Verdict::Again;
    }
    let reason = format!(
        "not `{predicate}` after {made} iterations: it is {}",
        predicate.found(Some(output))
    );
    match repeat.exhausted() {
        Exhausted::Fail => Verdict::Exhausted(reason),
        Exhausted::Keep => Verdict::Kept(reason),
    }
}
