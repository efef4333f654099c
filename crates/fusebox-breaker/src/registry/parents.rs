//! Verdicts over groups: how many of a provider's (a region's, a tenant's …) breakers are open.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::outcome::State;
use crate::registry::target::{Part, Target};

/// A group of breakers, those with the same names of `parts`, and when it counts as tripped.
#[derive(Debug, Clone, PartialEq)]
pub struct ParentRule {
    /// The parts that make the group, for instance the provider alone, or provider and region.
    pub parts: Vec<Part>,
    /// Fewer open breakers than these never trip it; at least 1.
    pub minimum_open: u32,
    /// Ratio of open breakers in `(0, 1]`; exactly at it the group is tripped.
    pub open_ratio: f64,
}

/// How a group of breakers stands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ParentVerdict {
    /// Breakers of the group in the registry.
    pub children: u32,
    /// Those open, half-open or forced open.
    pub open: u32,
    /// Times a breaker of the group has opened since the group was first seen.
    pub trips: u64,
    /// Whether the group's rule holds.
    pub is_tripped: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Parents {
    rules: Vec<ParentRule>,
    groups: Mutex<HashMap<Target, Group>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    children: u32,
    open: u32,
    trips: u64,
}

impl Parents {
    pub(crate) fn new(rules: Vec<ParentRule>) -> Self {
        Self {
            rules,
            groups: Mutex::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn added(&self, child: &Target) {
        self.change(child, |group| group.children += 1);
    }

    /// Only closed breakers are removed, so no open one is left behind in the count.
    pub(crate) fn removed(&self, child: &Target) {
        self.change(child, |group| {
            group.children = group.children.saturating_sub(1)
        });
        // A group without children has nothing to say.
        self.groups().retain(|_, group| group.children > 0);
    }

    pub(crate) fn moved(&self, child: &Target, from: State, to: State) {
        match (is_open(from), is_open(to)) {
            (false, true) => self.change(child, |group| {
                group.open += 1;
                group.trips += 1;
            }),
            (true, false) => self.change(child, |group| group.open = group.open.saturating_sub(1)),
            // A failed probe is a trip too.
            (true, true) if to == State::Open => self.change(child, |group| group.trips += 1),
            _ => {}
        }
    }

    pub(crate) fn verdict(&self, parent: &Target) -> Option<ParentVerdict> {
        let group = *self.groups().get(parent)?;
        let rule = self.rules.iter().find(|rule| {
            rule.parts.len() == parent.depth()
                && rule.parts.iter().all(|part| parent.part(*part).is_some())
        })?;
        let ratio = f64::from(group.open) / f64::from(group.children.max(1));
        Some(ParentVerdict {
            children: group.children,
            open: group.open,
            trips: group.trips,
            is_tripped: group.open >= rule.minimum_open.max(1) && ratio >= rule.open_ratio,
        })
    }

    fn change(&self, child: &Target, change: impl Fn(&mut Group)) {
        for rule in &self.rules {
            if let Some(parent) = child.reduced_to(&rule.parts) {
                change(self.groups().entry(parent).or_default());
            }
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Target, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_open(state: State) -> bool {
    matches!(state, State::Open | State::HalfOpen | State::ForcedOpen)
}
