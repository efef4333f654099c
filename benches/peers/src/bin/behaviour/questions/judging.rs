//! What counts as a failure.

use super::{Held, Question, Seen, count_or_never, either, fail, failures_until_open};
use super::{of_ten, seen, succeed};
use crate::peer::{Candidate, Oops, SLOW, Shared, UNAVAILABLE, panics};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        title: "10 successes, all of them slow",
        passes: "opens",
        ask: slow_successes,
    },
    Question {
        title: "10 calls in flight, past the limit of slow calls",
        passes: "opens",
        ask: slow_in_flight,
    },
    Question {
        title: "an error is judged by its value: 100 harmless ones",
        passes: "stays closed",
        ask: harmless_errors,
    },
    Question {
        title: "a harmless error is no success: 8 failures, 100 harmless, more",
        passes: "opens after 2",
        ask: harmless_is_neutral,
    },
    Question {
        title: "an answer is judged by its value: 10 of \"unavailable\"",
        passes: "opens",
        ask: bad_answers,
    },
    Question {
        title: "a dropped call counts as neither: 8 failures, 100 dropped, more",
        passes: "opens after 2",
        ask: dropped_is_neutral,
    },
    Question {
        title: "a panic is a failure: 20 of them in a window of 10",
        passes: "opens",
        ask: panics_fail,
    },
];

fn opens(peer: &Shared) -> Option<Seen> {
    // One more than a call that notices: some judge a full window at the next call.
    let open = (0..3).any(|_| !succeed(peer));
    either(open, "opens", "stays closed")
}

fn slow_successes(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.slow_calls()?;
    for _ in 0..10 {
        let clock = Shared::clone(&peer);
        peer.run(Box::new(move || {
            clock.wait(SLOW * 3 / 2);
            Ok(200)
        }));
    }
    opens(&peer)
}

fn slow_in_flight(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.slow_calls()?;
    let calls: Vec<_> = (0..10).map(|_| Held::new(&peer)).collect();
    let all_run = calls.iter().all(Held::runs);
    peer.wait(SLOW * 2);
    let answer = opens(&peer);
    calls.into_iter().for_each(|call| call.end(Ok(200)));
    assert!(all_run, "none of them is refused");
    answer
}

fn harmless(peer: &Shared) -> bool {
    peer.run(Box::new(|| Err(Oops::Harmless)))
}

fn harmless_errors(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.judged_errors()?;
    let stays = (0..100).all(|_| harmless(&peer)) && succeed(&peer);
    let still_judges = failures_until_open(&peer, 1_000).is_some();
    either(stays && still_judges, "stays closed", "opens")
}

/// Had the calls in between counted as successes, it would take more than two failures to fill the window again.
fn after_eight(peer: &Shared, between: impl FnOnce()) -> Option<Seen> {
    (0..8).for_each(|_| assert!(fail(peer)));
    between();
    let more = failures_until_open(peer, 1_000);
    match more {
        Some(0) => seen("opened meanwhile", false),
        // One more for those who judge a full window at the next call.
        more => seen(count_or_never(more), matches!(more, Some(2 | 3))),
    }
}

fn harmless_is_neutral(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.judged_errors()?;
    after_eight(&peer, || {
        (0..100).for_each(|_| {
            harmless(&peer);
        });
    })
}

fn bad_answers(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.judged_answers()?;
    assert!((0..10).all(|_| peer.run(Box::new(|| Ok(UNAVAILABLE)))));
    opens(&peer)
}

fn dropped_is_neutral(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    let mut begun = 0;
    let answer = after_eight(&peer, || {
        begun = (0..100).filter(|_| peer.abandon()).count();
    });
    assert_eq!(begun, 100, "all of them had begun");
    answer
}

fn panics_fail(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = of_ten(candidate);
    for _ in 0..20 {
        panics(|| {
            peer.run(Box::new(|| panic!("in the call")));
        });
    }
    opens(&peer)
}
