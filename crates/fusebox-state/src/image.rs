//! A whole partition: looked at, taken along, put back.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::commit::REMEMBERED_WRITES;
use crate::{Durability, Entry, Fence, Key, Lease, StoreError, StoreId, TokenId, WriteId};

/// Most bytes of keys and values in one [`Image`] (64 MiB).
pub const MAX_IMAGE_BYTES: usize = 64 << 20;

/// What a partition holds, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// How many commits it has taken; 0 if it was only leased.
    pub revision: u64,
    /// Its keys.
    pub keys: u64,
    /// Bytes of its values.
    pub value_bytes: u64,
    /// The commit that made its revision.
    pub latest: Option<WriteId>,
    /// When it was last written to, by the store's clock; `None` if it never was.
    pub changed: Option<SystemTime>,
    /// Until it is removed; `None` if nothing removes it.
    pub expires_in: Option<Duration>,
    /// As [`StateStore::lease`](crate::StateStore::lease).
    pub lease: Option<Lease>,
}

impl Head {
    /// A head for a store to return: never written, never leased, kept for ever.
    pub const fn new(revision: u64) -> Self {
        Self {
            revision,
            keys: 0,
            value_bytes: 0,
            latest: None,
            changed: None,
            expires_in: None,
            lease: None,
        }
    }
}

/// A write that a partition remembers, to recognise its repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedWrite {
    /// Its name.
    pub id: WriteId,
    /// Its [`digest`](crate::Commit::digest).
    pub digest: [u8; 32],
    /// The revision it made.
    pub revision: u64,
}

/// Everything a partition holds, as it stood at one moment.
///
/// A sole owner keeps one up to date to put it back should the store lose what it acknowledged: see
/// [`StateStore::restore`](crate::StateStore::restore). It is also a copy to be read at leisure.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// How many commits it has taken.
    pub revision: u64,
    /// The greatest version ever deleted; see [`StateStore::commit`](crate::StateStore::commit).
    pub version_floor: u64,
    /// Its keys in byte order, with values and versions.
    pub entries: Vec<(Key, Entry)>,
    /// The writes it remembers, oldest first.
    pub writes: Vec<RememberedWrite>,
    /// The lease it was read under, current or run out. A restore does not look at it.
    pub lease: Option<LeaseMark>,
}

impl Image {
    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        let entry = |(key, entry): &(Key, Entry)| key.as_str().len() + entry.value.len();
        self.entries.iter().map(entry).sum()
    }

    /// For stores, before anything is sent.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] over 64 MiB or over 128 remembered writes.
    pub fn check_limits(&self) -> Result<(), StoreError> {
        let limit = |what: &str, size, limit| match size <= limit {
            true => Ok(()),
            false => Err(StoreError::TooLarge {
                what: what.to_owned(),
                size,
                limit,
            }),
        };
        limit(
            "image of a partition in bytes",
            self.bytes(),
            MAX_IMAGE_BYTES,
        )?;
        limit(
            "remembered writes of an image",
            self.writes.len(),
            REMEMBERED_WRITES,
        )
    }
}

impl fmt::Debug for Image {
    // Values are the caller's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("revision", &self.revision)
            .field("keys", &self.entries.len())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// A lease by what anyone may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseMark {
    /// Its epoch.
    pub epoch: u64,
    /// Names it.
    pub token_id: TokenId,
}

impl From<&Lease> for LeaseMark {
    fn from(lease: &Lease) -> Self {
        Self {
            epoch: lease.epoch,
            token_id: lease.token_id.clone(),
        }
    }
}

impl From<&Fence> for LeaseMark {
    fn from(fence: &Fence) -> Self {
        Self {
            epoch: fence.epoch,
            token_id: fence.token_id(),
        }
    }
}

/// Puts a partition back to what its owner was told it is: see
/// [`StateStore::restore`](crate::StateStore::restore).
#[derive(Debug, Clone)]
#[must_use = "it does nothing until a store takes it"]
pub struct Restore {
    /// The restorer's own lease, which the partition has afterwards.
    pub fence: Fence,
    /// The lease's owner, as in [`LeaseRequest`](crate::LeaseRequest).
    pub owner: String,
    /// How long the lease runs from now.
    pub ttl: Duration,
    /// The lease that the restorer replaced when it acquired the partition.
    pub predecessor: Option<LeaseMark>,
    /// Also make the partition if it is not there. Only where the store's
    /// [`identity`](crate::StateStore::identity) is another than the one that acknowledged the
    /// image: otherwise somebody removed the partition on purpose.
    pub onto_absent: bool,
    /// The identity of the store when this was decided: one that was emptied since refuses it.
    pub decided_for: Option<StoreId>,
    /// What the partition holds afterwards.
    pub image: Image,
}

impl Restore {
    /// Puts `image` back under `fence`, over the own lease only, at whatever store.
    pub fn new(fence: Fence, owner: impl Into<String>, ttl: Duration, image: Image) -> Self {
        Self {
            fence,
            owner: owner.into(),
            ttl,
            predecessor: None,
            onto_absent: false,
            decided_for: None,
            image,
        }
    }

    /// Also over the lease that was replaced by the acquisition of the own one.
    pub fn over(mut self, predecessor: Option<LeaseMark>) -> Self {
        self.predecessor = predecessor;
        self
    }

    /// Also where nothing is.
    pub fn onto_absent(mut self) -> Self {
        self.onto_absent = true;
        self
    }

    /// Only at this store. A request may be under way for long; what was decided for one store must
    /// not be applied by one that was emptied meanwhile.
    pub fn at_store(mut self, id: StoreId) -> Self {
        self.decided_for = Some(id);
        self
    }
}

/// What became of a [`Restore`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the partition may not have been restored"]
pub enum RestoreOutcome {
    /// The partition is as the image says, under the restorer's lease.
    Restored {
        /// What it survives.
        durability: Durability,
    },
    /// It is at the image's revision under the restorer's lease already. Nothing changed.
    Current {
        /// What it survives.
        durability: Durability,
    },
    /// It has taken more commits than the image. Nothing changed: they would be lost.
    Ahead {
        /// How many it has taken.
        revision: u64,
    },
    /// Its lease is neither the restorer's nor the one it replaced. Nothing changed: another owner
    /// is in charge, keep the image apart.
    StaleEpoch {
        /// The epoch of the current lease; `None` if the partition is there without one.
        current: Option<u64>,
    },
    /// It is not there, and [`Restore::onto_absent`] was not asked for or a removal is on record.
    /// Nothing changed.
    Absent,
    /// The store is not the one that it was decided for. Nothing changed: decide anew.
    OtherStore,
    /// The restorer's lease was [given up](crate::StateStore::give_up). Nothing changed.
    GivenUp,
}

/// What became of a [`give_up`](crate::StateStore::give_up).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the lease may be current after all"]
pub enum GiveUpOutcome {
    /// No restore is accepted under that lease any more.
    Recorded,
    /// It is the current lease: there is nothing to give up. Look again.
    Current,
}
