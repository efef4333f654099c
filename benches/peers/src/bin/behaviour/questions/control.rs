//! Settings, and those who listen.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::spawn;
use std::time::{Duration, Instant};

use super::{Question, Seen, count_or_never, either, fail, failures_until_open, seen, succeed};
use crate::peer::{Candidate, Shared, panics};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        title: "told to open at 150 % of failures",
        passes: "refused when built",
        ask: bad_settings,
    },
    Question {
        title: "new settings keep the window: 5 failures, then judge from 6",
        passes: "opens after 1",
        ask: reconfigured,
    },
    Question {
        title: "listener that hangs at the opening: who opened, who comes by",
        passes: "both go on",
        ask: hanging_listener,
    },
    Question {
        title: "listener that calls its breaker at the opening",
        passes: "returns",
        ask: calling_listener,
    },
];

fn bad_settings(candidate: &dyn Candidate) -> Option<Seen> {
    candidate.try_ratio(0.5);
    let refused = panics(|| candidate.try_ratio(1.5));
    either(refused, "refused when built", "accepted")
}

fn reconfigured(candidate: &dyn Candidate) -> Option<Seen> {
    let (peer, change) = candidate.reconfigured()?;
    (0..5).for_each(|_| assert!(fail(&peer)));
    change();
    let more = failures_until_open(&peer, 1_000);
    seen(count_or_never(more), more == Some(1))
}

/// How long a call may take that nothing holds up. Only one that hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(2);

fn hanging_listener(candidate: &dyn Candidate) -> Option<Seen> {
    let (release, held) = channel::<()>();
    let (hang, hangs) = channel();
    let held = Mutex::new(held);
    let peer = candidate.listened(Arc::new(move || {
        let _ = hang.send(());
        if let Ok(held) = held.lock() {
            let _ = held.recv();
        }
    }))?;
    let (went, goes) = channel();
    let opening = (Shared::clone(&peer), went.clone());
    let opener = spawn(move || {
        open(&opening.0);
        let _ = opening.1.send(());
    });
    let heard = hangs.recv_timeout(PATIENCE * 5).is_ok();
    let passer_by = spawn(move || {
        succeed(&peer);
        let _ = went.send(());
    });
    let deadline = Instant::now() + PATIENCE;
    let went_on = (0..2)
        .filter(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            goes.recv_timeout(left).is_ok()
        })
        .count();
    drop(release);
    let _ = (opener.join(), passer_by.join());
    assert!(heard, "{}: the listener was called", candidate.name());
    let text = ["neither goes on", "one goes on", "both go on"][went_on];
    seen(text, went_on == 2)
}

/// Ten failures open it; an eleventh call would be that of somebody who comes by.
fn open(peer: &Shared) {
    (0..10).for_each(|_| {
        fail(peer);
    });
}

fn calling_listener(candidate: &dyn Candidate) -> Option<Seen> {
    let own: Arc<OnceLock<Shared>> = Arc::default();
    let (done, returned) = channel();
    let listened = Arc::clone(&own);
    let peer = candidate.listened(Arc::new(move || {
        if let Some(peer) = listened.get() {
            succeed(peer);
        }
        let _ = done.send(());
    }))?;
    let _ = own.set(Shared::clone(&peer));
    // Left to itself if it hangs: nothing can free it.
    spawn(move || open(&peer));
    let returns = returned.recv_timeout(PATIENCE).is_ok();
    either(returns, "returns", "deadlock")
}
