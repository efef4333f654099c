//! A limit on concurrent calls, with a short and fair queue in front of it.

mod queue;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

pub use self::queue::Priority;
use self::queue::{FairQueue, Tenant, Ticket};

/// At most so many calls at once. Calls beyond wait for a bounded time in a bounded queue, or are turned away at once,
/// which is the default.
///
/// Clones share the slots and the queue, so one bulkhead can stand in front of a pool that several policies use. The
/// maximum wait and the queue's length belong to each handle.
///
/// Who waits gets a slot by [`Priority`] first; low priorities can wait until their time is up while higher ones keep
/// coming. Within a priority the tenants take turns, so a tenant's first waiting call waits for at most the sum of
/// the other tenants' weights in releases, however many calls those have waiting; a tenant's own calls go in
/// order of arrival. When the queue is full it sheds one call for each that comes: of the lowest priority, there of
/// the tenant with the most calls waiting for its weight, the one that came last; mostly that is the newcomer itself.
/// So exactly what exceeds the queue is shed, and a tenant that fills it cannot keep the others out.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    name: Arc<str>,
    limit: usize,
    max_wait: Duration,
    max_queue: usize,
    shared: Arc<Shared>,
}

/// One slot; dropping it gives it to the next in the queue.
#[derive(Debug)]
pub(crate) struct Slot {
    /// None once passed on.
    shared: Option<Arc<Shared>>,
}

/// No slot. Zero if turned away at once.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) waited: Duration,
}

impl Bulkhead {
    /// At most `max_concurrent_calls` at once (0 is read as 1), nobody queues.
    pub fn new(name: impl Into<Arc<str>>, max_concurrent_calls: usize) -> Self {
        let limit = max_concurrent_calls.max(1);
        Self {
            name: name.into(),
            limit,
            max_wait: Duration::ZERO,
            max_queue: usize::MAX,
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    free: limit,
                    queue: FairQueue::new(),
                    weights: HashMap::new(),
                }),
            }),
        }
    }

    /// Lets a call wait this long for a slot. Default zero: with all slots taken it is turned away at once.
    pub fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Lets at most this many calls wait; beyond, one is shed for each that comes. Default: no limit but the wait's.
    pub fn with_max_queue(mut self, max_queue: usize) -> Self {
        self.max_queue = max_queue;
        self
    }

    /// How many calls of a tenant go in one turn, for every handle (0 is read as 1). Default 1. A tenant that has calls
    /// waiting keeps the weight it had until none is left.
    pub fn with_tenant_weight(self, tenant: impl Into<Arc<str>>, weight: u32) -> Self {
        let weight = weight.max(1);
        self.shared
            .state()
            .weights
            .insert(Some(tenant.into()), weight);
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
        self.limit - self.shared.state().free
    }

    /// Calls waiting now.
    pub fn queued(&self) -> usize {
        self.shared.state().queue.len()
    }

    /// A slot; `on_queue` is told if that needs a wait. Dropping the future leaves the queue.
    pub(crate) async fn acquire(
        &self,
        priority: Priority,
        tenant: &Tenant,
        on_queue: impl FnOnce(),
    ) -> Result<Slot, Full> {
        let (place, turn) = match self.enter(priority, tenant)? {
            Entry::Slot(slot) => return Ok(slot),
            Entry::Queued(place, turn) => (place, turn),
        };
        on_queue();
        let since = Instant::now();
        let got = timeout(self.max_wait, turn).await;
        drop(place);
        match got {
            Ok(Ok(slot)) => Ok(slot),
            // Shed, or out of time.
            Ok(Err(_)) | Err(_) => Err(Full {
                waited: since.elapsed(),
            }),
        }
    }

    fn enter(&self, priority: Priority, tenant: &Tenant) -> Result<Entry, Full> {
        let turned_away = Full {
            waited: Duration::ZERO,
        };
        // Outlives the lock: dropping it wakes the one that is shed.
        let _shed;
        let mut state = self.shared.state();
        if state.free > 0 {
            state.free -= 1;
            return Ok(Entry::Slot(Slot::of(&self.shared)));
        }
        if self.max_wait.is_zero() {
            return Err(turned_away);
        }
        let weight = state.weights.get(tenant).copied().unwrap_or(1);
        if state.queue.len() >= self.max_queue {
            let shed = state.queue.displace(priority, tenant, weight);
            _shed = shed.ok_or(turned_away)?;
        }
        let (grant, turn) = oneshot::channel();
        let ticket = state.queue.push(priority, tenant.clone(), weight, grant);
        let place = Place {
            shared: self.shared.clone(),
            ticket,
        };
        Ok(Entry::Queued(place, turn))
    }
}

enum Entry {
    Slot(Slot),
    Queued(Place, oneshot::Receiver<Slot>),
}

/// What the clones share.
struct Shared {
    state: Mutex<State>,
}

struct State {
    /// Slots nobody has; zero while anyone waits.
    free: usize,
    /// Who waits gets its slot through its channel, and learns from a closed one that it was shed.
    queue: FairQueue<oneshot::Sender<Slot>>,
    weights: HashMap<Tenant, u32>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is next, if anyone waits; else the slot is free.
    fn next(&self) -> Option<oneshot::Sender<Slot>> {
        let mut state = self.state();
        let next = state.queue.pop();
        if next.is_none() {
            state.free += 1;
        }
        next
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Shared")
            .field("free", &state.free)
            .field("queued", &state.queue.len())
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn of(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Some(shared.clone()),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        while let Some(next) = shared.next() {
            if hand_over(&shared, next) {
                return;
            }
        }
    }
}

/// Gives a slot to `next`; false if that one has given up meanwhile.
///
/// The lock is not held, since this wakes. Between taking `next` out of the queue and here the slot is in nobody's
/// hands but the caller's: one that gives up in between hands it back, and one that gives up later drops it out of its
/// channel, which passes it on again.
fn hand_over(shared: &Arc<Shared>, next: oneshot::Sender<Slot>) -> bool {
    match next.send(Slot::of(shared)) {
        Ok(()) => true,
        Err(mut refused) => {
            refused.shared = None;
            false
        }
    }
}

/// A place in the queue; dropping it, by cancellation too, leaves the queue.
struct Place {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The channel's end is dropped with the lock released.
        let left = self.shared.state().queue.remove(&self.ticket);
        drop(left);
    }
}

#[cfg(test)]
mod interleavings;
