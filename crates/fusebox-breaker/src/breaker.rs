//! The shared handle: a lock-free path for closed and open breakers, and one locked writer for everything rare.
//!
//! The state word says what is the case. While it says closed, an admission and a judged ending are one atomic step
//! each on the [`Tally`]; while it says open, a refusal reads the clock and the deadline. All that moves the breaker
//! (a trip, probes, overrides, expiry, a turn of the time window's buckets) happens under the lock, on the same
//! [`Control`] that the pure [`Machine`](crate::machine::Machine) runs, which then publishes a new word.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Time, Timestamp};
use crate::config::Config;
use crate::control::Control;
use crate::machine::{Admission, Move, Override, Trial};
use crate::outcome::{Availability, Counts, FailureKind, State, Verdict};
use crate::permit::{CallNotPermitted, Permit, PermitRef, Refusal};
use crate::snapshot::Snapshot;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::tally::{Ended, Params, Tally};
use crate::transition::{Reason, Transition, TransitionQueue};
use crate::word::Word;

/// A circuit breaker. Clones are handles on the same breaker.
///
/// All methods may be called from any thread and return at once. While the breaker is closed, open, or forced open
/// without expiry, admitting, refusing and recording take no lock and allocate nothing; what is rare takes a short
/// internal lock, held for a few hundred instructions, never while a call runs, while an event is emitted or while a
/// listener works. A panic in another thread does not spread through it.
#[derive(Clone)]
pub struct Breaker {
    pub(crate) shared: Arc<Shared>,
}

// What every call reads (from `word` to the tally's layout) lies apart from what every call writes (the tally's
// account) by more than a cache line, so that threads do not take the first from each other with the second.
#[repr(C)]
pub(crate) struct Shared {
    name: Arc<str>,
    books: Mutex<Option<Box<Books>>>,
    seed: u64,
    word: AtomicU64,
    refuses_until: AtomicU64,
    env: Arc<Env>,
    tally: Tally,
}

/// What the breakers of one registry share.
pub(crate) struct Env {
    pub(crate) time: Time,
    pub(crate) transitions: Option<TransitionQueue>,
    pub(crate) watcher: Option<Watcher>,
}

/// Told of every move, outside of the breaker's lock.
pub(crate) type Watcher = Box<dyn Fn(&Arc<str>, &Move) + Send + Sync>;

/// The slow path's state; made when it is first needed, so that an idle breaker costs little.
struct Books {
    control: Control,
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
            time: None,
            seed: None,
            transitions: None,
        }
    }

    pub(crate) fn with_env(name: Arc<str>, params: Arc<Params>, env: Arc<Env>, seed: u64) -> Self {
        let config = params.config();
        Self {
            shared: Arc::new(Shared {
                name,
                books: Mutex::new(None),
                seed,
                word: AtomicU64::new(Word::new(State::Closed, 0, 0, 0, config.chores()).0),
                refuses_until: AtomicU64::new(0),
                env,
                tally: Tally::new(config, Arc::clone(&params)),
            }),
        }
    }

    /// The name given to it, as it appears in errors and events.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// The settings in force.
    pub fn config(&self) -> Config {
        self.shared.peek(|control| control.config().clone())
    }

    /// The state. What time alone changes (an override's expiry, a lost probe) shows after the next acquire, outcome
    /// or [`tick`](Self::tick); an open breaker whose probe is due is still open until that probe comes. A breaker
    /// that returns by a ramp is half-open until the ramp is over.
    pub fn state(&self) -> State {
        self.shared.word().state()
    }

    /// Starts at 0 and grows with every transition.
    pub fn generation(&self) -> u64 {
        self.shared.word().generation()
    }

    /// Why it is in its state; none before the first transition.
    pub fn reason(&self) -> Option<Reason> {
        self.shared.peek(|control| control.reason().cloned())
    }

    /// The account of calls. Its identity holds at every moment; while other threads are in the middle of recording,
    /// a failure may still be among the successes and a cancelled call still in flight.
    pub fn counts(&self) -> Counts {
        self.shared
            .peek(|control| control.counts(&self.shared.tally))
    }

    /// Calls that metrics-only let through although a rule had held and the open wait was not over.
    pub fn would_have_rejected(&self) -> u64 {
        self.shared.peek(Control::would_have_rejected)
    }

    /// What [`try_acquire`](Self::try_acquire) would meet now. Read-only: moves no state, takes no slot, counts
    /// nothing, so neighbours may ask as often as they like. Costs no more than a load while closed.
    pub fn availability(&self) -> Availability {
        if self.shared.word().is_closed() {
            return Availability::Ready;
        }
        self.shared
            .peek(|control| control.availability(self.shared.env.time.now()))
    }

    /// Leave to make one call. The first after the open wait turns the breaker half-open and is a probe, in one step.
    ///
    /// # Errors
    /// [`CallNotPermitted`]: the call must not start.
    pub fn try_acquire(&self) -> Result<Permit, CallNotPermitted> {
        match self.shared.acquire() {
            Ok(admission) => Ok(Permit::new(self.clone(), admission)),
            Err(refused) => Err(Refusal::new(self, refused).into()),
        }
    }

    /// As [`try_acquire`](Self::try_acquire), with a permit and a refusal that borrow the handle: two atomic steps
    /// cheaper, for callers that keep the handle anyway.
    ///
    /// # Errors
    /// [`Refusal`]: the call must not start.
    #[inline(always)]
    pub fn try_acquire_ref(&self) -> Result<PermitRef<'_>, Refusal<'_>> {
        match self.shared.acquire() {
            Ok(admission) => Ok(PermitRef::new(&self.shared, admission)),
            Err(refused) => Err(Refusal::new(self, refused)),
        }
    }

    /// Runs `operation` if the breaker permits: `Ok` is a success, `Err` or a panic a failure.
    ///
    /// # Errors
    /// [`CallError::NotPermitted`] if it was refused, [`CallError::Failed`] with the operation's error.
    #[inline(always)]
    pub fn call<T, E>(&self, operation: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        let permit = self.try_acquire_ref().map_err(CallNotPermitted::from)?;
        settle(permit, operation())
    }

    /// Runs `operation` if the breaker permits, and judges its result by `classify`.
    ///
    /// # Errors
    /// [`CallError::NotPermitted`] if it was refused, [`CallError::Failed`] with the operation's error.
    pub fn call_classified<T, E>(
        &self,
        operation: impl FnOnce() -> Result<T, E>,
        classify: impl FnOnce(&Result<T, E>) -> Verdict,
    ) -> Result<T, CallError<E>> {
        let permit = self.try_acquire_ref().map_err(CallNotPermitted::from)?;
        let result = operation();
        permit.record(classify(&result));
        result.map_err(CallError::Failed)
    }

    /// Runs `operation` if the breaker permits: `Ok` is a success, `Err` or a panic a failure.
    ///
    /// Leave is asked for at the first poll. Dropping the future counts as cancelled. Works on any runtime.
    ///
    /// # Errors
    /// [`CallError::NotPermitted`] if it was refused, [`CallError::Failed`] with the operation's error.
    #[inline(always)]
    pub async fn call_async<T, E>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        let permit = self.try_acquire_ref().map_err(CallNotPermitted::from)?;
        settle(permit, operation.await)
    }

    /// Opens by hand, with the usual open wait. Does nothing and answers `false` if it is open already (its deadline
    /// stays as it is) or overridden.
    pub fn trip(&self, reason: &str) -> bool {
        self.shared
            .with(|control, tally, now, unit| control.trip(tally, reason, now, unit))
    }

    /// Refuses every call until released or expired.
    pub fn force_open(&self, by: Override) {
        self.shared
            .with(|control, tally, now, unit| control.force_open(tally, by, now, unit));
    }

    /// Lets every call through, unjudged, until released or expired.
    pub fn disable(&self, by: Override) {
        self.shared
            .with(|control, tally, now, unit| control.disable(tally, by, now, unit));
    }

    /// Lets every call through, judged but without consequence, until released or expired.
    pub fn metrics_only(&self, by: Override) {
        self.shared
            .with(|control, tally, now, unit| control.metrics_only(tally, by, now, unit));
    }

    /// Lifts an override: back to closed, or to open with its own deadline if it was open (half-open: a probe is due
    /// at once) beneath; windows are empty. An automatic opening gets its probe due at once instead, and the
    /// transition to half-open will name `actor`. Answers whether there was anything to release.
    pub fn release(&self, actor: &str) -> bool {
        self.shared
            .with(|control, tally, now, unit| control.release(tally, actor, now, unit))
    }

    /// Bytes on the heap that are this breaker's alone: itself and its windows. Its name, its settings (shared within
    /// a [`Registry`](crate::Registry)) and, once it has moved, the slow path's state are left out.
    pub fn allocated_bytes(&self) -> usize {
        // An Arc's two counters come before its value.
        2 * size_of::<usize>() + size_of::<Shared>() + self.shared.tally.allocated_bytes()
    }

    /// Settles what time alone has decided, so that its events come in time while nobody calls.
    pub fn tick(&self) {
        self.shared
            .with(|control, tally, now, unit| control.settle(tally, now, unit));
    }

    /// Swaps the settings; state, deadlines and windows are kept. The new thresholds hold from the next outcome on.
    ///
    /// The room of the largest window so far is kept until the breaker is dropped. Calls already in flight are not
    /// watched for a slow limit that has changed; they still count as slow when they end.
    pub fn reconfigure(&self, config: Config) {
        self.shared
            .with(|control, tally, now, _| control.reconfigure(tally, config, now));
    }

    /// The state with remaining durations, to be stored.
    pub fn snapshot(&self) -> Snapshot {
        self.shared
            .peek(|control| control.snapshot(self.shared.env.time.now()))
    }

    /// Takes over a stored state: open keeps its remaining time, half-open becomes open with a probe due now,
    /// overrides keep theirs; windows are empty, counts stay. Permits issued before are of an older generation.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.shared
            .with(|control, tally, now, _| control.restore(tally, snapshot, now));
    }

    /// Why it was in the state that began with `generation`, if that is among the last few.
    pub(crate) fn reason_of(&self, generation: u64) -> Option<Reason> {
        self.shared
            .peek(|control| control.reason_of(generation).cloned())
    }

    /// Whether nothing would be lost with it: closed, and no call in flight.
    pub(crate) fn is_dispensable(&self) -> bool {
        self.shared.word().is_closed()
            && self
                .shared
                .peek(|control| control.is_idle(&self.shared.tally))
    }
}

/// A refusal's figures, in the form in which they are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) state: State,
    pub(crate) generation: u64,
    /// Nanoseconds until a call may pass; the largest number if only an operator can tell.
    pub(crate) wait: u64,
}

impl Refused {
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        (self.wait != u64::MAX).then(|| Duration::from_nanos(self.wait))
    }
}

impl Shared {
    #[inline(always)]
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn acquire(&self) -> Result<Admission, Refused> {
        let word = self.word();
        if word.starts_plainly() {
            if self.tally.enter_plainly() {
                return Ok(Admission::plain(word));
            }
        } else if word.is_closed() {
            if let Some((seat, started)) = self.tally.enter(word, || self.env.time.now()) {
                return Ok(Admission::new(word, Trial::None, seat, started));
            }
        } else if let Some(refused) = self.refuse(word) {
            return Err(refused);
        }
        self.acquire_slowly()
    }

    /// Refuses if the breaker is open and no call is due.
    #[inline(always)]
    fn refuse(&self, word: Word) -> Option<Refused> {
        let state = word.refuses()?;
        let now = self.env.time.now().as_nanos();
        let until = self.refuses_until.load(Ordering::Acquire);
        let left = until.checked_sub(now).filter(|left| *left > 0)?;
        self.tally.reject();
        Some(Refused {
            state,
            generation: word.generation(),
            wait: if until == u64::MAX { until } else { left },
        })
    }

    #[cold]
    #[inline(never)]
    fn acquire_slowly(&self) -> Result<Admission, Refused> {
        self.with(|control, tally, now, unit| {
            control
                .acquire(tally, now, unit)
                .map_err(|rejection| Refused {
                    state: rejection.state,
                    generation: control.generation(),
                    wait: rejection.retry_after.map_or(u64::MAX, |after| {
                        u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)
                    }),
                })
        })
    }

    #[inline(always)]
    pub(crate) fn record(&self, admission: Admission, verdict: Verdict) {
        let word = self.word();
        let plain = word.ends_plainly() && admission.is_of(word);
        let ended = match verdict {
            Verdict::Success if plain => self.tally.succeed_plainly(word),
            Verdict::Failure(kind) if plain => self.tally.fail_plainly(word, kind),
            Verdict::Success => match self.lock_free(word, &admission) {
                Some(now) => self.tally.end(word, &admission, verdict, now),
                None => return self.record_slowly(admission, verdict),
            },
            _ => return self.record_otherwise(word, admission, verdict),
        };
        if ended != Ended::Done {
            self.finish_slowly(admission, ended, verdict);
        }
    }

    /// A failure with chores, an ignored call, one of an earlier word.
    #[inline(never)]
    fn record_otherwise(&self, word: Word, admission: Admission, verdict: Verdict) {
        let Some(now) = self.lock_free(word, &admission) else {
            return self.record_slowly(admission, verdict);
        };
        match verdict {
            Verdict::Success | Verdict::Failure(_) => {
                if verdict == Verdict::Failure(FailureKind::TimedOut) {
                    self.tally.time_out();
                }
                match self.tally.end(word, &admission, verdict, now) {
                    Ended::Done => {}
                    ended => self.finish_slowly(admission, ended, verdict),
                }
            }
            Verdict::Neutral => {
                self.tally.leave(word, &admission, now);
                self.tally.ignore();
            }
            Verdict::TripUntil(_) => self.record_slowly(admission, verdict),
        }
    }

    /// The present moment (where it matters), if a call of this admission can end without the lock.
    #[inline(always)]
    fn lock_free(&self, word: Word, admission: &Admission) -> Option<Timestamp> {
        if !(word.is_closed()
            && word.generation() == admission.generation()
            && admission.is_plain())
        {
            return None;
        }
        let Some(due) = self.tally.ticks(word) else {
            return Some(Timestamp::default());
        };
        let now = self.env.time.now();
        (now.as_nanos() < due).then_some(now)
    }

    #[cold]
    #[inline(never)]
    fn finish_slowly(&self, admission: Admission, ended: Ended, verdict: Verdict) {
        self.with(|control, tally, now, unit| {
            control.finish(tally, (admission, ended), verdict, now, unit);
        });
    }

    #[cold]
    #[inline(never)]
    fn record_slowly(&self, admission: Admission, verdict: Verdict) {
        self.with(|control, tally, now, unit| {
            control.record(tally, admission, verdict, now, unit);
        });
    }

    pub(crate) fn cancel(&self, admission: Admission) {
        let word = self.word();
        if let Some(now) = self.lock_free(word, &admission) {
            self.tally.leave(word, &admission, now);
            self.tally.cancel();
            return;
        }
        self.with(|control, tally, now, unit| control.cancel(tally, admission, now, unit));
    }

    /// Runs one step under the lock, publishes what it led to, then emits its moves with the lock released.
    fn with<R>(&self, step: impl FnOnce(&mut Control, &Tally, Timestamp, f64) -> R) -> R {
        let mut guard = self.lock();
        let books = guard.get_or_insert_with(|| Box::new(self.books()));
        // Read under the lock, so that the machine never sees the time go back.
        let now = self.env.time.now();
        let unit = books.draws.next_unit();
        let answer = step(&mut books.control, &self.tally, now, unit);
        let moves = books.control.take_moves();
        self.publish(&books.control);
        drop(guard);
        for step in moves {
            self.emit(step);
        }
        answer
    }

    fn publish(&self, control: &Control) {
        // The deadline first: whoever sees the word open sees its deadline or a later one.
        let until = control.refuses_until().as_nanos();
        if self.refuses_until.load(Ordering::Relaxed) != until {
            self.refuses_until.store(until, Ordering::Release);
        }
        // Written only when it changes, so that a busy slow path does not take the word from its readers.
        let word = control.word().0;
        if self.word.load(Ordering::Relaxed) != word {
            self.word.store(word, Ordering::Release);
        }
    }

    fn emit(&self, step: Move) {
        if let Some(watcher) = &self.env.watcher {
            watcher(&self.name, &step);
        }
        if let Some(queue) = &self.env.transitions {
            queue.push(Transition {
                breaker: Arc::clone(&self.name),
                from: step.from,
                to: step.to,
                reason: step.reason,
                at: step.at,
                generation: step.generation,
            });
        }
    }

    /// Looks without moving anything.
    fn peek<R>(&self, look: impl FnOnce(&Control) -> R) -> R {
        let guard = self.lock();
        match &*guard {
            Some(books) => look(&books.control),
            None => look(&self.books().control),
        }
    }

    fn books(&self) -> Books {
        Books {
            control: Control::new(Arc::clone(self.tally.origin())),
            draws: Draws { state: self.seed },
        }
    }

    // The control is never left between two states by a panic that the library itself could raise; taking a poisoned
    // lock over keeps one broken thread from refusing everybody's calls.
    fn lock(&self) -> MutexGuard<'_, Option<Box<Books>>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
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

#[inline(always)]
fn settle<T, E>(permit: PermitRef<'_>, result: Result<T, E>) -> Result<T, CallError<E>> {
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
    time: Option<Time>,
    seed: Option<u64>,
    transitions: Option<TransitionQueue>,
}

impl BreakerBuilder {
    /// Reads the time here. Default [`MonotonicClock`](crate::MonotonicClock).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.time = Some(Time::Other(clock));
        self
    }

    /// Reads the time from the processor's time stamp counter.
    #[cfg(feature = "quanta")]
    pub fn fast_clock(mut self, clock: crate::clock::FastClock) -> Self {
        self.time = Some(Time::Fast(clock));
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
        let env = Env {
            time: self.time.unwrap_or_default(),
            transitions: self.transitions,
            watcher: None,
        };
        let params = Arc::new(Params::of(&Arc::new(self.config)));
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        Breaker::with_env(self.name, params, Arc::new(env), seed)
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
