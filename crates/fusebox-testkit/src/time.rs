//! Tests on virtual time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fusebox_state::MemoryStore;
use tokio::time::Instant;

/// When virtual time begins: a round moment in 2033, so that nothing confuses it with today.
const ORIGIN: Duration = Duration::from_secs(2_000_000_000);

/// The clock of a test that [`virtual_time`] runs. Clones are the same clock.
#[derive(Debug, Clone, Copy)]
pub struct VirtualTime {
    seed: u64,
    origin: Instant,
}

impl VirtualTime {
    /// The seed the test was given, for whatever draws in it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Virtual time since the test began.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The virtual date; it begins at the same moment in every test.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + ORIGIN + self.elapsed()
    }

    /// Lets `duration` pass, timers in it going off at their moments.
    pub async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// An empty store whose leases and partitions run out by this clock: a run that was dropped in
    /// its midst can be resumed once its lease's time has [passed](Self::pass), as from another host.
    pub fn memory_store(&self) -> MemoryStore {
        let time = *self;
        MemoryStore::with_clock(move || time.now())
    }
}

/// Runs `test` on a single thread with a clock that stands still while there is work and jumps to
/// the next timer when there is none: an hour passes at once, and in the same order every time.
/// Needs no attribute and no runtime around it.
///
/// Give [`seed`](VirtualTime::seed) to whatever draws (an engine, a faulty agent), and the test
/// repeats itself exactly. Only what waits for timers may be used in it: a store with threads or
/// sockets of its own looks idle while it works, and time-outs go off early.
///
/// ```
/// use std::time::Duration;
/// use fusebox_testkit::virtual_time;
///
/// let hour = Duration::from_secs(3600);
/// let elapsed = virtual_time(7, async |time| {
///     time.pass(hour).await;
///     time.elapsed()
/// });
/// assert_eq!(elapsed, hour);
/// ```
///
/// # Panics
/// If `test` does, with its message and the seed; and inside another runtime.
#[track_caller]
pub fn virtual_time<T>(seed: u64, test: impl AsyncFnOnce(VirtualTime) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O asks nothing of the system");
    let run = || {
        runtime.block_on(async {
            let origin = Instant::now();
            test(VirtualTime { seed, origin }).await
        })
    };
    // Whatever the panic left half done belongs to the test, and ends with it.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => value,
        Err(panic) => again(panic, seed),
    }
}

/// Panics once more, with the seed behind the message.
#[track_caller]
fn again(panic: Box<dyn Any + Send>, seed: u64) -> ! {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    match message {
        Some(message) => panic!("{message}\nthis was virtual time with seed {seed}"),
        None => panic_any(panic),
    }
}
