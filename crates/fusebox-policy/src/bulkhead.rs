//! A limit on concurrent calls, with a short queue in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// At most so many calls at once. Calls beyond wait in order of arrival, for a bounded time, in a bounded queue; or
/// are turned away at once, which is the default.
///
/// Clones share the slots and the queue, so one bulkhead can stand in front of a pool that several policies use. The
/// maximum wait and the queue's length belong to each handle.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    name: Arc<str>,
    limit: usize,
    max_wait: Duration,
    max_queue: usize,
    slots: Arc<Semaphore>,
    queued: Arc<AtomicUsize>,
}

/// One slot; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// No slot. Zero if turned away at once.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) waited: Duration,
}

impl Bulkhead {
    /// At most `max_concurrent_calls` at once (0 is read as 1), nobody queues.
    pub fn new(name: impl Into<Arc<str>>, max_concurrent_calls: usize) -> Self {
        let limit = max_concurrent_calls.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name: name.into(),
            limit,
            max_wait: Duration::ZERO,
            max_queue: usize::MAX,
            slots: Arc::new(Semaphore::new(limit)),
            queued: Arc::default(),
        }
    }

    /// Lets a call wait this long for a slot. Default zero: with all slots taken it is turned away at once.
    pub fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Lets at most this many calls wait; those beyond are turned away at once. Default: no limit but the wait's.
    pub fn with_max_queue(mut self, max_queue: usize) -> Self {
        self.max_queue = max_queue;
        self
    }

    /// The name given to it, as it appears in errors.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Calls it lets through at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Slots taken now.
    pub fn in_use(&self) -> usize {
        self.limit.saturating_sub(self.slots.available_permits())
    }

    /// Calls waiting now.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// A slot; `on_queue` is told if that needs a wait. Dropping the future leaves the queue.
    pub(crate) async fn acquire(&self, on_queue: impl FnOnce()) -> Result<Slot, Full> {
        // With others queueing no slot is ever free here: a returned slot goes to the first of them.
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Slot { _permit: permit });
        }
        let turned_away = Full {
            waited: Duration::ZERO,
        };
        if self.max_wait.is_zero() {
            return Err(turned_away);
        }
        let place = Place::take(&self.queued, self.max_queue).ok_or(turned_away)?;
        on_queue();
        let since = Instant::now();
        let got = timeout(self.max_wait, Arc::clone(&self.slots).acquire_owned()).await;
        drop(place);
        match got {
            Ok(permit) => Ok(Slot {
                _permit: permit.expect("the semaphore is private and never closed"),
            }),
            Err(_elapsed) => Err(Full {
                waited: since.elapsed(),
            }),
        }
    }
}

/// A place in the queue; dropping it, by cancellation too, leaves the queue.
struct Place<'a> {
    queued: &'a AtomicUsize,
}

impl<'a> Place<'a> {
    fn take(queued: &'a AtomicUsize, max_queue: usize) -> Option<Self> {
        queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| {
                (places < max_queue).then_some(places + 1)
            })
            .ok()
            .map(|_| Self { queued })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
