//! From events to spans of time.

use std::collections::BTreeMap;

use fusebox::orchestrator::{EventKind, EventRecord};

use crate::progress::{mark, time};

/// A step or a breaker.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) is_breaker: bool,
    pub(super) spans: Vec<Span>,
    /// When a step was settled, and the sign of how.
    pub(super) end: Option<(u64, &'static str)>,
    /// What goes on.
    open: Option<Span>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    pub(super) what: What,
    /// What it is called where there is room.
    pub(super) word: String,
    pub(super) title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Call,
    Pause,
    Wait,
    Open,
    Probing,
}

impl What {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Pause => "pause",
            Self::Wait => "wait",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

impl Lane {
    fn begin(&mut self, from_ms: u64, what: What, word: &str, title: String) {
        self.close(from_ms);
        self.open = Some(Span {
            from_ms,
            to_ms: from_ms,
            what,
            word: word.to_owned(),
            title,
        });
    }

    fn close(&mut self, to_ms: u64) {
        if let Some(span) = self.open.take() {
            let to_ms = to_ms.max(span.from_ms);
            self.spans.push(Span { to_ms, ..span });
        }
    }
}

/// Steps in the order they are first heard of, then breakers.
pub(super) fn lanes(events: &[EventRecord]) -> Vec<Lane> {
    let mut lanes = Lanes::default();
    let mut before_ms = events.first().map_or(0, |event| event.at_ms);
    for event in events {
        lanes.take(event, before_ms);
        before_ms = event.at_ms;
    }
    lanes.close(before_ms);
    let (breakers, steps): (Vec<_>, Vec<_>) = lanes.all.into_iter().partition(|it| it.is_breaker);
    steps.into_iter().chain(breakers).collect()
}

#[derive(Default)]
struct Lanes {
    all: Vec<Lane>,
    places: BTreeMap<(bool, String), usize>,
}

impl Lanes {
    fn take(&mut self, event: &EventRecord, before_ms: u64) {
        let at = event.at_ms;
        match &event.event {
            EventKind::StepStarted { step, execution } => {
                let title = format!("call, execution {execution}");
                self.step(step).begin(at, What::Call, "call", title);
            }
            EventKind::StepRetrying {
                step,
                attempt,
                after_ms,
                timed_out,
            } => {
                let why = if *timed_out {
                    "no answer in time"
                } else {
                    "failed"
                };
                let title = format!("{why}, attempt {attempt} after {}", time(*after_ms));
                self.step(step).begin(at, What::Pause, "pause", title);
            }
            EventKind::StepWaiting { step, reason, .. } => {
                let title = format!("waits: {reason}");
                self.step(step).begin(at, What::Wait, "waits", title);
            }
            EventKind::StepSuspended { step, prompt, .. } => {
                let title = format!("waits for a person: {prompt}");
                self.step(step).begin(at, What::Wait, "asked", title);
            }
            EventKind::StepDecided { step, .. } => self.step(step).close(at),
            EventKind::StepEnded { step, status, .. } => {
                let lane = self.step(step);
                lane.close(at);
                lane.end = Some((at, mark(*status)));
            }
            EventKind::BreakerMoved {
                breaker,
                to,
                reason,
                ..
            } => {
                let lane = self.lane(true, breaker);
                match to.as_str() {
                    "closed" => lane.close(at),
                    "half_open" => lane.begin(at, What::Probing, to, format!("{to} ({reason})")),
                    _ => lane.begin(at, What::Open, to, format!("{to} ({reason})")),
                }
            }
            // Its process had gone before, after the last thing it wrote.
            EventKind::RunResumed { .. } => self.close(before_ms),
            EventKind::RunEnded { .. } => self.close(at),
            _ => {}
        }
    }

    fn step(&mut self, name: &str) -> &mut Lane {
        self.lane(false, name)
    }

    fn lane(&mut self, is_breaker: bool, name: &str) -> &mut Lane {
        let next = self.all.len();
        let place = *self
            .places
            .entry((is_breaker, name.to_owned()))
            .or_insert(next);
        if place == next {
            let name = if is_breaker {
                format!("breaker {name}")
            } else {
                name.to_owned()
            };
            self.all.push(Lane {
                name,
                is_breaker,
                spans: Vec::new(),
                end: None,
                open: None,
            });
        }
        &mut self.all[place]
    }

    fn close(&mut self, at_ms: u64) {
        for lane in &mut self.all {
            lane.close(at_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(kinds: &[(u64, serde_json::Value)]) -> Vec<EventRecord> {
        let records = kinds.iter().enumerate().map(|(seq, (at_ms, event))| {
            let record = json!({ "seq": seq, "at_ms": at_ms, "process": 1, "event": event });
            serde_json::from_value(record).unwrap()
        });
        records.collect()
    }

    fn shape(lane: &Lane) -> Vec<(What, u64, u64)> {
        let spans = lane.spans.iter();
        spans
            .map(|span| (span.what, span.from_ms, span.to_ms))
            .collect()
    }

    #[test]
    fn a_step_is_shown_calling_pausing_and_waiting_and_its_breaker_open() {
        let lanes = lanes(&events(&[
            (
                10,
                json!({ "kind": "step_started", "step": "a", "execution": 1 }),
            ),
            (
                20,
                json!({ "kind": "step_retrying", "step": "a", "attempt": 2, "after_ms": 5, "timed_out": false }),
            ),
            (
                25,
                json!({ "kind": "step_started", "step": "a", "execution": 2 }),
            ),
            (
                30,
                json!({ "kind": "breaker_moved", "breaker": "a", "from": "closed", "to": "open", "reason": "x" }),
            ),
            (
                31,
                json!({ "kind": "step_waiting", "step": "a", "reason": "open", "due_in_ms": 9 }),
            ),
            (
                40,
                json!({ "kind": "breaker_moved", "breaker": "a", "from": "open", "to": "half_open", "reason": "due" }),
            ),
            (
                41,
                json!({ "kind": "step_started", "step": "a", "execution": 3 }),
            ),
            (
                50,
                json!({ "kind": "breaker_moved", "breaker": "a", "from": "half_open", "to": "closed", "reason": "ok" }),
            ),
            (
                51,
                json!({ "kind": "step_ended", "step": "a", "status": "succeeded", "attempts": 3, "duration_ms": 41, "reason": null }),
            ),
        ]));
        use What::{Call, Open, Pause, Probing, Wait};
        assert_eq!(lanes.len(), 2);
        let expected = [
            (Call, 10, 20),
            (Pause, 20, 25),
            (Call, 25, 31),
            (Wait, 31, 41),
            (Call, 41, 51),
        ];
        assert_eq!(shape(&lanes[0]), expected);
        assert_eq!(lanes[0].end, Some((51, "✓")));
        assert_eq!(shape(&lanes[1]), [(Open, 30, 40), (Probing, 40, 50)]);
    }

    #[test]
    fn what_a_dead_process_had_begun_ends_with_the_last_thing_it_wrote() {
        let lanes = lanes(&events(&[
            (
                10,
                json!({ "kind": "step_started", "step": "a", "execution": 1 }),
            ),
            (
                20,
                json!({ "kind": "step_started", "step": "b", "execution": 1 }),
            ),
            (900, json!({ "kind": "run_resumed", "kept": [] })),
            (
                910,
                json!({ "kind": "step_started", "step": "a", "execution": 2 }),
            ),
            (
                920,
                json!({ "kind": "run_ended", "status": "cancelled", "reason": null, "duration_ms": 20 }),
            ),
        ]));
        assert_eq!(
            shape(&lanes[0]),
            [(What::Call, 10, 20), (What::Call, 910, 920)]
        );
        assert_eq!(shape(&lanes[1]), [(What::Call, 20, 20)]);
    }
}
