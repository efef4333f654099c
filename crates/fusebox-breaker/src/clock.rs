//! Time as an argument: timestamps, the clock a handle reads, and a clock that tests move by hand.

use std::fmt;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A moment, in whole nanoseconds since its clock's origin.
///
/// Only timestamps of one clock can be compared. The range is about 584 years; arithmetic saturates at its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is in fact later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of the range.
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// Where a [`Breaker`](crate::Breaker) reads the time.
///
/// `now` must never go back, must return at once and must not call into the breaker: it is read while the breaker's
/// short internal lock is held. Anyone may implement it.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The system's monotonic clock ([`Instant`]); its origin is its creation.
#[derive(Debug, Clone)]
pub struct MonotonicClock {
    origin: Instant,
}

impl MonotonicClock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> Timestamp {
        // In whole numbers of 64 bits, which is enough for 584 years.
        let since = self.origin.elapsed();
        let nanos = since.as_secs().saturating_mul(NANOS_PER_SEC);
        Timestamp(nanos.saturating_add(u64::from(since.subsec_nanos())))
    }
}

/// A clock that stands still until it is advanced, for tests and simulations. Clones share one time.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at its origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the time forward, for every clone.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // The closure never returns None, so the update cannot fail.
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |nanos| {
                Some(nanos.saturating_add(by))
            });
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

/// The processor's time stamp counter through the `quanta` crate, which falls back to the system's clock where the
/// counter is not steady. Reads in about half the time of [`MonotonicClock`]. Its origin is its creation.
///
/// Hand it to [`fast_clock`](crate::BreakerBuilder::fast_clock), which reads it without a virtual call.
#[cfg(feature = "quanta")]
#[derive(Debug, Clone)]
pub struct FastClock {
    clock: quanta::Clock,
    origin: u64,
}

#[cfg(feature = "quanta")]
impl FastClock {
    /// A clock whose origin is now. The first one of a process calibrates for some milliseconds.
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        Self { clock, origin }
    }
}

#[cfg(feature = "quanta")]
impl Default for FastClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "quanta")]
impl Clock for FastClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.delta_as_nanos(self.origin, self.clock.raw()))
    }
}

/// Where a handle reads the time: the known clocks without a virtual call.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    Monotonic(MonotonicClock),
    #[cfg(feature = "quanta")]
    Fast(FastClock),
    Other(Arc<dyn Clock>),
}

impl Default for Time {
    fn default() -> Self {
        Self::Monotonic(MonotonicClock::new())
    }
}

impl Time {
    #[inline(always)]
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            #[cfg(feature = "quanta")]
            Self::Fast(clock) => clock.now(),
            _ => self.now_otherwise(),
        }
    }

    /// Out of the callers' code: a call is little beside these readings.
    #[inline(never)]
    fn now_otherwise(&self) -> Timestamp {
        match self {
            Self::Monotonic(clock) => clock.now(),
            #[cfg(feature = "quanta")]
            Self::Fast(clock) => clock.now(),
            Self::Other(clock) => clock.now(),
        }
    }
}
