//! Ours, by a clock that stands still until a question lets time pass.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{
    Breaker, CallError, Clock, Config, ConfigBuilder, CountWindow, FailureKind, Jitter,
    ManualClock, Override, SlowCalls, State, TimeWindow, TransitionQueue, Verdict,
};

use crate::peer::{
    Answer, Candidate, CountSettings, Listener, Oops, Operation, Peer, SLOW, Shared, UNAVAILABLE,
    WAIT, poll_and_drop,
};

type Judge = fn(&Answer) -> Verdict;

struct OurPeer {
    breaker: Breaker,
    clock: ManualClock,
    /// None: an error is a failure.
    judge: Option<Judge>,
}

impl Peer for OurPeer {
    fn run(&self, operation: Operation) -> bool {
        let answer = match self.judge {
            Some(judge) => self.breaker.call_classified(operation, judge),
            None => self.breaker.call(operation),
        };
        !matches!(answer, Err(CallError::NotPermitted(_)))
    }

    fn abandon(&self) -> bool {
        poll_and_drop(|hang| self.breaker.call_async(hang.operation()))
    }

    fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.now().as_nanos())
    }
}

fn base() -> ConfigBuilder {
    Config::builder()
        .without_consecutive_failures()
        .without_count_window()
        .wait_duration_in_open(WAIT)
        .jitter(Jitter::None)
        .max_concurrent_probes(1)
        .successes_to_close(1)
        .probe_deadline(WAIT * 4)
}

fn half_of(size: usize, minimum: usize) -> CountWindow {
    CountWindow {
        size: size as u32,
        minimum_number_of_calls: minimum as u32,
        failure_rate_threshold: 0.5,
    }
}

fn of_ten() -> ConfigBuilder {
    base().count_window(half_of(10, 10))
}

fn in_time(size: Duration, minimum: u32) -> TimeWindow {
    TimeWindow {
        size,
        buckets: 10,
        minimum_number_of_calls: minimum,
        failure_rate_threshold: 0.5,
    }
}

fn peer(config: ConfigBuilder, judge: Option<Judge>) -> Arc<OurPeer> {
    let clock = ManualClock::new();
    let config = config.build().expect("good settings");
    let breaker = Breaker::builder("ours", config).clock(Arc::new(clock.clone()));
    Arc::new(OurPeer {
        breaker: breaker.build(),
        clock,
        judge,
    })
}

pub(super) struct Ours;

impl Candidate for Ours {
    fn name(&self) -> &'static str {
        "fusebox"
    }

    fn count_window(&self, settings: CountSettings) -> Shared {
        let config = base()
            .wait_duration_in_open(settings.wait)
            .probe_deadline(settings.wait * 4)
            .max_concurrent_probes(settings.probes as u32)
            .count_window(half_of(settings.window, settings.window));
        peer(config, None)
    }

    fn time_window(&self, window: Duration) -> Option<Shared> {
        Some(peer(base().time_window(in_time(window, 10)), None))
    }

    fn minimum_apart(&self, minimum: usize) -> Option<Shared> {
        Some(peer(base().count_window(half_of(1_000, minimum)), None))
    }

    fn row(&self, failures: usize) -> Option<Shared> {
        Some(peer(base().consecutive_failures(failures as u32), None))
    }

    fn row_beside_rate(&self, failures: usize) -> Option<Shared> {
        let config = base()
            .consecutive_failures(failures as u32)
            .count_window(half_of(20, 20));
        Some(peer(config, None))
    }

    fn slow_calls(&self) -> Option<Shared> {
        let slow = SlowCalls {
            slow_call_duration_threshold: SLOW,
            slow_call_rate_threshold: 0.5,
            minimum_number_of_calls: 10,
        };
        Some(peer(of_ten().slow_calls(slow), None))
    }

    fn judged_errors(&self) -> Option<Shared> {
        let judge: Judge = |answer| match answer {
            Ok(_) => Verdict::Success,
            Err(Oops::Harmless) => Verdict::Neutral,
            Err(_) => Verdict::Failure(FailureKind::Error),
        };
        Some(peer(of_ten(), Some(judge)))
    }

    fn judged_answers(&self) -> Option<Shared> {
        let judge: Judge = |answer| match answer {
            Ok(UNAVAILABLE) | Err(_) => Verdict::Failure(FailureKind::Error),
            Ok(_) => Verdict::Success,
        };
        Some(peer(of_ten(), Some(judge)))
    }

    fn backoff(&self) -> Option<Shared> {
        Some(peer(of_ten(), None))
    }

    fn jitter(&self) -> Option<Shared> {
        Some(peer(of_ten().jitter(Jitter::Equal), None))
    }

    fn told_wait(&self) -> Option<Duration> {
        let peer = peer(base().consecutive_failures(1), None);
        peer.run(Box::new(|| Err(Oops::Outage)));
        peer.breaker.try_acquire().err()?.retry_after
    }

    fn hinted(&self) -> Option<Shared> {
        let judge: Judge = |answer| match answer {
            Err(Oops::RetryAfter(wait)) => Verdict::TripUntil(*wait),
            Err(_) => Verdict::Failure(FailureKind::Error),
            Ok(_) => Verdict::Success,
        };
        Some(peer(of_ten(), Some(judge)))
    }

    fn forced_open(&self) -> Option<Shared> {
        let peer = peer(of_ten(), None);
        peer.breaker.force_open(Override::new("asked", "by hand"));
        Some(peer)
    }

    fn reconfigured(&self) -> Option<(Shared, Box<dyn Fn()>)> {
        let window = |minimum| base().time_window(in_time(Duration::from_secs(10), minimum));
        let peer = peer(window(100), None);
        let breaker = peer.breaker.clone();
        let change = move || breaker.reconfigure(window(6).build().expect("good settings"));
        Some((peer, Box::new(change)))
    }

    fn restored(&self) -> Option<Shared> {
        let before = peer(base().consecutive_failures(1), None);
        before.run(Box::new(|| Err(Oops::Outage)));
        before.wait(WAIT / 2);
        let after = peer(base().consecutive_failures(1), None);
        after.breaker.restore(&before.breaker.snapshot());
        Some(after)
    }

    fn try_ratio(&self, ratio: f64) {
        let window = CountWindow {
            failure_rate_threshold: ratio,
            ..half_of(10, 10)
        };
        let config = base().count_window(window).build();
        config.expect("good settings");
    }

    /// It calls nobody: whoever listens reads a queue, on a thread of its own.
    fn listened(&self, listener: Listener) -> Option<Shared> {
        let (clock, queue) = (ManualClock::new(), TransitionQueue::new(1));
        let breaker = Breaker::builder("ours", of_ten().build().expect("good settings"))
            .clock(Arc::new(clock.clone()))
            .transitions(queue.clone())
            .build();
        let peer = Arc::new(OurPeer {
            breaker,
            clock,
            judge: None,
        });
        let alive = Arc::downgrade(&peer);
        std::thread::spawn(move || {
            while alive.strong_count() > 0 {
                if queue.drain().iter().any(|moved| moved.to == State::Open) {
                    return listener();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Some(peer)
    }
}
