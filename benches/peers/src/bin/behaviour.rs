//! The same black-box checks on our breaker and on published ones: `cargo run --release --bin behaviour`.
//!
//! Each check sees a breaker only through "run this operation": it ran, or it was refused. Waits are real and short.
//! A cell says what was seen; a row's last line says what passes. Exits with 1 if ours fails a row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Oops;

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("oops")
    }
}

impl std::error::Error for Oops {}

type Operation = Box<dyn FnOnce() -> Result<(), Oops> + Send>;

/// A breaker as the checks see it. Answers whether the operation ran.
trait Peer: Send + Sync {
    fn run(&self, operation: Operation) -> bool;
}

#[derive(Clone, Copy)]
struct Settings {
    /// Calls in the window and least calls to judge; opens at half of them.
    window: usize,
    probes: usize,
}

struct Candidate {
    name: &'static str,
    make: fn(Settings) -> Arc<dyn Peer>,
    /// A window over 200 ms that judges from 10 calls on.
    over_time: Option<fn() -> Arc<dyn Peer>>,
}

// ---- ours ------------------------------------------------------------------------------------------------------------

impl Peer for fusebox_breaker::Breaker {
    fn run(&self, operation: Operation) -> bool {
        !matches!(
            self.call(operation),
            Err(fusebox_breaker::CallError::NotPermitted(_))
        )
    }
}

fn our_settings(probes: usize) -> fusebox_breaker::ConfigBuilder {
    fusebox_breaker::Config::builder()
        .without_consecutive_failures()
        .without_count_window()
        .wait_duration_in_open(WAIT)
        .max_concurrent_probes(probes as u32)
        .successes_to_close(1)
        .probe_deadline(WAIT * 4)
}

fn ours(settings: Settings) -> Arc<dyn Peer> {
    let config = our_settings(settings.probes)
        .count_window(fusebox_breaker::CountWindow {
            size: settings.window as u32,
            minimum_number_of_calls: settings.window as u32,
            failure_rate_threshold: 0.5,
        })
        .build()
        .expect("good settings");
    Arc::new(fusebox_breaker::Breaker::new("ours", config))
}

fn ours_over_time() -> Arc<dyn Peer> {
    let config = our_settings(1)
        .time_window(fusebox_breaker::TimeWindow {
            size: Duration::from_millis(200),
            buckets: 10,
            minimum_number_of_calls: 10,
            failure_rate_threshold: 0.5,
        })
        .build()
        .expect("good settings");
    Arc::new(fusebox_breaker::Breaker::new("ours", config))
}

// ---- recloser --------------------------------------------------------------------------------------------------------

impl Peer for recloser::Recloser {
    fn run(&self, operation: Operation) -> bool {
        !matches!(self.call(operation), Err(recloser::Error::Rejected))
    }
}

fn recloser(settings: Settings) -> Arc<dyn Peer> {
    Arc::new(
        recloser::Recloser::custom()
            .error_rate(0.5)
            .closed_len(settings.window)
            .half_open_len(settings.probes)
            .open_wait(WAIT)
            .build(),
    )
}

// ---- failsafe --------------------------------------------------------------------------------------------------------

struct Failsafe<B>(B);

impl<B: failsafe::CircuitBreaker + Send + Sync> Peer for Failsafe<B> {
    fn run(&self, operation: Operation) -> bool {
        !matches!(self.0.call(operation), Err(failsafe::Error::Rejected))
    }
}

/// It has no count window and no limit of probes: consecutive failures stand in for the first.
fn failsafe(settings: Settings) -> Arc<dyn Peer> {
    let wait = failsafe::backoff::constant(WAIT);
    let policy = failsafe::failure_policy::consecutive_failures(settings.window as u32, wait);
    Arc::new(Failsafe(
        failsafe::Config::new().failure_policy(policy).build(),
    ))
}

fn failsafe_over_time() -> Arc<dyn Peer> {
    let wait = failsafe::backoff::constant(WAIT);
    let window = Duration::from_millis(200);
    let policy = failsafe::failure_policy::success_rate_over_time_window(0.5, 10, window, wait);
    Arc::new(Failsafe(
        failsafe::Config::new().failure_policy(policy).build(),
    ))
}

// ---- circuitbreaker-rs -----------------------------------------------------------------------------------------------

impl<P: circuitbreaker_rs::BreakerPolicy> Peer for circuitbreaker_rs::CircuitBreaker<P, Oops> {
    fn run(&self, operation: Operation) -> bool {
        !matches!(
            self.call(operation),
            Err(circuitbreaker_rs::BreakerError::Open)
        )
    }
}

fn circuitbreaker_rs(settings: Settings) -> Arc<dyn Peer> {
    Arc::new(
        circuitbreaker_rs::CircuitBreaker::<circuitbreaker_rs::DefaultPolicy, Oops>::builder()
            .failure_threshold(0.5)
            .min_throughput(settings.window as u64)
            .consecutive_failures(u64::MAX)
            .consecutive_successes(1)
            .probe_interval(settings.probes as u32)
            .cooldown(WAIT)
            .build(),
    )
}

struct NoSink;

impl circuitbreaker_rs::MetricSink for NoSink {
    fn record_state_transition(&self, _: &str, _: &str) {}

    fn record_error_rate(&self, _: f64) {}

    fn record_probe_attempt(&self, _: bool) {}

    fn record_call(&self, _: bool, _: Duration) {}
}

/// Its builder does not take another policy, its constructor does.
fn circuitbreaker_rs_over_time() -> Arc<dyn Peer> {
    let window = Duration::from_millis(200);
    let policy = circuitbreaker_rs::TimeBasedPolicy::new(window, 10, 0.5, 10, WAIT, 1);
    let hooks = Arc::new(circuitbreaker_rs::HookRegistry::new());
    Arc::new(circuitbreaker_rs::CircuitBreaker::<_, Oops>::new(
        policy,
        WAIT,
        1,
        Arc::new(NoSink),
        hooks,
    ))
}

// ---- tower-resilience ------------------------------------------------------------------------------------------------

struct Tower<S>(std::sync::Mutex<S>);

impl<S, E> Peer for Tower<S>
where
    S: tower::Service<
            Operation,
            Response = (),
            Error = tower_resilience_circuitbreaker::CircuitBreakerError<E>,
        > + Clone
        + Send,
{
    fn run(&self, operation: Operation) -> bool {
        use tower::ServiceExt;
        let service = self
            .0
            .lock()
            .expect("no check panics while it clones")
            .clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let result = runtime.block_on(service.oneshot(operation));
        !matches!(
            result,
            Err(tower_resilience_circuitbreaker::CircuitBreakerError::OpenCircuit)
        )
    }
}

fn tower(settings: Settings) -> Arc<dyn Peer> {
    let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(settings.window)
        .minimum_number_of_calls(settings.window)
        .permitted_calls_in_half_open(settings.probes)
        .wait_duration_in_open(WAIT)
        .build()
        .expect("good settings");
    let inner = tower::service_fn(|operation: Operation| async { operation() });
    Arc::new(Tower(std::sync::Mutex::new(layer.layer_fn(inner))))
}

fn tower_over_time() -> Arc<dyn Peer> {
    let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_type(tower_resilience_circuitbreaker::SlidingWindowType::TimeBased)
        .sliding_window_duration(Duration::from_millis(200))
        .minimum_number_of_calls(10)
        .wait_duration_in_open(WAIT)
        .build()
        .expect("good settings");
    let inner = tower::service_fn(|operation: Operation| async { operation() });
    Arc::new(Tower(std::sync::Mutex::new(layer.layer_fn(inner))))
}

// ---- checks ----------------------------------------------------------------------------------------------------------

fn succeed(peer: &Arc<dyn Peer>) -> bool {
    peer.run(Box::new(|| Ok(())))
}

fn fail(peer: &Arc<dyn Peer>) -> bool {
    peer.run(Box::new(|| Err(Oops)))
}

/// Failures in a row until a call is refused.
fn failures_until_open(peer: &Arc<dyn Peer>, limit: usize) -> Option<usize> {
    (0..limit).find(|_| !fail(peer))
}

fn open_until_due(peer: &Arc<dyn Peer>) {
    failures_until_open(peer, 10_000);
    sleep(WAIT * 5 / 4);
}

/// A call that ends when told to.
struct Held {
    end: Sender<Result<(), Oops>>,
    started: Receiver<()>,
    thread: JoinHandle<bool>,
}

impl Held {
    fn new(peer: &Arc<dyn Peer>) -> Self {
        let (peer, (end, ended), (start, started)) = (Arc::clone(peer), channel(), channel());
        let thread = spawn(move || {
            peer.run(Box::new(move || {
                let _ = start.send(());
                ended.recv().unwrap_or(Err(Oops))
            }))
        });
        Self {
            end,
            started,
            thread,
        }
    }

    /// Waits until it runs; false if it was refused.
    fn runs(&self) -> bool {
        self.started.recv_timeout(Duration::from_secs(2)).is_ok()
    }

    fn end(self, result: Result<(), Oops>) {
        let _ = self.end.send(result);
        let _ = self.thread.join();
    }
}

const PROBES: usize = 2;

fn small(candidate: &Candidate) -> Arc<dyn Peer> {
    (candidate.make)(Settings {
        window: 10,
        probes: 1,
    })
}

type Seen = (String, bool);

fn slides(candidate: &Candidate) -> Seen {
    let seen: Vec<_> = [0, 1_000, 10_000]
        .into_iter()
        .map(|before| {
            let peer = (candidate.make)(Settings {
                window: 100,
                probes: 1,
            });
            (0..before).for_each(|_| assert!(succeed(&peer)));
            failures_until_open(&peer, 20_000)
        })
        .collect();
    let text: Vec<_> = seen
        .iter()
        .map(|seen| seen.map_or("never".into(), |seen| seen.to_string()))
        .collect();
    let near = |seen: Option<usize>, expected: usize| {
        seen.is_some_and(|seen| seen.abs_diff(expected) <= 1)
    };
    (
        text.join("/"),
        near(seen[0], 100) && near(seen[1], 50) && near(seen[2], 50),
    )
}

fn over_time(candidate: &Candidate) -> Seen {
    let Some(make) = candidate.over_time else {
        return ("no such window".into(), false);
    };
    let peer = make();
    // One whole window has passed, should the breaker need that.
    sleep(Duration::from_millis(250));
    let first = (0..9).filter(|_| fail(&peer)).count();
    sleep(Duration::from_millis(300));
    let second = (0..9).filter(|_| fail(&peer)).count();
    let third = (0..20).filter(|_| fail(&peer)).count();
    (
        format!("{first}+{second}+{third}"),
        (first, second) == (9, 9) && third <= 2,
    )
}

fn probes(candidate: &Candidate) -> Seen {
    const CALLERS: usize = 32;
    let peer = (candidate.make)(Settings {
        window: 10,
        probes: PROBES,
    });
    open_until_due(&peer);
    let (ran, tried, over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Barrier::new(CALLERS)),
    );
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (peer, ran, tried, over) = (
                Arc::clone(&peer),
                Arc::clone(&ran),
                Arc::clone(&tried),
                Arc::clone(&over),
            );
            spawn(move || {
                over.wait();
                let seen = Arc::clone(&tried);
                peer.run(Box::new(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                    seen.fetch_add(1, Ordering::SeqCst);
                    // Nobody answers before all have tried.
                    for _ in 0..200 {
                        if seen.load(Ordering::SeqCst) >= CALLERS {
                            break;
                        }
                        sleep(Duration::from_millis(1));
                    }
                    Ok(())
                })) || tried.fetch_add(1, Ordering::SeqCst) == usize::MAX
            })
        })
        .collect();
    for caller in callers {
        let _ = caller.join();
    }
    let admitted = ran.load(Ordering::SeqCst);
    (admitted.to_string(), (1..=PROBES).contains(&admitted))
}

fn late_success(candidate: &Candidate) -> Seen {
    let peer = small(candidate);
    let late = Held::new(&peer);
    late.runs();
    open_until_due(&peer);
    let probe = Held::new(&peer);
    let probing = probe.runs();
    late.end(Ok(()));
    let admitted = (0..8).filter(|_| succeed(&peer)).count();
    probe.end(Ok(()));
    (format!("{admitted} of 8 pass"), probing && admitted == 0)
}

fn late_failures(candidate: &Candidate) -> Seen {
    let peer = small(candidate);
    let late: Vec<_> = (0..10).map(|_| Held::new(&peer)).collect();
    late.iter().for_each(|call| {
        call.runs();
    });
    open_until_due(&peer);
    for _ in 0..3 {
        succeed(&peer);
    }
    let closed = succeed(&peer);
    late.into_iter().for_each(|call| call.end(Err(Oops)));
    let stays = succeed(&peer);
    (
        if stays { "stays closed" } else { "opens" }.into(),
        closed && stays,
    )
}

fn hung_probe(candidate: &Candidate) -> Seen {
    let peer = small(candidate);
    open_until_due(&peer);
    let probe = Held::new(&peer);
    probe.runs();
    sleep(WAIT * 12);
    let admitted = succeed(&peer);
    probe.end(Ok(()));
    (
        if admitted {
            "recovers"
        } else {
            "refuses for ever"
        }
        .into(),
        admitted,
    )
}

fn panicking_probe(candidate: &Candidate) -> Seen {
    let peer = small(candidate);
    open_until_due(&peer);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let call = || peer.run(Box::new(|| panic!("a probe")));
    let _ = catch_unwind(AssertUnwindSafe(call));
    std::panic::set_hook(hook);
    let admitted = (0..8).any(|_| {
        sleep(WAIT);
        succeed(&peer)
    });
    (
        if admitted {
            "recovers"
        } else {
            "refuses for ever"
        }
        .into(),
        admitted,
    )
}

fn failed_probe(candidate: &Candidate) -> Seen {
    let peer = small(candidate);
    open_until_due(&peer);
    fail(&peer);
    let refused = (0..5).filter(|_| !succeed(&peer)).count();
    (format!("{refused} of 5 refused"), refused == 5)
}

fn empty_after_close(candidate: &Candidate) -> Seen {
    let peer = small(candidate);
    let first = failures_until_open(&peer, 1_000);
    sleep(WAIT * 5 / 4);
    for _ in 0..3 {
        succeed(&peer);
    }
    // Successes that count: at most three of its ten.
    let second = failures_until_open(&peer, 1_000);
    let text = |seen: Option<usize>| seen.map_or("never".into(), |seen| seen.to_string());
    let pass = first.is_some() && second.is_some_and(|second| second >= 5);
    (format!("{} then {}", text(first), text(second)), pass)
}

type Check = (&'static str, &'static str, fn(&Candidate) -> Seen);

const CHECKS: [Check; 9] = [
    (
        "count window 100 at 50 %, after 0/1,000/10,000 successes",
        "opens at 100/50/50",
        slides,
    ),
    (
        "time window 200 ms from 10 calls: 9, pause, 9, more",
        "9+9, then opens",
        over_time,
    ),
    (
        "32 callers at half-open, 2 probes allowed",
        "at most 2 run",
        probes,
    ),
    ("failed probe opens again", "5 of 5 refused", failed_probe),
    (
        "late success of the closed era, while a probe is out",
        "0 of 8 pass",
        late_success,
    ),
    (
        "10 late failures of the closed era, after recovery",
        "stays closed",
        late_failures,
    ),
    ("probe that never answers", "recovers", hung_probe),
    ("probe that panics", "recovers", panicking_probe),
    (
        "window of 10 after a recovery",
        "5 failures or more",
        empty_after_close,
    ),
];

fn main() -> std::process::ExitCode {
    let candidates = [
        Candidate {
            name: "fusebox",
            make: ours,
            over_time: Some(ours_over_time),
        },
        Candidate {
            name: "failsafe 1.3.0",
            make: failsafe,
            over_time: Some(failsafe_over_time),
        },
        Candidate {
            name: "recloser 1.4.0",
            make: recloser,
            over_time: None,
        },
        Candidate {
            name: "tower-resilience 0.14.0",
            make: tower,
            over_time: Some(tower_over_time),
        },
        Candidate {
            name: "circuitbreaker-rs 0.1.1",
            make: circuitbreaker_rs,
            over_time: Some(circuitbreaker_rs_over_time),
        },
    ];
    print!("{:<58}{:<20}", "", "passes");
    for candidate in &candidates {
        print!("{:<26}", candidate.name);
    }
    println!();
    let mut passed = [0; 5];
    for (title, passes, check) in CHECKS {
        print!("{title:<58}{passes:<20}");
        for (index, candidate) in candidates.iter().enumerate() {
            let (seen, pass) = check(candidate);
            passed[index] += usize::from(pass);
            print!(
                "{:<26}",
                format!("{} {seen}", if pass { "ok  " } else { "FAIL" })
            );
        }
        println!();
    }
    print!("{:<78}", "rows passed");
    for passed in passed {
        print!("{:<26}", format!("{passed} of {}", CHECKS.len()));
    }
    println!();
    if passed[0] == CHECKS.len() {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}
