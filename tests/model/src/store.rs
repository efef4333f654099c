//! One server: what it keeps of the partition, and how it answers. Each request is one atomic
//! script, so that checks and writes are one step.

use std::fmt;

use crate::history::{History, WriteId};
use crate::rules::{Epochs, FenceCheck, LeaseKept, OntoAbsent, RestoreOver, Rules};

/// Who may write: the pair counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The number; both sides of a split may hand out the same.
    pub epoch: u8,
    /// Unique per acquisition. Random in the stores; here it counts acquisitions, so that the
    /// properties can tell who is newer. No store compares its size.
    pub token: u8,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}t{}", self.epoch, self.token)
    }
}

/// A server's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// Drawn at random when the store is empty, and replicated like everything else: another one
    /// means that the store was emptied.
    pub identity: u8,
    /// Its clock is far behind.
    pub behind: bool,
    /// The partition, if it exists.
    pub partition: Option<Partition>,
    /// The forks recorded here, one bit per token. They outlive the partition.
    pub forks: u16,
    /// The deletes recorded here: the writes that went with them, one bit each. Rules see only
    /// whether there is a record; which writes it was, the properties want to know.
    pub deleted: u16,
}

/// A partition: lease and content lie together and are replicated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The lease last acquired or restored, run out or not: time is nondeterminism here, so
    /// anybody may acquire at any moment. `None` before the first, while anybody may write.
    pub lease: Option<Fence>,
    /// What was written.
    pub history: History,
}

/// A successful acquisition, and the partition as it was loaded under it.
#[derive(Debug, Clone, Copy)]
pub struct Acquired {
    /// Goes with every write.
    pub fence: Fence,
    /// The lease it replaced.
    pub predecessor: Option<Fence>,
    /// The content.
    pub history: History,
}

/// A write under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit {
    /// The lease.
    pub fence: Fence,
    /// Kept for every repetition of this write.
    pub write: WriteId,
    /// The revision it builds on; any if none.
    pub expected: Option<u8>,
    /// The last write it builds on.
    pub after: Option<WriteId>,
}

/// What a store says to a [`Commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitAnswer {
    /// Applied now, at this revision.
    Applied(u8),
    /// Applied before, at this revision.
    Duplicate(u8),
    /// The partition is at another revision: this one. Or at the same by another write.
    Conflict(u8),
    /// Another lease is in charge.
    Stale,
}

/// Asks to put a rolled-back partition to where its owner knows it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Restore {
    /// The restorer's lease, current again if this is accepted.
    pub fence: Fence,
    /// The lease it replaced.
    pub predecessor: Option<Fence>,
    /// Everything that was acknowledged to the restorer.
    pub mirror: History,
    /// The identity of the store that the restorer relied on.
    pub known: u8,
    /// The identity it found when it looked.
    pub found: u8,
}

impl Server {
    /// Gives the lease to a newcomer.
    pub fn acquire(&mut self, rules: &Rules, token: u8) -> Acquired {
        let history = self.history();
        let predecessor = self.partition.and_then(|p| p.lease);
        let epoch = predecessor.map_or(1, |lease| lease.epoch + 1);
        // Tokens count acquisitions, so they can pass for a clock that is never behind.
        let clock = match rules.epochs {
            Epochs::Counter => 0,
            Epochs::SkewedClock if self.behind => 0,
            Epochs::Clock | Epochs::SkewedClock => token,
        };
        let fence = Fence {
            epoch: epoch.max(clock),
            token,
        };
        self.partition = Some(Partition {
            lease: Some(fence),
            history,
        });
        Acquired {
            fence,
            predecessor,
            history,
        }
    }

    /// Takes a write of somebody who needs no lease. False if there is one.
    pub fn write_unleased(&mut self, write: WriteId) -> bool {
        let partition = self.partition.get_or_insert(Partition {
            lease: None,
            history: History::default(),
        });
        let unleased = partition.lease.is_none();
        if unleased {
            partition.history.push(write);
        }
        unleased
    }

    /// Takes a write, or says why not. A repetition is recognised before the fence is looked at:
    /// a write that was applied stays so, whoever is in charge now.
    pub fn commit(&mut self, rules: &Rules, commit: &Commit) -> CommitAnswer {
        if let Some(revision) = self.history().revision_of(commit.write)
            && rules.write_ids
        {
            return CommitAnswer::Duplicate(revision);
        }
        if !self.is_led_by(rules, commit.fence) {
            return CommitAnswer::Stale;
        }
        let Some(partition) = &mut self.partition else {
            return CommitAnswer::Stale;
        };
        let found = partition.history.revision();
        let other_revision = commit.expected.is_some_and(|expected| expected != found);
        let other_last = rules.commits_expect_last && partition.history.last() != commit.after;
        if (rules.commits_expect_revision && other_revision) || other_last {
            return CommitAnswer::Conflict(found);
        }
        CommitAnswer::Applied(partition.history.push(commit.write))
    }

    /// Whether it was accepted: the partition is then as `restore` says, lease included.
    pub fn restore(&mut self, rules: &Rules, restore: &Restore) -> bool {
        let meant = !rules.restores_name_store || restore.found == self.identity;
        let forked = self.forks & (1 << restore.fence.token) != 0;
        let admitted = meant
            && !forked
            && match &self.partition {
                None => self.may_be_recreated(rules, restore),
                Some(partition) => {
                    rules.may_restore_over(partition.lease, restore)
                        && (!rules.restores_compare_revisions
                            || partition.history.revision() <= restore.mirror.revision())
                }
            };
        if admitted && !self.is_current(rules, restore) {
            self.partition = Some(Partition {
                lease: Some(restore.fence),
                history: restore.mirror,
            });
        }
        admitted
    }

    /// Whether the partition is what `restore` would make of it, as far as is looked at.
    fn is_current(&self, rules: &Rules, restore: &Restore) -> bool {
        let stored = self.history();
        self.is_led_by(rules, restore.fence)
            && stored.revision() == restore.mirror.revision()
            && (!rules.restores_compare_last || stored.last() == restore.mirror.last())
    }

    fn may_be_recreated(&self, rules: &Rules, restore: &Restore) -> bool {
        let other = self.identity != restore.known;
        match rules.onto_absent {
            OntoAbsent::OtherStoreWithoutDelete => other && !self.delete_recorded(),
            OntoAbsent::WithoutDelete => !self.delete_recorded(),
            OntoAbsent::OtherStore => other,
            OntoAbsent::Always => true,
        }
    }

    /// Records that whoever held `fence` gives it up and keeps apart what was acknowledged to it.
    /// False if the lease is current after all: then there is nothing to give up.
    pub fn fork(&mut self, rules: &Rules, fence: Fence) -> bool {
        if self.is_led_by(rules, fence) {
            return false;
        }
        if rules.forks_recorded {
            self.forks |= 1 << fence.token;
        }
        true
    }

    /// Removes the partition, as an operator wishes.
    pub fn delete(&mut self) {
        for write in self.history().writes() {
            self.deleted |= 1 << write;
        }
        self.partition = None;
    }

    fn delete_recorded(&self) -> bool {
        self.deleted != 0
    }

    /// The content; nothing if there is no partition.
    pub fn history(&self) -> History {
        self.partition.map(|p| p.history).unwrap_or_default()
    }

    /// Whether the partition is not what an owner under `fence` with this `mirror` left there.
    pub fn is_rolled_back(&self, rules: &Rules, fence: Fence, mirror: &History) -> bool {
        let stored = self.history();
        let replaced = stored.revision() == mirror.revision() && stored.last() != mirror.last();
        !self.is_led_by(rules, fence)
            || stored.revision() < mirror.revision()
            || (rules.commits_expect_last && replaced)
    }

    /// Whether the lease is the one of `fence`.
    pub fn is_led_by(&self, rules: &Rules, fence: Fence) -> bool {
        let lease = self.partition.and_then(|partition| partition.lease);
        lease.is_some_and(|lease| rules.is_same(lease, fence))
    }
}

impl Rules {
    fn is_same(&self, stored: Fence, shown: Fence) -> bool {
        stored.epoch == shown.epoch
            && (self.fence == FenceCheck::EpochAlone || stored.token == shown.token)
    }

    fn may_restore_over(&self, stored: Option<Fence>, restore: &Restore) -> bool {
        let Some(stored) = stored else {
            return self.lease == LeaseKept::AsExpiringKey
                || (self.restore_over_unleased && restore.predecessor.is_none());
        };
        self.is_same(stored, restore.fence)
            || match self.restore_over {
                RestoreOver::OwnOrPredecessor => restore
                    .predecessor
                    .is_some_and(|predecessor| self.is_same(stored, predecessor)),
                RestoreOver::LowerEpoch => stored.epoch < restore.fence.epoch,
            }
    }
}
