//! Where a workflow inside another one begins and ends: steps that call nobody.

use serde_json::{Value, json};

use super::Run;
use crate::status::StepStatus;
use crate::workflow::{Enter, Feed, Readiness, Step};

impl Run {
    /// Begins an inner workflow: what it is given is on record from here on. Answers that there is no
    /// call to make.
    pub(super) fn enter(&mut self, step: &Step, enter: &Enter) -> bool {
        match self.input_for(step, enter) {
            Ok(input) => self.deliver(step.name(), input, None),
            Err(reason) => self.settle(step.name(), StepStatus::Failed, Some(reason)),
        }
        false
    }

    /// Ends an inner workflow with what it delivers. Answers that there is no call to make.
    pub(super) fn leave(&mut self, step: &Step) -> bool {
        let output = |name: &String| self.steps[name].output.as_deref().cloned();
        let delivered = match step.required() {
            [one] => output(one).expect("it ends once its output is there"),
            several => several
                .iter()
                .filter_map(|name| {
                    let local = name.strip_prefix(step.name())?.strip_prefix('/')?;
                    Some((local.to_owned(), output(name)?))
                })
                .collect(),
        };
        self.deliver(step.name(), delivered, None);
        false
    }

    /// The input of the workflow that a step belongs to.
    pub(super) fn input_of(&self, step: &Step) -> &Value {
        let Some(within) = step.within() else {
            return &self.settings.input;
        };
        let entered = self.steps[&format!("{within}/")].output.as_ref();
        entered.expect("nothing inside starts before it has begun")
    }

    /// How a step stands whose workflow did not begin: even one that would start without any output
    /// does not then.
    pub(super) fn not_begun(&self, step: &Step) -> Option<Readiness> {
        let begin = format!("{}/", step.within()?);
        let record = &self.steps[&begin].record;
        if !record.status.is_settled() || record.status.has_output() {
            return None;
        }
        Some(if record.is_left_out() {
            Readiness::LeftOut
        } else {
            Readiness::Shielded
        })
    }

    fn input_for(&self, step: &Step, enter: &Enter) -> Result<Value, String> {
        let Some(fields) = enter.input() else {
            let taken = step.upstream().filter(|up| !up.ends_with('/'));
            let named = |up: &String| {
                let output = Value::clone(self.given(step, up)?);
                Some((step.calls(up).to_owned(), output))
            };
            return Ok(taken.filter_map(named).collect());
        };
        let mut input = json!({});
        for (name, feed) in fields {
            input[name] = self.fed(step, feed).map_err(|place| {
                format!("input `{name}` is to be from `{place}`, which is not there")
            })?;
        }
        Ok(input)
    }

    /// What a feed brings; the place that is not there otherwise.
    fn fed(&self, step: &Step, feed: &Feed) -> Result<Value, String> {
        let (source, name, at) = match feed {
            Feed::Value(value) => return Ok(value.clone()),
            Feed::Input { at } => (Some(self.input_of(step)), "input", at),
            Feed::Step { step: from, at } => {
                let output = self.given(step, from).map(|output| &**output);
                (output, step.calls(from), at)
            }
        };
        let found = source.and_then(|source| source.pointer(at)).cloned();
        found.ok_or_else(|| format!("{name}{at}"))
    }
}
