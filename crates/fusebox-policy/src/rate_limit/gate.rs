//! The rate itself: governor's decision, and the way back.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::Quota;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, RateLimiter, StateStore};
use tokio::time::Instant;

/// A century in nanoseconds. Three of them fit into 64 bits, and no sum below is longer.
const CENTURY: u64 = 100 * 366 * 24 * 3_600 * 1_000_000_000;

/// A rate. Whoever holds it is the only one to use it.
#[derive(Debug)]
pub(super) struct Gate {
    limiter: RateLimiter<NotKeyed, Arrival, Monotonic, NoOpMiddleware<Nanos>>,
    arrival: Arrival,
    clock: Monotonic,
    /// Nanoseconds from one unit to the next.
    interval: u64,
    burst: NonZeroU32,
    /// Units of those who wait.
    pub(super) ahead: u64,
}

/// What was let through: the state it found and the state it left.
#[derive(Debug)]
pub(super) struct Taken {
    before: u64,
    after: u64,
}

impl Gate {
    pub(super) fn new(interval: u64, burst: u32) -> Self {
        let interval = interval.clamp(1, CENTURY);
        let most = u32::try_from(CENTURY / interval).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(burst.min(most)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_nanos(interval))
            .expect("an interval is longer than zero")
            .allow_burst(burst);
        let arrival = Arrival::default();
        let clock = Monotonic {
            origin: Instant::now(),
        };
        Self {
            limiter: RateLimiter::new(quota, arrival.clone(), clock.clone()),
            arrival,
            clock,
            interval,
            burst,
            ahead: 0,
        }
    }

    pub(super) fn interval(&self) -> u64 {
        self.interval
    }

    /// Lets through this many units at once, if there is room and nobody waits.
    pub(super) fn take(&mut self, units: u32) -> Option<Taken> {
        let before = self.arrival.load();
        let units = NonZeroU32::new(units)?;
        // Beyond the burst governor's arithmetic could overflow before it says no.
        if units > self.burst || !matches!(self.limiter.check_n(units), Ok(Ok(()))) {
            return None;
        }
        let after = self.arrival.load();
        Some(Taken { before, after })
    }

    /// Puts the state back that `taken` found; false if something was let through since.
    ///
    /// The state is one number, which every unit let through raises. So if it is the one that was left behind,
    /// whatever came afterwards has been given back, and the number found says what would be had this one never come.
    /// Otherwise nothing is put back: a bucket that was full in between has lost the units, and handing them out late
    /// would exceed the rate.
    pub(super) fn give_back(&mut self, taken: Taken) -> bool {
        let is_last = self.arrival.load() == taken.after;
        if is_last {
            self.arrival.store(taken.before);
        }
        is_last
    }

    /// How long a newcomer waits at most, those ahead included; never if the burst is too small for it.
    pub(super) fn wait(&self, units: u32) -> Option<Duration> {
        let ahead = u128::from(self.ahead);
        (units <= self.burst.get()).then(|| self.wait_for(ahead + u128::from(units)))
    }

    /// How long it takes if nobody is ahead.
    pub(super) fn wait_of_first(&self, units: u32) -> Duration {
        self.wait_for(u128::from(units))
    }

    /// The rule of the cell rate algorithm, as governor applies it to a batch: `units` fit when the arrival of the last
    /// of them lies at most a burst ahead.
    fn wait_for(&self, units: u128) -> Duration {
        let now = u128::from(self.clock.now().as_u64());
        let arrival = u128::from(self.arrival.load()).max(now);
        let last = arrival + units * u128::from(self.interval);
        let nanos = last.saturating_sub(now + self.tolerance());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(super) fn available(&self) -> u32 {
        let now = u128::from(self.clock.now().as_u64());
        let used = u128::from(self.arrival.load()).saturating_sub(now);
        let units = self.tolerance().saturating_sub(used) / u128::from(self.interval);
        match self.ahead {
            0 => u32::try_from(units).unwrap_or(u32::MAX),
            _ => 0,
        }
    }

    /// A burst in nanoseconds.
    fn tolerance(&self) -> u128 {
        u128::from(self.interval) * u128::from(self.burst.get())
    }
}

/// When the next unit would arrive at an even rate, in nanoseconds since the clock's origin; governor's whole state.
/// Zero if none has come yet.
#[derive(Debug, Clone, Default)]
struct Arrival(Arc<AtomicU64>);

impl Arrival {
    // The lock around the gate orders these.
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn store(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl StateStore for Arrival {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let known = Some(self.load()).filter(|nanos| *nanos > 0);
        let (outcome, next) = decide(known.map(Nanos::from))?;
        self.store(next.as_u64());
        Ok(outcome)
    }
}

/// Tokio's clock, from the gate's creation.
#[derive(Debug, Clone)]
struct Monotonic {
    origin: Instant,
}

impl Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.origin.elapsed())
    }
}
