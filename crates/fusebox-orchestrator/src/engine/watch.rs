//! What an engine shows to those who count: nothing here changes anything.

use std::sync::Arc;

use fusebox_breaker::{Breaker, Transition};
use fusebox_state::StateStore;
use tokio::sync::broadcast;

use super::Engine;
use crate::commits::CommitCounts;

impl Engine {
    /// The breakers of all agents, by name, and then those of what they depend on.
    pub fn breakers(&self) -> impl Iterator<Item = &Breaker> {
        let agents = self.shared.members.values().map(|member| &member.breaker);
        agents.chain(self.shared.dependencies.values())
    }

    /// Every move of every breaker from now on, with its reason as data. A listener that is more than 1024 moves
    /// behind loses the oldest.
    pub fn transitions(&self) -> broadcast::Receiver<Transition> {
        self.shared.subscribe_transitions()
    }

    /// Moves that nobody heard of, because more happened at once than the breakers' queue holds.
    pub fn transitions_dropped(&self) -> u64 {
        self.shared.queue.dropped()
    }

    /// The commits of all journals so far, by how firmly they were acknowledged.
    pub fn commits(&self) -> CommitCounts {
        self.shared.commits.told()
    }

    /// The store the journals are kept in.
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.shared.store
    }
}
