//! Last good outputs: read when a run begins, kept when a step has succeeded.

use std::time::Duration;

use serde_json::Value;

use super::Run;
use crate::journal::Changes;
use crate::last_good::{LastGood, Place};
use crate::status::StepStatus;
use crate::time::{now_ms, short};
use crate::workflow::{OnUnavailable, Step};

impl Run {
    /// Reads what may stand in for steps that are not done. Where the store cannot be asked, nothing
    /// does; the run's own commits will show whether it is away.
    pub(crate) async fn look_back(&mut self) {
        for step in self.workflow.clone().steps() {
            let open = !self.steps[step.name()].record.status.is_settled();
            if let (true, Some(_)) = (open, max_age(step)) {
                let place = self.place(step.name());
                let value = place.load(&*self.shared.store).await.ok().flatten();
                self.live(step.name()).last_good = value;
            }
        }
    }

    /// The last good output of a step and why it is not a new one, if it has one that is not too old.
    pub(super) fn stand_in(&self, step: &Step, why: &str) -> Option<(Value, String)> {
        let value = self.steps[step.name()].last_good.as_ref()?;
        let age = short(value.age(max_age(step)?, now_ms())?);
        let reason = format!("output of run `{}`, {age} old: {why}", value.run());
        Some((value.output.clone(), reason))
    }

    /// The outputs of a commit that are good ones of steps that ask for them later.
    pub(super) fn good_outputs(&self, changes: &Changes) -> Vec<(String, Duration)> {
        let good = |name: &String| {
            let max_age = max_age(self.workflow.step(name)?)?;
            let status = self.steps[name].record.status;
            (status == StepStatus::Succeeded).then(|| (name.clone(), max_age))
        };
        let written = changes.outputs.iter().map(|(name, _)| name);
        written.filter_map(good).collect()
    }

    pub(super) async fn keep_good(&self, good: Vec<(String, Duration)>) {
        for (name, max_age) in good {
            let Some(output) = &self.steps[&name].output else {
                continue;
            };
            let value = LastGood::now(Value::clone(output), &self.id);
            // A value that could not be kept is one that a later run does without.
            let _ = self
                .place(&name)
                .keep(&*self.shared.store, &value, max_age)
                .await;
        }
    }

    fn place(&self, step: &str) -> Place {
        Place::of(self.workflow.name(), step, &self.settings.input)
    }
}

fn max_age(step: &Step) -> Option<Duration> {
    match step.unavailable_policy() {
        OnUnavailable::LastGood { max_age_ms } => Some(Duration::from_millis(max_age_ms)),
        _ => None,
    }
}
