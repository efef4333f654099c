//! The lines of all agents: who may go now, and when to look again. Time and the state of the breakers come in.

use std::collections::BTreeMap;
use std::time::Duration;

use fusebox_breaker::Availability;
use tokio::time::Instant;

use super::line::{Line, Look, Move, Place, Waiter};
use super::{Settings, Waits};

/// What a look at the lines came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Calls that go now, by agent, with the epoch their turns belong to.
    pub(super) released: Vec<(String, u64, Place)>,
    /// Calls that cannot go before their run must end.
    pub(super) hopeless: Vec<Place>,
    /// When to look again, if nothing happens before.
    pub(super) wake: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Board {
    settings: Settings,
    lines: BTreeMap<String, Line>,
    /// Numbers given so far, to places and epochs.
    numbers: u64,
}

/// A call that joins a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining<'a> {
    pub(super) agent: &'a str,
    /// Calls the breaker takes for probes at once.
    pub(super) probes: u32,
    /// Calls the agent takes at once.
    pub(super) bulkhead: Option<usize>,
    /// How long it stays back at most for an agent upstream that is away as well.
    pub(super) patience: Duration,
    /// Tries of this call that failed before.
    pub(super) tries: u32,
    pub(super) deadline: Instant,
    pub(super) not_before: Instant,
}

impl Board {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            lines: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub(super) fn join<'a>(
        &mut self,
        call: Joining<'_>,
        upstream: impl Iterator<Item = &'a str>,
    ) -> Place {
        self.numbers += 1;
        let number = self.numbers;
        let place = Place {
            deadline: call.deadline,
            number,
        };
        let limit = self.settings.limit(call.bulkhead);
        let line = self
            .lines
            .entry(call.agent.to_owned())
            .or_insert_with(|| Line::new(number, call.probes as usize, limit, call.patience));
        for agent in upstream.filter(|agent| *agent != call.agent) {
            if !line.upstream.contains(agent) {
                line.upstream.insert(agent.to_owned());
            }
        }
        let waiter = Waiter {
            tries: call.tries,
            not_before: call.not_before,
            since: Instant::now(),
        };
        line.waiting.insert(place, waiter);
        place
    }

    /// A call leaves the line without having been made.
    pub(super) fn leave(&mut self, agent: &str, place: Place) {
        if let Some(line) = self.lines.get_mut(agent) {
            line.waiting.remove(&place);
        }
        self.clear(agent);
    }

    /// A call that was let go is over: well, badly, or without a word about its agent.
    pub(super) fn back(&mut self, agent: &str, epoch: u64, success: Option<bool>) {
        if let Some(line) = self.lines.get_mut(agent) {
            line.back(epoch, success);
        }
        self.clear(agent);
    }

    fn clear(&mut self, agent: &str) {
        if self.lines.get(agent).is_some_and(Line::is_done) {
            self.lines.remove(agent);
        }
    }

    /// Lets a newcomer go: past the line where nobody waits, or because there is none. The epoch of its turn.
    pub(super) fn admit(&mut self, agent: &str, look: Look) -> Result<Option<u64>, usize> {
        let Some(line) = self.lines.get_mut(agent) else {
            return Ok(None);
        };
        self.numbers += 1;
        if line.admit(look, self.numbers) {
            Ok(Some(line.epoch()))
        } else {
            Err(line.waiting.len())
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn has(&self, agent: &str) -> bool {
        self.lines.contains_key(agent)
    }

    /// The calls that wait for each agent.
    pub(super) fn waits(&self, now: Instant) -> impl Iterator<Item = (&str, Waits)> {
        self.lines.iter().map(move |(agent, line)| {
            let first = line.waiting.values().map(|waiter| waiter.since).min();
            let waits = Waits {
                calls: line.waiting.len(),
                oldest: first.map(|since| now.saturating_duration_since(since)),
            };
            (agent.as_str(), waits)
        })
    }

    /// Looks at every line, agents upstream before those that work with what they made.
    pub(super) fn pass(&mut self, now: Instant, look: impl Fn(&str) -> Look) -> Pass {
        let mut pass = Pass::default();
        let mut views = BTreeMap::new();
        for (agent, line) in &mut self.lines {
            let look = look(agent);
            self.numbers += 1;
            line.observe(look, self.numbers);
            let view = View {
                look,
                is_back: look.availability == Availability::Ready,
                turn: line.consider(look, now),
            };
            if let (true, Move::At(due)) = (look.is_open, view.turn)
                && line.is_news(due)
            {
                pass.hopeless.extend(line.take_hopeless(due));
            }
            views.insert(agent.clone(), view);
        }
        self.lines.retain(|_, line| !line.is_done());
        let order = self.order();
        for (rank, agent) in order.iter().enumerate() {
            match views[agent].turn {
                Move::At(due) => pass.wake_at(due),
                Move::Rest => {}
                Move::Go(room) => match self.stays_until(agent, &order[..rank], &views, now) {
                    Some(until) => pass.wake_at(until),
                    None => self.release(agent, room, now, &views, &mut pass),
                },
            }
        }
        pass
    }

    fn release(
        &mut self,
        agent: &str,
        room: usize,
        now: Instant,
        views: &BTreeMap<String, View>,
        pass: &mut Pass,
    ) {
        let probing = |(name, line): &(&String, &Line)| line.is_out() && !views[*name].is_back;
        let probed = self.lines.iter().filter(probing).count();
        let line = self.lines.get_mut(agent).expect("it is one of the lines");
        let begins = !line.is_out() && !views[agent].is_back;
        if begins && probed >= self.settings.max_agents_probed {
            return;
        }
        let epoch = line.epoch();
        let taken = line.take(room, views[agent].look, now).into_iter();
        pass.released
            .extend(taken.map(|place| (agent.to_owned(), epoch, place)));
    }

    /// Agents upstream first. Where two runs disagree about which that is, the one with fewer before it.
    fn order(&self) -> Vec<String> {
        let before = |line: &Line| {
            let others = line.upstream.iter();
            others.filter(|up| self.lines.contains_key(*up)).count()
        };
        let mut order: Vec<(usize, String)> = self
            .lines
            .iter()
            .map(|(agent, line)| (before(line), agent.clone()))
            .collect();
        order.sort();
        order.into_iter().map(|(_, agent)| agent).collect()
    }

    /// Until when a line that may go stays back for one upstream, if it does: while that one is away, but no longer
    /// than half a wait of its own, so that what has got past the one upstream is not held up for long.
    fn stays_until(
        &mut self,
        agent: &str,
        before: &[String],
        views: &BTreeMap<String, View>,
        now: Instant,
    ) -> Option<Instant> {
        let line = self.lines.get_mut(agent).expect("it is one of the lines");
        let is_away = |up: &String| line.upstream.contains(up) && !views[up].is_back;
        if views[agent].is_back || line.is_out() || !before.iter().any(is_away) {
            return None;
        }
        Some(line.stays_until(now)).filter(|until| *until > now)
    }
}

/// How a line looks in one pass.
struct View {
    look: Look,
    /// Its agent takes calls as they come.
    is_back: bool,
    turn: Move,
}

impl Pass {
    fn wake_at(&mut self, due: Instant) {
        self.wake = Some(self.wake.map_or(due, |wake| wake.min(due)));
    }
}

#[cfg(test)]
mod tests;
