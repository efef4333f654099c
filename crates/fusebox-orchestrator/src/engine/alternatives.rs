//! Agents that are one out of others, before those have their guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use fusebox_agent::{Agent, Description, Failover, Order};

use super::EngineError;
use crate::shared::Member;

/// A failover whose targets are still names.
pub(super) struct Alternatives {
    description: Description,
    targets: Vec<String>,
    order: Order,
}

impl Alternatives {
    pub(super) fn new(description: Description, targets: Vec<String>, order: Order) -> Self {
        Self {
            description,
            targets,
            order,
        }
    }

    /// The failover, with the guards of its targets.
    pub(super) fn agent(
        &self,
        members: &BTreeMap<String, Member>,
    ) -> Result<Arc<dyn Agent>, EngineError> {
        let name = &self.description.name;
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
        let mut failover = Failover::new(name.clone(), guards).with_order(&self.order);
        if let Some(schema) = &self.description.input_schema {
            failover = failover.with_input_schema(schema.clone());
        }
        if let Some(schema) = &self.description.output_schema {
            failover = failover.with_output_schema(schema.clone());
        }
        Ok(Arc::new(failover))
    }
}
