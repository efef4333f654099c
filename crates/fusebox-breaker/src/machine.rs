//! The state machine alone: no clock, no chance, no lock.
//!
//! Every method takes the present moment, and where a wait may be drawn also `unit`, a uniform draw from `0.0..1.0`.
//! The same arguments give the same machine, so any history can be replayed. [`Breaker`](crate::Breaker) is the
//! handle most programs use; the machine serves simulations.
//!
//! Every method that moves first settles what time alone has decided: an override that expired, a probe whose
//! deadline passed. Both take effect at their own moment, not at the one they were noticed.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::control::Control;
use crate::outcome::{Availability, Counts, State, Verdict};
use crate::snapshot::Snapshot;
use crate::tally::{Cohort, Params, Seat, Tally};
use crate::transition::Reason;
use crate::word::Word;

/// An operator's override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Why, for whoever reads the state later.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Time until it lifts by itself; none holds until released.
    pub expires_in: Option<Duration>,
}

impl Override {
    /// An override that holds until released.
    pub fn new(reason: impl Into<String>, actor: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            actor: actor.into(),
            expires_in: None,
        }
    }

    /// Lets it lift by itself after this time.
    pub fn with_expiry(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }
}

/// Leave to make one call, as the machine hands it out. Record or cancel it exactly once.
// Two whole words, as it waits in memory while an asynchronous call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an admission that is neither recorded nor cancelled stays in flight"]
pub struct Admission {
    /// The state word it was issued under.
    word: Word,
    /// `| started, or a probe's number: 56 | start known: 1 | cohort: 4 | spilled: 1 | trial: 2 |`
    ticket: u64,
}

/// What a call tries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Nothing: it is one of many.
    None,
    /// A half-open breaker's dependency, from a probe slot.
    Probe(u32),
    /// A ramp's share.
    Ramp,
}

const PROBE: u64 = 1;
const RAMP: u64 = 2;
const TRIAL: u64 = 0b11;
const SPILLED: u64 = 1 << 2;
const COHORT_SHIFT: u32 = 3;
const TIMED: u64 = 1 << (COHORT_SHIFT + Cohort::BITS);
const STARTED_SHIFT: u32 = COHORT_SHIFT + Cohort::BITS + 1;

impl Admission {
    #[inline(always)]
    pub(crate) fn new(word: Word, trial: Trial, seat: Seat, started: Option<Timestamp>) -> Self {
        let start = started.map_or(0, |started| TIMED | started.as_nanos() << STARTED_SHIFT);
        let trial = match trial {
            Trial::None => start,
            Trial::Probe(id) => PROBE | u64::from(id) << STARTED_SHIFT,
            Trial::Ramp => RAMP,
        };
        let seat = match seat {
            Seat::Account(cohort) => cohort.bits() << COHORT_SHIFT,
            Seat::Spilled => SPILLED,
        };
        Self {
            word,
            ticket: trial | seat,
        }
    }

    /// One of many at a closed breaker, in no cohort; when it started does not matter.
    #[inline(always)]
    pub(crate) fn plain(word: Word) -> Self {
        Self { word, ticket: 0 }
    }

    /// The same call, no longer in flight.
    pub(crate) fn without_seat(self) -> Self {
        let ticket = self.ticket | SPILLED;
        Self { ticket, ..self }
    }

    /// Generation it was issued in.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.word.generation()
    }

    /// The stretch it was counted in flight in.
    #[inline(always)]
    pub(crate) fn fence(&self) -> u64 {
        self.word.fence()
    }

    /// Whether it is in all as [`plain`](Self::plain) made it, under this very word.
    #[inline(always)]
    pub(crate) fn is_of(&self, word: Word) -> bool {
        self.word == word && self.ticket == 0
    }

    /// Whether it is a trial call of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.trial() != Trial::None
    }

    pub(crate) fn trial(&self) -> Trial {
        match self.ticket & TRIAL {
            0 => Trial::None,
            PROBE => Trial::Probe((self.ticket >> STARTED_SHIFT) as u32),
            _ => Trial::Ramp,
        }
    }

    /// Neither a trial nor in the slow path's books.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.ticket & (TRIAL | SPILLED) == 0
    }

    #[inline(always)]
    pub(crate) fn is_spilled(&self) -> bool {
        self.ticket & SPILLED != 0
    }

    #[inline(always)]
    pub(crate) fn cohort(&self) -> Cohort {
        Cohort::from_bits(self.ticket >> COHORT_SHIFT)
    }

    /// Nanoseconds since it was issued; zero where that was not noted, and if the clock went back. Right for a year.
    #[inline(always)]
    pub(crate) fn elapsed(&self, now: Timestamp) -> u64 {
        if self.ticket & TIMED == 0 {
            return 0;
        }
        let start = self.ticket >> STARTED_SHIFT << STARTED_SHIFT;
        let shifted = (now.as_nanos() << STARTED_SHIFT).wrapping_sub(start);
        // As a signed number: what lies before the start is below zero, whatever the clock counts from.
        (shifted as i64 >> STARTED_SHIFT).max(0) as u64
    }
}

/// A refusal. Nothing was called.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// State that refused.
    pub state: State,
    /// When to ask again; none if only an operator can tell.
    pub retry_after: Option<Duration>,
    /// Why the breaker is in that state.
    pub reason: Option<Reason>,
}

/// One move; the handle adds the breaker's name and makes it a [`Transition`](crate::Transition).
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// When it took effect.
    pub at: Timestamp,
    /// Generation that began with it.
    pub generation: u64,
}

/// A circuit breaker as a pure state machine.
#[derive(Debug)]
pub struct Machine {
    control: Control,
    tally: Tally,
}

impl Machine {
    /// A closed machine with empty windows.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let config = Arc::new(config);
        let tally = Tally::new(&config, Arc::new(Params::of(&config)));
        let mut machine = Self {
            control: Control::new(config),
            tally,
        };
        machine.tick(now, 0.0);
        machine
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        self.control.config()
    }

    /// The state as of the last settling.
    pub fn state(&self) -> State {
        self.control.state()
    }

    /// Starts at 0 and grows with every move.
    pub fn generation(&self) -> u64 {
        self.control.generation()
    }

    /// Why it is in its state; none before the first move.
    pub fn reason(&self) -> Option<&Reason> {
        self.control.reason()
    }

    /// Calls so far.
    pub fn counts(&self) -> Counts {
        self.control.counts(&self.tally)
    }

    /// Calls that metrics-only let through although the breaker would have been open.
    pub fn would_have_rejected(&self) -> u64 {
        self.control.would_have_rejected()
    }

    /// The moves since the last call of this method, in order.
    pub fn take_moves(&mut self) -> Vec<Move> {
        self.control.take_moves()
    }

    /// Decides whether one more call may start. Exactly when the open wait ends, a probe may.
    ///
    /// # Errors
    /// [`Rejection`] if the call must not start.
    pub fn try_acquire(&mut self, now: Timestamp, unit: f64) -> Result<Admission, Rejection> {
        self.control.acquire(&self.tally, now, unit)
    }

    /// Takes the verdict on an admitted call. One of an older generation is only counted.
    pub fn record(&mut self, admission: Admission, verdict: Verdict, now: Timestamp, unit: f64) {
        self.control
            .record(&self.tally, admission, verdict, now, unit);
    }

    /// Takes back an admission whose call was given up: counted as cancelled, moves no state, frees its slot.
    pub fn cancel(&mut self, admission: Admission, now: Timestamp, unit: f64) {
        self.control.cancel(&self.tally, admission, now, unit);
    }

    /// Settles what time alone has decided by `now`: expired overrides, lost probes, calls in flight past the slow
    /// limit. Cheap; needed only so that events come in time while nobody calls.
    pub fn tick(&mut self, now: Timestamp, unit: f64) {
        self.control.settle(&self.tally, now, unit);
    }

    /// What [`try_acquire`](Self::try_acquire) would meet, without moving anything. Calls in flight past the slow
    /// limit that nobody has noticed yet are left out.
    pub fn availability(&self, now: Timestamp) -> Availability {
        self.control.availability(now)
    }

    /// Opens by hand, with the usual open wait. Does nothing and answers `false` if it is open already (its deadline
    /// stays as it is) or overridden.
    pub fn trip(&mut self, why: &str, now: Timestamp, unit: f64) -> bool {
        self.control.trip(&self.tally, why, now, unit)
    }

    /// Refuses every call until released or expired.
    pub fn force_open(&mut self, by: Override, now: Timestamp, unit: f64) {
        self.control.force_open(&self.tally, by, now, unit);
    }

    /// Lets every call through, unjudged, until released or expired.
    pub fn disable(&mut self, by: Override, now: Timestamp, unit: f64) {
        self.control.disable(&self.tally, by, now, unit);
    }

    /// Lets every call through, judged but without consequence, until released or expired.
    pub fn metrics_only(&mut self, by: Override, now: Timestamp, unit: f64) {
        self.control.metrics_only(&self.tally, by, now, unit);
    }

    /// Lifts an override: back to closed, or to open with its own deadline if it was open (or half-open: then a probe
    /// is due at once) beneath; windows are empty. An automatic opening gets its probe due at once instead.
    /// Answers whether there was anything to release.
    pub fn release(&mut self, actor: &str, now: Timestamp, unit: f64) -> bool {
        self.control.release(&self.tally, actor, now, unit)
    }

    /// Swaps the settings; state, deadlines, rows and windows are kept (a window of another size keeps its latest
    /// outcomes). The new thresholds hold from the next outcome on. A change detector that learns starts to anew.
    pub fn reconfigure(&mut self, config: Config, now: Timestamp) {
        self.control.reconfigure(&self.tally, config, now);
    }

    /// The state with remaining durations, to be stored.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        self.control.snapshot(now)
    }

    /// Takes over a stored state: open keeps its remaining time, half-open becomes open with a probe due now,
    /// overrides keep theirs; windows are empty, counts stay. Permits issued before are of an older generation.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.control.restore(&self.tally, snapshot, now);
    }
}
