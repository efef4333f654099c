//! Which faults strike which agents.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use super::{FaultParseError, FaultRule, FaultyAgent};
use crate::Agent;

/// Which faults strike which agents. Entries read `agent=rule`, several of them separated by
/// semicolons; an agent may have several rules.
///
/// ```
/// use fusebox_agent::FaultPlan;
///
/// let plan: FaultPlan = "data=timeout:0.3,until=6s; data=corruption:0.1; triage=api:0.2".parse()?;
/// assert_eq!(plan.rules("data").len(), 2);
/// assert_eq!(plan.agents().collect::<Vec<_>>(), ["data", "triage"]);
/// # Ok::<(), fusebox_agent::FaultParseError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultPlan {
    rules: BTreeMap<String, Vec<FaultRule>>,
}

impl FaultPlan {
    /// A plan without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule for an agent.
    #[must_use]
    pub fn with(mut self, agent: impl Into<String>, rule: FaultRule) -> Self {
        self.rules.entry(agent.into()).or_default().push(rule);
        self
    }

    /// Adds one entry, `agent=rule`, as it stands on a command line.
    ///
    /// # Errors
    /// If it names no agent or the rule is not one.
    pub fn with_entry(self, entry: &str) -> Result<Self, FaultParseError> {
        // The first `=` of an entry without an agent belongs to an option: `timeout:1,until=6s`.
        let named = entry
            .split_once('=')
            .map(|(agent, rule)| (agent.trim(), rule.trim()))
            .filter(|(agent, _)| !agent.is_empty() && !agent.contains([':', ',']));
        let (agent, rule) = named.ok_or_else(|| FaultParseError::MissingAgent {
            found: entry.trim().to_owned(),
        })?;
        Ok(self.with(agent, rule.parse()?))
    }

    /// The agents that have rules, sorted; to be compared with the agents that exist.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }

    /// The rules of an agent, in the order they were added.
    #[must_use]
    pub fn rules(&self, agent: &str) -> &[FaultRule] {
        self.rules.get(agent).map_or(&[], Vec::as_slice)
    }

    /// Whether the plan has no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The agent with its faults around it, or as it is when the plan has none for it.
    #[must_use]
    pub fn wrap(&self, agent: Arc<dyn Agent>, seed: u64) -> Arc<dyn Agent> {
        match self.rules(&agent.describe().name) {
            [] => agent,
            rules => Arc::new(FaultyAgent::new(agent, rules.to_vec(), seed)),
        }
    }
}

impl FromStr for FaultPlan {
    type Err = FaultParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut entries = text.split(';').filter(|entry| !entry.trim().is_empty());
        entries.try_fold(Self::new(), Self::with_entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_an_agent_is_refused() {
        for entry in ["timeout:0.6", "timeout:1,until=6s", "=api:1", ""] {
            let error = FaultPlan::new().with_entry(entry);
            assert!(
                matches!(error, Err(FaultParseError::MissingAgent { .. })),
                "{entry}: {error:?}"
            );
        }
    }

    #[test]
    fn the_rule_of_an_entry_keeps_its_own_equal_signs() {
        let plan = FaultPlan::new().with_entry("data=timeout:1,until=6s");
        let plan = plan.expect("a valid entry");
        assert_eq!(plan.rules("data")[0].to_string(), "timeout:1,until=6s");
    }
}
