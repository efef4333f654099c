//! A slot on its way from one node to another.

use super::{ClusterSet, SetError};

/// How many keys are moved at a time.
const BATCH: &str = "100";
/// How long one batch may take.
const BATCH_MS: &str = "5000";

/// A slot half-way between two primaries.
///
/// Until [`finish`](Self::finish), the old owner answers for keys it still has and redirects with
/// ASK for those it has not; afterwards it redirects with MOVED. Dropping it leaves the slot where
/// it is: half-way.
#[derive(Debug)]
#[must_use = "the slot stays half-way until `finish`"]
pub struct Migration<'a> {
    set: &'a ClusterSet,
    slot: u16,
    from: usize,
    to: usize,
}

impl ClusterSet {
    /// Begins to move `slot` from its owner to the primary `to`; no key has moved yet.
    ///
    /// # Errors
    /// [`SetError`]: no owner is agreed on, or a node refuses, for instance because `to` is the
    /// owner.
    pub fn begin_migration(&self, slot: u16, to: usize) -> Result<Migration<'_>, SetError> {
        let from = self.owner(slot)?;
        let migration = Migration {
            set: self,
            slot,
            from,
            to,
        };
        migration.set_slot(to, "IMPORTING", from)?;
        migration.set_slot(from, "MIGRATING", to)?;
        Ok(migration)
    }
}

impl Migration<'_> {
    /// The slot.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// The node it comes from.
    pub fn from(&self) -> usize {
        self.from
    }

    /// The node it goes to.
    pub fn to(&self) -> usize {
        self.to
    }

    /// Moves one key of the slot; whoever asks the old owner for it is redirected with ASK. A key
    /// that is not there does not move.
    ///
    /// # Errors
    /// A node refuses.
    pub fn move_key(&self, key: &str) -> Result<(), SetError> {
        self.move_keys(&[key.to_owned()])
    }

    /// Moves what is left of the slot, and tells every node of the new owner.
    ///
    /// # Errors
    /// A node refuses, or the nodes do not come to agree.
    pub fn finish(self) -> Result<(), SetError> {
        loop {
            let slot = self.slot.to_string();
            let question = ["CLUSTER", "GETKEYSINSLOT", &slot, BATCH];
            let reply = self.set.ask(self.from, &question)?;
            let keys: Vec<String> = reply.items().iter().map(|key| key.text()).collect();
            if keys.is_empty() {
                break;
            }
            self.move_keys(&keys)?;
        }
        // The new owner first: a node that is told before it would send clients where they are
        // refused.
        self.set_slot(self.to, "NODE", self.to)?;
        self.set_slot(self.from, "NODE", self.to)?;
        for number in self.set.primaries_now()? {
            if number != self.to && number != self.from {
                self.set_slot(number, "NODE", self.to)?;
            }
        }
        self.set.wait_for_owner(self.slot, self.to)
    }

    fn move_keys(&self, keys: &[String]) -> Result<(), SetError> {
        let port = self.set.nodes[self.to].port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", BATCH_MS];
        let password = self.set.nodes[self.to].password();
        if let Some(password) = password {
            words.extend(["AUTH", password]);
        }
        words.push("KEYS");
        words.extend(keys.iter().map(String::as_str));
        self.set.ask(self.from, &words).map(drop)
    }

    fn set_slot(&self, at: usize, what: &str, node: usize) -> Result<(), SetError> {
        let slot = self.slot.to_string();
        let words = ["CLUSTER", "SETSLOT", &slot, what, &self.set.ids[node]];
        self.set.ask(at, &words).map(drop)
    }
}
