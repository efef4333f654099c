//! What the runs of one engine share: the store, the guarded agents, the way events go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::Guard;
use fusebox_breaker::{Breaker, Clock, Transition, TransitionQueue};
use fusebox_state::{Durability, StateStore};
use tokio::sync::{Notify, broadcast};

use crate::commits::Commits;
use crate::event::{EventKind, Events};
use crate::live::LiveRuns;
use crate::objectives::Objectives;
use crate::recovery::Recovery;
use crate::run::Pace;
use crate::tenant::TenantBudget;

/// What all runs of an engine share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) members: BTreeMap<String, Member>,
    /// The breakers of what several agents depend on.
    pub(crate) dependencies: BTreeMap<String, Breaker>,
    /// Told whenever one of these may let calls go again.
    pub(crate) dependency_moved: Notify,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) objectives: Objectives,
    pub(crate) queue: TransitionQueue,
    pub(crate) transitions: broadcast::Sender<Transition>,
    pub(crate) store_patience: Duration,
    pub(crate) lease_ttl: Duration,
    pub(crate) retention: Duration,
    pub(crate) min_durability: Option<Durability>,
    pub(crate) runs: LiveRuns,
    pub(crate) commits: Arc<Commits>,
    pub(crate) tenants: BTreeMap<String, TenantBudget>,
}

/// An agent behind its guard.
pub(crate) struct Member {
    pub(crate) guard: Guard,
    pub(crate) breaker: Breaker,
    pub(crate) has_fallback: bool,
    /// Calls it takes at once.
    pub(crate) max_concurrent_calls: Option<usize>,
    /// How long it keeps the thread.
    pub(crate) pace: Pace,
    /// The wait before a call is made again that failed while the breaker stayed closed.
    pub(crate) pause: Duration,
    /// What it stands behind.
    pub(crate) dependency: Option<String>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.store)
            .field("agents", &self.members.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Tells what the breakers did, and hands it to every run.
    /// The breaker of an agent, or of what agents depend on.
    pub(crate) fn breaker(&self, name: &str) -> Option<&Breaker> {
        let member = self.members.get(name).map(|member| &member.breaker);
        member.or_else(|| self.dependencies.get(name))
    }

    pub(crate) fn pump_transitions(&self) {
        let mut moved = false;
        for transition in self.queue.drain() {
            moved = true;
            if self.dependencies.contains_key(&*transition.breaker) {
                self.dependency_moved.notify_waiters();
            }
            let Transition {
                breaker,
                from,
                to,
                reason,
                ..
            } = &transition;
            let told = EventKind::breaker_moved(breaker, *from, *to, reason);
            self.events.of_engine(told);
            self.objectives.record(&transition);
            // An error only says that no run is there.
            let _ = self.transitions.send(transition);
        }
        if moved {
            self.recovery.look_again();
        }
    }

    pub(crate) fn subscribe_transitions(&self) -> broadcast::Receiver<Transition> {
        self.transitions.subscribe()
    }
}
