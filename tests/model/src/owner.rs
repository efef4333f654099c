//! One owner: a process that holds the partition, or wants to.

use crate::conduct::{Conduct, Delivery, IdentityOf, JournalHolds, Loads, WithoutMirror};
use crate::history::{History, WriteId};
use crate::store::{Acquired, Commit, Fence, Restore};

/// A process. It may stop for any time at any point: then other actions simply come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// It still reaches the old primary, and only that.
    pub cut_off: bool,
    /// What it holds; `None` while it owns nothing.
    pub seat: Option<Seat>,
}

/// What an owner knows while it believes to own the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// Its lease.
    pub fence: Fence,
    /// The lease it replaced.
    pub predecessor: Option<Fence>,
    /// The identity of the store it relies on.
    pub known: u8,
    /// Whether it has loaded the partition.
    pub loaded: Loaded,
    /// What it loaded, and every write acknowledged since by the store.
    pub mirror: History,
    /// A write without an answer: it may be in the store.
    pub unanswered: Option<WriteId>,
    /// Writes acknowledged locally, not yet by the store.
    pub journal: History,
    /// What it thinks of the store.
    pub trust: Trust,
    /// The process was restarted, and nobody writes under this lease any more: it is here for what
    /// was in the journal on disk.
    pub restarted: bool,
}

/// Whether an owner has loaded the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loaded {
    /// Not yet.
    No,
    /// Under its own lease: it has a mirror.
    UnderOwnLease,
    /// Under another. What it read is a revision to write from, and no mirror.
    UnderAnother,
}

/// What an owner thinks of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// It is as the owner left it.
    Sound,
    /// It is not: to be restored.
    Suspicious,
    /// It refused to be restored: to be forked.
    Refused,
}

impl Seat {
    /// Takes a seat.
    pub fn new(conduct: &Conduct, acquired: Acquired, identity: u8) -> Self {
        let (loaded, mirror) = match conduct.loads {
            Loads::WithLease => (Loaded::UnderOwnLease, acquired.history),
            Loads::AfterLease | Loads::UnderAnyLease => (Loaded::No, History::default()),
        };
        Self {
            fence: acquired.fence,
            predecessor: acquired.predecessor,
            known: match conduct.identity {
                IdentityOf::Acquisition => identity,
                // The first there is: no other is older.
                IdentityOf::Start => 0,
            },
            loaded,
            mirror,
            unanswered: None,
            journal: History::default(),
            trust: Trust::Sound,
            restarted: false,
        }
    }

    /// Whether it has a copy of all that was acknowledged to it.
    pub fn is_mirrored(&self, conduct: &Conduct) -> bool {
        let kept = !self.restarted || conduct.journal == JournalHolds::Mirror;
        self.loaded == Loaded::UnderOwnLease && kept
    }

    /// Whether it may begin or repeat a write at the store.
    pub fn may_commit(&self) -> bool {
        self.loaded != Loaded::No
            && self.trust == Trust::Sound
            && !self.restarted
            && !self.is_behind()
    }

    /// Whether it may acknowledge a write by itself.
    pub fn may_journal(&self, conduct: &Conduct) -> bool {
        self.loaded == Loaded::UnderOwnLease
            && !self.restarted
            && (self.trust == Trust::Sound || !conduct.remembers_difference)
    }

    /// Whether it has something that the store has not.
    pub fn is_behind(&self) -> bool {
        self.journal.revision() > 0
    }

    /// Whether it has a journaled write to bring to the store by itself.
    pub fn may_replay(&self, conduct: &Conduct) -> bool {
        conduct.delivery == Delivery::CommitByCommit
            && self.trust == Trust::Sound
            && self.is_behind()
    }

    /// Whether it asks the store to take all it knows.
    pub fn may_restore(&self, conduct: &Conduct) -> bool {
        self.trust == Trust::Suspicious || self.delivers_whole(conduct)
    }

    /// Whether it looks if the store is as it left it.
    pub fn may_look(&self, conduct: &Conduct) -> bool {
        self.loaded == Loaded::UnderOwnLease
            && self.trust == Trust::Sound
            && !self.delivers_whole(conduct)
    }

    fn delivers_whole(&self, conduct: &Conduct) -> bool {
        conduct.delivery == Delivery::Whole && self.trust == Trust::Sound && self.is_behind()
    }

    /// The next write of the journal, under the id it was acknowledged with.
    pub fn replay(&self, conduct: &Conduct) -> Option<Commit> {
        let write = *self.journal.writes().first()?;
        Some(self.commit(conduct, write))
    }

    /// `write` on top of all it knows.
    pub fn commit(&self, conduct: &Conduct, write: WriteId) -> Commit {
        let names_none = self.loaded == Loaded::UnderAnother
            && conduct.without_mirror == WithoutMirror::NamesNone;
        Commit {
            fence: self.fence,
            write,
            expected: (!names_none).then_some(self.mirror.revision()),
            after: self.mirror.last(),
        }
    }

    /// All it knows, for a store whose identity is now `found`.
    pub fn restore(&self, conduct: &Conduct, found: u8) -> Restore {
        let mirror = match conduct.delivery {
            Delivery::Whole => self.mirror.followed_by(&self.journal),
            Delivery::CommitByCommit => self.mirror,
        };
        Restore {
            fence: self.fence,
            predecessor: self.predecessor,
            mirror,
            known: self.known,
            found,
        }
    }

    /// The store has `write`, as `revision`.
    pub fn acknowledged(&mut self, write: WriteId, revision: u8) {
        // What it has read anew may have it already.
        if revision > self.mirror.revision() {
            self.mirror.push(write);
        }
        if self.journal.writes().first() == Some(&write) {
            self.journal.pop_front();
        }
        if self.unanswered == Some(write) {
            self.unanswered = None;
        }
    }
}
