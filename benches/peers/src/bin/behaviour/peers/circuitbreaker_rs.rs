//! circuitbreaker-rs: a rate over all calls since it last closed, beside a row of failures.
//!
//! Its trait of policies names a type that it does not export, so nobody can bring one of their own.

use std::sync::Arc;
use std::time::Duration;

use circuitbreaker_rs::{
    BreakerBuilder, BreakerError, BreakerPolicy, CircuitBreaker, DefaultPolicy, HookRegistry,
    MetricSink, TimeBasedPolicy,
};

use crate::peer::{
    Candidate, CountSettings, Listener, Oops, Operation, Peer, Shared, WAIT, poll_and_drop,
};

struct Plain<P: BreakerPolicy>(CircuitBreaker<P, Oops>);

impl<P: BreakerPolicy> Peer for Plain<P> {
    fn run(&self, operation: Operation) -> bool {
        !matches!(self.0.call(operation), Err(BreakerError::Open))
    }

    fn abandon(&self) -> bool {
        poll_and_drop(|hang| self.0.call_async(|| hang.operation()))
    }
}

struct NoSink;

impl MetricSink for NoSink {
    fn record_state_transition(&self, _: &str, _: &str) {}

    fn record_error_rate(&self, _: f64) {}

    fn record_probe_attempt(&self, _: bool) {}

    fn record_call(&self, _: bool, _: Duration) {}
}

fn of(calls: usize) -> BreakerBuilder<DefaultPolicy, Oops> {
    CircuitBreaker::<DefaultPolicy, Oops>::builder()
        .failure_threshold(0.5)
        .min_throughput(calls as u64)
        .consecutive_failures(u64::MAX)
        .consecutive_successes(1)
        .probe_interval(1)
        .cooldown(WAIT)
}

fn plain(builder: BreakerBuilder<DefaultPolicy, Oops>) -> Shared {
    Arc::new(Plain(builder.build()))
}

pub(super) struct CircuitbreakerRs;

impl Candidate for CircuitbreakerRs {
    fn name(&self) -> &'static str {
        "circuitbreaker-rs 0.1.1"
    }

    fn count_window(&self, settings: CountSettings) -> Shared {
        let builder = of(settings.window).probe_interval(settings.probes as u32);
        plain(builder.cooldown(settings.wait))
    }

    /// Its builder does not take another policy, its constructor does.
    fn time_window(&self, window: Duration) -> Option<Shared> {
        let policy = TimeBasedPolicy::new(window, 10, 0.5, 10, WAIT, 1);
        let (sink, hooks) = (Arc::new(NoSink), Arc::new(HookRegistry::new()));
        let breaker = CircuitBreaker::new(policy, WAIT, 1, sink, hooks);
        Some(Arc::new(Plain(breaker)))
    }

    fn minimum_apart(&self, minimum: usize) -> Option<Shared> {
        Some(plain(of(minimum)))
    }

    fn row(&self, failures: usize) -> Option<Shared> {
        Some(plain(of(usize::MAX).consecutive_failures(failures as u64)))
    }

    fn row_beside_rate(&self, failures: usize) -> Option<Shared> {
        Some(plain(of(20).consecutive_failures(failures as u64)))
    }

    fn forced_open(&self) -> Option<Shared> {
        let breaker = of(10).build();
        breaker.force_open();
        Some(Arc::new(Plain(breaker)))
    }

    fn try_ratio(&self, ratio: f64) {
        of(10).failure_threshold(ratio).build();
    }

    fn listened(&self, listener: Listener) -> Option<Shared> {
        let hooks = HookRegistry::new();
        hooks.set_on_open(move || listener());
        Some(plain(of(10).hooks(hooks)))
    }
}
