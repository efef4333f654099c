//! A breaker on tokio's paused time, hooks that write everything down, and scripted operations.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox_breaker::{Breaker, Config, ConfigBuilder, Jitter};
use fusebox_policy::{Attempt, CallEvent, Hooks, Judgement, Retry, Stop, TokioClock};
use tokio::sync::Notify;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Opens after this many failures in a row, for exactly 10 s; one success closes.
pub(crate) fn breaker(consecutive_failures: u32) -> Breaker {
    breaker_of(plain().consecutive_failures(consecutive_failures))
}

pub(crate) fn plain() -> ConfigBuilder {
    Config::builder()
        .without_count_window()
        .wait_duration_in_open(ms(10_000))
        .jitter(Jitter::None)
        .successes_to_close(1)
}

pub(crate) fn breaker_of(config: ConfigBuilder) -> Breaker {
    Breaker::builder("dep", config.build().expect("the test's settings are good"))
        .clock(Arc::new(TokioClock::new()))
        .build()
}

/// Exact waits of 100, 200, 400 … ms.
pub(crate) fn retry(max_attempts: u32) -> Retry {
    Retry::new(max_attempts).with_base(ms(100)).without_jitter()
}

/// `Ok` succeeds; "bad request" is neutral; "fatal" fails for good; "busy" asks for 3 s; others may be retried.
pub(crate) fn judge(result: &Result<u32, &'static str>) -> Judgement {
    match result {
        Ok(_) => Judgement::success(),
        Err("bad request") => Judgement::neutral(),
        Err("fatal") => Judgement::failure(),
        Err("busy") => Judgement::retryable().with_retry_after(ms(3_000)),
        Err(_) => Judgement::retryable(),
    }
}

/// Writes every event down; at `stop_at` it stops the call, at `hang_at` its hook never answers.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) stop_at: Option<u32>,
    pub(crate) hang_at: Option<u32>,
}

impl Recorder {
    pub(crate) fn write(&self, line: impl Into<String>) {
        self.log
            .lock()
            .expect("no test panics in here")
            .push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().expect("no test panics in here").clone()
    }
}

impl Hooks for Recorder {
    async fn before_attempt(&self, attempt: &Attempt) -> Result<(), Stop> {
        self.write(format!("hook {}", attempt.number));
        if self.hang_at == Some(attempt.number) {
            pending::<()>().await;
        }
        if self.stop_at == Some(attempt.number) {
            return Err(Stop::new("superseded"));
        }
        Ok(())
    }

    fn event(&self, event: CallEvent) {
        self.write(match event {
            CallEvent::Throttled { wait } => format!("throttled for {wait:?}"),
            CallEvent::Queued => "queued".to_owned(),
            CallEvent::NotPermitted { .. } => "not permitted".to_owned(),
            CallEvent::AttemptStarted { number } => format!("started {number}"),
            CallEvent::AttemptEnded {
                number,
                took,
                verdict,
            } => format!("ended {number} after {took:?}: {verdict:?}"),
            CallEvent::Retrying { number, after } => format!("retrying {number} after {after:?}"),
            CallEvent::FellBack { cause } => format!("fell back: {cause}"),
            _ => "unknown".to_owned(),
        });
    }
}

/// An operation that never answers, and says when it has started.
pub(crate) struct Hang {
    pub(crate) started: Arc<Notify>,
}

impl Hang {
    pub(crate) fn new() -> Self {
        Self {
            started: Arc::default(),
        }
    }

    pub(crate) async fn run(&self) -> Result<u32, &'static str> {
        self.started.notify_one();
        pending().await
    }
}
