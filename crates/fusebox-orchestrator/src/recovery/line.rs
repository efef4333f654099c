//! The calls that wait for one agent, in order, and how many of them may be out at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fusebox_breaker::Availability;
use tokio::time::Instant;

use super::Settings;

/// A call's place in its line. Smaller goes first: whose run must end first, then who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) deadline: Instant,
    pub(super) number: u64,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    /// How often it was called in vain. For a probe one goes that failed least often, so that one call which cannot
    /// succeed does not keep the agent away from the others.
    pub(super) tries: u32,
    /// It is not to be made earlier, whatever the breaker says.
    pub(super) not_before: Instant,
    /// When it joined.
    pub(super) since: Instant,
}

/// What an agent's breaker looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) availability: Availability,
    /// Open, as opposed to half-open with every probe taken.
    pub(super) is_open: bool,
}

/// What a line may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Calls may go, at most so many.
    Go(usize),
    /// Not before then.
    At(Instant),
    /// Only when something else happens.
    Rest,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) waiting: BTreeMap<Place, Waiter>,
    /// Agents that work before this one in some run of the line.
    pub(super) upstream: BTreeSet<String>,
    /// Calls that may be out at once: as many as the breaker takes for probes, then one more for each success.
    window: usize,
    /// Calls out now.
    out: usize,
    /// To what the calls out belong. It changes with each opening of the breaker, and so does what counts as out: to
    /// what was let go before, the breaker does not listen any more. Other for every line, so that a call of one
    /// that is gone means nothing to the next.
    epoch: u64,
    /// Its first epoch.
    born: u64,
    /// Calls that went before the breaker opened again and have not come back.
    late: usize,
    probes: usize,
    limit: usize,
    /// How long it stays back at most for an agent upstream that is away as well.
    patience: Duration,
    /// Since when its agent could be called.
    ready_since: Option<Instant>,
    /// When the next probe is due, as the waiting calls were last told.
    told_due: Option<Instant>,
}

impl Line {
    pub(super) fn new(epoch: u64, probes: usize, limit: usize, patience: Duration) -> Self {
        Self {
            waiting: BTreeMap::new(),
            upstream: BTreeSet::new(),
            window: probes,
            out: 0,
            epoch,
            born: epoch,
            late: 0,
            probes,
            limit: limit.max(probes),
            patience,
            ready_since: None,
            told_due: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.out + self.late == 0
    }

    /// Whether calls are out.
    pub(super) fn is_out(&self) -> bool {
        self.out > 0
    }

    /// Calls that may go beside those that are out.
    fn room(&self, look: Look) -> usize {
        let allowed = match look.availability {
            Availability::Ready => self.window,
            Availability::ProbeReady => self.probes,
            Availability::NotBefore(_) | Availability::Never => 0,
        };
        allowed.saturating_sub(self.out)
    }

    /// Takes in how the breaker is now. `epoch` is one that no line has had.
    pub(super) fn observe(&mut self, look: Look, epoch: u64) {
        // Once its wait is over it is still open until the first probe gets there.
        let refuses = look.is_open && look.availability != Availability::ProbeReady;
        if refuses && (self.out > 0 || self.window > self.probes) {
            self.epoch = epoch;
            self.late += std::mem::take(&mut self.out);
            self.window = self.probes;
        }
    }

    /// What may be done, the agents upstream left aside.
    pub(super) fn consider(&self, look: Look, now: Instant) -> Move {
        match look.availability {
            Availability::NotBefore(wait) => return Move::At(now + wait),
            Availability::Never => return Move::Rest,
            Availability::Ready | Availability::ProbeReady => {}
        }
        match self.room(look) {
            0 => Move::Rest,
            room => match self.waiting.values().map(|waiter| waiter.not_before).min() {
                Some(at) if at > now => Move::At(at),
                Some(_) => Move::Go(room),
                None => Move::Rest,
            },
        }
    }

    /// Takes up to `most` calls out of the line, those that may be made now: in order, for probes by their tries first.
    pub(super) fn take(&mut self, most: usize, look: Look, now: Instant) -> Vec<Place> {
        let waiting = self.waiting.iter();
        let due = waiting.filter(|(_, waiter)| waiter.not_before <= now);
        let places: Vec<Place> = if look.availability == Availability::Ready {
            due.map(|(place, _)| *place).take(most).collect()
        } else {
            let mut due: Vec<_> = due.map(|(place, waiter)| (waiter.tries, *place)).collect();
            due.sort_unstable();
            due.into_iter().map(|(_, place)| place).take(most).collect()
        };
        for place in &places {
            self.waiting.remove(place);
        }
        self.out += places.len();
        self.ready_since = None;
        places
    }

    /// Lets a newcomer past the line, where it is empty and there is room.
    pub(super) fn admit(&mut self, look: Look, epoch: u64) -> bool {
        self.observe(look, epoch);
        let admitted = self.waiting.is_empty() && self.room(look) > 0;
        self.out += usize::from(admitted);
        admitted
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A call that was out is over. A success makes room for one more, a failure for half as many.
    pub(super) fn back(&mut self, epoch: u64, success: Option<bool>) {
        if epoch != self.epoch {
            self.late -= usize::from(epoch >= self.born);
            return;
        }
        self.out -= 1;
        match success {
            Some(true) => self.window = (self.window + 1).min(self.limit),
            Some(false) => self.window = (self.window / 2).max(self.probes),
            None => {}
        }
    }

    /// Until when a line that may go stays back for an agent upstream.
    pub(super) fn stays_until(&mut self, now: Instant) -> Instant {
        *self.ready_since.get_or_insert(now) + self.patience
    }

    /// Whether `due` is another moment than the waiting calls were told; from now on it is not. Two readings of one
    /// moment differ by less than a millisecond.
    pub(super) fn is_news(&mut self, due: Instant) -> bool {
        let apart = |told: Instant| due.max(told) - due.min(told) > Duration::from_millis(1);
        let is_news = self.told_due.is_none_or(apart);
        if is_news {
            self.told_due = Some(due);
        }
        is_news
    }

    /// Takes out the calls whose run must end before `due`.
    pub(super) fn take_hopeless(&mut self, due: Instant) -> Vec<Place> {
        let places = self.waiting.keys();
        let hopeless: Vec<Place> = places.filter(|it| it.deadline <= due).copied().collect();
        for place in &hopeless {
            self.waiting.remove(place);
        }
        hopeless
    }
}

impl Settings {
    pub(super) fn limit(&self, bulkhead: Option<usize>) -> usize {
        bulkhead.unwrap_or(self.max_released)
    }
}
