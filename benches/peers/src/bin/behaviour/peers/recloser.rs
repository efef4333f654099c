//! recloser: a ring of calls that judges once it is full. Its asynchronous form is the one that can be dropped.
//!
//! Whoever wants to hear of its openings reads its log (feature `tracing`); it calls no listener.

use std::sync::Arc;
use std::time::Duration;

use recloser::{AsyncRecloser, Error, RecloserBuilder};

use crate::peer::{
    Candidate, CountSettings, Oops, Operation, Peer, Shared, WAIT, poll_and_drop, ready,
};

struct Plain(AsyncRecloser);

impl Peer for Plain {
    fn run(&self, operation: Operation) -> bool {
        let call = self.0.call(async move { operation() });
        !matches!(ready(call), Err(Error::Rejected))
    }

    fn abandon(&self) -> bool {
        poll_and_drop(|hang| self.0.call(hang.operation()))
    }
}

/// Its predicate looks at errors alone, and what is no failure is a success.
struct Judging(Plain);

impl Peer for Judging {
    fn run(&self, operation: Operation) -> bool {
        let predicate = |error: &Oops| *error != Oops::Harmless;
        let call = async move { operation() };
        let answer: Result<u16, _> = ready(self.0.0.call_with(predicate, call));
        !matches!(answer, Err(Error::Rejected))
    }

    fn abandon(&self) -> bool {
        self.0.abandon()
    }
}

fn plain(builder: RecloserBuilder) -> Plain {
    Plain(AsyncRecloser::from(builder.build()))
}

fn of_ten() -> RecloserBuilder {
    recloser::Recloser::custom()
        .error_rate(0.5)
        .closed_len(10)
        .half_open_len(1)
        .open_wait(WAIT)
}

pub(super) struct Recloser;

impl Candidate for Recloser {
    fn name(&self) -> &'static str {
        "recloser 1.4.0"
    }

    fn count_window(&self, settings: CountSettings) -> Shared {
        let builder = of_ten()
            .closed_len(settings.window)
            .half_open_len(settings.probes)
            .open_wait(settings.wait);
        Arc::new(plain(builder))
    }

    /// Its ring judges when it is full and not before.
    fn minimum_apart(&self, _minimum: usize) -> Option<Shared> {
        None
    }

    fn judged_errors(&self) -> Option<Shared> {
        Some(Arc::new(Judging(plain(of_ten()))))
    }

    /// By a strategy of the caller's, which it asks after a failed probe (so not for the first opening: no jitter).
    fn backoff(&self) -> Option<Shared> {
        let doubled = |failed: u32, wait: Duration| wait * 2_u32.pow(failed);
        Some(Arc::new(plain(of_ten().open_wait_strategy(doubled))))
    }

    fn try_ratio(&self, ratio: f64) {
        of_ten().error_rate(ratio as f32).build();
    }
}
