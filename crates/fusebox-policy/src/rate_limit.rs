//! So many calls in a stretch of time.

mod gate;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use self::gate::{Gate, Taken};

/// Lets through so many units per period, with a burst. A call's first and every further attempt takes the
/// [`weight`](crate::Call::with_weight) of the call, 1 by default. Clones share the rate; the maximum wait
/// belongs to each handle.
///
/// In any stretch of time at most `burst + time / interval` units are let through, where the interval is the period
/// divided by the units (the generic cell rate algorithm, ITU-T I.371, as the `governor` crate does it).
///
/// Calls beyond wait in order of arrival if their turn comes within the maximum wait; if it would not, they are turned
/// away at once, and so is a weight larger than the burst. So the queue never holds more than can be let through within
/// the longest wait.
///
/// Units count when a call is let through. A bulkhead behind may hold calls up, so that their operations start closer
/// together than they were let through.
///
/// An attempt that is let through and then turned away by the bulkhead or the breaker, stopped by its hook or dropped
/// before its operation starts gives its units back, if nothing was let through after it: then the rate is as if it
/// had never come. If something was, they stay used up, as giving them back could let through more than allowed.
#[derive(Debug, Clone)]
pub struct RateLimit {
    name: Arc<str>,
    max_wait: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: Mutex<Gate>,
    /// The one whose turn it is sleeps inside, the others wait outside in order of arrival.
    turn: Semaphore,
    /// Units were given back: whose turn it is need not sleep as long.
    returned: Notify,
}

/// Leave for one attempt; dropping it unspent gives its units back where that is possible.
#[derive(Debug)]
#[must_use]
pub(crate) struct RatePermit {
    shared: Arc<Shared>,
    /// None once spent.
    taken: Option<Taken>,
}

/// Not let through; when to come back, if ever.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) retry_after: Option<Duration>,
}

impl RateLimit {
    /// This many units per period, all of which may come at once (0 units are read as 1). The interval between units is
    /// at least a nanosecond, rounded up to a whole one, and at most a century.
    ///
    /// Calls that come too early are turned away, until [`with_max_wait`](Self::with_max_wait) lets them wait.
    pub fn new(name: impl Into<Arc<str>>, units: u32, per: Duration) -> Self {
        let interval = per.as_nanos().div_ceil(u128::from(units.max(1)));
        let interval = u64::try_from(interval).unwrap_or(u64::MAX);
        Self {
            name: name.into(),
            max_wait: Duration::ZERO,
            shared: Shared::new(interval, units),
        }
    }

    /// How many units may come at once after a pause (0 is read as 1; more than are earned in a century, as those that
    /// are). Default: those of one period. This starts a rate of its own: set it before cloning.
    pub fn with_burst(mut self, units: u32) -> Self {
        let interval = self.shared.gate().interval();
        self.shared = Shared::new(interval, units);
        self
    }

    /// Lets a call wait this long for its turn. Default zero: it is turned away at once.
    pub fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// The name given to it, as it appears in errors.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Units that would be let through at once now; zero if calls wait.
    pub fn available(&self) -> u32 {
        self.shared.gate().available()
    }

    /// Units of the calls waiting now.
    pub fn queued(&self) -> u64 {
        self.shared.gate().ahead
    }

    /// Leave for `units`; `on_wait` is told if that needs a wait, and how long at most. Dropping the future leaves the
    /// queue.
    pub(crate) async fn acquire(
        &self,
        units: u32,
        on_wait: impl FnOnce(Duration),
    ) -> Result<RatePermit, Limited> {
        let units = units.max(1);
        let (mut place, longest) = match self.enter(units)? {
            Entry::Permit(permit) => return Ok(permit),
            Entry::Queued(place, longest) => (place, longest),
        };
        on_wait(longest);
        let turn = self.shared.turn.acquire().await;
        let _turn = turn.expect("the semaphore is private and never closed");
        loop {
            let wait = match place.try_take() {
                Ok(permit) => return Ok(permit),
                Err(wait) => wait,
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shared.returned.notified() => {}
            }
        }
    }

    fn enter(&self, units: u32) -> Result<Entry, Limited> {
        let mut gate = self.shared.gate();
        let longest = gate.wait(units).ok_or(Limited { retry_after: None })?;
        if longest.is_zero()
            && let Some(taken) = gate.take(units)
        {
            return Ok(Entry::Permit(RatePermit::of(&self.shared, taken)));
        }
        if longest > self.max_wait || self.max_wait.is_zero() {
            let retry_after = Some(longest);
            return Err(Limited { retry_after });
        }
        gate.ahead += u64::from(units);
        let place = Place {
            shared: self.shared.clone(),
            units: Some(units),
        };
        Ok(Entry::Queued(place, longest))
    }
}

enum Entry {
    Permit(RatePermit),
    Queued(Place, Duration),
}

impl Shared {
    fn new(interval: u64, burst: u32) -> Arc<Self> {
        Arc::new(Self {
            gate: Mutex::new(Gate::new(interval, burst)),
            turn: Semaphore::new(1),
            returned: Notify::new(),
        })
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // Nothing that can panic runs under this lock.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RatePermit {
    fn of(shared: &Arc<Shared>, taken: Taken) -> Self {
        Self {
            shared: shared.clone(),
            taken: Some(taken),
        }
    }

    /// The attempt starts: its units are used up.
    pub(crate) fn spend(mut self) {
        self.taken = None;
    }
}

impl Drop for RatePermit {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take()
            && self.shared.gate().give_back(taken)
        {
            self.shared.returned.notify_one();
        }
    }
}

/// A place in the queue; dropping it, by cancellation too, leaves the queue.
struct Place {
    shared: Arc<Shared>,
    /// None once let through.
    units: Option<u32>,
}

impl Place {
    /// Leave, for the one whose turn it is, or how long to wait for it.
    fn try_take(&mut self) -> Result<RatePermit, Duration> {
        let mut gate = self.shared.gate();
        let units = self.units.expect("asked until let through");
        gate.ahead -= u64::from(units);
        if let Some(taken) = gate.take(units) {
            self.units = None;
            return Ok(RatePermit::of(&self.shared, taken));
        }
        let wait = gate.wait_of_first(units);
        gate.ahead += u64::from(units);
        Err(wait)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(units) = self.units {
            self.shared.gate().ahead -= u64::from(units);
        }
    }
}

#[cfg(test)]
mod tests;
