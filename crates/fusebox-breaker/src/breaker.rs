//! The shared handle: one machine, a clock, draws, and the queue its moves are emitted into.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, MonotonicClock, Timestamp};
use crate::config::Config;
use crate::machine::{Admission, Machine, Override};
use crate::outcome::{Availability, Counts, FailureKind, State, Verdict};
use crate::permit::{CallNotPermitted, Permit};
use crate::snapshot::Snapshot;
use crate::transition::{Transition, TransitionQueue};

/// A circuit breaker. Clones are handles on the same breaker.
///
/// All methods may be called from any thread and return at once: a short internal lock is held for a few dozen
/// instructions, never while a call runs, while an event is emitted or while a listener works. A panic in another
/// thread does not spread through it.
#[derive(Clone)]
pub struct Breaker {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    transitions: Option<TransitionQueue>,
    core: Mutex<Core>,
}

struct Core {
    machine: Machine,
    draws: Draws,
}

/// Why a guarded call gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// Refused before it started; nothing was called.
    #[error(transparent)]
    NotPermitted(#[from] CallNotPermitted),
    /// The call's own error, kept whole; it was called.
    #[error("the guarded call failed")]
    Failed(#[source] E),
}

impl Breaker {
    /// A closed breaker on the system's monotonic clock, with a random seed and no queue for its transitions.
    pub fn new(name: impl Into<Arc<str>>, config: Config) -> Self {
        Self::builder(name, config).build()
    }

    /// A breaker with its own clock, seed or queue.
    pub fn builder(name: impl Into<Arc<str>>, config: Config) -> BreakerBuilder {
        BreakerBuilder {
            name: name.into(),
            config,
            clock: None,
            seed: None,
            transitions: None,
        }
    }

    /// The name given to it, as it appears in errors and events.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// The settings in force.
    pub fn config(&self) -> Config {
        self.core().machine.config().clone()
    }

    /// The state. What time alone changes (an override's expiry, a lost probe) shows after the next acquire, outcome
    /// or [`tick`](Self::tick); an open breaker whose probe is due is still open until that probe comes.
    pub fn state(&self) -> State {
        self.core().machine.state()
    }

    /// Starts at 0 and grows with every transition.
    pub fn generation(&self) -> u64 {
        self.core().machine.generation()
    }

    /// The account of calls, taken in one step, so its identity holds exactly.
    pub fn counts(&self) -> Counts {
        self.core().machine.counts()
    }

    /// What [`try_acquire`](Self::try_acquire) would meet now. Read-only: moves no state, takes no slot, counts
    /// nothing, so neighbours may ask as often as they like.
    pub fn availability(&self) -> Availability {
        let core = self.core();
        core.machine.availability(self.shared.clock.now())
    }

    /// Leave to make one call. The first after the open wait turns the breaker half-open and is a probe, in one step.
    ///
    /// # Errors
    /// [`CallNotPermitted`]: the call must not start.
    pub fn try_acquire(&self) -> Result<Permit, CallNotPermitted> {
        match self.with(|machine, now, unit| machine.try_acquire(now, unit)) {
            Ok(admission) => Ok(Permit::new(self.clone(), admission)),
            Err(rejection) => Err(CallNotPermitted::new(self.name().clone(), rejection)),
        }
    }

    /// Runs `operation` if the breaker permits: `Ok` is a success, `Err` or a panic a failure.
    ///
    /// # Errors
    /// [`CallError::NotPermitted`] if it was refused, [`CallError::Failed`] with the operation's error.
    pub fn call<T, E>(&self, operation: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        let permit = self.try_acquire()?;
        settle(permit, operation())
    }

    /// Runs `operation` if the breaker permits: `Ok` is a success, `Err` or a panic a failure.
    ///
    /// Leave is asked for at the first poll. Dropping the future counts as cancelled. Works on any runtime.
    ///
    /// # Errors
    /// [`CallError::NotPermitted`] if it was refused, [`CallError::Failed`] with the operation's error.
    pub async fn call_async<T, E>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        let permit = self.try_acquire()?;
        settle(permit, operation.await)
    }

    /// Opens by hand, with the usual open wait. Does nothing and answers `false` if it is open already (its deadline
    /// stays as it is) or overridden.
    pub fn trip(&self, reason: &str) -> bool {
        self.with(|machine, now, unit| machine.trip(reason, now, unit))
    }

    /// Refuses every call until released or expired.
    pub fn force_open(&self, by: Override) {
        self.with(|machine, now, unit| machine.force_open(by, now, unit));
    }

    /// Lets every call through, unjudged, until released or expired.
    pub fn disable(&self, by: Override) {
        self.with(|machine, now, unit| machine.disable(by, now, unit));
    }

    /// Lets every call through, judged but without consequence, until released or expired.
    pub fn metrics_only(&self, by: Override) {
        self.with(|machine, now, unit| machine.metrics_only(by, now, unit));
    }

    /// Lifts an override: back to closed, or to open with its own deadline if it was open (half-open: a probe is due
    /// at once) beneath; windows are empty. An automatic opening gets its probe due at once instead, and the
    /// transition to half-open will name `actor`. Answers whether there was anything to release.
    pub fn release(&self, actor: &str) -> bool {
        self.with(|machine, now, unit| machine.release(actor, now, unit))
    }

    /// Settles what time alone has decided, so that its events come in time while nobody calls.
    pub fn tick(&self) {
        self.with(|machine, now, unit| machine.tick(now, unit));
    }

    /// Swaps the settings; state, deadlines and windows are kept. The new thresholds hold from the next outcome on.
    pub fn reconfigure(&self, config: Config) {
        self.with(|machine, _, _| machine.reconfigure(config));
    }

    /// The state with remaining durations, to be stored.
    pub fn snapshot(&self) -> Snapshot {
        let core = self.core();
        core.machine.snapshot(self.shared.clock.now())
    }

    /// Takes over a stored state: open keeps its remaining time, half-open becomes open with a probe due now,
    /// overrides keep theirs; windows are empty, counts stay. Permits issued before are of an older generation.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.with(|machine, now, _| machine.restore(snapshot, now));
    }

    pub(crate) fn record(&self, admission: Admission, verdict: Verdict) {
        self.with(|machine, now, unit| machine.record(admission, verdict, now, unit));
    }

    pub(crate) fn cancel(&self, admission: Admission) {
        self.with(|machine, now, unit| machine.cancel(admission, now, unit));
    }

    /// Runs one step of the machine, then emits its moves with the lock released.
    fn with<R>(&self, step: impl FnOnce(&mut Machine, Timestamp, f64) -> R) -> R {
        let mut core = self.core();
        // Read under the lock, so that the machine never sees the time go back.
        let now = self.shared.clock.now();
        let unit = core.draws.next_unit();
        let answer = step(&mut core.machine, now, unit);
        let moves = core.machine.take_moves();
        drop(core);
        if let Some(queue) = &self.shared.transitions {
            for step in moves {
                queue.push(Transition {
                    breaker: self.name().clone(),
                    from: step.from,
                    to: step.to,
                    reason: step.reason,
                    at: step.at,
                    generation: step.generation,
                });
            }
        }
        answer
    }

    // The machine is never left between two states by a panic that the library itself could raise; taking a poisoned
    // lock over keeps one broken thread from refusing everybody's calls.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.shared
            .core
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

fn settle<T, E>(permit: Permit, result: Result<T, E>) -> Result<T, CallError<E>> {
    match result {
        Ok(value) => {
            permit.success();
            Ok(value)
        }
        Err(error) => {
            permit.failure(FailureKind::Error);
            Err(CallError::Failed(error))
        }
    }
}

/// Collects what a [`Breaker`] stands on.
#[derive(Debug)]
#[must_use = "a builder does nothing until built"]
pub struct BreakerBuilder {
    name: Arc<str>,
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    transitions: Option<TransitionQueue>,
}

impl BreakerBuilder {
    /// Reads the time here. Default [`MonotonicClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Seeds the draws of open waits, so that a run can be repeated. Default: random, so that processes differ.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Emits transitions into this queue, which other breakers may share. Default: none.
    pub fn transitions(mut self, queue: TransitionQueue) -> Self {
        self.transitions = Some(queue);
        self
    }

    /// The breaker, closed.
    pub fn build(self) -> Breaker {
        let clock = self
            .clock
            .unwrap_or_else(|| Arc::new(MonotonicClock::new()));
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        let core = Core {
            machine: Machine::new(self.config, clock.now()),
            draws: Draws { state: seed },
        };
        Breaker {
            shared: Arc::new(Shared {
                name: self.name,
                clock,
                transitions: self.transitions,
                core: Mutex::new(core),
            }),
        }
    }
}

/// SplitMix64: small and more than good enough to spread waits; not for secrets.
///
/// Source: G. Steele, D. Lea, C. Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014.
struct Draws {
    state: u64,
}

impl Draws {
    /// A uniform draw from `0.0..1.0`.
    fn next_unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // 53 bits fill a double's mantissa exactly.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
