//! The whole: servers, owners, what is under way between them, and what may still go wrong.

use crate::ledger::Ledger;
use crate::owner::Owner;
use crate::store::{Commit, Restore, Server};

/// A state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct System {
    /// Where everybody writes who is not cut off.
    pub primary: Server,
    /// An asynchronous copy of the primary, as it was at some earlier moment.
    pub replica: Server,
    /// A former primary that does not know it yet, reachable by the owners that are cut off.
    pub old_primary: Option<Server>,
    /// The processes, in no particular order: sorted, so that states that differ only in who is
    /// who are one state.
    pub owners: Vec<Owner>,
    /// A request that its sender gave up waiting for. It may arrive at any time, or never.
    pub late: Option<Letter>,
    /// What has happened of what the bounds allow.
    pub spent: Bounds,
    /// The observer's notes.
    pub ledger: Ledger,
}

/// A request on its way to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Letter {
    /// Where it was sent.
    pub to: Side,
    /// What it asks.
    pub request: Request,
}

/// What an owner asks of a store under its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// To take a write.
    Commit(Commit),
    /// To take back what it lost.
    Restore(Restore),
}

/// One of the two sides of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The present primary.
    Primary,
    /// The former one.
    OldPrimary,
}

/// How often something may happen in one run. What is not counted is not bounded: copying to the
/// replica, restarts of owners, looking, restoring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Writes begun, by all owners together.
    pub writes: u8,
    /// Leases given.
    pub acquisitions: u8,
    /// Promotions of the replica after which the old primary is gone.
    pub failovers: u8,
    /// Promotions of the replica after which one owner still reaches the old primary.
    pub splits: u8,
    /// Times the primary loses everything.
    pub emptied: u8,
    /// Times an operator deletes the partition.
    pub deletes: u8,
    /// Answers that get lost.
    pub lost_answers: u8,
    /// Requests that arrive late or never.
    pub delays: u8,
    /// Writes without a lease, to a partition that has none.
    pub unleased: u8,
    /// Writes acknowledged locally.
    pub local: u8,
}

impl Bounds {
    /// Whether a replica may still be promoted when `spent` has happened.
    pub const fn leave_a_promotion(&self, spent: &Self) -> bool {
        spent.failovers < self.failovers || spent.splits < self.splits
    }
}

impl System {
    /// Nothing was ever written.
    pub fn new(owners: usize) -> Self {
        Self {
            primary: Server::default(),
            replica: Server::default(),
            old_primary: None,
            owners: vec![Owner::default(); owners],
            late: None,
            spent: Bounds::default(),
            ledger: Ledger::default(),
        }
    }

    /// Where `owner` writes.
    pub fn side(&self, owner: usize) -> Side {
        match self.owners[owner].cut_off {
            true => Side::OldPrimary,
            false => Side::Primary,
        }
    }

    /// The server on one side.
    pub fn server(&self, side: Side) -> Option<&Server> {
        match side {
            Side::Primary => Some(&self.primary),
            Side::OldPrimary => self.old_primary.as_ref(),
        }
    }

    /// The server that `owner` reaches.
    ///
    /// # Panics
    /// Never: an owner is cut off only while there is an old primary.
    pub fn reached(&mut self, owner: usize) -> &mut Server {
        match self.side(owner) {
            Side::Primary => &mut self.primary,
            Side::OldPrimary => self
                .old_primary
                .as_mut()
                .expect("there while one is cut off"),
        }
    }
}
