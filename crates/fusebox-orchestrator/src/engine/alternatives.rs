//! Agents that are one out of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use fusebox_agent::{Agent, Failover, Order};
use fusebox_policy::{Budget, Limits};
use serde_json::Value;

use super::EngineError;
use crate::shared::Member;

/// An agent that is one out of others of its engine: whichever answers first, in an order. Each
/// stands behind its own protection; see [`Failover`].
///
/// ```
/// use fusebox_agent::Order;
/// use fusebox_orchestrator::Alternatives;
///
/// let model = Alternatives::new("model", ["far", "near"]).with_order(Order::Weighted(vec![3, 1]));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Alternatives {
    name: String,
    targets: Vec<String>,
    order: Order,
    only_unrun: bool,
    probes: Option<Limits>,
    input_schema: Option<Value>,
    output_schema: Option<Value>,
}

impl Alternatives {
    /// The agent `name`, which asks `targets` in the order in which they stand.
    pub fn new(name: impl Into<String>, targets: impl IntoIterator<Item: Into<String>>) -> Self {
        Self {
            name: name.into(),
            targets: targets.into_iter().map(Into::into).collect(),
            order: Order::default(),
            only_unrun: false,
            probes: None,
            input_schema: None,
            output_schema: None,
        }
    }

    /// Replaces the order; see [`Failover::with_order`].
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Goes on to the next target only if nothing has run at the one before; see
    /// [`Failover::only_if_not_run`].
    pub fn only_if_not_run(mut self) -> Self {
        self.only_unrun = true;
        self
    }

    /// Replaces what probes may cost; see [`Failover::with_probe_budget`].
    pub fn with_probe_budget(mut self, limits: Limits) -> Self {
        self.probes = Some(limits);
        self
    }

    /// Sets the JSON Schema that its tasks must satisfy.
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// Sets the JSON Schema that its outputs must satisfy, whoever answers.
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.output_schema = Some(schema);
        self
    }

    /// The failover, with the guards of its targets.
    pub(super) fn agent(
        &self,
        members: &BTreeMap<String, Member>,
    ) -> Result<Arc<dyn Agent>, EngineError> {
        let name = &self.name;
        let guards = self.targets.iter().map(|target| {
            let member = members.get(target);
            let member = member.ok_or_else(|| EngineError::UnknownTarget {
                agent: name.clone(),
                target: target.clone(),
            })?;
            Ok(member.guard.clone())
        });
        let guards = guards.collect::<Result<Vec<_>, EngineError>>()?;
        if guards.is_empty() {
            return Err(EngineError::NoTarget(name.clone()));
        }
        let mut failover = Failover::new(name, guards).with_order(&self.order);
        if self.only_unrun {
            failover = failover.only_if_not_run();
        }
        if let Some(limits) = self.probes {
            failover = failover.with_probe_budget(Budget::new(format!("probes of {name}"), limits));
        }
        if let Some(schema) = &self.input_schema {
            failover = failover.with_input_schema(schema.clone());
        }
        if let Some(schema) = &self.output_schema {
            failover = failover.with_output_schema(schema.clone());
        }
        Ok(Arc::new(failover))
    }
}
