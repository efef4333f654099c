//! What several agents depend on, with a breaker of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use fusebox_agent::{Agent, Behind};
use fusebox_breaker::{Breaker, Clock, Config, TransitionQueue};

use super::EngineError;

/// The dependencies of an engine's agents, by name, until they are made.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    rules: BTreeMap<String, Config>,
    /// The dependency of an agent.
    of: BTreeMap<String, String>,
}

impl Dependencies {
    pub(super) fn add(&mut self, name: String, rules: Config) {
        self.rules.insert(name, rules);
    }

    pub(super) fn put_behind(&mut self, agent: &str, dependency: String) {
        self.of.insert(agent.to_owned(), dependency);
    }

    /// Their breakers.
    pub(super) fn breakers(
        &self,
        clock: &Arc<dyn Clock>,
        queue: &TransitionQueue,
        seed: Option<u64>,
    ) -> BTreeMap<String, Breaker> {
        let rules = self.rules.iter();
        rules
            .map(|(name, rules)| {
                let mut breaker = Breaker::builder(name.as_str(), rules.clone())
                    .clock(Arc::clone(clock))
                    .transitions(queue.clone());
                if let Some(seed) = seed {
                    breaker = breaker.seed(seed);
                }
                (name.clone(), breaker.build())
            })
            .collect()
    }

    /// The name of the agent's dependency, if it has one.
    pub(super) fn of(&self, agent: &str) -> Option<&str> {
        self.of.get(agent).map(String::as_str)
    }

    /// The agent, behind the breaker of what it depends on.
    ///
    /// # Errors
    /// A dependency that there is not.
    pub(super) fn around(
        &self,
        agent: Arc<dyn Agent>,
        breakers: &BTreeMap<String, Breaker>,
    ) -> Result<Arc<dyn Agent>, EngineError> {
        let name = &agent.describe().name;
        let Some(dependency) = self.of(name) else {
            return Ok(agent);
        };
        match breakers.get(dependency) {
            Some(breaker) => Ok(Arc::new(Behind::new(agent, breaker.clone()))),
            None => Err(EngineError::UnknownDependency {
                agent: name.clone(),
                dependency: dependency.to_owned(),
                known: breakers.keys().cloned().collect(),
            }),
        }
    }
}
