//! Whether what a step gives can be what another takes, by their agents' schemas.
//!
//! Only what can never fit is refused. What a schema does not say may fit, and is checked when it is
//! there: by the guards around the agents.

mod fit;

use serde_json::{Map, Value, json};

use self::fit::{Misfit, misfit};
use super::{Enter, Feed, Step, Work, Workflow};

/// Two steps whose schemas contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// One step's output can never be what another takes.
    #[error("step `{to}` cannot take what {} gives: {why}; change the output schema of the one or the input schema of the other", named(.from))]
    Misfit {
        /// Where it is from: a step, or the run's input.
        from: String,
        /// The step that takes it.
        to: String,
        /// The place in the output (a JSON Pointer), empty for the whole.
        at: String,
        /// What does not fit, with the property it concerns.
        why: String,
    },
    /// An agent requires an output that its step does not take.
    #[error(
        "step `{step}` calls an agent whose input schema requires the output of `{upstream}`, and takes none from it; add it to its `requires` or its `optional`"
    )]
    NotTaken {
        /// The step.
        step: String,
        /// The output that its agent requires.
        upstream: String,
    },
}

/// How an error calls what no step gives.
const RUN_INPUT: &str = "the run's input";

fn named(from: &str) -> String {
    match from {
        RUN_INPUT => from.to_owned(),
        step => format!("`{step}`"),
    }
}

/// What an agent takes and gives, as far as it says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports<'a> {
    /// JSON Schema of the whole task.
    pub(crate) input: Option<&'a Value>,
    pub(crate) output: Option<&'a Value>,
}

/// The ports of an agent by its name.
pub(crate) type PortsOf<'a> = &'a dyn Fn(&str) -> Ports<'a>;

impl Workflow {
    /// Compares both ends of every edge. `input` is the schema of the run's input, where it is known.
    pub(crate) fn check_ports<'a>(
        &'a self,
        ports: PortsOf<'a>,
        input: Option<&'a Value>,
    ) -> Result<(), PortError> {
        let graph = Graph {
            workflow: self,
            ports,
            input,
        };
        self.steps().iter().try_for_each(|step| graph.check(step))
    }
}

struct Graph<'a> {
    workflow: &'a Workflow,
    ports: PortsOf<'a>,
    input: Option<&'a Value>,
}

impl Graph<'_> {
    fn check(&self, step: &Step) -> Result<(), PortError> {
        let wanted = step.agent().and_then(|agent| (self.ports)(agent).input);
        let Some(wanted) = wanted.filter(|wanted| fit::is_plain(wanted)) else {
            return Ok(());
        };
        let of = |name: &str| wanted.get("properties").and_then(|all| all.get(name));
        self.check_upstream(step, of("upstream"))?;
        if let Some(wanted) = of("input") {
            match step.within() {
                Some(within) => {
                    let begin = format!("{within}/");
                    compare(&begin, step, self.output_of(&begin).as_ref(), wanted)?;
                }
                None => compare(RUN_INPUT, step, self.input, wanted)?,
            }
        }
        let (own, previous) = match step.work() {
            Work::Map(map) => {
                if let Some(wanted) = of("item") {
                    let list = self.output_of(map.step());
                    let list = list.as_ref().and_then(|list| fit::at(list, map.at()));
                    let item = list.and_then(|list| list.get("items"));
                    compare(map.step(), step, item, wanted)?;
                }
                let own = self.output_of(step.name());
                let own = own.as_ref().and_then(|list| list.get("items")).cloned();
                (own, map.repeat().and_then(|_| of("previous")))
            }
            Work::Repeat(_) => (self.output_of(step.name()), of("previous")),
            _ => return Ok(()),
        };
        match previous {
            Some(wanted) => compare(step.name(), step, own.as_ref(), wanted),
            None => Ok(()),
        }
    }

    fn check_upstream(&self, step: &Step, wanted: Option<&Value>) -> Result<(), PortError> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let listed = |name: &str| matches!(step.work(), Work::Map(map) if map.step() == name);
        let taken = || {
            step.upstream()
                .filter(|up| !up.ends_with('/') && !listed(up))
        };
        for required in fit::required(wanted) {
            if !taken().any(|up| step.calls(up) == required) {
                return Err(PortError::NotTaken {
                    step: step.name().to_owned(),
                    upstream: required.to_owned(),
                });
            }
        }
        for from in taken() {
            let wanted = wanted
                .get("properties")
                .and_then(|all| all.get(step.calls(from)));
            if let Some(wanted) = wanted {
                compare(from, step, self.output_of(from).as_ref(), wanted)?;
            }
        }
        Ok(())
    }

    /// The schema of a step's output, where it is known.
    fn output_of(&self, name: &str) -> Option<Value> {
        let step = self.workflow.step(name)?;
        let own = || (self.ports)(step.agent()?).output.cloned();
        match step.work() {
            Work::Call | Work::Repeat(_) => own(),
            Work::Map(_) => Some(json!({ "type": "array", "items": own()? })),
            Work::Approval(approval) if approval.fallback().is_some() => None,
            Work::Approval(_) => Some(json!({
                "type": "object",
                "required": ["approved", "by", "reason", "at_ms"],
                "properties": {
                    "approved": { "const": true },
                    "by": { "type": "string" },
                    "reason": { "type": ["string", "null"] },
                    "at_ms": { "type": "integer" },
                },
            })),
            Work::Enter(enter) => Some(self.entered(step, enter)),
            Work::Leave => match step.required() {
                [one] => self.output_of(one),
                several => {
                    let named = several.iter().map(|up| {
                        let local = up.strip_prefix(name).unwrap_or(up).trim_start_matches('/');
                        (local.to_owned(), self.output_of(up).unwrap_or(json!({})))
                    });
                    let properties: Map<String, Value> = named.collect();
                    Some(json!({ "type": "object", "properties": properties }))
                }
            },
        }
    }

    /// The schema of an inner workflow's input.
    fn entered(&self, step: &Step, enter: &Enter) -> Value {
        let Some(fields) = enter.input() else {
            let taken = step.upstream().filter(|up| !up.ends_with('/'));
            let named = taken.map(|up| {
                (
                    step.calls(up).to_owned(),
                    self.output_of(up).unwrap_or(json!({})),
                )
            });
            let properties: Map<String, Value> = named.collect();
            return json!({ "type": "object", "properties": properties });
        };
        let outer = match step.within() {
            Some(within) => self.output_of(&format!("{within}/")),
            None => self.input.cloned(),
        };
        let schema = |feed: &Feed| {
            let (source, at) = match feed {
                Feed::Value(value) => return json!({ "const": value }),
                Feed::Input { at } => (outer.clone(), at),
                Feed::Step { step, at } => (self.output_of(step), at),
            };
            let found = source.as_ref().and_then(|source| fit::at(source, at));
            found.cloned().unwrap_or(json!({}))
        };
        let names: Vec<&String> = fields.keys().collect();
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(name, feed)| (name.clone(), schema(feed)))
            .collect();
        json!({ "type": "object", "required": names, "properties": properties })
    }
}

fn compare(from: &str, to: &Step, given: Option<&Value>, wanted: &Value) -> Result<(), PortError> {
    match given.and_then(|given| misfit(given, wanted)) {
        None => Ok(()),
        Some(Misfit { at, why }) => Err(PortError::Misfit {
            from: from.to_owned(),
            to: to.name().to_owned(),
            at,
            why,
        }),
    }
}
