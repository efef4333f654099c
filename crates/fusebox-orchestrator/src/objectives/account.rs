//! One agent's outages against its objective.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fusebox_breaker::{Availability, Breaker, Clock, State, Timestamp, Transition, Verdict};
use tokio::task::AbortHandle;

use super::{RtoAccount, RtoOutage};
use crate::event::{EventKind, Events};
use crate::ledger::{RtoVerdict, verdict};
use crate::time::millis;

/// The part of an objective after which an outage puts it at risk: what is left then is time for one more look.
const AT_RISK: f64 = 0.8;

#[derive(Debug)]
pub(super) struct Account {
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    events: Events,
    /// Whether a call has failed since the last that succeeded, or the agent is away.
    troubled: AtomicBool,
    state: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// The first failure since the last success, while the breaker is closed.
    failing_since: Option<Timestamp>,
    outage: Option<Outage>,
    met: u64,
    breached: u64,
    worst: Duration,
    total: Duration,
    last: Option<RtoOutage>,
}

#[derive(Debug)]
struct Outage {
    since: Timestamp,
    /// How long it had lasted when this engine heard of it.
    carried: Duration,
    detect: Option<Duration>,
    isolate: Option<Duration>,
    resume: Option<Duration>,
    at_risk: bool,
    watch: Option<AbortHandle>,
}

impl Outage {
    fn away(&self, now: Timestamp) -> Duration {
        now.saturating_since(self.since) + self.carried
    }

    fn told(&self, away: Duration, objective: Option<Duration>, over: bool) -> RtoOutage {
        RtoOutage {
            detect_ms: self.detect.map(millis),
            isolate_ms: self.isolate.map(millis),
            resume_ms: self.resume.map(millis),
            verified_ms: over.then(|| millis(away)),
            away_ms: millis(away),
            verdict: verdict(away, objective, over),
            at_risk: self.at_risk,
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl Account {
    pub(super) fn new(breaker: Breaker, clock: Arc<dyn Clock>, events: Events) -> Self {
        Self {
            breaker,
            clock,
            events,
            troubled: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(super) fn record(self: &Arc<Self>, transition: &Transition) {
        match transition.to {
            State::Open => self.opened(transition.at, Duration::ZERO),
            State::Closed => self.closed(transition.at),
            _ => {}
        }
    }

    pub(super) fn carry(self: &Arc<Self>, away: Duration) {
        self.opened(self.clock.now(), away);
    }

    fn opened(self: &Arc<Self>, at: Timestamp, carried: Duration) {
        let mut books = self.books();
        if books.outage.is_none() {
            self.troubled.store(true, Ordering::Relaxed);
            let detect = books.failing_since.take();
            let is_calm = self.breaker.counts().in_flight() == 0;
            books.outage = Some(Outage {
                since: at,
                carried,
                detect: detect.map(|since| at.saturating_since(since)),
                isolate: is_calm.then_some(Duration::ZERO),
                resume: None,
                at_risk: false,
                watch: self
                    .objective()
                    .map(|objective| self.watch(objective, carried)),
            });
        }
        // Known at once: the next probe comes too late.
        let probe = match self.breaker.availability() {
            Availability::NotBefore(wait) => wait,
            _ => Duration::ZERO,
        };
        self.consider(&mut books, probe);
    }

    fn closed(&self, at: Timestamp) {
        let mut books = self.books();
        books.failing_since = None;
        self.troubled.store(false, Ordering::Relaxed);
        let Some(outage) = books.outage.take() else {
            return;
        };
        let (took, objective) = (outage.away(at), self.objective());
        let told = outage.told(took, objective, true);
        match told.verdict {
            RtoVerdict::Breached => books.breached += 1,
            _ => books.met += 1,
        }
        books.worst = books.worst.max(took);
        books.total += took;
        books.last = Some(told);
        drop(books);
        self.events.of_engine(EventKind::Recovered {
            agent: self.breaker.name().to_string(),
            took_ms: millis(took),
            objective_ms: objective.map(millis),
            verdict: told.verdict,
            detect_ms: told.detect_ms,
            resume_ms: told.resume_ms,
        });
    }

    pub(super) fn attempt(&self, verdict: Verdict) {
        let success = match verdict {
            Verdict::Success => true,
            Verdict::Neutral => return,
            _ => false,
        };
        if success && !self.troubled.load(Ordering::Relaxed) {
            return;
        }
        let now = self.clock.now();
        let mut books = self.books();
        let Some(outage) = &mut books.outage else {
            self.troubled.store(!success, Ordering::Relaxed);
            books.failing_since = match books.failing_since {
                _ if success => None,
                since => since.or(Some(now)),
            };
            return;
        };
        let away = outage.away(now);
        if outage.isolate.is_none() && self.breaker.counts().in_flight() == 0 {
            outage.isolate = Some(away);
        }
        if success {
            outage.resume.get_or_insert(away);
        }
    }

    pub(super) fn told(&self) -> RtoAccount {
        let now = self.clock.now();
        let (books, objective) = (self.books(), self.objective());
        let away = books.outage.as_ref().map(|outage| outage.away(now));
        let current = books.outage.as_ref().zip(away);
        let current = current.map(|(outage, away)| outage.told(away, objective, false));
        let is_breached = current.is_some_and(|outage| outage.verdict == RtoVerdict::Breached);
        RtoAccount {
            agent: self.breaker.name().to_string(),
            objective_ms: objective.map(millis),
            met: books.met,
            breached: books.breached + u64::from(is_breached),
            worst_ms: millis(books.worst.max(away.unwrap_or_default())),
            total_ms: millis(books.total + away.unwrap_or_default()),
            current,
            last: books.last,
        }
    }

    /// Tells, once per outage, that its objective is at risk: most of it has passed, or the next probe is due only
    /// after it.
    fn consider(&self, books: &mut Books, probe: Duration) {
        let (Some(objective), Some(outage)) = (self.objective(), &mut books.outage) else {
            return;
        };
        let away = outage.away(self.clock.now());
        let is_at_risk = away >= objective.mul_f64(AT_RISK) || away + probe > objective;
        if is_at_risk && !std::mem::replace(&mut outage.at_risk, true) {
            self.events.of_engine(EventKind::ObjectiveAtRisk {
                agent: self.breaker.name().to_string(),
                away_ms: millis(away),
                objective_ms: millis(objective),
                probe_in_ms: millis(probe),
            });
        }
    }

    /// Looks when the objective comes at risk and when it is missed. Ends with the outage.
    fn watch(self: &Arc<Self>, objective: Duration, carried: Duration) -> AbortHandle {
        let account = Arc::downgrade(self);
        let risk = objective.mul_f64(AT_RISK).saturating_sub(carried);
        // An outage that lasts exactly as long as the objective still meets it.
        let missed = objective.saturating_sub(carried) + Duration::from_millis(1);
        let task = tokio::spawn(async move {
            tokio::time::sleep(risk).await;
            told(&account, |account| {
                account.consider(&mut account.books(), Duration::ZERO);
            });
            tokio::time::sleep(missed.saturating_sub(risk)).await;
            told(&account, Account::miss);
        });
        task.abort_handle()
    }

    fn miss(&self) {
        let now = self.clock.now();
        let away = self.books().outage.as_ref().map(|outage| outage.away(now));
        if let Some((away, objective)) = away.zip(self.objective()) {
            self.events.of_engine(EventKind::ObjectiveBreached {
                agent: self.breaker.name().to_string(),
                away_ms: millis(away),
                objective_ms: millis(objective),
            });
        }
    }

    fn objective(&self) -> Option<Duration> {
        self.breaker.config().recovery_objective()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // No update leaves them half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks an account that may be gone with its engine.
fn told(account: &Weak<Account>, ask: impl FnOnce(&Account)) {
    if let Some(account) = account.upgrade() {
        ask(&account);
    }
}
