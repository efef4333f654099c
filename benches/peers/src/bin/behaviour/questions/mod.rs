//! The questions, by subject, and what they share.

mod control;
mod cost;
mod judging;
mod opening;
mod probes;
mod windows;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use crate::peer::{Answer, Candidate, CountSettings, Oops, Shared, WAIT};

pub(crate) struct Question {
    pub(crate) title: &'static str,
    /// What is seen of a breaker that passes.
    pub(crate) passes: &'static str,
    /// None: the crate has no such thing.
    pub(crate) ask: fn(&dyn Candidate) -> Option<Seen>,
}

pub(crate) struct Seen {
    pub(crate) text: String,
    pub(crate) pass: bool,
}

pub(crate) fn all() -> impl Iterator<Item = &'static Question> {
    // The last leaves threads behind that hang for good in some crates.
    [
        windows::QUESTIONS,
        judging::QUESTIONS,
        opening::QUESTIONS,
        probes::QUESTIONS,
        cost::QUESTIONS,
        control::QUESTIONS,
    ]
    .into_iter()
    .flatten()
}

fn seen(text: impl Into<String>, pass: bool) -> Option<Seen> {
    let text = text.into();
    Some(Seen { text, pass })
}

/// One of two words.
fn either(pass: bool, yes: &str, no: &str) -> Option<Seen> {
    seen(if pass { yes } else { no }, pass)
}

fn succeed(peer: &Shared) -> bool {
    peer.run(Box::new(|| Ok(200)))
}

fn fail(peer: &Shared) -> bool {
    peer.run(Box::new(|| Err(Oops::Outage)))
}

/// Failures in a row until a call is refused.
fn failures_until_open(peer: &Shared, limit: usize) -> Option<usize> {
    (0..limit).find(|_| !fail(peer))
}

fn count_or_never(seen: Option<usize>) -> String {
    seen.map_or("never".into(), |seen| seen.to_string())
}

fn open_until_due(peer: &Shared) {
    let opens = failures_until_open(peer, 10_000).is_some();
    assert!(opens, "without that there is nothing to ask");
    peer.wait(WAIT * 5 / 4);
}

/// A window of 10, one probe.
fn of_ten(candidate: &dyn Candidate) -> Shared {
    candidate.count_window(CountSettings {
        window: 10,
        probes: 1,
        wait: WAIT,
    })
}

/// A call that ends when told to.
struct Held {
    end: Sender<Answer>,
    started: Receiver<()>,
    thread: JoinHandle<bool>,
}

impl Held {
    fn new(peer: &Shared) -> Self {
        let (peer, (end, ended), (start, started)) = (Shared::clone(peer), channel(), channel());
        let thread = spawn(move || {
            peer.run(Box::new(move || {
                let _ = start.send(());
                ended.recv().unwrap_or(Err(Oops::Outage))
            }))
        });
        Self {
            end,
            started,
            thread,
        }
    }

    /// Waits until it runs; false if it was refused, which drops the operation and with it the sender.
    fn runs(&self) -> bool {
        self.started.recv_timeout(Duration::from_secs(10)).is_ok()
    }

    fn end(self, answer: Answer) {
        let _ = self.end.send(answer);
        let _ = self.thread.join();
    }
}
