//! Which calls are looked at, and how many it takes.

use std::time::Duration;

use super::{Question, Seen, count_or_never, fail, failures_until_open, seen, succeed};
use crate::peer::{Candidate, CountSettings, WAIT};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        title: "count window 100 at 50 %, after 0/1,000/10,000 successes",
        passes: "opens at 100/50/50",
        ask: slides,
    },
    Question {
        title: "time window 200 ms from 10 calls: 9, pause, 9, more",
        passes: "9+9, then opens",
        ask: over_time,
    },
    Question {
        title: "judges from 5 calls on, in a window that holds far more",
        passes: "opens at 5",
        ask: minimum_apart,
    },
    Question {
        title: "a success ends a row of failures: 4, success, 4, ...",
        passes: "stays, opens at 5",
        ask: success_ends_row,
    },
    Question {
        title: "a row of 5 beside a rate: 95 successes, 5 failures; 2 of 3 fail",
        passes: "row and rate open",
        ask: row_beside_rate,
    },
];

fn slides(candidate: &dyn Candidate) -> Option<Seen> {
    let counts = [0, 1_000, 10_000].map(|before| {
        let peer = candidate.count_window(CountSettings {
            window: 100,
            probes: 1,
            wait: WAIT,
        });
        (0..before).for_each(|_| assert!(succeed(&peer)));
        failures_until_open(&peer, 20_000)
    });
    let near = |seen: Option<usize>, expected: usize| {
        seen.is_some_and(|seen| seen.abs_diff(expected) <= 1)
    };
    let pass = near(counts[0], 100) && near(counts[1], 50) && near(counts[2], 50);
    seen(counts.map(count_or_never).join("/"), pass)
}

fn over_time(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.time_window(Duration::from_millis(200))?;
    // One whole window has passed, should the breaker need that.
    peer.wait(Duration::from_millis(250));
    let first = (0..9).filter(|_| fail(&peer)).count();
    peer.wait(Duration::from_millis(300));
    let second = (0..9).filter(|_| fail(&peer)).count();
    let third = (0..20).filter(|_| fail(&peer)).count();
    let pass = (first, second) == (9, 9) && third <= 2;
    seen(format!("{first}+{second}+{third}"), pass)
}

fn minimum_apart(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.minimum_apart(5)?;
    let count = failures_until_open(&peer, 1_000);
    seen(count_or_never(count), count == Some(5))
}

fn success_ends_row(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.row(5)?;
    let stays = (0..20).all(|_| (0..4).all(|_| fail(&peer)) && succeed(&peer));
    let count = failures_until_open(&peer, 1_000);
    let first = if stays { "stays" } else { "opens" };
    let text = format!("{first}, {}", count_or_never(count));
    seen(text, stays && count == Some(5))
}

fn row_beside_rate(candidate: &dyn Candidate) -> Option<Seen> {
    let peer = candidate.row_beside_rate(5)?;
    let healthy = (0..95).all(|_| succeed(&peer));
    let row = healthy && failures_until_open(&peer, 1_000) == Some(5);
    let peer = candidate.row_beside_rate(5)?;
    // In steps of time, for those who weigh by it.
    let rate = (0..400).any(|call| {
        peer.wait(Duration::from_millis(5));
        let ran = if call % 3 == 2 {
            succeed(&peer)
        } else {
            fail(&peer)
        };
        !ran
    });
    match (row, rate) {
        (true, true) => seen("both", true),
        (true, false) => seen("the row alone", false),
        (false, true) => seen("the rate alone", false),
        (false, false) => seen("neither", false),
    }
}
