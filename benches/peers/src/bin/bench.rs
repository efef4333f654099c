//! Speed of our breaker beside its floors and beside published ones: `cargo run --release --bin bench`.
//!
//! One process; contenders take turns batch by batch, and every ratio is taken within a round, so the load of the
//! machine falls on all alike. Printed are medians over the rounds. `bench <part of a title>` runs some suites only.
//!
//! The floors are what a breaker cannot avoid: one atomic update when a call starts, one when it ends, and the clock
//! reads that its rules need.

use std::alloc::System;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use failsafe::CircuitBreaker as _;
use fusebox_breaker::{
    Breaker, Config, ConfigBuilder, CountWindow, FailureKind, FastClock, Registry, SlowCalls,
    Target, TimeWindow,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 101;
const BATCH: u32 = 20_000;

/// Calls of each thread in a batch of several: short, so that threads that met at its start are still together.
const SHARED_BATCH: u32 = 5_000;

/// Batches of several threads are made anew until the threads meet, up to so many times.
const TRIES: usize = 40;

type Run<'a> = Box<dyn Fn(u32) + Sync + 'a>;

/// What is measured, and how many calls one batch makes.
struct Contender<'a> {
    name: &'static str,
    run: Run<'a>,
}

fn contender<'a, F: Fn() + Sync + 'a>(name: &'static str, call: F) -> Contender<'a> {
    Contender {
        name,
        run: Box::new(move |calls| {
            for _ in 0..calls {
                call();
            }
        }),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints one table. The first contender is the floor that the multiples refer to.
fn suite(title: &str, threads: usize, contenders: &[Contender]) {
    let wanted = std::env::args().nth(1);
    if wanted.is_some_and(|wanted| !title.contains(&wanted)) {
        return;
    }
    let mut nanos = vec![Vec::new(); contenders.len()];
    let mut ratios = nanos.clone();
    for round in 0..ROUNDS + 3 {
        let times: Vec<Option<f64>> = contenders
            .iter()
            .map(|contender| batch(contender, threads))
            .collect();
        // The first rounds warm up.
        if round < 3 {
            continue;
        }
        for (index, time) in times.iter().enumerate() {
            if let (Some(time), Some(floor)) = (time, times[0]) {
                nanos[index].push(*time);
                ratios[index].push(time / floor);
            }
        }
    }
    println!(
        "\n{title}\n{:<58}{:>10}{:>10}{:>10}{:>8}",
        "", "ns", "multiple", "allocs", "rounds"
    );
    for (index, contender) in contenders.iter().enumerate() {
        let region = Region::new(ALLOCATOR);
        (contender.run)(1_000);
        let allocations = region.change().allocations as f64 / 1_000.0;
        let rounds = nanos[index].len();
        if rounds < ROUNDS / 4 {
            println!("{:<58} in {rounds} rounds only", contender.name);
            continue;
        }
        println!(
            "{:<58}{:>10.2}{:>9.2}x{:>10.2}{rounds:>8}",
            contender.name,
            median(&mut nanos[index]),
            median(&mut ratios[index]),
            allocations
        );
    }
}

/// Nanoseconds per call of the slowest thread. None if its threads did not meet.
fn batch(contender: &Contender, threads: usize) -> Option<f64> {
    if threads == 1 {
        return Some(stint(contender, BATCH).nanos(BATCH));
    }
    // More threads than cores cannot all run at once.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let can_meet = threads <= cores;
    for _ in 0..TRIES {
        let stints = together(contender, threads, can_meet);
        if !can_meet || met(&stints) {
            let nanos = stints.iter().map(|stint| stint.nanos(SHARED_BATCH));
            return Some(nanos.fold(0.0, f64::max));
        }
    }
    None
}

/// One thread's part of a batch.
struct Stint {
    start: Instant,
    end: Instant,
    interrupted: bool,
}

impl Stint {
    /// Per call.
    fn nanos(&self, calls: u32) -> f64 {
        self.end.duration_since(self.start).as_nanos() as f64 / f64::from(calls)
    }
}

fn stint(contender: &Contender, calls: u32) -> Stint {
    let before = turns_on_cpu();
    let start = Instant::now();
    (contender.run)(calls);
    let end = Instant::now();
    Stint {
        start,
        end,
        interrupted: turns_on_cpu() != before,
    }
}

fn together(contender: &Contender, threads: usize, can_meet: bool) -> Vec<Stint> {
    let missing = AtomicUsize::new(threads);
    let run = || {
        // Awake when the last one comes: to be woken takes longer than a batch.
        missing.fetch_sub(1, Ordering::AcqRel);
        while missing.load(Ordering::Acquire) > 0 {
            if can_meet {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        stint(contender, SHARED_BATCH)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no batch panics"))
            .collect()
    })
}

/// Whether no thread was taken off its core, and all worked at the same time for nine tenths of the longest stint.
fn met(stints: &[Stint]) -> bool {
    let (Some(start), Some(end)) = (
        stints.iter().map(|stint| stint.start).max(),
        stints.iter().map(|stint| stint.end).min(),
    ) else {
        return false;
    };
    let longest = stints.iter().map(|stint| stint.end - stint.start).max();
    let shared = end.saturating_duration_since(start);
    let undisturbed = stints.iter().all(|stint| !stint.interrupted);
    undisturbed && longest.is_some_and(|longest| shared * 10 >= longest * 9)
}

/// How often this thread was put on a core, where the system tells (Linux does).
fn turns_on_cpu() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().nth(2)?.parse().ok()
}

// ---- floors ----------------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Pair {
    started: AtomicU64,
    ended: AtomicU64,
}

impl Pair {
    fn call<T>(&self, operation: impl FnOnce() -> T) -> T {
        self.started.fetch_add(1, Ordering::Relaxed);
        let value = operation();
        self.ended.fetch_add(1, Ordering::Release);
        value
    }
}

fn ok() -> Result<u64, Oops> {
    black_box(Ok(1))
}

fn err() -> Result<u64, Oops> {
    black_box(Err(Oops))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Oops;

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("oops")
    }
}

impl std::error::Error for Oops {}

// ---- ours ------------------------------------------------------------------------------------------------------------

/// Thresholds that nothing reaches.
fn never() -> ConfigBuilder {
    Config::builder()
        .without_consecutive_failures()
        .count_window(CountWindow {
            size: 100,
            minimum_number_of_calls: 100,
            failure_rate_threshold: 1.0,
        })
}

fn slow() -> SlowCalls {
    SlowCalls {
        slow_call_duration_threshold: Duration::from_secs(5),
        slow_call_rate_threshold: 0.9,
        minimum_number_of_calls: 50,
    }
}

fn time_window() -> TimeWindow {
    TimeWindow {
        size: Duration::from_secs(10),
        buckets: 10,
        minimum_number_of_calls: 100,
        failure_rate_threshold: 1.0,
    }
}

fn ours(config: ConfigBuilder) -> Breaker {
    Breaker::builder("bench", config.build().expect("good settings"))
        .fast_clock(FastClock::new())
        .build()
}

/// Stays closed although nearly every call fails: both rules would have to hold, and the row ends with each batch.
fn tolerant() -> ConfigBuilder {
    never()
        .consecutive_failures(400_000)
        .combine(fusebox_breaker::Combine::All)
}

/// Batches of failures, each ended by a success.
fn failing<'a>(name: &'static str, breaker: &'a Breaker) -> Contender<'a> {
    Contender {
        name,
        run: Box::new(move |calls| {
            for _ in 1..calls {
                let _ = breaker.call(err);
            }
            assert!(breaker.call(ok).is_ok(), "it has stayed closed");
        }),
    }
}

// ---- peers -----------------------------------------------------------------------------------------------------------

fn recloser() -> recloser::Recloser {
    recloser::Recloser::custom()
        .error_rate(1.1)
        .closed_len(100)
        .build()
}

fn circuitbreaker_rs() -> circuitbreaker_rs::CircuitBreaker<circuitbreaker_rs::DefaultPolicy, Oops>
{
    circuitbreaker_rs::CircuitBreaker::<circuitbreaker_rs::DefaultPolicy, Oops>::builder()
        .failure_threshold(1.1)
        .min_throughput(u64::MAX)
        .consecutive_failures(u64::MAX)
        .build()
}

fn failsafe_row() -> impl failsafe::CircuitBreaker {
    let wait = failsafe::backoff::constant(Duration::from_secs(3600));
    let policy = failsafe::failure_policy::consecutive_failures(u32::MAX, wait);
    failsafe::Config::new().failure_policy(policy).build()
}

fn failsafe_rate() -> impl failsafe::CircuitBreaker {
    let wait = failsafe::backoff::constant(Duration::from_secs(3600));
    let policy = failsafe::failure_policy::success_rate_over_time_window(
        0.0,
        u32::MAX,
        Duration::from_secs(30),
        wait,
    );
    failsafe::Config::new().failure_policy(policy).build()
}

fn main() {
    println!(
        "rounds {ROUNDS}, calls per batch {BATCH}; cores {}",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    for threads in [1, 2, 4] {
        closed(threads);
    }
    failures();
    rejected();
    in_async();
    window_sizes();
    look_up();
    memory();
}

fn closed(threads: usize) {
    let quanta = quanta::Clock::new();
    let pair = Pair::default();
    let (count, defaults) = (ours(never()), ours(Config::builder()));
    let (recloser, rs, row, rate) = (
        recloser(),
        circuitbreaker_rs(),
        failsafe_row(),
        failsafe_rate(),
    );
    suite(
        &format!("closed, success, no timing, {threads} threads"),
        threads,
        &[
            contender("floor: pair of atomic updates", || {
                let _ = pair.call(ok);
            }),
            contender("bare call", || {
                let _ = ok();
            }),
            contender("ours, count 100", || {
                let _ = count.call(ok);
            }),
            contender("ours, count 100 and consecutive (default)", || {
                let _ = defaults.call(ok);
            }),
            contender("ours, count 100, owned permit", || {
                let permit = count.try_acquire().expect("closed");
                let _ = ok();
                permit.success();
            }),
            contender("recloser, count 100", || {
                let _ = recloser.call(ok);
            }),
            contender("failsafe, consecutive", || {
                let _ = row.call(ok);
            }),
            contender("failsafe, rate over 30 s", || {
                let _ = rate.call(ok);
            }),
            contender("circuitbreaker-rs", || {
                let _ = rs.call(ok);
            }),
        ],
    );
    let pair = Pair::default();
    let timed_window = ours(never().without_count_window().time_window(time_window()));
    suite(
        &format!("closed, success, one clock read, {threads} threads"),
        threads,
        &[
            contender("floor: pair and one quanta read", || {
                let _ = pair.call(ok);
                black_box(quanta.now());
            }),
            contender("the same, read before the end is counted", || {
                let _ = pair.call(|| (ok(), black_box(quanta.now())));
            }),
            contender("ours, time window 10 s", || {
                let _ = timed_window.call(ok);
            }),
        ],
    );
    let pair = Pair::default();
    let std_pair = Pair::default();
    let (count_slow, time_slow) = (
        ours(never().slow_calls(slow())),
        ours(
            never()
                .without_count_window()
                .time_window(time_window())
                .slow_calls(slow()),
        ),
    );
    suite(
        &format!("closed, success, slow calls timed, {threads} threads"),
        threads,
        &[
            contender("floor: pair and two quanta reads", || {
                let start = quanta.now();
                let _ = pair.call(ok);
                black_box(quanta.now() - start);
            }),
            contender("the same, read before the end is counted", || {
                let start = quanta.now();
                let _ = pair.call(|| (ok(), black_box(quanta.now() - start)));
            }),
            contender("pair and two std reads", || {
                let start = Instant::now();
                let _ = std_pair.call(ok);
                black_box(start.elapsed());
            }),
            contender("ours, count 100 and slow calls", || {
                let _ = count_slow.call(ok);
            }),
            contender("ours, time window and slow calls", || {
                let _ = time_slow.call(ok);
            }),
        ],
    );
}

fn failures() {
    let pair = Pair::default();
    let weighted = ours(never().failure_weight(FailureKind::Error, 0.25));
    let both = ours(tolerant());
    let row = ours(never().consecutive_failures(400_000).without_count_window());
    let turns = ours(never().consecutive_failures(5).without_count_window());
    let half = ours(never());
    let (recloser, rs, failsafe_row, rate) = (
        recloser(),
        circuitbreaker_rs(),
        failsafe_row(),
        failsafe_rate(),
    );
    let in_turns = |breaker: &Breaker, calls: u32| {
        for _ in 0..calls / 2 {
            let _ = breaker.call(err);
            let _ = breaker.call(ok);
        }
        assert!(breaker.call(ok).is_ok(), "it has stayed closed");
    };
    suite(
        "closed, failure",
        1,
        &[
            contender("floor: pair of atomic updates", || {
                let _ = pair.call(err);
            }),
            failing("ours, consecutive", &row),
            failing("ours, count 100 and consecutive, both to hold", &both),
            failing("ours, count 100, weighted", &weighted),
            Contender {
                name: "ours, consecutive, every second call fails",
                run: Box::new(|calls| in_turns(&turns, calls)),
            },
            Contender {
                name: "ours, count 100, every second call fails",
                run: Box::new(|calls| in_turns(&half, calls)),
            },
            contender("recloser, count 100", || {
                let _ = recloser.call(err);
            }),
            contender("failsafe, consecutive", || {
                let _ = failsafe_row.call(err);
            }),
            contender("failsafe, rate over 30 s", || {
                let _ = rate.call(err);
            }),
            contender("circuitbreaker-rs", || {
                let _ = rs.call(err);
            }),
        ],
    );
}

fn rejected() {
    let quanta = quanta::Clock::new();
    let (word, refused) = (AtomicU64::new(1), AtomicU64::new(0));
    let day = Duration::from_secs(86_400);
    let open = |breaker: Breaker| {
        breaker.trip("bench");
        breaker
    };
    let fast = open(ours(never().wait_duration_in_open(day)));
    let std = open(Breaker::new(
        "bench",
        never().wait_duration_in_open(day).build().expect("good"),
    ));
    let recloser = recloser::Recloser::custom()
        .error_rate(0.1)
        .closed_len(1)
        .open_wait(day)
        .build();
    for _ in 0..3 {
        let _ = recloser.call(err);
    }
    let wait = failsafe::backoff::constant(day);
    let row = failsafe::Config::new()
        .failure_policy(failsafe::failure_policy::consecutive_failures(1, wait))
        .build();
    let _ = row.call(err);
    let rs = circuitbreaker_rs::CircuitBreaker::<circuitbreaker_rs::DefaultPolicy, Oops>::builder()
        .cooldown(day)
        .build();
    rs.force_open();
    suite(
        "open, rejected, fast clock",
        1,
        &[
            contender("floor: load and one quanta read", || {
                black_box((word.load(Ordering::Acquire), quanta.now()));
            }),
            contender("the same and the refusal counted: one update", || {
                black_box((word.load(Ordering::Acquire), quanta.now()));
                refused.fetch_add(1, Ordering::Relaxed);
            }),
            contender("ours, try_acquire_ref", || {
                let refused = fast.try_acquire_ref();
                black_box(refused.is_err());
            }),
            contender("ours, call", || {
                black_box(fast.call(ok).is_err());
            }),
        ],
    );
    suite(
        "open, rejected, std clock",
        1,
        &[
            contender("floor: load and Instant::now", || {
                black_box((word.load(Ordering::Acquire), Instant::now()));
            }),
            contender("ours, try_acquire_ref", || {
                black_box(std.try_acquire_ref().is_err());
            }),
            contender("ours, call", || {
                black_box(std.call(ok).is_err());
            }),
            contender("recloser", || {
                black_box(recloser.call(ok).is_err());
            }),
            contender("failsafe, consecutive", || {
                black_box(row.call(ok).is_err());
            }),
            contender("circuitbreaker-rs", || {
                black_box(rs.call(ok).is_err());
            }),
        ],
    );
}

fn in_async() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
    };
    // Each batch enters its runtime once.
    macro_rules! contender_async {
        ($name:literal, $call:expr) => {{
            Contender {
                name: $name,
                run: Box::new(move |calls| {
                    runtime().block_on(async {
                        for _ in 0..calls {
                            let _ = $call.await;
                        }
                    });
                }),
            }
        }};
    }
    let pair = Pair::default();
    let pair = &pair;
    let quanta = &quanta::Clock::new();
    let count = &ours(never());
    let timed = &ours(never().slow_calls(slow()));
    let recloser = &recloser::AsyncRecloser::from(recloser());
    let rs = &circuitbreaker_rs();
    let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
        .failure_rate_threshold(1.0)
        .sliding_window_size(100)
        .minimum_number_of_calls(usize::MAX)
        .build()
        .expect("good settings");
    suite(
        "async, closed, success, no timing",
        1,
        &[
            contender_async!("floor: pair of atomic updates", async {
                pair.started.fetch_add(1, Ordering::Relaxed);
                let value = std::future::ready(ok()).await;
                pair.ended.fetch_add(1, Ordering::Release);
                value
            }),
            contender_async!("ours, count 100", count.call_async(async { ok() })),
            contender_async!("recloser, count 100", recloser.call(async { ok() })),
            contender_async!("circuitbreaker-rs", rs.call_async(|| async { ok() })),
            Contender {
                name: "tower-resilience, count 100",
                run: Box::new(|calls| {
                    use tower::{Service, ServiceExt};
                    let mut service = layer.layer_fn(tower::service_fn(|(): ()| async { ok() }));
                    runtime().block_on(async {
                        for _ in 0..calls {
                            let ready = service.ready().await.expect("ready");
                            let _ = ready.call(()).await;
                        }
                    });
                }),
            },
        ],
    );
    let timed_pair = &Pair::default();
    suite(
        "async, closed, success, slow calls timed",
        1,
        &[
            contender_async!("floor: pair and two quanta reads", async {
                let start = quanta.now();
                timed_pair.started.fetch_add(1, Ordering::Relaxed);
                let value = std::future::ready(ok()).await;
                timed_pair.ended.fetch_add(1, Ordering::Release);
                black_box(quanta.now() - start);
                value
            }),
            contender_async!(
                "ours, count 100 and slow calls",
                timed.call_async(async { ok() })
            ),
        ],
    );
}

fn window_sizes() {
    let breakers: Vec<(&'static str, Breaker)> = [
        ("ours, time window, 100 calls inside", 100),
        ("ours, time window, 10,000 calls inside", 10_000),
        ("ours, time window, 1,000,000 calls inside", 1_000_000),
    ]
    .into_iter()
    .map(|(name, inside)| {
        let window = TimeWindow {
            size: Duration::from_secs(86_400),
            ..time_window()
        };
        let breaker = ours(never().without_count_window().time_window(window));
        for _ in 0..inside {
            let _ = breaker.call(ok);
        }
        (name, breaker)
    })
    .collect();
    let contenders: Vec<_> = breakers
        .iter()
        .map(|(name, breaker)| {
            contender(name, move || {
                let _ = breaker.call(ok);
            })
        })
        .collect();
    suite("time window, cost against the calls inside", 1, &contenders);
}

fn memory() {
    const BREAKERS: usize = 100_000;
    fn bytes<T>(name: &str, mut make: impl FnMut() -> T) {
        let mut held = Vec::with_capacity(BREAKERS);
        let region = Region::new(ALLOCATOR);
        held.extend((0..BREAKERS).map(|_| make()));
        let change = region.change();
        let allocated = change.bytes_allocated as isize - change.bytes_deallocated as isize
            + change.bytes_reallocated;
        let each = allocated as f64 / BREAKERS as f64 + size_of::<T>() as f64;
        println!(
            "{name:<58}{each:>10.0}{:>12.1}",
            each * BREAKERS as f64 / 1e6
        );
        black_box(&held);
    }
    println!(
        "\nmemory of {BREAKERS} idle breakers\n{:<58}{:>10}{:>12}",
        "", "bytes", "MB"
    );
    registry_memory();
    bytes("recloser, count 100", recloser);
    bytes("failsafe, consecutive", failsafe_row);
    bytes("failsafe, rate over 30 s", failsafe_rate);
    bytes("circuitbreaker-rs", circuitbreaker_rs);
}

/// The registry's own cost apart: what 100,000 targets cost in it, less what their breakers do.
fn registry_memory() {
    const BREAKERS: usize = 100_000;
    let counted = |region: &Region<System>| {
        let change = region.change();
        change.bytes_allocated as f64 - change.bytes_deallocated as f64
            + change.bytes_reallocated as f64
    };
    let config = never().build().expect("good settings");
    let print = |name: &str, bytes: f64| {
        println!(
            "{name:<58}{:>10.0}{:>12.1}",
            bytes / BREAKERS as f64,
            bytes / 1e6
        );
    };
    let targets: Vec<_> = (0..BREAKERS).map(target).collect();
    let registry = Registry::new(config);
    let region = Region::new(ALLOCATOR);
    for target in &targets {
        let _ = registry.breaker(target);
    }
    let all = counted(&region);
    let breakers = (BREAKERS * registry.breaker(&targets[0]).allocated_bytes()) as f64;
    print("ours, count 100, in a registry: the breakers", breakers);
    print("ours, the registry's own: keys, names, map", all - breakers);
}

fn target(number: usize) -> Target {
    Target::new()
        .tenant(format!("tenant-{:03}", number % 1_000))
        .provider(format!("provider-{:02}", number % 20))
        .model(format!("model-{number:05}"))
}

fn look_up() {
    const KEYS: usize = 10_000;
    let registry = Registry::builder(never().build().expect("good settings"))
        .fast_clock(FastClock::new())
        .build();
    let targets: Vec<_> = (0..KEYS).map(target).collect();
    let handles: Vec<_> = targets
        .iter()
        .map(|target| registry.breaker(target))
        .collect();
    let map: HashMap<Target, Pair> = targets
        .iter()
        .map(|target| (target.clone(), Pair::default()))
        .collect();
    let turn = AtomicU64::new(1);
    // A walk through the keys in no order that a cache could guess.
    let next = || {
        let turn = turn
            .load(Ordering::Relaxed)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (turn >> 33) as usize % KEYS
    };
    let step = || {
        let before = turn.load(Ordering::Relaxed);
        turn.store(
            before
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
            Ordering::Relaxed,
        );
        next()
    };
    suite(
        "10,000 breakers, closed, success",
        1,
        &[
            contender("floor: HashMap and pair of atomic updates", || {
                let _ = map[&targets[step()]].call(ok);
            }),
            contender("ours, kept handle", || {
                let _ = handles[step()].call(ok);
            }),
            contender("ours, looked up by target", || {
                let _ = registry.breaker(&targets[step()]).call(ok);
            }),
        ],
    );
}
