//! What a policy adds to its breaker: `cargo run --release --bin policy`.
//!
//! The operation is ready at the first poll, so all that is seen is the policy. One process; contenders take turns batch
//! by batch, and every multiple is taken within a round, of the bare breaker's `call_async` in the same runtime. Printed
//! are medians over the rounds. `policy <part of a title>` runs some suites only.

use std::alloc::System;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fusebox_breaker::{Breaker, Config, CountWindow, FastClock};
use fusebox_policy::{
    Attempt, Budget, Bulkhead, Call, CallEvent, Classify, Hooks, Judgement, Limits, Policy,
    PolicyBuilder, Retry,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 101;
/// The first rounds warm up.
const WARM_UP: usize = 3;
const BATCH: u32 = 10_000;

type Run<'a> = Box<dyn Fn(u32) + Sync + 'a>;

/// What is measured; a batch enters its runtime once.
struct Contender<'a> {
    name: &'static str,
    run: Run<'a>,
}

macro_rules! contender {
    ($name:literal, $call:expr) => {
        Contender {
            name: $name,
            run: Box::new(move |calls| {
                runtime().block_on(async {
                    for _ in 0..calls {
                        let _ = black_box($call.await);
                    }
                });
            }),
        }
    };
}

fn main() {
    println!("rounds {ROUNDS}, calls per batch {BATCH}");
    for threads in [1, 2] {
        around_a_success(threads);
    }
    refused();
}

/// Every policy has a breaker of its own and so has the floor; threads share them.
fn around_a_success(threads: usize) {
    let bare = &breaker();
    let only = &builder().build();
    let watched = &builder().build();
    let held = &builder().bulkhead(bulkhead()).build();
    let retried = &builder().bulkhead(bulkhead()).retry(Retry::new(3)).build();
    let budgeted = &builder()
        .budget(Budget::new("tokens", Limits::new()))
        .build();
    let timed = &builder()
        .bulkhead(bulkhead())
        .retry(Retry::new(3))
        .attempt_timeout(Duration::from_secs(30))
        .total_timeout(Duration::from_secs(60))
        .build();
    suite(
        &format!("success, {threads} thread(s)"),
        threads,
        &[
            contender!("the breaker alone, call_async", bare.call_async(ready())),
            contender!("policy: breaker", only.call(&Good, &(), op)),
            contender!(
                "policy: breaker, hooks that watch",
                watched.call(&Good, &Watch, op)
            ),
            contender!("policy: breaker, bulkhead", held.call(&Good, &(), op)),
            contender!(
                "policy: breaker, bulkhead, retry",
                retried.call(&Good, &(), op)
            ),
            contender!(
                "policy: breaker, a budget",
                budgeted.call_with(Call::new(), &Good, &(), op)
            ),
            contender!(
                "policy: breaker, bulkhead, retry, both time-outs",
                timed.call(&Good, &(), op)
            ),
        ],
    );
}

fn refused() {
    let bare = &breaker();
    let only = &builder().build();
    bare.trip("bench");
    only.breaker().trip("bench");
    suite(
        "refused, 1 thread(s)",
        1,
        &[
            contender!("the breaker alone, call_async", bare.call_async(ready())),
            contender!("policy: breaker", only.call(&Good, &(), op)),
        ],
    );
}

// ---- what is called --------------------------------------------------------------------------------------------------

async fn ready() -> Result<u64, Infallible> {
    black_box(Ok(1))
}

fn op(_: Attempt) -> impl Future<Output = Result<u64, Infallible>> {
    ready()
}

struct Good;

impl Classify<u64, Infallible> for Good {
    fn classify(&self, _: &Result<u64, Infallible>) -> Judgement {
        Judgement::success()
    }
}

/// Listens to every event, as metrics do.
struct Watch;

impl Hooks for Watch {
    fn event(&self, event: CallEvent) {
        black_box(event);
    }
}

fn breaker() -> Breaker {
    // Thresholds that nothing reaches.
    let config = Config::builder()
        .without_consecutive_failures()
        .count_window(CountWindow {
            size: 100,
            minimum_number_of_calls: 100,
            failure_rate_threshold: 1.0,
        })
        .wait_duration_in_open(Duration::from_secs(3600));
    Breaker::builder("bench", config.build().expect("good settings"))
        .fast_clock(FastClock::new())
        .build()
}

fn builder() -> PolicyBuilder {
    Policy::builder(breaker())
}

fn bulkhead() -> Bulkhead {
    Bulkhead::new("pool", 64)
}

// ---- how it is measured ----------------------------------------------------------------------------------------------

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

/// Prints one table. The first contender is the one that the multiples refer to.
fn suite(title: &str, threads: usize, contenders: &[Contender]) {
    let wanted = std::env::args().nth(1);
    if wanted.is_some_and(|wanted| !title.contains(&wanted)) {
        return;
    }
    let mut nanos = vec![Vec::new(); contenders.len()];
    let mut ratios = nanos.clone();
    for round in 0..WARM_UP + ROUNDS {
        let times: Vec<f64> = contenders
            .iter()
            .map(|contender| batch(contender, threads))
            .collect();
        if round >= WARM_UP {
            for (index, time) in times.iter().enumerate() {
                nanos[index].push(*time);
                ratios[index].push(time / times[0]);
            }
        }
    }
    println!(
        "\n{title}\n{:<58}{:>10}{:>10}{:>10}",
        "", "ns", "multiple", "allocs"
    );
    for (index, contender) in contenders.iter().enumerate() {
        println!(
            "{:<58}{:>10.1}{:>9.2}x{:>10.2}",
            contender.name,
            median(&mut nanos[index]),
            median(&mut ratios[index]),
            allocations(contender)
        );
    }
}

/// Nanoseconds per call of the slowest thread.
fn batch(contender: &Contender, threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let timed = || {
        barrier.wait();
        let start = Instant::now();
        (contender.run)(BATCH);
        start.elapsed().as_nanos() as f64 / f64::from(BATCH)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
        let times = running
            .into_iter()
            .map(|thread| thread.join().expect("no batch panics"));
        times.fold(0.0, f64::max)
    })
}

/// Allocations per call; those of the runtime itself cancel out between a long batch and a short one.
fn allocations(contender: &Contender) -> f64 {
    let counted = |calls| {
        let region = Region::new(ALLOCATOR);
        (contender.run)(calls);
        region.change().allocations as f64
    };
    (counted(2_000) - counted(1_000)) / 1_000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
