//! One owner: a process that holds the partition, or wants to.

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
    /// What it loaded, and every write acknowledged since by the store.
    pub mirror: History,
    /// A write without an answer: it may be in the store.
    pub unanswered: Option<WriteId>,
    /// Writes acknowledged locally, not yet by the store.
    pub journal: History,
    /// What it thinks of the store.
    pub trust: Trust,
    /// The process was restarted: it has its journal on disk, but not its mirror.
    pub restarted: bool,
}

/// What an owner thinks of the store. It acknowledges nothing unless that is [`Sound`](Self::Sound).
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
    pub fn new(acquired: Acquired, identity: u8) -> Self {
        Self {
            fence: acquired.fence,
            predecessor: acquired.predecessor,
            known: identity,
            mirror: acquired.history,
            unanswered: None,
            journal: History::default(),
            trust: Trust::Sound,
            restarted: false,
        }
    }

    /// Whether it may begin or repeat a write at the store.
    pub fn may_commit(&self) -> bool {
        self.trust == Trust::Sound && !self.restarted && self.journal.revision() == 0
    }

    /// Whether it may acknowledge a write by itself.
    pub fn may_journal(&self) -> bool {
        self.trust == Trust::Sound && !self.restarted
    }

    /// Whether it has a journaled write to bring to the store.
    pub fn may_replay(&self) -> bool {
        self.trust == Trust::Sound && self.journal.revision() > 0
    }

    /// The next write of the journal, under the id it was acknowledged with.
    pub fn replay(&self) -> Option<Commit> {
        let write = *self.journal.writes().first()?;
        Some(self.commit(write))
    }

    /// `write` on top of all it knows.
    pub fn commit(&self, write: WriteId) -> Commit {
        Commit {
            fence: self.fence,
            write,
            expected: self.mirror.revision(),
        }
    }

    /// All it knows, for a store whose identity is now `found`.
    pub fn restore(&self, found: u8) -> Restore {
        Restore {
            fence: self.fence,
            predecessor: self.predecessor,
            mirror: self.mirror,
            known: self.known,
            found,
        }
    }

    /// The store has `write`.
    pub fn acknowledged(&mut self, write: WriteId) {
        self.mirror.push(write);
        if self.journal.writes().first() == Some(&write) {
            self.journal.pop_front();
        }
        if self.unanswered == Some(write) {
            self.unanswered = None;
        }
    }
}
