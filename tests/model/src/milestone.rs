//! What has to be reached for a verdict to mean anything.

use std::sync::atomic::{AtomicBool, Ordering};

/// Something that happens somewhere in a model that is not vacuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// A restore was accepted.
    Restored,
    /// A restore was refused, and its owner forked.
    Forked,
    /// A repeated write was recognised.
    Duplicate,
    /// A journaled write was brought to the store.
    Replayed,
}

impl Milestone {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Restored,
        Self::Forked,
        Self::Duplicate,
        Self::Replayed,
    ];
}

/// Which were reached in any explored state. Kept beside the states: in them, each would double
/// their number.
#[derive(Debug, Default)]
pub struct Milestones([AtomicBool; Milestone::ALL.len()]);

impl Milestones {
    pub(crate) fn reach(&self, milestone: Milestone) {
        let flag = &self.0[milestone as usize];
        // A load does not take the cache line away from the other threads, a store does.
        if !flag.load(Ordering::Relaxed) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// The ones that were reached.
    pub fn reached(&self) -> Vec<Milestone> {
        let reached = |milestone: &Milestone| self.0[*milestone as usize].load(Ordering::Relaxed);
        Milestone::ALL.into_iter().filter(reached).collect()
    }
}
