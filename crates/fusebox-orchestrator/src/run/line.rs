//! Standing in line for an agent that is away or coming back.

use std::collections::BTreeSet;

use fusebox_breaker::State;
use tokio::time::Instant;

use super::call::Refused;
use super::{Message, Run};
use crate::recovery::{Request, Ticket, Told, Turn};
use crate::workflow::Step;

impl Run {
    /// A place in the line of a step's agent, where there is something to wait for and the run does wait.
    pub(super) fn line_up(&self, step: &Step, not_before: Instant) -> Option<Ticket> {
        let (member, recovery) = (self.member(step), &self.shared.recovery);
        let agent = member.breaker.name();
        let is_away = member.breaker.state() != State::Closed || recovery.has_line(agent);
        if !(self.settings.wait && recovery.is_paced() && is_away) {
            return None;
        }
        let request = Request {
            agent,
            bulkhead: member.max_concurrent_calls,
            tries: self.steps[step.name()].tries,
            deadline: self.deadline,
            not_before,
        };
        let (sender, name) = (self.sender.clone(), step.name().to_owned());
        let caller = move |told| {
            // The run has ended: a turn dropped here goes to the next in line.
            let _ = sender.send(Message::Called { step: name, told });
        };
        let upstream = self.agents_before(step);
        Some(recovery.join(request, upstream.into_iter(), caller))
    }

    /// What a step in line is told: it is looked at again, with a turn or without hope.
    pub(super) fn called(&mut self, name: &str, told: Told) {
        let live = self.live(name);
        // Settled meanwhile; a turn dropped here goes to the next in line.
        if live.ticket.take().is_none() {
            return;
        }
        live.due = Some(Instant::now());
        if let Told::Turn(turn) = told {
            live.turn = Some(turn);
        }
    }

    /// Leave to call a step's agent: the turn it has waited for, or none where nobody stands in line.
    pub(super) fn turn(&mut self, step: &Step) -> Result<Option<Turn>, Refused> {
        if let Some(turn) = self.live(step.name()).turn.take() {
            return Ok(Some(turn));
        }
        if !self.settings.wait {
            return Ok(None);
        }
        let agent = self.member(step).breaker.name();
        self.shared.recovery.admit(agent).map_err(|before| {
            let reason =
                format!("agent `{agent}` is coming back, {before} calls go before this one");
            Refused::behind(reason)
        })
    }

    /// The agents of the steps that a step depends on, directly or through others.
    fn agents_before(&self, step: &Step) -> BTreeSet<&str> {
        let (mut seen, mut agents) = (BTreeSet::new(), BTreeSet::new());
        let mut open: Vec<&String> = step.upstream().collect();
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            let step = self
                .workflow
                .step(name)
                .expect("edges join steps of the workflow");
            agents.extend(step.agent());
            open.extend(step.upstream());
        }
        agents
    }
}
