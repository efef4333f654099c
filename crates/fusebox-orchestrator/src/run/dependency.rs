//! What a run's agents depend on: looked at before a call, as their own breakers are.

use fusebox_breaker::{Availability, Breaker};
use tokio::time::Instant;

use super::Run;
use super::call::Refused;
use crate::status::StepStatus;
use crate::workflow::Step;

impl Run {
    /// The breakers that its calls meet, by name: those of its agents, and of what these depend on.
    pub(super) fn breakers(&self) -> impl Iterator<Item = &str> {
        let agents = self.workflow.steps().iter().filter_map(Step::agent);
        agents.flat_map(|agent| {
            let dependency = self.shared.members[agent].dependency.as_deref();
            std::iter::once(agent).chain(dependency)
        })
    }

    /// The breaker of what the step's agent depends on.
    pub(super) fn dependency(&self, step: &Step) -> Option<&Breaker> {
        let agent = step.agent()?;
        let name = self.shared.members[agent].dependency.as_deref()?;
        self.shared.dependencies.get(name)
    }

    /// The refusal of a call that the breaker of what the agent depends on would turn away.
    pub(super) fn barred(&self, step: &Step) -> Option<Refused> {
        let breaker = self.dependency(step)?;
        let retry_after = match breaker.availability() {
            Availability::Ready | Availability::ProbeReady => return None,
            Availability::NotBefore(wait) => Some(wait),
            Availability::Never => None,
        };
        let snapshot = breaker.snapshot();
        let why = snapshot.reason.map(|reason| format!(" ({reason})"));
        let (agent, why) = (step.agent().unwrap_or_default(), why.unwrap_or_default());
        let reason = format!(
            "breaker of `{}`, which agent `{agent}` depends on, is {}{why}",
            breaker.name(),
            snapshot.state
        );
        Some(Refused::unmade(
            reason,
            retry_after,
            snapshot.state.as_str(),
        ))
    }

    /// Has each step look again that waits for what its agent depends on and could be called now. Answers whether there
    /// are others left that only a move of that breaker, or time, brings on.
    pub(super) fn look_behind(&mut self) -> bool {
        if self.shared.dependencies.is_empty() {
            return false;
        }
        let steps = self.workflow.steps().iter();
        let idle = steps.filter(|step| {
            let live = &self.steps[step.name()];
            let is_idle = live.record.status == StepStatus::Waiting && live.ticket.is_none();
            is_idle && live.is_barred
        });
        let (barred, free): (Vec<&Step>, Vec<_>) =
            idle.partition(|step| self.barred(step).is_some());
        let free: Vec<String> = free.iter().map(|step| step.name().to_owned()).collect();
        let is_left = !barred.is_empty();
        for name in free {
            let live = self.live(&name);
            (live.due, live.is_barred) = (Some(Instant::now()), false);
        }
        is_left
    }
}
