//! Who answers for the agents, how fast and what.

use std::collections::BTreeMap;
use std::time::Duration;

use fusebox_orchestrator::file::{AgentKind, AgentSpec, WorkflowFile};
use serde_json::Value;
use toml::Spanned;

use super::super::raw::{RawLatency, RawPlan, RawStandIn};
use super::super::{StandIn, Time, sample};
use super::Checker;
use crate::latency::Latency;

/// The agent's table that holds for all.
const DEFAULT: &str = "default";
/// What a stand-in takes where the plan does not say.
const LATENCY: Latency = Latency::Fixed(Duration::from_millis(200));

impl Checker {
    pub(super) fn stand_ins(
        &mut self,
        raw: &RawPlan,
        file: &WorkflowFile,
        time: Time,
    ) -> BTreeMap<String, StandIn> {
        if time == Time::Real {
            if let Some(name) = raw.agents.keys().next() {
                let message = "on real time the agents of the workflow answer themselves";
                let help = "leave `[agents]` out, or make time \"virtual\"";
                self.fault(name, message, help);
            }
            return BTreeMap::new();
        }
        for name in raw.agents.keys().filter(|name| name.get_ref() != DEFAULT) {
            self.answers_itself(name, file);
        }
        let default = table(raw, DEFAULT);
        let latency = default.and_then(|table| self.latency(table));
        let latency = latency.unwrap_or(LATENCY);
        let mut stand_ins = BTreeMap::new();
        for (name, spec) in &file.agents {
            // A failover needs nobody in its place: it asks its targets.
            if matches!(spec.kind, AgentKind::Failover(_)) {
                continue;
            }
            let own = table(raw, name);
            let latency = own.and_then(|own| self.latency(own)).unwrap_or(latency);
            let tables = own.into_iter().chain(default);
            let answer = tables.filter_map(|table| table.answer.as_ref()).next();
            if let Some((answer, output_schema)) = self.answer(raw, spec, answer) {
                let stand_in = StandIn {
                    latency,
                    answer,
                    output_schema,
                };
                stand_ins.insert(name.clone(), stand_in);
            }
        }
        stand_ins
    }

    /// What an agent answers, and the schema that takes it.
    fn answer(
        &mut self,
        raw: &RawPlan,
        spec: &AgentSpec,
        written: Option<&Spanned<toml::Value>>,
    ) -> Option<(Value, Value)> {
        let given = written.map(|answer| {
            serde_json::to_value(answer.get_ref()).expect("TOML values have a JSON form")
        });
        let name = &spec.name;
        match (sample::answer(given, spec.output_schema.as_ref()), written) {
            (Ok(answer), _) => return Some(answer),
            (Err(why), Some(written)) => {
                let message = format!("agent `{name}` could not answer so: {why}");
                self.fault(written, message, "see its `output_schema`");
            }
            (Err(why), None) => {
                let message = format!("no answer for agent `{name}`: {why}");
                let help = format!("give one: [agents.{name}] answer = …");
                self.fault(&raw.workflow, message, help);
            }
        }
        None
    }

    fn latency(&mut self, table: &RawStandIn) -> Option<Latency> {
        let written = table.latency.as_ref()?;
        match *written.get_ref() {
            RawLatency::Fixed(latency) => Some(Latency::Fixed(latency)),
            RawLatency::Lognormal { median, p99 } if median.is_zero() || p99 < median => {
                let message = "there is no such distribution of latencies";
                let help = "`median` is above zero and `p99` not below it";
                self.fault(written, message, help);
                None
            }
            RawLatency::Lognormal { median, p99 } => Some(Latency::Lognormal { median, p99 }),
        }
    }
}

fn table<'a>(raw: &'a RawPlan, wanted: &str) -> Option<&'a RawStandIn> {
    let mut tables = raw.agents.iter();
    let table = tables.find(|(name, _)| name.get_ref() == wanted);
    table.map(|(_, table)| table)
}
