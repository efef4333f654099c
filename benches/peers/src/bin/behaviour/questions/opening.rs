//! How long it stays open.

use std::thread::spawn;
use std::time::Duration;

use super::{Question, Seen, either, fail, failures_until_open, of_ten, open_until_due};
use super::{seen, succeed};
use crate::peer::{Candidate, Oops, Shared, WAIT};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        title: "a failed probe opens again",
        passes: "5 of 5 refused",
        ask: failed_probe,
    },
    Question {
        title: "the open time grows: after 3 failed probes, as a multiple",
        passes: "2 or more",
        ask: backs_off,
    },
    Question {
        title: "16 that open together do not come back together",
        passes: "10 % apart or more",
        ask: jitter,
    },
    Question {
        title: "refusals do not push the end of the open time",
        passes: "recovers",
        ask: refusals,
    },
    Question {
        title: "a refusal says when to come back",
        passes: "within the open time",
        ask: told_wait,
    },
    Question {
        title: "the dependency's hint lengthens the open time",
        passes: "refuses, then runs",
        ask: hint,
    },
    Question {
        title: "forced open, 5 open times later",
        passes: "refuses",
        ask: forced_open,
    },
    Question {
        title: "stored and restored half-way through its open time",
        passes: "refuses, then runs",
        ask: restored,
    },
];

fn failed_probe(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    open_until_due(&peer);
    fail(&peer);
    let refused = (0..5).filter(|_| !succeed(&peer)).count();
    seen(format!("{refused} of 5 refused"), refused == 5)
}

/// Time until an open breaker lets a call through, which fails.
fn open_time(peer: &Shared) -> Duration {
    let (start, longest) = (peer.now(), Duration::from_secs(5));
    while !fail(peer) && peer.now() - start < longest {
        peer.wait(Duration::from_millis(1));
    }
    peer.now() - start
}

fn backs_off(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.backoff()?;
    let times = [(); 4].map(|()| {
        failures_until_open(&peer, 1_000);
        open_time(&peer)
    });
    // Eight times the first, if it doubles. A machine that is held up makes each longer by what it was held up.
    let multiple = times[3].as_secs_f64() / times[0].as_secs_f64();
    seen(format!("{multiple:.0}"), multiple >= 2.0)
}

fn jitter(candidate: &dyn Candidate) -> Option<Seen> {
    let peers = [(); 16].map(|()| candidate.jitter());
    let peers: Vec<_> = peers.into_iter().collect::<Option<_>>()?;
    let threads: Vec<_> = peers
        .into_iter()
        .map(|peer: Shared| {
            spawn(move || {
                failures_until_open(&peer, 1_000);
                open_time(&peer)
            })
        })
        .collect();
    let times = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"));
    let (least, most) = times.fold((Duration::MAX, Duration::ZERO), |(least, most), time| {
        (least.min(time), most.max(time))
    });
    let apart = 1.0 - least.as_secs_f64() / most.as_secs_f64();
    let text = format!("{:.0} % apart", 100.0 * apart);
    seen(text, apart >= 0.1)
}

fn refusals(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    failures_until_open(&peer, 1_000);
    let refused = !succeed(&peer);
    let start = peer.now();
    let runs = || {
        std::iter::repeat_with(|| {
            peer.wait(WAIT / 12);
            succeed(&peer)
        })
        .take_while(|_| peer.now() - start < WAIT * 20)
        .any(|ran| ran)
    };
    either(refused && runs(), "recovers", "refuses on")
}

fn told_wait(candidate: &dyn Candidate) -> Option<Seen> {
    let wait = candidate.told_wait()?;
    let text = format!("in {} ms", wait.as_millis());
    seen(text, wait > Duration::ZERO && wait <= WAIT)
}

fn refuses_then_runs(peer: &Shared, refuses_for: Duration, until: Duration) -> Option<Seen> {
    let at_once = !succeed(peer);
    peer.wait(refuses_for);
    let refuses = at_once && !succeed(peer);
    peer.wait(until - refuses_for);
    match (refuses, succeed(peer)) {
        (true, true) => seen("refuses, then runs", true),
        (true, false) => seen("refuses on", false),
        (false, _) => seen("runs too early", false),
    }
}

fn hint(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.hinted()?;
    peer.run(Box::new(|| Err(Oops::RetryAfter(WAIT * 10))));
    refuses_then_runs(&peer, WAIT * 9, WAIT * 11)
}

fn forced_open(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.forced_open()?;
    let at_once = !succeed(&peer);
    peer.wait(WAIT * 5);
    let refuses = at_once && (0..5).all(|_| !succeed(&peer));
    either(refuses, "refuses", "recovers")
}

fn restored(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.restored()?;
    refuses_then_runs(&peer, WAIT / 4, WAIT * 3 / 4)
}
