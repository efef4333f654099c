//! failsafe: rows of failures, and a weighted rate over time. It has no count window and no limit of probes; rows
//! stand in for the first.

use std::sync::Arc;
use std::time::Duration;

use failsafe::failure_policy::{self, FailurePolicy};
use failsafe::futures::CircuitBreaker as Asynchronous;
use failsafe::{CircuitBreaker, Config, Error, Instrument, StateMachine, backoff};

use crate::peer::{
    Candidate, CountSettings, Listener, Oops, Operation, Peer, Shared, WAIT, poll_and_drop,
};

struct Plain<P, I>(StateMachine<P, I>);

impl<P, I> Peer for Plain<P, I>
where
    P: FailurePolicy + Send + Sync,
    I: Instrument + Send + Sync,
{
    fn run(&self, operation: Operation) -> bool {
        let answer = CircuitBreaker::call(&self.0, operation);
        !matches!(answer, Err(Error::Rejected))
    }

    fn abandon(&self) -> bool {
        poll_and_drop(|hang| Asynchronous::call(&self.0, Box::pin(hang.operation())))
    }
}

/// Its predicate looks at errors alone, and what is no failure is a success.
struct Judging<P, I>(Plain<P, I>);

impl<P, I> Peer for Judging<P, I>
where
    P: FailurePolicy + Send + Sync,
    I: Instrument + Send + Sync,
{
    fn run(&self, operation: Operation) -> bool {
        let predicate = |error: &Oops| *error != Oops::Harmless;
        let answer = CircuitBreaker::call_with(&self.0.0, predicate, operation);
        !matches!(answer, Err(Error::Rejected))
    }

    fn abandon(&self) -> bool {
        self.0.abandon()
    }
}

struct AtOpening(Listener);

impl Instrument for AtOpening {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        (self.0)();
    }

    fn on_half_open(&self) {}

    fn on_closed(&self) {}
}

fn plain<P: FailurePolicy>(policy: P) -> Plain<P, ()> {
    Plain(Config::new().failure_policy(policy).build())
}

fn row(
    failures: usize,
    wait: Duration,
) -> failure_policy::ConsecutiveFailures<impl Iterator<Item = Duration> + Clone> {
    failure_policy::consecutive_failures(failures as u32, backoff::constant(wait))
}

fn rate(
    minimum: usize,
    window: Duration,
) -> failure_policy::SuccessRateOverTimeWindow<impl Iterator<Item = Duration> + Clone> {
    let wait = backoff::constant(WAIT);
    failure_policy::success_rate_over_time_window(0.5, minimum as u32, window, wait)
}

pub(super) struct Failsafe;

impl Candidate for Failsafe {
    fn name(&self) -> &'static str {
        "failsafe 1.3.0"
    }

    fn count_window(&self, settings: CountSettings) -> Shared {
        Arc::new(plain(row(settings.window, settings.wait)))
    }

    fn time_window(&self, window: Duration) -> Option<Shared> {
        Some(Arc::new(plain(rate(10, window))))
    }

    /// It judges once a whole window has passed, so that is waited for here.
    fn minimum_apart(&self, minimum: usize) -> Option<Shared> {
        let peer = plain(rate(minimum, Duration::from_secs(1)));
        peer.wait(Duration::from_millis(1_100));
        Some(Arc::new(peer))
    }

    fn row(&self, failures: usize) -> Option<Shared> {
        Some(Arc::new(plain(row(failures, WAIT))))
    }

    fn row_beside_rate(&self, failures: usize) -> Option<Shared> {
        let rate = rate(10, Duration::from_secs(1));
        Some(Arc::new(plain(row(failures, WAIT).or_else(rate))))
    }

    fn judged_errors(&self) -> Option<Shared> {
        Some(Arc::new(Judging(plain(row(10, WAIT)))))
    }

    /// Its own growing waits count whole seconds; it takes any iterator, so these double faster.
    fn backoff(&self) -> Option<Shared> {
        let doubled = std::iter::successors(Some(WAIT), |wait| Some(*wait * 2));
        let policy = failure_policy::consecutive_failures(10, doubled);
        Some(Arc::new(plain(policy)))
    }

    /// Drawn from 0, 1 and 2 s: it counts whole seconds, and with 1 s there would be two to draw from.
    fn jitter(&self) -> Option<Shared> {
        let two = Duration::from_secs(2);
        let policy = failure_policy::consecutive_failures(10, backoff::full_jittered(two, two));
        Some(Arc::new(plain(policy)))
    }

    fn try_ratio(&self, ratio: f64) {
        let wait = backoff::constant(WAIT);
        failure_policy::success_rate_over_time_window(ratio, 10, WAIT, wait);
    }

    fn listened(&self, listener: Listener) -> Option<Shared> {
        let config = Config::new().failure_policy(row(10, WAIT));
        let breaker = config.instrument(AtOpening(listener)).build();
        Some(Arc::new(Plain(breaker)))
    }
}
