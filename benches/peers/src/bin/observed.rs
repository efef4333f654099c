//! What it costs a breaker to be observed: `cargo xtask bench observed`.
//!
//! The same calls on a breaker that nobody looks at and on one whose moves go into a queue and whose counts a thread
//! reads every 10 ms, onto a Prometheus page that is rendered ten times a second: far more often than any scrape.
//! Both are alive at the same time and take turns batch by batch, so a busy machine falls on both alike; printed are
//! medians over the rounds.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fusebox_breaker::{Breaker, Config, FastClock, TransitionQueue};
use fusebox_metrics::BreakerMetrics;
use fusebox_metrics::prometheus::Exporter;

const ROUNDS: usize = 201;
const BATCH: u32 = 20_000;
const LOOK: Duration = Duration::from_millis(10);
/// Pages are rendered at every so many looks.
const PAGE: u32 = 10;

fn main() {
    println!(
        "rounds {ROUNDS}, calls per batch {BATCH}, a look every {LOOK:?}, a page every {:?}\n",
        LOOK * PAGE
    );
    println!(
        "{:<44}{:>12}{:>12}{:>10}",
        "", "unobserved", "observed", "ratio"
    );
    let closed = || Config::builder();
    compare("closed, success", closed, |breaker| {
        let _ = breaker.call(|| black_box(Ok::<_, ()>(1)));
    });
    // Opens, is released, probed and closes again: three moves a call, the slow path all the way. Far beyond what its
    // queue holds between two looks, so most of them are counted as dropped.
    let restless = || Config::builder().successes_to_close(1);
    compare("three moves with every call", restless, |breaker| {
        breaker.trip("bench");
        breaker.release("bench");
        let _ = breaker.call(|| black_box(Ok::<_, ()>(1)));
    });
    let open = || {
        Config::builder()
            .consecutive_failures(1)
            .wait_duration_in_open(Duration::from_secs(3600))
            .max_wait_duration_in_open(Duration::from_secs(3600))
    };
    compare("open, refused", open, |breaker| {
        let _ = black_box(breaker.try_acquire_ref().is_err() || breaker.trip("bench"));
    });
}

/// Prints one line.
fn compare(
    title: &str,
    config: impl Fn() -> fusebox_breaker::ConfigBuilder,
    call: impl Fn(&Breaker),
) {
    let build = || {
        let config = config().build().expect("good settings");
        Breaker::builder("bench", config).fast_clock(FastClock::new())
    };
    let queue = TransitionQueue::new(1024);
    let (alone, seen) = (build().build(), build().transitions(queue.clone()).build());
    let observer = Observer::of(seen.clone(), queue);
    let batch = |breaker: &Breaker| {
        let begun = Instant::now();
        for _ in 0..BATCH {
            call(breaker);
        }
        begun.elapsed().as_nanos() as f64 / f64::from(BATCH)
    };
    let (mut plain, mut observed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 3 {
        let (one, other) = (batch(&alone), batch(&seen));
        // The first rounds warm up.
        if round >= 3 {
            plain.push(one);
            observed.push(other);
            ratios.push(other / one);
        }
    }
    let looks = observer.stop();
    assert!(looks > 0, "it was looked at");
    println!(
        "{title:<44}{:>9.2} ns{:>9.2} ns{:>9.2}x   ({looks} looks, {} moves)",
        median(&mut plain),
        median(&mut observed),
        median(&mut ratios),
        seen.generation(),
    );
}

/// Whoever counts and exports.
struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Observer {
    fn of(breaker: Breaker, queue: TransitionQueue) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (exporter, metrics) = (Exporter::new(), BreakerMetrics::new());
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                exporter.observe(|| {
                    queue
                        .drain()
                        .iter()
                        .for_each(|moved| metrics.transition(moved));
                    metrics.counts(&breaker);
                    metrics.queue(&queue);
                });
                looks += 1;
                if looks % PAGE == 0 {
                    black_box(exporter.render());
                }
                thread::sleep(LOOK);
            }
            looks
        });
        Self { stop, thread }
    }

    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the observer does not panic")
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
