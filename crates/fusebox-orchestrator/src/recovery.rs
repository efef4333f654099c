//! The way back after an outage: who calls an agent again, in which order, how many at a time.
//!
//! Runs that wait for an agent stand in its line. When the breaker's next probe is due, as many of them go as it takes
//! for probes, and nobody else finds out by being refused. Once it has closed, the line goes in cohorts that grow: each
//! call that succeeds makes room for one more beside it, up to what the agent takes at once. If it opens again the line
//! is back at its probes. The calls' own answers set the pace, so there is no timer to tune and no burst.
//!
//! - **Order in a line**: those whose run must end first, then the oldest. For a probe, one with the fewest failed tries:
//!   a call that cannot succeed does not keep the agent away from the others.
//! - **Waves**: where several agents of a graph are away, those upstream come first. An agent behind one that is away
//!   stays back when its own probe is due, for up to half its first wait again: a failed probe upstream ends the wave there,
//!   and a good one lets the next go at once.
//! - **Caps**: at most so many agents are probed at the same time.
//! - **Forced states win**: an agent that was forced open is not called, one that was disabled is.
//! - **Deadlines**: a run that cannot be served before its objective is told at once, not at its end.
//!
//! Source: cohort release and rotating canaries as in the Altinn workflow engine's decision record "engine failure
//! throttling" (2026); growth by one per success is the slow start of TCP (V. Jacobson, *Congestion Avoidance and
//! Control*, SIGCOMM 1988).

mod board;
mod line;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fusebox_breaker::{Breaker, State};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::board::{Board, Joining};
use self::line::{Look, Place};

/// How the way back is paced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Agents probed at the same time.
    pub(crate) max_agents_probed: usize,
    /// Waiting calls of one agent let go at the same time, where the agent has no limit of its own.
    pub(crate) max_released: usize,
    /// Whether there are lines at all.
    pub(crate) is_paced: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_agents_probed: 4,
            max_released: 64,
            is_paced: true,
        }
    }
}

/// The calls that wait for an agent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waits {
    pub(crate) calls: usize,
    /// How long the one has waited that joined first.
    pub(crate) oldest: Option<Duration>,
}

/// What a waiting call is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// It may be made.
    Turn(Turn),
    /// Its agent will not be back before its run must end.
    Hopeless,
}

/// How a waiting call is told, once.
type Caller = Box<dyn FnOnce(Told) + Send>;

/// A breaker that is moved by hand tells nobody, so the lines are looked at this often at least.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The lines of an engine.
pub(crate) struct Recovery {
    breakers: BTreeMap<String, Breaker>,
    inner: Mutex<Inner>,
    /// Lines there are; read without the lock by every call.
    lines: AtomicUsize,
    changed: Arc<Notify>,
    is_paced: bool,
}

struct Inner {
    board: Board,
    callers: HashMap<u64, Caller>,
    is_driven: bool,
}

/// A call that would like to be made.
pub(crate) struct Request<'a> {
    pub(crate) agent: &'a str,
    /// Calls the agent takes at once.
    pub(crate) bulkhead: Option<usize>,
    pub(crate) tries: u32,
    pub(crate) deadline: Instant,
    pub(crate) not_before: Instant,
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Recovery {
    pub(crate) fn new(breakers: BTreeMap<String, Breaker>, settings: Settings) -> Self {
        Self {
            breakers,
            inner: Mutex::new(Inner {
                board: Board::new(settings),
                callers: HashMap::new(),
                is_driven: false,
            }),
            lines: AtomicUsize::new(0),
            changed: Arc::new(Notify::new()),
            is_paced: settings.is_paced,
        }
    }

    /// Joins the line of an agent; dropping the ticket leaves it. `upstream` are the agents that work before it. The
    /// `caller` is told once and must be quick.
    pub(crate) fn join<'a>(
        self: &Arc<Self>,
        request: Request<'_>,
        upstream: impl Iterator<Item = &'a str>,
        caller: impl FnOnce(Told) + Send + 'static,
    ) -> Ticket {
        let config = self.breakers[request.agent].config();
        let joining = Joining {
            agent: request.agent,
            probes: config.max_concurrent_probes(),
            patience: config.wait_duration_in_open() / 2,
            bulkhead: request.bulkhead,
            tries: request.tries,
            deadline: request.deadline,
            not_before: request.not_before,
        };
        let mut inner = self.inner();
        let place = inner.board.join(joining, upstream);
        inner.callers.insert(place.number, Box::new(caller));
        let is_driven = std::mem::replace(&mut inner.is_driven, true);
        self.count(&inner);
        drop(inner);
        if is_driven {
            self.changed.notify_one();
        } else {
            tokio::spawn(drive(Arc::downgrade(self), Arc::clone(&self.changed)));
        }
        Ticket {
            recovery: Arc::clone(self),
            agent: request.agent.to_owned(),
            place,
        }
    }

    /// Whether a call that has not waited may be made now: always where no line is, else with a turn.
    ///
    /// # Errors
    /// The number of calls before it.
    pub(crate) fn admit(self: &Arc<Self>, agent: &str) -> Result<Option<Turn>, usize> {
        if self.lines.load(Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        let look = look(&self.breakers[agent]);
        let epoch = self.inner().board.admit(agent, look)?;
        Ok(epoch.map(|epoch| Turn::new(self, agent.to_owned(), epoch)))
    }

    /// Whether waiting calls stand in line. If not, each goes when its breaker lets it.
    pub(crate) fn is_paced(&self) -> bool {
        self.is_paced
    }

    /// Whether calls wait for this agent, or went and have not come back.
    pub(crate) fn has_line(&self, agent: &str) -> bool {
        self.lines.load(Ordering::Relaxed) > 0 && self.inner().board.has(agent)
    }

    /// The calls that wait for each agent that has a line.
    pub(crate) fn waiting(&self) -> BTreeMap<String, Waits> {
        let inner = self.inner();
        let waits = inner.board.waits(Instant::now());
        waits
            .map(|(agent, waits)| (agent.to_owned(), waits))
            .collect()
    }

    /// A breaker may have moved.
    pub(crate) fn look_again(&self) {
        if self.lines.load(Ordering::Relaxed) > 0 {
            self.changed.notify_one();
        }
    }

    /// Releases who may go. When to look again; `None` once there are no lines left.
    fn pass(self: &Arc<Self>) -> Option<Option<Instant>> {
        let mut inner = self.inner();
        if inner.board.len() == 0 {
            inner.is_driven = false;
            return None;
        }
        let breakers = &self.breakers;
        let pass = inner
            .board
            .pass(Instant::now(), |agent| look(&breakers[agent]));
        let mut told = Vec::new();
        let released = pass.released.into_iter().map(|(agent, epoch, place)| {
            let turn = Turn::new(self, agent, epoch);
            (place, Told::Turn(turn))
        });
        let hopeless = pass.hopeless.into_iter();
        for (place, what) in released.chain(hopeless.map(|place| (place, Told::Hopeless))) {
            let caller = inner.callers.remove(&place.number);
            told.push((caller.expect("who stands in a line is known"), what));
        }
        self.count(&inner);
        // A run that has just ended gives its turn back at once, which needs the lock.
        drop(inner);
        for (caller, what) in told {
            caller(what);
        }
        Some(pass.wake)
    }

    fn leave(&self, agent: &str, place: Place) {
        let mut inner = self.inner();
        inner.callers.remove(&place.number);
        inner.board.leave(agent, place);
        self.count(&inner);
        drop(inner);
        self.changed.notify_one();
    }

    fn back(&self, agent: &str, epoch: u64, success: Option<bool>) {
        let mut inner = self.inner();
        inner.board.back(agent, epoch, success);
        self.count(&inner);
        drop(inner);
        self.changed.notify_one();
    }

    fn count(&self, inner: &Inner) {
        self.lines.store(inner.board.len(), Ordering::Relaxed);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing here leaves the lines half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the lines whenever something has changed or is due, as long as there are any.
async fn drive(recovery: Weak<Recovery>, changed: Arc<Notify>) {
    loop {
        let Some(wake) = recovery.upgrade().and_then(|recovery| recovery.pass()) else {
            return;
        };
        let latest = Instant::now() + LONGEST_REST;
        let wake = wake.map_or(latest, |wake| wake.min(latest));
        // Whichever comes first.
        let _ = tokio::time::timeout_at(wake, changed.notified()).await;
    }
}

fn look(breaker: &Breaker) -> Look {
    Look {
        availability: breaker.availability(),
        is_open: matches!(breaker.state(), State::Open | State::ForcedOpen),
    }
}

/// A place in a line; dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Ticket {
    recovery: Arc<Recovery>,
    agent: String,
    place: Place,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.recovery.leave(&self.agent, self.place);
    }
}

/// Leave to make one call of an agent that is coming back; dropping it says that the call is over and has shown nothing.
#[derive(Debug)]
pub(crate) struct Turn {
    recovery: Arc<Recovery>,
    agent: String,
    epoch: u64,
    success: Option<bool>,
}

impl Turn {
    fn new(recovery: &Arc<Recovery>, agent: String, epoch: u64) -> Self {
        Self {
            recovery: Arc::clone(recovery),
            agent,
            epoch,
            success: None,
        }
    }

    /// The call is over and has shown how its agent is.
    pub(crate) fn finish(mut self, success: bool) {
        self.success = Some(success);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.recovery.back(&self.agent, self.epoch, self.success);
    }
}

/// The turn of a call under way. A call that will be tried again gives it back meanwhile: it does not keep the others
/// from an agent that is there.
#[derive(Debug)]
pub(crate) struct HeldTurn(Mutex<Option<Turn>>);

impl HeldTurn {
    pub(crate) fn new(turn: Turn) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(turn))))
    }

    /// The call, or its first attempt, is over; `None` where it has shown nothing of its agent.
    pub(crate) fn give_back(&self, success: Option<bool>) {
        let turn = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(turn), Some(success)) = (turn, success) {
            turn.finish(success);
        }
    }
}
