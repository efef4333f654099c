//! The states and the moves between them: what the machine and the handle share.
//!
//! Time and chance come in as arguments. The running account lies beside it in a [`Tally`]; every method that may
//! move takes it along, and starts a new stretch of it with every move.

mod availability;
mod phase;
mod stored;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::cusum::Design;
use crate::machine::{Admission, Move, Override, Rejection, Trial};
use crate::outcome::{Availability, Counts, FailureKind, State, Verdict};
use crate::rules::Ramp;
use crate::tally::{Ended, Past, Renewal, Seat, Tally};
use crate::ticks::{Ticks, Totals};
use crate::transition::{Reason, millis_up};
use crate::word::{Chores, Word};

use phase::{Beneath, Phase, Probe};

/// Moves whose reasons are remembered, for refusals that are read after the breaker has moved on.
const HISTORY: usize = 4;

/// Shares add up to whole calls but for the rounding of sums.
const WHOLE: f64 = 1.0 - 1e-9;

#[derive(Debug)]
pub(crate) struct Control {
    config: Arc<Config>,
    /// Of the settings it was built with: where the account lies follows from them.
    first_chores: Chores,
    phase: Phase,
    /// Why the breaker is in its phase; none before the first move.
    reason: Option<Reason>,
    history: VecDeque<(u64, Reason)>,
    generation: u64,
    /// Grows with every generation and every change of layout.
    fence: u64,
    level: u32,
    /// Openings without sustained health between them.
    openings: u32,
    past: Past,
    ticks: Ticks,
    probes_issued: u32,
    would_have_rejected: u64,
    /// Baseline as the change detector has learned it.
    baseline: Option<f64>,
    moves: Vec<Move>,
}

impl Control {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self {
            first_chores: config.chores(),
            config,
            // Since when it is closed matters only once it has been open.
            phase: Phase::Closed {
                since: Timestamp::default(),
            },
            reason: None,
            history: VecDeque::new(),
            generation: 0,
            fence: 0,
            level: 0,
            openings: 0,
            past: Past::default(),
            ticks: Ticks::default(),
            probes_issued: 0,
            would_have_rejected: 0,
            baseline: None,
            moves: Vec::new(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn state(&self) -> State {
        self.phase.state()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// Why it was in the state that began with `generation`, if that is not too long ago.
    pub(crate) fn reason_of(&self, generation: u64) -> Option<&Reason> {
        let found = self.history.iter().find(|(of, _)| *of == generation);
        found.map(|(_, reason)| reason)
    }

    pub(crate) fn would_have_rejected(&self) -> u64 {
        self.would_have_rejected
    }

    pub(crate) fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    pub(crate) fn counts(&self, tally: &Tally) -> Counts {
        tally.counts(&self.past, self.level)
    }

    pub(crate) fn is_idle(&self, tally: &Tally) -> bool {
        self.past.spilled == 0 && tally.is_idle()
    }

    /// The state word that tells the lock-free path what is the case.
    pub(crate) fn word(&self) -> Word {
        Word::new(
            self.state(),
            self.generation,
            self.fence,
            self.level,
            self.chores(),
        )
    }

    /// A slow limit that was lifted leaves the account where it is, which calls without chores do not look for.
    fn chores(&self) -> Chores {
        let chores = self.config.chores();
        Chores {
            at_start: chores.at_start || self.first_chores.at_start,
            at_end: chores.at_end || self.first_chores.at_start,
        }
    }

    /// Until when the lock-free path may refuse by itself.
    pub(crate) fn refuses_until(&self) -> Timestamp {
        match &self.phase {
            Phase::Open { due, .. } => *due,
            // With an expiry the earliest call is the later of two moments, which the slow path works out.
            Phase::Overridden {
                state: State::ForcedOpen,
                until: None,
                ..
            } => Timestamp::from_nanos(u64::MAX),
            _ => Timestamp::default(),
        }
    }

    pub(crate) fn acquire(
        &mut self,
        tally: &Tally,
        now: Timestamp,
        unit: f64,
    ) -> Result<Admission, Rejection> {
        self.settle(tally, now, unit);
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
            self.enter(tally, half_open, reason, now);
        }
        let Some(trial) = self.trial(now) else {
            return Err(self.reject(tally, now));
        };
        let (seat, started) = self.seat(tally, now);
        Ok(Admission::new(self.word(), trial, seat, started))
    }

    /// Whether one more call may start, and as what.
    fn trial(&mut self, now: Timestamp) -> Option<Trial> {
        let expires = now + self.config.probe_deadline();
        let slots = self.config.max_concurrent_probes() as usize;
        match &mut self.phase {
            Phase::HalfOpen { probes, .. } => {
                if probes.len() >= slots {
                    return None;
                }
                let id = self.probes_issued;
                self.probes_issued = self.probes_issued.wrapping_add(1);
                probes.push(Probe { id, expires });
                Some(Trial::Probe(id))
            }
            Phase::Ramp {
                step,
                credit,
                first,
                ..
            } => {
                *credit += share(&self.config, *step);
                if *credit < WHOLE {
                    return None;
                }
                *credit -= 1.0;
                first.get_or_insert(now);
                Some(Trial::Ramp)
            }
            Phase::Open { .. } => None,
            Phase::Overridden { state, .. } if *state == State::ForcedOpen => None,
            Phase::Overridden { shadow, .. } => {
                if shadow.is_some_and(|until| now < until) {
                    self.would_have_rejected += 1;
                }
                Some(Trial::None)
            }
            Phase::Closed { .. } => Some(Trial::None),
        }
    }

    fn seat(&mut self, tally: &Tally, now: Timestamp) -> (Seat, Option<Timestamp>) {
        let judged = match &self.phase {
            Phase::Closed { .. } => true,
            Phase::Overridden { state, .. } => *state == State::MetricsOnly,
            _ => false,
        };
        // A move since the last turn has left no cohort under way.
        self.ticks.turn(tally, &self.config, now);
        let entered = if judged {
            tally.enter(self.word(), || now)
        } else {
            let seat = tally.enter_unjudged(self.word());
            seat.map(|seat| (seat, None))
        };
        entered.unwrap_or_else(|| {
            self.past.spilled += 1;
            (Seat::Spilled, Some(now))
        })
    }

    pub(crate) fn record(
        &mut self,
        tally: &Tally,
        admission: Admission,
        verdict: Verdict,
        now: Timestamp,
        unit: f64,
    ) {
        // Settled first: a probe that answers past its deadline is already lost, whether or not anyone had noticed.
        self.settle(tally, now, unit);
        let of_now = admission.generation() == self.generation;
        if of_now {
            self.give_back(admission);
        }
        if verdict == Verdict::Neutral {
            self.leave(tally, admission, now);
            tally.ignore();
            return;
        }
        if verdict == Verdict::Failure(FailureKind::TimedOut) {
            tally.time_out();
        }
        let tallied = of_now && self.tallies(now, verdict);
        if !tallied {
            self.leave(tally, admission, now);
            self.past.ended += 1;
            self.past.failed += u64::from(verdict.is_failure());
        } else {
            if admission.is_spilled() {
                self.past.spilled -= 1;
            }
            let ended = tally.end(self.word(), &admission, verdict, now);
            if ended == Ended::Judge {
                self.judge(tally, now, unit);
            }
        }
        if of_now && !tallied {
            self.decide(tally, verdict, now, unit);
        }
    }

    /// What an ending that the lock-free path counted has left to do.
    pub(crate) fn finish(
        &mut self,
        tally: &Tally,
        (admission, ended): (Admission, Ended),
        verdict: Verdict,
        now: Timestamp,
        unit: f64,
    ) {
        match ended {
            Ended::Done => {}
            Ended::Judge => {
                self.settle(tally, now, unit);
                if admission.generation() == self.generation {
                    self.judge(tally, now, unit);
                }
            }
            Ended::Late => {
                // It is not in flight any more, whatever its seat was; a time-out was counted as one.
                self.settle(tally, now, unit);
                if admission.generation() == self.generation && self.tallies(now, verdict) {
                    let ended = tally.end(self.word(), &admission.without_seat(), verdict, now);
                    if ended == Ended::Judge {
                        self.judge(tally, now, unit);
                    }
                } else {
                    self.past.ended += 1;
                    self.past.failed += u64::from(verdict.is_failure());
                }
            }
            Ended::LateFailure => self.past.failed += u64::from(verdict.is_failure()),
        }
    }

    /// Whether a verdict of the present generation goes into the windows.
    fn tallies(&self, now: Timestamp, verdict: Verdict) -> bool {
        match &self.phase {
            Phase::Closed { .. } => !matches!(verdict, Verdict::TripUntil(_)),
            Phase::Overridden { state, shadow, .. } => {
                *state == State::MetricsOnly && shadow.is_none_or(|until| until <= now)
            }
            _ => false,
        }
    }

    fn leave(&mut self, tally: &Tally, admission: Admission, now: Timestamp) {
        if admission.is_spilled() {
            self.past.spilled -= 1;
        }
        tally.leave(self.word(), &admission, now);
    }

    pub(crate) fn cancel(
        &mut self,
        tally: &Tally,
        admission: Admission,
        now: Timestamp,
        unit: f64,
    ) {
        self.settle(tally, now, unit);
        self.leave(tally, admission, now);
        tally.cancel();
        if admission.generation() == self.generation {
            self.give_back(admission);
        }
    }

    /// Settles what time alone has decided by `now`.
    pub(crate) fn settle(&mut self, tally: &Tally, now: Timestamp, unit: f64) {
        let overdue = self.ticks.turn(tally, &self.config, now);
        match &self.phase {
            Phase::Overridden {
                until: Some(until),
                beneath,
                ..
            } if *until <= now => {
                let (at, phase) = (*until, beneath.phase(*until));
                self.enter(tally, phase, Reason::Expired, at);
            }
            Phase::HalfOpen { probes, .. } => {
                let expired = probes.iter().map(|probe| probe.expires).min();
                if let Some(at) = expired.filter(|expires| *expires <= now) {
                    self.lose(tally, at, unit);
                }
            }
            Phase::Ramp { .. } => self.settle_ramp(tally, now, unit),
            Phase::Closed { .. } if overdue => self.judge(tally, now, unit),
            Phase::Overridden { state, .. } if overdue && *state == State::MetricsOnly => {
                self.judge(tally, now, unit);
            }
            _ => {}
        }
    }

    fn settle_ramp(&mut self, tally: &Tally, now: Timestamp, unit: f64) {
        let deadline = self.config.probe_deadline();
        let Phase::Ramp {
            step,
            since,
            first,
            successes,
            failures,
            ..
        } = &self.phase
        else {
            return;
        };
        let steps = ramp(&self.config).steps.len();
        let over = *since + ramp(&self.config).step_duration <= now;
        let silent = successes + failures == 0;
        if let Some(lost) = first.map(|first| first + deadline)
            && silent
            && lost <= now
        {
            self.lose(tally, lost, unit);
        } else if over && *successes > 0 && step + 1 < steps {
            self.phase = self.ramp_step(step + 1, now);
        } else if over && *successes > 0 {
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            let closed = Phase::Closed { since: now };
            self.enter(tally, closed, Reason::RampCompleted { steps }, now);
        }
    }

    fn ramp_step(&self, step: usize, since: Timestamp) -> Phase {
        Phase::Ramp {
            step,
            since,
            // The first call of a step is always admitted, so a quiet breaker gets on too.
            credit: 1.0 - share(&self.config, step),
            first: None,
            successes: 0,
            failures: 0,
        }
    }

    fn lose(&mut self, tally: &Tally, at: Timestamp, unit: f64) {
        let deadline_ms = millis_up(self.config.probe_deadline());
        self.open(tally, Reason::ProbeLost { deadline_ms }, None, at, unit);
    }

    /// Judges what the windows hold, and lays them out anew once their account is full.
    fn judge(&mut self, tally: &Tally, now: Timestamp, unit: f64) {
        let params = tally.params(self.level);
        let mut figures = tally.figures(params, self.word().fence());
        let mut rules = self.config.rules();
        let mut facts = self.config.facts();
        if let Some(extra) = tally.extra() {
            figures.overdue = self.ticks.overdue(tally);
            rules.sum = if rules.sum > 0 { extra.limit() } else { 0 };
            facts.baseline = self.baseline.unwrap_or(facts.baseline);
        }
        if let Some(reason) = rules.reason(&figures, &facts) {
            self.trip_by(tally, reason, None, now, unit);
            return;
        }
        self.learn(tally);
        if tally.is_full() {
            self.relayout(tally, false, now);
        }
    }

    /// A rule holds: opens, or notes that it would have opened.
    fn trip_by(
        &mut self,
        tally: &Tally,
        reason: Reason,
        floor: Option<Duration>,
        now: Timestamp,
        unit: f64,
    ) {
        match &mut self.phase {
            Phase::Closed { .. } => self.open(tally, reason, floor, now, unit),
            Phase::Overridden { state, shadow, .. } if *state == State::MetricsOnly => {
                *shadow = Some(now + self.config.open_wait(1, floor, unit));
                self.fence += 1;
                tally.restart(self.fence, self.level, &mut self.past);
                self.ticks.restart(Totals::default());
            }
            _ => {}
        }
    }

    /// Takes the change detector's baseline from what it has learned, when it is time to.
    fn learn(&mut self, tally: &Tally) {
        let Some(detector) = self.config.change_detector() else {
            return;
        };
        let (Some(learning), Some(extra)) = (detector.learning, tally.extra()) else {
            return;
        };
        if let Some(rate) = extra.relearn(learning.horizon) {
            let baseline = rate.clamp(learning.floor.max(0.001), 0.5);
            // Tuning costs up to milliseconds at the lowest baselines; a tenth off is near enough.
            let known = self.baseline.unwrap_or(detector.baseline_failure_rate);
            if (baseline / known - 1.0).abs() > 0.1 {
                extra.retune(Design::for_detector(&detector, baseline));
                self.baseline = Some(baseline);
            }
        }
    }

    fn relayout(&mut self, tally: &Tally, retune: bool, now: Timestamp) {
        let before = tally.totals();
        let old = self.word().fence();
        self.fence += 1;
        let renewal = Renewal {
            fences: (old, self.fence),
            retune,
            forget: self.ticks.must_forget(tally, &self.config, self.fence),
        };
        let (level, after) = tally.relayout(self.level, renewal, &self.config, &mut self.past);
        self.level = level;
        self.ticks.relayout(&self.config, before, after);
        let overdue = self.ticks.turn(tally, &self.config, now);
        if overdue && let Some(extra) = tally.extra() {
            // The next call judges by the new settings.
            extra.set_next_tick(0);
        }
    }

    /// Opens by hand, with the usual open wait. Does nothing and answers `false` if it is open already (its deadline
    /// stays as it is) or overridden.
    pub(crate) fn trip(&mut self, tally: &Tally, why: &str, now: Timestamp, unit: f64) -> bool {
        self.settle(tally, now, unit);
        let trips = matches!(
            self.phase,
            Phase::Closed { .. } | Phase::HalfOpen { .. } | Phase::Ramp { .. }
        );
        if trips {
            let why = why.to_owned();
            self.open(tally, Reason::Tripped { why }, None, now, unit);
        }
        trips
    }

    /// Refuses every call until released or expired.
    pub(crate) fn force_open(&mut self, tally: &Tally, by: Override, now: Timestamp, unit: f64) {
        self.override_with(tally, State::ForcedOpen, by, now, unit);
    }

    /// Lets every call through, unjudged, until released or expired.
    pub(crate) fn disable(&mut self, tally: &Tally, by: Override, now: Timestamp, unit: f64) {
        self.override_with(tally, State::Disabled, by, now, unit);
    }

    /// Lets every call through, judged but without consequence, until released or expired.
    pub(crate) fn metrics_only(&mut self, tally: &Tally, by: Override, now: Timestamp, unit: f64) {
        self.override_with(tally, State::MetricsOnly, by, now, unit);
    }

    /// Lifts an override: back to closed, or to open with its own deadline if it was open (or half-open: then a probe
    /// is due at once) beneath; windows are empty. An automatic opening gets its probe due at once instead.
    /// Answers whether there was anything to release.
    pub(crate) fn release(
        &mut self,
        tally: &Tally,
        actor: &str,
        now: Timestamp,
        unit: f64,
    ) -> bool {
        self.settle(tally, now, unit);
        match &mut self.phase {
            Phase::Overridden { beneath, .. } => {
                let phase = beneath.phase(now);
                let actor = actor.to_owned();
                self.enter(tally, phase, Reason::Released { actor }, now);
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
    pub(crate) fn reconfigure(&mut self, tally: &Tally, config: Config, now: Timestamp) {
        self.baseline = None;
        self.config = Arc::new(config);
        self.relayout(tally, true, now);
    }

    /// Takes a verdict of the present generation that no window holds.
    fn decide(&mut self, tally: &Tally, verdict: Verdict, now: Timestamp, unit: f64) {
        if let Phase::Ramp {
            successes,
            failures,
            ..
        } = &mut self.phase
        {
            let failed = verdict.is_failure();
            *successes += u32::from(!failed);
            *failures += u32::from(failed);
        }
        match (&mut self.phase, verdict) {
            (_, Verdict::Neutral) => {}
            (
                Phase::Closed { .. } | Phase::HalfOpen { .. } | Phase::Ramp { .. },
                Verdict::TripUntil(hint),
            ) => {
                self.open(
                    tally,
                    Reason::TripUntil { wait_ms: 0 },
                    Some(hint),
                    now,
                    unit,
                );
            }
            (Phase::HalfOpen { successes, .. }, Verdict::Success) => {
                *successes += 1;
                let successes = *successes;
                if successes >= self.config.successes_to_close() {
                    let phase = match self.config.ramp() {
                        Some(_) => self.ramp_step(0, now),
                        None => Phase::Closed { since: now },
                    };
                    self.enter(tally, phase, Reason::ProbesSucceeded { successes }, now);
                }
            }
            (Phase::HalfOpen { .. }, Verdict::Failure(_)) => {
                self.open(tally, Reason::ProbeFailed, None, now, unit);
            }
            (Phase::Ramp { .. }, Verdict::Failure(_)) => self.judge_ramp(tally, now, unit),
            (Phase::Ramp { .. }, Verdict::Success) => self.settle_ramp(tally, now, unit),
            // Closed breakers' outcomes are in the windows; open and forced open admit nothing, so no outcome is of
            // their generation; disabled judges nothing, and metrics only not while it would have been open.
            (Phase::Closed { .. } | Phase::Open { .. } | Phase::Overridden { .. }, _) => {}
        }
    }

    fn judge_ramp(&mut self, tally: &Tally, now: Timestamp, unit: f64) {
        let Phase::Ramp {
            step,
            successes,
            failures,
            ..
        } = self.phase
        else {
            return;
        };
        let calls = successes.saturating_add(failures);
        if f64::from(failures) / f64::from(calls) >= ramp(&self.config).failure_rate_threshold {
            let reason = Reason::RampFailed {
                failures,
                calls,
                admits: share(&self.config, step),
            };
            self.open(tally, reason, None, now, unit);
        }
    }

    /// Opens at `at`; the wait is drawn here, once. `floor` is a server's hint.
    fn open(
        &mut self,
        tally: &Tally,
        reason: Reason,
        floor: Option<Duration>,
        at: Timestamp,
        unit: f64,
    ) {
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
        self.enter(tally, open, reason, at);
    }

    fn override_with(
        &mut self,
        tally: &Tally,
        state: State,
        by: Override,
        now: Timestamp,
        unit: f64,
    ) {
        self.settle(tally, now, unit);
        let beneath = match &self.phase {
            Phase::Closed { .. } => Beneath::Closed,
            Phase::Open { due, .. } => Beneath::Open { due: *due },
            Phase::HalfOpen { .. } | Phase::Ramp { .. } => Beneath::Open { due: now },
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
            shadow: None,
        };
        self.enter(tally, phase, Reason::Forced { reason, actor }, now);
    }

    /// The only place that changes the phase: a new generation with empty windows, and one move to report.
    fn enter(&mut self, tally: &Tally, phase: Phase, reason: Reason, at: Timestamp) {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.fence += 1;
        tally.restart(self.fence, self.level, &mut self.past);
        self.ticks.restart(Totals::default());
        self.reason = Some(reason.clone());
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((self.generation, reason.clone()));
        self.moves.push(Move {
            from,
            to: self.state(),
            reason,
            at,
            generation: self.generation,
        });
    }

    fn give_back(&mut self, admission: Admission) {
        if let (Phase::HalfOpen { probes, .. }, Trial::Probe(id)) =
            (&mut self.phase, admission.trial())
        {
            probes.retain(|probe| probe.id != id);
        }
    }

    fn reject(&self, tally: &Tally, now: Timestamp) -> Rejection {
        tally.reject();
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
}

/// The ramp of a breaker that is in one; a reconfiguration may have taken it away since.
fn ramp(config: &Config) -> &Ramp {
    static DONE: Ramp = Ramp {
        steps: Vec::new(),
        step_duration: Duration::ZERO,
        failure_rate_threshold: 1.0,
    };
    config.ramp().unwrap_or(&DONE)
}

fn share(config: &Config, step: usize) -> f64 {
    ramp(config).steps.get(step).copied().unwrap_or(1.0)
}
