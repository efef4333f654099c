//! A breaker as the questions see it, and what a crate can be asked for.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Open time of every breaker, unless a question says otherwise.
pub(crate) const WAIT: Duration = Duration::from_millis(60);

/// A call at or past it is slow.
pub(crate) const SLOW: Duration = Duration::from_millis(40);

/// An answer that [`Candidate::judged_answers`] takes for a failure.
pub(crate) const UNAVAILABLE: u16 = 503;

pub(crate) type Answer = Result<u16, Oops>;

pub(crate) type Operation = Box<dyn FnOnce() -> Answer + Send>;

pub(crate) type Shared = Arc<dyn Peer>;

/// Called at an opening.
pub(crate) type Listener = Arc<dyn Fn() + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oops {
    Outage,
    /// The caller's own fault: says nothing about the dependency.
    Harmless,
    /// The dependency asks to be left alone for so long.
    RetryAfter(Duration),
}

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("oops")
    }
}

impl std::error::Error for Oops {}

/// One breaker, closed at first.
pub(crate) trait Peer: Send + Sync {
    /// Answers whether the operation ran.
    fn run(&self, operation: Operation) -> bool;

    /// Starts an asynchronous call, polls it once and drops it. Answers whether its operation had begun.
    fn abandon(&self) -> bool;

    /// Lets time pass.
    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Time on the clock by which it waits.
    fn now(&self) -> Duration {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct CountSettings {
    /// Calls in the window and least calls to judge; opens at half of them.
    pub(crate) window: usize,
    pub(crate) probes: usize,
    pub(crate) wait: Duration,
}

/// What a crate can do, each in the configuration that fits best. `None` where it has no such thing.
pub(crate) trait Candidate {
    fn name(&self) -> &'static str;

    fn count_window(&self, settings: CountSettings) -> Shared;

    /// Opens at half of the calls within the window, from 10 on.
    fn time_window(&self, _window: Duration) -> Option<Shared> {
        None
    }

    /// Judges from so many calls on, in a window that holds far more.
    fn minimum_apart(&self, minimum: usize) -> Option<Shared>;

    /// Opens at so many failures in a row, by no other rule.
    fn row(&self, _failures: usize) -> Option<Shared> {
        None
    }

    /// Opens at so many failures in a row, and at a rate of one half, whichever comes first.
    fn row_beside_rate(&self, _failures: usize) -> Option<Shared> {
        None
    }

    /// Opens if half of 10 calls take [`SLOW`] or longer.
    fn slow_calls(&self) -> Option<Shared> {
        None
    }

    /// A window of 10 in which [`Oops::Harmless`] is no failure.
    fn judged_errors(&self) -> Option<Shared> {
        None
    }

    /// A window of 10 in which the answer [`UNAVAILABLE`] is a failure.
    fn judged_answers(&self) -> Option<Shared> {
        None
    }

    /// The open time grows with each failed probe, without chance.
    fn backoff(&self) -> Option<Shared> {
        None
    }

    /// The open time after the first opening is drawn.
    fn jitter(&self) -> Option<Shared> {
        None
    }

    /// When to come back, as the refusal of a breaker says that has just opened for [`WAIT`].
    fn told_wait(&self) -> Option<Duration> {
        None
    }

    /// Heeds [`Oops::RetryAfter`].
    fn hinted(&self) -> Option<Shared> {
        None
    }

    /// Opened by hand, to stay so.
    fn forced_open(&self) -> Option<Shared> {
        None
    }

    /// Judges from 100 calls on, and from 6 on once the second has been called.
    fn reconfigured(&self) -> Option<(Shared, Box<dyn Fn()>)> {
        None
    }

    /// Brought back from what was stored of one that had half of [`WAIT`] left.
    fn restored(&self) -> Option<Shared> {
        None
    }

    /// Builds one that would open at this ratio of failures.
    fn try_ratio(&self, ratio: f64);

    /// One that tells the listener when it opens, after 10 failures.
    fn listened(&self, _listener: Listener) -> Option<Shared> {
        None
    }
}

/// The answer of a future that is ready at its first poll.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the operations of these questions do not await"),
    }
}

/// Polls the call once and drops it; `call` makes it from an operation that never ends.
pub(crate) fn poll_and_drop<F: Future>(call: impl FnOnce(Hang) -> F) -> bool {
    let begun = Arc::new(AtomicBool::new(false));
    {
        let call = pin!(call(Hang(Arc::clone(&begun))));
        let _ = call.poll(&mut Context::from_waker(Waker::noop()));
    }
    begun.load(Ordering::SeqCst)
}

/// An operation that never ends.
pub(crate) struct Hang(Arc<AtomicBool>);

impl Hang {
    pub(crate) async fn operation(self) -> Answer {
        self.0.store(true, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Whether it panics; says nothing about it on the terminal.
pub(crate) fn panics(act: impl FnOnce()) -> bool {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let panicked = catch_unwind(AssertUnwindSafe(act)).is_err();
    std::panic::set_hook(hook);
    panicked
}
