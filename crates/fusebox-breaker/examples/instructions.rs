//! Makes so many calls of one kind and nothing else, for an instruction counter to watch:
//! `cargo xtask instructions`. Without arguments it lists the kinds.
//!
//! The clock is a fake one: what reading a real clock costs is not ours to measure here.
//!
//! Prints:
//! ```text
//! closed_success
//! closed_failure_and_success
//! open_rejection
//! ```

use std::hint::black_box;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{
    Breaker, Config, ConfigBuilder, CountWindow, FailureKind, ManualClock, SlowCalls, TimeWindow,
};

type Kind = (
    &'static str,
    fn(ConfigBuilder) -> ConfigBuilder,
    fn(&Breaker),
);

const KINDS: [Kind; 6] = [
    ("closed_success", counted, succeed),
    ("closed_failure_and_success", counted, fail_and_succeed),
    ("closed_success_slow_timing", timed, succeed),
    ("closed_success_time_window", windowed, succeed),
    ("closed_success_call", counted, call),
    ("open_rejection", counted, refuse),
];

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, calls] = args.as_slice() else {
        let mut out = io::stdout();
        return KINDS
            .iter()
            .try_for_each(|(name, ..)| writeln!(out, "{name}"));
    };
    let known = KINDS.iter().find(|(name, ..)| name == kind);
    let (_, rules, work) = known.ok_or_else(|| io::Error::other("no such kind"))?;
    let calls: u64 = calls.parse().map_err(io::Error::other)?;
    let breaker = breaker(*rules);
    if kind == "open_rejection" {
        breaker.trip("to be refused");
    }
    for _ in 0..calls {
        work(black_box(&breaker));
    }
    Ok(())
}

fn breaker(rules: fn(ConfigBuilder) -> ConfigBuilder) -> Breaker {
    let config = rules(Config::builder().without_consecutive_failures());
    let config = config.build().expect("the rules fit each other");
    let clock = Arc::new(ManualClock::new());
    Breaker::builder("instructions", config)
        .clock(clock)
        .seed(1)
        .build()
}

/// A window of 100 that what is done here does not open.
fn counted(rules: ConfigBuilder) -> ConfigBuilder {
    rules.count_window(CountWindow {
        size: 100,
        minimum_number_of_calls: 100,
        failure_rate_threshold: 0.9,
    })
}

fn timed(rules: ConfigBuilder) -> ConfigBuilder {
    counted(rules).slow_calls(SlowCalls {
        slow_call_duration_threshold: Duration::from_secs(1),
        slow_call_rate_threshold: 0.9,
        minimum_number_of_calls: 100,
    })
}

fn windowed(rules: ConfigBuilder) -> ConfigBuilder {
    rules.without_count_window().time_window(TimeWindow {
        size: Duration::from_secs(10),
        buckets: 10,
        minimum_number_of_calls: 100,
        failure_rate_threshold: 0.9,
    })
}

fn succeed(breaker: &Breaker) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.success();
    }
}

fn fail_and_succeed(breaker: &Breaker) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.failure(FailureKind::Error);
    }
    succeed(breaker);
}

fn call(breaker: &Breaker) {
    let _ = black_box(breaker.call(|| Ok::<_, ()>(black_box(1))));
}

fn refuse(breaker: &Breaker) {
    let _ = black_box(breaker.try_acquire().is_err());
}
