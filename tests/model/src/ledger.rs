//! What an observer who sees everything has noted. No rule reads it; the properties do.

use crate::history::{History, MAX_WRITES, WriteId};
use crate::store::{Commit, Restore, Server};
use crate::system::Side;

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// One revision of a lineage was acknowledged to two writes.
    AcknowledgedTwice,
    /// A stale owner changed what a newer owner has acknowledged.
    Overwritten,
    /// A restore took away what had been acknowledged under its own lease.
    TakenBack,
    /// An acknowledged write was gone, and its owner got another acknowledgement from the store
    /// before it was told.
    SilentlyLost,
    /// Something was applied under a lease that had been given up as forked.
    ForkApplied,
    /// What an operator deleted came back, although the store had kept its memory of it.
    DeleteUndone,
}

/// Under which lease a write was acknowledged, and at which revision; 0 while it is only in its
/// owner's journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Acknowledgement {
    token: u8,
    revision: u8,
}

/// Stands for the token of somebody who writes without a lease. Any owner may write after it, and
/// none may take away what it wrote.
const UNLEASED: u8 = u8::MAX;

/// The notes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ledger {
    acknowledged: [Acknowledgement; MAX_WRITES],
    /// One bit per token.
    forked: u16,
    /// One bit per broken promise: one step can break several.
    breaches: u8,
}

impl Ledger {
    /// Whether a promise was broken.
    pub const fn has_breach(&self) -> bool {
        self.breaches != 0
    }

    /// Whether this one was.
    pub const fn has(&self, breach: Breach) -> bool {
        self.breaches & (1 << breach as u8) != 0
    }

    /// The writes acknowledged under the lease with `token`.
    pub fn acknowledged_under(&self, token: u8) -> impl Iterator<Item = WriteId> + '_ {
        (1..)
            .zip(&self.acknowledged)
            .filter(move |(_, ack)| ack.token == token)
            .map(|(write, _)| write)
    }

    /// A store is about to apply `commit` to `server`.
    pub fn commits(&mut self, server: &Server, commit: &Commit, side: Side) {
        self.check_forked(commit.fence.token, side);
        if self.has_newer(server.history().writes(), commit.fence.token) {
            self.note(Breach::Overwritten);
        }
    }

    /// A store is about to apply `restore` to `server`.
    pub fn restores(&mut self, server: &Server, restore: &Restore, side: Side) {
        self.check_forked(restore.fence.token, side);
        let removed: Vec<WriteId> = server
            .history()
            .writes()
            .iter()
            .copied()
            .filter(|write| !restore.mirror.contains(*write))
            .collect();
        let by = |write: &WriteId| self.acknowledged[usize::from(*write) - 1].token;
        let unleased = removed.iter().any(|write| by(write) == UNLEASED);
        let own = removed.iter().any(|write| by(write) == restore.fence.token);
        if unleased || self.has_newer(&removed, restore.fence.token) {
            self.note(Breach::Overwritten);
        }
        if own {
            self.note(Breach::TakenBack);
        }
        let deleted = |write: &WriteId| server.deleted & (1 << write) != 0;
        if restore.mirror.writes().iter().any(deleted) {
            self.note(Breach::DeleteUndone);
        }
    }

    /// The store acknowledged `write` to the owner of the lease with `token`, who now has
    /// `journal` still to bring.
    pub fn acknowledges(
        &mut self,
        token: u8,
        write: WriteId,
        revision: u8,
        stored: &History,
        journal: &History,
    ) {
        let ack = Acknowledgement { token, revision };
        let slot = usize::from(write) - 1;
        let twice = (0..)
            .zip(&self.acknowledged)
            .any(|(other, earlier)| other != slot && *earlier == ack);
        self.acknowledged[slot] = ack;
        if twice {
            self.note(Breach::AcknowledgedTwice);
        }
        let lost = |write: WriteId| !stored.contains(write) && !journal.contains(write);
        if self.acknowledged_under(token).any(lost) {
            self.note(Breach::SilentlyLost);
        }
    }

    /// The store acknowledged `write` to somebody without a lease.
    pub fn acknowledges_unleased(&mut self, write: WriteId) {
        self.journals(UNLEASED, write);
    }

    /// An owner acknowledged `write` by itself.
    pub fn journals(&mut self, token: u8, write: WriteId) {
        self.acknowledged[usize::from(write) - 1] = Acknowledgement { token, revision: 0 };
    }

    /// An owner gave up its lease and reported what was acknowledged under it.
    pub fn forks(&mut self, token: u8) {
        self.forked |= 1 << token;
    }

    fn has_newer(&self, writes: &[WriteId], token: u8) -> bool {
        writes.iter().any(|write| {
            let by = self.acknowledged[usize::from(*write) - 1].token;
            by != UNLEASED && by > token
        })
    }

    /// What an old primary still takes is dropped with everything else it has.
    fn check_forked(&mut self, token: u8, side: Side) {
        if side == Side::Primary && self.forked & (1 << token) != 0 {
            self.note(Breach::ForkApplied);
        }
    }

    fn note(&mut self, breach: Breach) {
        self.breaches |= 1 << breach as u8;
    }
}
