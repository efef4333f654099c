//! Half-open, and what comes in late.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{sleep, spawn};
use std::time::Duration;

use super::{Held, Question, Seen, count_or_never, either, failures_until_open, of_ten};
use super::{open_until_due, seen, succeed};
use crate::peer::{Candidate, CountSettings, Oops, Shared, WAIT, panics};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        title: "32 callers at half-open, 2 probes allowed",
        passes: "at most 2 run",
        ask: probes,
    },
    Question {
        title: "late success of the closed era, while a probe is out",
        passes: "0 of 8 pass",
        ask: late_success,
    },
    Question {
        title: "10 late failures of the closed era, after recovery",
        passes: "stays closed",
        ask: late_failures,
    },
    Question {
        title: "probe that never answers",
        passes: "recovers",
        ask: hung_probe,
    },
    Question {
        title: "probe that panics",
        passes: "recovers",
        ask: panicking_probe,
    },
    Question {
        title: "a dropped probe gives its place back: 10 of them, at once",
        passes: "10 begin, recovers",
        ask: dropped_probe,
    },
    Question {
        title: "window of 10 after a recovery",
        passes: "5 failures or more",
        ask: empty_after_close,
    },
];

const PROBES: usize = 2;

fn probes(candidate: &dyn Candidate) -> Option<Seen> {
    const CALLERS: usize = 32;
    let peer = candidate.count_window(CountSettings {
        window: 10,
        probes: PROBES,
        wait: WAIT,
    });
    open_until_due(&peer);
    let [ran, tried] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let ready = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (peer, ready) = (Shared::clone(&peer), Arc::clone(&ready));
            let (ran, tried) = (Arc::clone(&ran), Arc::clone(&tried));
            spawn(move || {
                ready.wait();
                let seen = Arc::clone(&tried);
                let admitted = peer.run(Box::new(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                    seen.fetch_add(1, Ordering::SeqCst);
                    // Nobody answers before all have tried.
                    for _ in 0..200 {
                        if seen.load(Ordering::SeqCst) >= CALLERS {
                            break;
                        }
                        sleep(Duration::from_millis(1));
                    }
                    Ok(200)
                }));
                if !admitted {
                    tried.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for caller in callers {
        let _ = caller.join();
    }
    let admitted = ran.load(Ordering::SeqCst);
    seen(admitted.to_string(), (1..=PROBES).contains(&admitted))
}

fn late_success(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    let late = Held::new(&peer);
    late.runs();
    open_until_due(&peer);
    let probe = Held::new(&peer);
    let probing = probe.runs();
    late.end(Ok(200));
    let admitted = (0..8).filter(|_| succeed(&peer)).count();
    probe.end(Ok(200));
    seen(format!("{admitted} of 8 pass"), probing && admitted == 0)
}

fn late_failures(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    let late: Vec<_> = (0..10).map(|_| Held::new(&peer)).collect();
    late.iter().for_each(|call| {
        call.runs();
    });
    open_until_due(&peer);
    for _ in 0..3 {
        succeed(&peer);
    }
    let closed = succeed(&peer);
    late.into_iter()
        .for_each(|call| call.end(Err(Oops::Outage)));
    either(closed && succeed(&peer), "stays closed", "opens")
}

fn hung_probe(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    open_until_due(&peer);
    let probe = Held::new(&peer);
    probe.runs();
    peer.wait(WAIT * 8);
    let admitted = succeed(&peer);
    probe.end(Ok(200));
    either(admitted, "recovers", "refuses for ever")
}

/// Within eight further open times.
fn recovers(peer: &Shared) -> bool {
    (0..8).any(|_| {
        peer.wait(WAIT);
        succeed(peer)
    })
}

fn panicking_probe(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    open_until_due(&peer);
    let ran = panics(|| {
        peer.run(Box::new(|| panic!("a probe")));
    });
    either(ran && recovers(&peer), "recovers", "refuses for ever")
}

fn dropped_probe(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    open_until_due(&peer);
    let begun = (0..10).filter(|_| peer.abandon()).count();
    let recovers = recovers(&peer);
    let then = if recovers {
        "recovers"
    } else {
        "refuses for ever"
    };
    seen(format!("{begun}, {then}"), begun == 10 && recovers)
}

fn empty_after_close(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    let first = failures_until_open(&peer, 1_000);
    peer.wait(WAIT * 5 / 4);
    for _ in 0..3 {
        succeed(&peer);
    }
    // Successes that count: at most three of its ten.
    let second = failures_until_open(&peer, 1_000);
    let text = format!("{} then {}", count_or_never(first), count_or_never(second));
    let pass = first.is_some() && second.is_some_and(|second| second >= 5);
    seen(text, pass)
}
