//! Everything that can happen.

use crate::conduct::{Conduct, Loads, Unanswered};
use crate::owner::Trust;
use crate::rules::{LeaseKept, Rules};
use crate::system::{Bounds, System};

/// One step of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The replica catches up with the primary.
    Replicate,
    /// The replica is promoted as it is; the old primary is gone.
    FailOver,
    /// The replica is promoted as it is; one owner still reaches the old primary.
    Split(usize),
    /// The old primary becomes a replica and drops what it had.
    Heal,
    /// The primary loses everything: flushed, or restarted without persistence.
    Empty,
    /// An operator deletes the partition.
    Delete,
    /// A lease that is an expiring key is gone.
    Vanish,
    /// A request that was under way all the time arrives; nobody waits for its answer.
    Arrive,
    /// Somebody without a lease writes to a partition that has none.
    WriteUnleased,
    /// An owner acquires the lease.
    Acquire(usize, Fate),
    /// An owner reads the partition: after acquiring it, or because there is more under its lease
    /// than it knows of.
    Load(usize),
    /// An owner begins a write, or repeats the one without an answer.
    Commit(usize, Fate),
    /// An owner's caller leaves without the answer to its write.
    Forget(usize),
    /// An owner that cannot reach the store acknowledges a write from its journal on disk.
    Journal(usize),
    /// An owner brings the oldest journaled write to the store.
    Replay(usize, Fate),
    /// An owner looks, and finds the partition other than it left it.
    Look(usize),
    /// An owner asks the store to take all it knows: it found so, or has acknowledged by itself.
    Restore(usize, Fate),
    /// An owner that may not restore records a fork, reports it, and gives its lease up.
    Fork(usize, Fate),
    /// An owner's process ends, and starts anew with nothing but its journal.
    Restart(usize),
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, and so does the answer.
    Answered,
    /// It arrives, the answer does not.
    AnswerLost,
    /// The sender gives up before it arrives.
    Late,
}

impl System {
    /// What can happen next within `bounds`, in a fixed order.
    pub fn possible(&self, rules: &Rules, bounds: &Bounds, actions: &mut Vec<Action>) {
        if self.ledger.has_breach() {
            return;
        }
        self.for_servers(rules, bounds, actions);
        // Of equal processes one is enough.
        let distinct = |at: &usize| *at == 0 || self.owners[*at] != self.owners[*at - 1];
        for owner in (0..self.owners.len()).filter(distinct) {
            self.for_owner(owner, &rules.owner, bounds, actions);
        }
    }

    fn for_servers(&self, rules: &Rules, bounds: &Bounds, actions: &mut Vec<Action>) {
        let spent = &self.spent;
        if bounds.leave_a_promotion(spent) && self.replica != self.primary {
            actions.push(Action::Replicate);
            // Of a replica that is up to date only the count would change.
            if spent.failovers < bounds.failovers {
                actions.push(Action::FailOver);
            }
        }
        if spent.splits < bounds.splits && self.old_primary.is_none() {
            actions.extend((0..self.owners.len()).map(Action::Split));
        }
        if self.old_primary.is_some() {
            actions.push(Action::Heal);
        }
        if spent.emptied < bounds.emptied {
            actions.push(Action::Empty);
        }
        let leased = self.primary.partition.and_then(|p| p.lease).is_some();
        if !leased && spent.unleased < bounds.unleased && spent.writes < bounds.writes {
            actions.push(Action::WriteUnleased);
        }
        if let Some(partition) = self.primary.partition {
            if spent.deletes < bounds.deletes {
                actions.push(Action::Delete);
            }
            if rules.lease == LeaseKept::AsExpiringKey && partition.lease.is_some() {
                actions.push(Action::Vanish);
            }
        }
        if self.late.is_some() {
            actions.push(Action::Arrive);
        }
    }

    fn for_owner(
        &self,
        owner: usize,
        conduct: &Conduct,
        bounds: &Bounds,
        actions: &mut Vec<Action>,
    ) {
        let spent = &self.spent;
        let mut fates = vec![Fate::Answered];
        if spent.lost_answers < bounds.lost_answers {
            fates.push(Fate::AnswerLost);
        }
        let Some(seat) = &self.owners[owner].seat else {
            if spent.acquisitions < bounds.acquisitions {
                actions.extend(fates.iter().map(|fate| Action::Acquire(owner, *fate)));
            }
            return;
        };
        if conduct.loads != Loads::WithLease {
            actions.push(Action::Load(owner));
        }
        if spent.delays < bounds.delays && self.late.is_none() {
            fates.push(Fate::Late);
        }
        let has_write = seat.unanswered.is_some() || spent.writes < bounds.writes;
        if seat.may_commit() && has_write {
            actions.extend(fates.iter().map(|fate| Action::Commit(owner, *fate)));
        }
        if seat.unanswered.is_some() && conduct.unanswered == Unanswered::Forgotten {
            actions.push(Action::Forget(owner));
        }
        if seat.may_journal(conduct) && has_write && spent.local < bounds.local {
            actions.push(Action::Journal(owner));
        }
        if seat.may_replay(conduct) {
            actions.extend(fates.iter().map(|fate| Action::Replay(owner, *fate)));
        }
        if seat.may_look(conduct) {
            actions.push(Action::Look(owner));
        }
        if seat.may_restore(conduct) {
            actions.extend(fates.iter().map(|fate| Action::Restore(owner, *fate)));
        }
        if seat.trust == Trust::Refused {
            // A fork that arrives late has nothing to do any more: recorded or given up.
            let fates = fates.iter().filter(|fate| **fate != Fate::Late);
            actions.extend(fates.map(|fate| Action::Fork(owner, *fate)));
        }
        actions.push(Action::Restart(owner));
    }
}
