//! The model as the checker sees it: where it begins, what can happen, what must hold.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::action::Action;
use crate::ledger::Breach;
use crate::milestone::Milestones;
use crate::rules::Rules;
use crate::step::Step;
use crate::system::{Bounds, System};

/// The protocol under some rules, within some bounds.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// What the stores check, and how owners behave.
    pub rules: Rules,
    /// How many processes there are.
    pub owners: usize,
    /// How much may happen.
    pub bounds: Bounds,
    /// What was reached on the way.
    pub milestones: Arc<Milestones>,
}

impl Model for Protocol {
    type State = System;
    type Action = Action;

    fn init_states(&self) -> Vec<System> {
        vec![System::new(self.owners)]
    }

    fn actions(&self, state: &System, actions: &mut Vec<Action>) {
        state.possible(&self.rules, &self.bounds, actions);
    }

    fn next_state(&self, last: &System, action: Action) -> Option<System> {
        let step = Step {
            rules: &self.rules,
            bounds: &self.bounds,
            milestones: &self.milestones,
            system: last.clone(),
        };
        step.take(action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_WRITE_PER_REVISION, |_, system: &System| {
                !system.ledger.has(Breach::AcknowledgedTwice)
            }),
            Property::always(NEWER_STANDS, |_, system: &System| {
                !system.ledger.has(Breach::Overwritten)
            }),
            Property::always(OWN_STANDS, |_, system: &System| {
                !system.ledger.has(Breach::TakenBack)
            }),
            Property::always(APPLIED_ONCE, |_, system: &System| applied_once(system)),
            Property::always(TOLD_OF_LOSS, |_, system: &System| {
                !system.ledger.has(Breach::SilentlyLost)
            }),
            Property::always(KNOWN_TO_OWNER, |protocol: &Self, system: &System| {
                known_to_owner(protocol, system)
            }),
            Property::always(FORKS_STAY_APART, |_, system: &System| {
                !system.ledger.has(Breach::ForkApplied)
            }),
            Property::always(DELETES_STAND, |_, system: &System| {
                !system.ledger.has(Breach::DeleteUndone)
            }),
        ]
    }
}

/// Under one lease, a revision is acknowledged to one write id only.
pub const ONE_WRITE_PER_REVISION: &str = "one write per revision";
/// A stale owner never changes what a newer owner has acknowledged.
pub const NEWER_STANDS: &str = "a newer owner's writes stand";
/// A restore takes away nothing that was acknowledged under its own lease.
pub const OWN_STANDS: &str = "a restore takes nothing back";
/// Each write id is applied at most once in the surviving history.
pub const APPLIED_ONCE: &str = "each write is applied at most once";
/// Whoever acknowledged a write that is gone is told before the store acknowledges more to it.
pub const TOLD_OF_LOSS: &str = "a loss is told before the next acknowledgement";
/// What was acknowledged to an owner that has not been told otherwise, it can restore or replay.
pub const KNOWN_TO_OWNER: &str = "an owner knows what it acknowledged";
/// Nothing is applied under a lease that was given up as forked.
pub const FORKS_STAY_APART: &str = "nothing forked is applied";
/// A deleted partition does not come back while the store can know that it was deleted.
pub const DELETES_STAND: &str = "a delete stands";

fn applied_once(system: &System) -> bool {
    let servers = [Some(&system.primary), system.old_primary.as_ref()];
    servers
        .into_iter()
        .flatten()
        .all(|server| !server.history().repeats())
}

fn known_to_owner(protocol: &Protocol, system: &System) -> bool {
    let seats = system.owners.iter().filter_map(|owner| owner.seat.as_ref());
    let mirrored = seats.filter(|seat| seat.is_mirrored(&protocol.rules.owner));
    mirrored.into_iter().all(|seat| {
        let known = |write| seat.mirror.contains(write) || seat.journal.contains(write);
        system
            .ledger
            .acknowledged_under(seat.fence.token)
            .all(known)
    })
}
