//! The state machine alone: no clock, no chance, no lock.
//!
//! Every method takes the present moment, and where a wait may be drawn also `unit`, a uniform draw from `0.0..1.0`.
//! The same arguments give the same machine, so any history can be replayed. [`Breaker`](crate::Breaker) is the
//! handle most programs use; the machine serves simulations.
//!
//! Every method that moves first settles what time alone has decided: an override that expired, a probe whose
//! deadline passed. Both take effect at their own moment, not at the one they were noticed.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::outcome::{Availability, Counts, FailureKind, State, Verdict};
use crate::snapshot::{Forced, Snapshot};
use crate::transition::Reason;
use crate::window::CountRing;

/// While every probe slot is taken, callers are told to look again after this part of the open wait.
const PROBE_POLLS_PER_WAIT: u32 = 4;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an admission that is neither recorded nor cancelled stays in flight"]
pub struct Admission {
    generation: u64,
    probe: Option<u64>,
}

impl Admission {
    /// Generation it was issued in.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it holds a probe slot.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
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
#[derive(Debug, Clone)]
pub struct Machine {
    config: Config,
    phase: Phase,
    /// Why the machine is in its phase; none before the first move.
    reason: Option<Reason>,
    generation: u64,
    /// Openings without sustained health between them.
    openings: u32,
    consecutive: u32,
    window: Option<CountRing>,
    counts: Counts,
    probes_issued: u64,
    moves: Vec<Move>,
}

#[derive(Debug, Clone)]
enum Phase {
    Closed {
        since: Timestamp,
    },
    Open {
        due: Timestamp,
        /// Who made the probe due at once, if anyone did.
        released_by: Option<String>,
    },
    HalfOpen {
        probes: Vec<Probe>,
        successes: u32,
    },
    Overridden {
        state: State,
        reason: String,
        actor: String,
        until: Option<Timestamp>,
        beneath: Beneath,
    },
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    id: u64,
    expires: Timestamp,
}

/// What an override lies upon, and gives way to.
#[derive(Debug, Clone, Copy)]
enum Beneath {
    Closed,
    Open { due: Timestamp },
}

impl Beneath {
    fn phase(self, at: Timestamp) -> Phase {
        match self {
            Self::Closed => Phase::Closed { since: at },
            Self::Open { due } => Phase::Open {
                due,
                released_by: None,
            },
        }
    }

    fn availability(self, now: Timestamp) -> Availability {
        match self {
            Self::Closed => Availability::Ready,
            Self::Open { due } => until_probe(due, now),
        }
    }

    /// Earliest moment at which a call could pass once the override is gone.
    fn due(self) -> Timestamp {
        match self {
            Self::Closed => Timestamp::default(),
            Self::Open { due } => due,
        }
    }
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
            Self::Overridden { state, .. } => *state,
        }
    }
}

impl Machine {
    /// A closed machine with empty windows.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let window = config.count_window().map(|rule| CountRing::new(rule.size));
        Self {
            config,
            phase: Phase::Closed { since: now },
            reason: None,
            generation: 0,
            openings: 0,
            consecutive: 0,
            window,
            counts: Counts::default(),
            probes_issued: 0,
            moves: Vec::new(),
        }
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The state as of the last settling.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Starts at 0 and grows with every move.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Why it is in its state; none before the first move.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// Calls so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The moves since the last call of this method, in order.
    pub fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// Decides whether one more call may start. Exactly when the open wait ends, a probe may.
    ///
    /// # Errors
    /// [`Rejection`] if the call must not start.
    pub fn try_acquire(&mut self, now: Timestamp, unit: f64) -> Result<Admission, Rejection> {
        self.tick(now, unit);
        if let Phase::Open { due, released_by } = &mut self.phase
            && *due <= now
        {
            let reason = released_by
                .take()
                .map_or(Reason::WaitElapsed, |actor| Reason::Released { actor });
            let half_open = Phase::HalfOpen {
                probes: Vec::new(),
                successes: 0,
            };
            self.enter(half_open, reason, now);
        }
        let expires = now + self.config.probe_deadline();
        let slots = self.config.max_concurrent_probes() as usize;
        let probe = match &mut self.phase {
            Phase::HalfOpen { probes, .. } if probes.len() < slots => {
                let id = self.probes_issued;
                self.probes_issued += 1;
                probes.push(Probe { id, expires });
                Some(id)
            }
            Phase::HalfOpen { .. } | Phase::Open { .. } => return Err(self.reject(now)),
            Phase::Overridden { state, .. } if *state == State::ForcedOpen => {
                return Err(self.reject(now));
            }
            Phase::Closed { .. } | Phase::Overridden { .. } => None,
        };
        self.counts.admitted += 1;
        Ok(Admission {
            generation: self.generation,
            probe,
        })
    }

    /// Takes the verdict on an admitted call. One of an older generation is only counted.
    pub fn record(&mut self, admission: Admission, verdict: Verdict, now: Timestamp, unit: f64) {
        // Settled first: a probe that answers past its deadline is already lost, whether or not anyone had noticed.
        self.tick(now, unit);
        match verdict {
            Verdict::Success => self.counts.succeeded += 1,
            Verdict::Failure(FailureKind::TimedOut) => self.counts.timed_out += 1,
            Verdict::Failure(_) | Verdict::TripUntil(_) => self.counts.failed += 1,
            Verdict::Neutral => self.counts.ignored += 1,
        }
        if admission.generation == self.generation {
            self.give_back(admission);
            self.judge(verdict, now, unit);
        }
    }

    /// Takes back an admission whose call was given up: counted as cancelled, moves no state, frees its slot.
    pub fn cancel(&mut self, admission: Admission, now: Timestamp, unit: f64) {
        self.tick(now, unit);
        self.counts.cancelled += 1;
        if admission.generation == self.generation {
            self.give_back(admission);
        }
    }

    /// Settles what time alone has decided by `now`: expired overrides, lost probes. Cheap; needed only so that
    /// events come in time while nobody calls.
    pub fn tick(&mut self, now: Timestamp, unit: f64) {
        match &self.phase {
            Phase::Overridden {
                until: Some(until),
                beneath,
                ..
            } if *until <= now => {
                let (at, phase) = (*until, beneath.phase(*until));
                self.enter(phase, Reason::Expired, at);
            }
            Phase::HalfOpen { probes, .. } => {
                let expired = probes.iter().map(|probe| probe.expires).min();
                if let Some(at) = expired.filter(|expires| *expires <= now) {
                    let deadline_ms = millis_up(self.config.probe_deadline());
                    self.open(Reason::ProbeLost { deadline_ms }, None, at, unit);
                }
            }
            _ => {}
        }
    }

    /// What [`try_acquire`](Self::try_acquire) would meet, without moving anything.
    pub fn availability(&self, now: Timestamp) -> Availability {
        match &self.phase {
            Phase::Closed { .. } => Availability::Ready,
            Phase::Open { due, .. } => until_probe(*due, now),
            Phase::HalfOpen { probes, .. } => self.half_open_availability(probes, now),
            Phase::Overridden {
                until: Some(until),
                beneath,
                ..
            } if *until <= now => beneath.availability(now),
            Phase::Overridden {
                state: State::ForcedOpen,
                until,
                beneath,
                ..
            } => match until {
                None => Availability::Never,
                Some(until) => {
                    Availability::NotBefore((*until).max(beneath.due()).saturating_since(now))
                }
            },
            Phase::Overridden { .. } => Availability::Ready,
        }
    }

    /// Opens by hand, with the usual open wait. Does nothing and answers `false` if it is open already (its deadline
    /// stays as it is) or overridden.
    pub fn trip(&mut self, why: &str, now: Timestamp, unit: f64) -> bool {
        self.tick(now, unit);
        let trips = matches!(self.phase, Phase::Closed { .. } | Phase::HalfOpen { .. });
        if trips {
            let why = why.to_owned();
            self.open(Reason::Tripped { why }, None, now, unit);
        }
        trips
    }

    /// Refuses every call until released or expired.
    pub fn force_open(&mut self, by: Override, now: Timestamp, unit: f64) {
        self.override_with(State::ForcedOpen, by, now, unit);
    }

    /// Lets every call through, unjudged, until released or expired.
    pub fn disable(&mut self, by: Override, now: Timestamp, unit: f64) {
        self.override_with(State::Disabled, by, now, unit);
    }

    /// Lets every call through, judged but without consequence, until released or expired.
    pub fn metrics_only(&mut self, by: Override, now: Timestamp, unit: f64) {
        self.override_with(State::MetricsOnly, by, now, unit);
    }

    /// Lifts an override: back to closed, or to open with its own deadline if it was open (or half-open: then a probe
    /// is due at once) beneath; windows are empty. An automatic opening gets its probe due at once instead.
    /// Answers whether there was anything to release.
    pub fn release(&mut self, actor: &str, now: Timestamp, unit: f64) -> bool {
        self.tick(now, unit);
        match &mut self.phase {
            Phase::Overridden { beneath, .. } => {
                let phase = beneath.phase(now);
                let actor = actor.to_owned();
                self.enter(phase, Reason::Released { actor }, now);
                true
            }
            Phase::Open { due, released_by } if *due > now => {
                *due = now;
                *released_by = Some(actor.to_owned());
                true
            }
            _ => false,
        }
    }

    /// Swaps the settings; state, deadlines, rows and windows are kept (a window of another size keeps its latest
    /// outcomes). The new thresholds hold from the next outcome on.
    pub fn reconfigure(&mut self, config: Config) {
        self.window = match (self.window.take(), config.count_window()) {
            (_, None) => None,
            (None, Some(rule)) => Some(CountRing::new(rule.size)),
            (Some(ring), Some(rule)) if ring.size() == rule.size => Some(ring),
            (Some(ring), Some(rule)) => Some(ring.resized(rule.size)),
        };
        self.config = config;
    }

    /// The state with remaining durations, to be stored.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let left = |moment: Timestamp| millis_up(moment.saturating_since(now));
        let (remaining_ms, forced) = match &self.phase {
            Phase::Closed { .. } | Phase::HalfOpen { .. } => (None, None),
            Phase::Open { due, .. } => (Some(left(*due)), None),
            Phase::Overridden {
                reason,
                actor,
                until,
                beneath,
                ..
            } => {
                let open_beneath_ms = match beneath {
                    Beneath::Closed => None,
                    Beneath::Open { due } => Some(left(*due)),
                };
                let forced = Forced {
                    reason: reason.clone(),
                    actor: actor.clone(),
                    open_beneath_ms,
                };
                (until.map(left), Some(forced))
            }
        };
        Snapshot {
            state: self.state(),
            generation: self.generation,
            remaining_ms,
            openings: self.openings,
            reason: self.reason.clone(),
            forced,
        }
    }

    /// Takes over a stored state: open keeps its remaining time, half-open becomes open with a probe due now,
    /// overrides keep theirs; windows are empty, counts stay. Permits issued before are of an older generation.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let after = |ms: u64| now + Duration::from_millis(ms);
        let open = |ms: u64| Phase::Open {
            due: after(ms),
            released_by: None,
        };
        let phase = match snapshot.state {
            State::Closed => Phase::Closed { since: now },
            State::Open => open(snapshot.remaining_ms.unwrap_or(0)),
            State::HalfOpen => open(0),
            state => {
                let forced = snapshot.forced.as_ref();
                let beneath = forced.and_then(|forced| forced.open_beneath_ms);
                Phase::Overridden {
                    state,
                    reason: forced.map_or_else(String::new, |forced| forced.reason.clone()),
                    actor: forced.map_or_else(String::new, |forced| forced.actor.clone()),
                    until: snapshot.remaining_ms.map(after),
                    beneath: beneath.map_or(Beneath::Closed, |ms| Beneath::Open { due: after(ms) }),
                }
            }
        };
        self.openings = snapshot.openings;
        self.generation = self.generation.max(snapshot.generation);
        self.enter(phase, Reason::Restored, now);
        // A start with nothing to take over is not news.
        self.moves
            .pop_if(|step| (step.from, step.to) == (State::Closed, State::Closed));
        // The event says "restored"; whoever asks why it is open wants the reason it once opened for.
        if snapshot.reason.is_some() {
            self.reason.clone_from(&snapshot.reason);
        }
    }

    fn judge(&mut self, verdict: Verdict, now: Timestamp, unit: f64) {
        match (&mut self.phase, verdict) {
            (_, Verdict::Neutral) => {}
            (Phase::Closed { .. }, Verdict::TripUntil(hint)) => {
                self.open(Reason::TripUntil { wait_ms: 0 }, Some(hint), now, unit);
            }
            (Phase::Closed { .. }, _) => {
                self.tally(verdict.is_failure());
                if let Some(reason) = self.trip_reason() {
                    self.open(reason, None, now, unit);
                }
            }
            (Phase::HalfOpen { successes, .. }, Verdict::Success) => {
                *successes += 1;
                let successes = *successes;
                if successes >= self.config.successes_to_close() {
                    let closed = Phase::Closed { since: now };
                    self.enter(closed, Reason::ProbesSucceeded { successes }, now);
                }
            }
            (Phase::HalfOpen { .. }, Verdict::Failure(_)) => {
                self.open(Reason::ProbeFailed, None, now, unit);
            }
            (Phase::HalfOpen { .. }, Verdict::TripUntil(hint)) => {
                self.open(Reason::TripUntil { wait_ms: 0 }, Some(hint), now, unit);
            }
            (Phase::Overridden { state, .. }, _) if *state == State::MetricsOnly => {
                self.tally(verdict.is_failure());
            }
            // Open and forced open admit nothing, so no outcome is of their generation; disabled judges nothing.
            (Phase::Open { .. } | Phase::Overridden { .. }, _) => {}
        }
    }

    fn tally(&mut self, failed: bool) {
        self.consecutive = if failed {
            self.consecutive.saturating_add(1)
        } else {
            0
        };
        if let Some(window) = &mut self.window {
            window.record(failed);
        }
    }

    /// The rule that opens the breaker, if one does; the consecutive rule is named where both do.
    fn trip_reason(&self) -> Option<Reason> {
        let failures = self.consecutive;
        if let Some(threshold) = self.config.consecutive_failures()
            && failures >= threshold
        {
            return Some(Reason::ConsecutiveFailures {
                failures,
                threshold,
            });
        }
        let (rule, window) = (self.config.count_window()?, self.window.as_ref()?);
        let (failures, calls) = (window.failures(), window.calls());
        let threshold = rule.failure_rate_threshold;
        let opens = calls >= rule.minimum_number_of_calls
            && f64::from(failures) / f64::from(calls) >= threshold;
        opens.then_some(Reason::FailureRate {
            failures,
            calls,
            threshold,
        })
    }

    /// Opens at `at`; the wait is drawn here, once. `floor` is a server's hint.
    fn open(&mut self, reason: Reason, floor: Option<Duration>, at: Timestamp, unit: f64) {
        let healthy = match &self.phase {
            // Sustained health: closed for as long as the last open wait, jitter aside.
            Phase::Closed { since } => {
                at.saturating_since(*since) >= self.config.nominal_wait(self.openings)
            }
            _ => false,
        };
        self.openings = if healthy {
            1
        } else {
            self.openings.saturating_add(1)
        };
        let wait = self.config.open_wait(self.openings, floor, unit);
        let reason = match reason {
            Reason::TripUntil { .. } => Reason::TripUntil {
                wait_ms: millis_up(wait),
            },
            reason => reason,
        };
        let open = Phase::Open {
            due: at + wait,
            released_by: None,
        };
        self.enter(open, reason, at);
    }

    fn override_with(&mut self, state: State, by: Override, now: Timestamp, unit: f64) {
        self.tick(now, unit);
        let beneath = match &self.phase {
            Phase::Closed { .. } => Beneath::Closed,
            Phase::Open { due, .. } => Beneath::Open { due: *due },
            Phase::HalfOpen { .. } => Beneath::Open { due: now },
            Phase::Overridden { beneath, .. } => *beneath,
        };
        let Override {
            reason,
            actor,
            expires_in,
        } = by;
        let phase = Phase::Overridden {
            state,
            reason: reason.clone(),
            actor: actor.clone(),
            until: expires_in.map(|after| now + after),
            beneath,
        };
        self.enter(phase, Reason::Forced { reason, actor }, now);
    }

    /// The only place that changes the phase: a new generation with empty windows, and one move to report.
    fn enter(&mut self, phase: Phase, reason: Reason, at: Timestamp) {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.consecutive = 0;
        if let Some(window) = &mut self.window {
            window.clear();
        }
        self.reason = Some(reason.clone());
        self.moves.push(Move {
            from,
            to: self.state(),
            reason,
            at,
            generation: self.generation,
        });
    }

    fn give_back(&mut self, admission: Admission) {
        if let (Phase::HalfOpen { probes, .. }, Some(id)) = (&mut self.phase, admission.probe) {
            probes.retain(|probe| probe.id != id);
        }
    }

    fn reject(&mut self, now: Timestamp) -> Rejection {
        self.counts.rejected += 1;
        let retry_after = match self.availability(now) {
            Availability::NotBefore(after) => Some(after),
            Availability::Ready | Availability::ProbeReady => Some(Duration::ZERO),
            Availability::Never => None,
        };
        Rejection {
            state: self.state(),
            retry_after,
            reason: self.reason.clone(),
        }
    }

    fn half_open_availability(&self, probes: &[Probe], now: Timestamp) -> Availability {
        let Some(expires) = probes.iter().map(|probe| probe.expires).min() else {
            return Availability::ProbeReady;
        };
        if expires <= now {
            // Already lost: the next acquire opens it as of the deadline. Its wait is not drawn yet, so the
            // shortest is told.
            let next = self.openings.saturating_add(1);
            return until_probe(expires + self.config.shortest_wait(next), now);
        }
        if probes.len() < self.config.max_concurrent_probes() as usize {
            return Availability::ProbeReady;
        }
        // A probe may answer at any moment, at the latest at its deadline; telling only the deadline would make
        // waiters sleep through the recovery.
        let poll = self.config.wait_duration_in_open() / PROBE_POLLS_PER_WAIT;
        Availability::NotBefore(poll.min(expires.saturating_since(now)))
    }
}

fn until_probe(due: Timestamp, now: Timestamp) -> Availability {
    if due <= now {
        Availability::ProbeReady
    } else {
        Availability::NotBefore(due.saturating_since(now))
    }
}

/// Whole milliseconds, rounded up: neither does a stored deadline come earlier, nor a short duration become none.
pub(crate) fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
