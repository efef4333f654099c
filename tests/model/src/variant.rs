//! A question to the checker: some rules, some bounds, and the answer they must give.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::milestone::{Milestone, Milestones};
use crate::protocol::Protocol;
use crate::rules::Rules;
use crate::system::Bounds;
use crate::trace;

/// Rules within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// What the output calls it.
    pub name: &'static str,
    /// How many processes there are.
    pub owners: usize,
    /// What the stores check, and how owners behave.
    pub rules: Rules,
    /// How much may happen.
    pub bounds: Bounds,
}

impl Variant {
    /// Visits every reachable state and prints how many there are.
    ///
    /// # Panics
    /// If a property fails in one of them, with the way there; or if one of `milestones` is never
    /// reached, for then the properties held of too little.
    pub fn holds(&self, milestones: &[Milestone]) {
        let reached = Arc::new(Milestones::default());
        let began = Instant::now();
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let checker = self
            .protocol(&reached)
            .checker()
            .threads(threads)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        println!(
            "holds: {}: {} states, {} deep, {:.1} s",
            self.name,
            checker.unique_state_count(),
            checker.max_depth(),
            began.elapsed().as_secs_f64()
        );
        if let Some((property, path)) = checker.discoveries().into_iter().next() {
            panic!("\"{property}\" fails:\n{}", trace::describe(path));
        }
        let reached = reached.reached();
        let missed: Vec<_> = milestones.iter().filter(|m| !reached.contains(m)).collect();
        assert!(missed.is_empty(), "never reached: {missed:?}");
    }

    /// Looks for a short way to break `property`, and prints it.
    ///
    /// # Panics
    /// If there is none.
    pub fn breaks(&self, property: &'static str) {
        // One thread visits states in a fixed order, so the way found is always the same.
        let checker = self
            .protocol(&Arc::default())
            .checker()
            .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])))
            .spawn_bfs()
            .join();
        let states = checker.unique_state_count();
        let Some(path) = checker.discovery(property) else {
            panic!("\"{property}\" holds in {states} states");
        };
        println!(
            "breaks: {}: \"{property}\" after {states} states:\n{}",
            self.name,
            trace::describe(path)
        );
    }

    fn protocol(&self, milestones: &Arc<Milestones>) -> Protocol {
        Protocol {
            rules: self.rules,
            owners: self.owners,
            bounds: self.bounds,
            milestones: Arc::clone(milestones),
        }
    }
}
