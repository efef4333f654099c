//! A breaker on a clock that stands still, without jitter, and its queue.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{
    Breaker, Config, ConfigBuilder, FailureKind, Jitter, ManualClock, TransitionQueue,
};

pub(crate) struct Bench {
    pub(crate) breaker: Breaker,
    pub(crate) clock: ManualClock,
    pub(crate) queue: TransitionQueue,
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two failures in a row open for exactly 10 s; one success closes.
pub(crate) fn plain() -> ConfigBuilder {
    Config::builder()
        .consecutive_failures(2)
        .without_count_window()
        .wait_duration_in_open(secs(10))
        .jitter(Jitter::None)
        .successes_to_close(1)
}

pub(crate) fn bench(config: ConfigBuilder) -> Bench {
    let clock = ManualClock::new();
    let queue = TransitionQueue::new(64);
    let breaker = Breaker::builder("dep", config.build().expect("the test's settings are good"))
        .clock(Arc::new(clock.clone()))
        .seed(7)
        .transitions(queue.clone())
        .build();
    Bench {
        breaker,
        clock,
        queue,
    }
}

impl Bench {
    pub(crate) fn succeed(&self) {
        self.breaker.try_acquire().expect("permitted").success();
    }

    pub(crate) fn fail(&self) {
        let permit = self.breaker.try_acquire().expect("permitted");
        permit.failure(FailureKind::Error);
    }

    /// Opens it and lets the wait elapse.
    pub(crate) fn open_until_due(&self) {
        assert!(self.breaker.trip("test"));
        let refused = self.breaker.try_acquire().expect_err("open");
        self.clock.advance(refused.retry_after.expect("a due time"));
    }
}
