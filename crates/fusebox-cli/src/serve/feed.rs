//! What the engines tell, merged, for those who listen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fusebox::orchestrator::{Event, EventKind};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::progress::describe;

/// How far a listener may be behind before it loses events.
const BUFFER: usize = 1024;

/// Events kept for those who come later.
const KEPT: usize = 200;

/// Listeners at once.
const MAX_LISTENERS: usize = 64;

/// Merged events. A listener that is slow loses the oldest and is told how many; it holds nobody up.
pub(super) struct Feed {
    sender: broadcast::Sender<Arc<str>>,
    recent: Mutex<Recent>,
    turns: AtomicU64,
}

#[derive(Default)]
struct Recent {
    seq: u64,
    lines: VecDeque<Arc<str>>,
}

/// What a listener gets: what was told last, and what will be.
pub(super) type Subscription = (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>);

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(BUFFER),
            recent: Mutex::default(),
            turns: AtomicU64::new(0),
        }
    }

    /// Counts what makes a list of engines or runs an old one: those that began and those that ended.
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// What was known of engines and runs is old.
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// An engine's event.
    pub(super) fn event(&self, pid: u32, event: &Event) {
        let text = text(&event.kind);
        if matches!(
            event.kind,
            EventKind::RunStarted { .. }
                | EventKind::RunResumed { .. }
                | EventKind::RunEnded { .. }
        ) {
            self.turn();
        }
        self.publish(json!({ "pid": pid, "run": event.run, "event": event.kind, "text": text }));
    }

    /// An engine told so many events that this process was too slow to hear.
    pub(super) fn missed(&self, pid: u32, missed: u64) {
        let what = if missed == 1 { "event" } else { "events" };
        let text = format!("{missed} {what} of process {pid} missed");
        self.remark("events_missed", pid, None, &text);
    }

    /// What happened to an engine, or to what was started from here.
    pub(super) fn remark(&self, kind: &str, pid: u32, run: Option<&str>, text: &str) {
        let event = json!({ "kind": kind });
        self.turn();
        self.publish(json!({ "pid": pid, "run": run, "event": event, "text": text }));
    }

    /// `None`: there are as many listeners as there may be.
    pub(super) fn subscribe(&self) -> Option<Subscription> {
        // Under the lock, so that no event is told twice or not at all.
        let recent = self.recent();
        if self.sender.receiver_count() >= MAX_LISTENERS {
            return None;
        }
        let kept = recent.lines.iter().cloned().collect();
        Some((kept, self.sender.subscribe()))
    }

    fn publish(&self, mut document: Value) {
        let mut recent = self.recent();
        recent.seq += 1;
        document["seq"] = recent.seq.into();
        document["at_ms"] = now_ms().into();
        let line: Arc<str> = document.to_string().into();
        recent.lines.push_back(Arc::clone(&line));
        if recent.lines.len() > KEPT {
            recent.lines.pop_front();
        }
        // An error only says that nobody listens.
        let _ = self.sender.send(line);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as one line for a person.
pub(super) fn text(kind: &EventKind) -> String {
    if let EventKind::Operated {
        agent,
        action,
        by,
        reason,
    } = kind
    {
        return format!("{by}: {action} {agent}: {reason}");
    }
    describe(kind).unwrap_or_else(|| {
        let document = json!(kind);
        let word = document["kind"].as_str().unwrap_or_default();
        let whose = document["step"].as_str().or(document["agent"].as_str());
        format!("{} {}", whose.unwrap_or_default(), word.replace('_', " "))
    })
}

pub(super) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_gets_the_last_events_in_order_and_a_slow_one_is_told_what_it_missed() {
        let feed = Feed::new();
        for n in 0..300 {
            feed.remark("engine_found", n, None, "x");
        }
        let (kept, mut live) = feed.subscribe().expect("nobody listens yet");
        assert_eq!(kept.len(), KEPT);
        let last: Value = serde_json::from_str(kept.last().unwrap()).unwrap();
        assert_eq!(last["seq"], 300);
        for n in 0..BUFFER + 7 {
            feed.remark("engine_gone", n as u32, None, "x");
        }
        let missed = live.try_recv().unwrap_err();
        assert_eq!(missed, broadcast::error::TryRecvError::Lagged(7));
    }

    #[test]
    fn there_are_as_many_listeners_as_there_may_be() {
        let feed = Feed::new();
        let all: Vec<_> = (0..MAX_LISTENERS).map(|_| feed.subscribe()).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(feed.subscribe().is_none());
        drop(all);
        assert!(feed.subscribe().is_some());
    }
}
