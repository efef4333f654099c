//! A write and its outcome.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{Durability, Fence, Key, StoreError, random};

/// Largest value of one key, in bytes (1 MiB).
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Most keys in one [`Commit`].
pub const MAX_COMMIT_KEYS: usize = 1024;
/// Most bytes of values in one [`Commit`] (8 MiB).
pub const MAX_COMMIT_BYTES: usize = 8 << 20;
/// Up to so many changes, looking through them is quicker than hashing their keys.
const FEW: usize = 16;
/// How many write ids a partition remembers.
pub const REMEMBERED_WRITES: usize = 128;

/// Names one write, so that repeating it is harmless.
///
/// Draw one per write and keep it for every repetition of that write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId([u8; 16]);

impl WriteId {
    /// A fresh id that no other writer uses.
    pub fn random() -> Self {
        Self(random::bytes16())
    }

    /// A chosen id, for tests and for writes that a restarted program must be able to name again.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&random::hex(&self.0))
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteId({self})")
    }
}

/// What must hold of a key for a [`Commit`] to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Anything: present or not.
    Any,
    /// The key has no value.
    Absent,
    /// The key has a value of exactly this version.
    Version(u64),
}

impl Expect {
    /// Whether a key at version `found` (`None`: no value) is as expected.
    pub fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

/// One key of a [`Commit`].
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What must hold of it.
    pub expect: Expect,
    /// Its new value; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Change {
    // Values may be large and are the caller's secret: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("key", &self.key)
            .field("expect", &self.expect)
            .field("value_bytes", &self.value.as_ref().map(Vec::len))
            .finish()
    }
}

/// A write to one partition: all of its keys change, or none.
///
/// ```
/// use fusebox_state::{Commit, Expect, Key, WriteId};
///
/// let commit = Commit::new(WriteId::random())
///     .put(Key::try_new("step/1")?, Expect::Absent, b"done".to_vec())
///     .delete(Key::try_new("step/1/lock")?, Expect::Any);
/// assert_eq!(commit.changes().len(), 2);
/// # Ok::<(), fusebox_state::InvalidName>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a commit does nothing until a store takes it"]
pub struct Commit {
    id: WriteId,
    fence: Option<Fence>,
    revision: Option<u64>,
    follows: Option<WriteId>,
    /// Shared by its clones: a writer keeps one to repeat it.
    changes: Arc<Vec<Change>>,
}

impl Commit {
    /// An empty write named `id`. Applied as it is, it changes no key and is remembered.
    pub fn new(id: WriteId) -> Self {
        Self {
            id,
            fence: None,
            revision: None,
            follows: None,
            changes: Arc::default(),
        }
    }

    /// The write of these changes, in this order; where a key is named twice, its later change holds.
    /// For writes of many keys: [`put`](Self::put) looks through all that were named before.
    pub fn of(id: WriteId, changes: Vec<Change>) -> Self {
        if changes.len() <= FEW {
            let mut commit = Self::new(id);
            Arc::make_mut(&mut commit.changes).reserve_exact(changes.len());
            return changes.into_iter().fold(commit, Self::change);
        }
        let mut places: HashMap<Key, usize> = HashMap::with_capacity(changes.len());
        let mut kept: Vec<Change> = Vec::with_capacity(changes.len());
        for change in changes {
            match places.entry(change.key.clone()) {
                Entry::Occupied(place) => kept[*place.get()] = change,
                Entry::Vacant(place) => {
                    place.insert(kept.len());
                    kept.push(change);
                }
            }
        }
        Self {
            changes: Arc::new(kept),
            ..Self::new(id)
        }
    }

    /// Applies only while `fence` is the partition's current lease. Needed on every partition
    /// that has ever been leased.
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Applies only to a partition that has taken exactly `revision` commits, 0 for one that is not
    /// there. A sole writer who counts along notices so that the store was set back, and never
    /// writes on top of a state it does not know.
    pub const fn at_revision(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Applies only if the partition's latest commit is `write`. The number alone does not tell a
    /// store that was set back and has since taken as many other commits.
    pub const fn following(mut self, write: WriteId) -> Self {
        self.follows = Some(write);
        self
    }

    /// Writes `value`, at most 1 MiB, under `key`. Naming a key again replaces its earlier change.
    pub fn put(self, key: Key, expect: Expect, value: Vec<u8>) -> Self {
        self.change(Change {
            key,
            expect,
            value: Some(value),
        })
    }

    /// Removes `key`; without effect if it has no value. Naming a key again replaces its earlier
    /// change.
    pub fn delete(self, key: Key, expect: Expect) -> Self {
        self.change(Change {
            key,
            expect,
            value: None,
        })
    }

    /// The name of the write.
    pub const fn id(&self) -> WriteId {
        self.id
    }

    /// The lease it is made under.
    pub const fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// The revision it applies to; `None` for any.
    pub const fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The write that must have been the latest; `None` for any.
    pub const fn follows(&self) -> Option<WriteId> {
        self.follows
    }

    /// Whether it may apply to a partition at `revision`, made by `latest`.
    pub fn builds_on(&self, revision: u64, latest: Option<WriteId>) -> bool {
        self.revision.is_none_or(|at| at == revision)
            && self.follows.is_none_or(|write| latest == Some(write))
    }

    /// What it changes, in the order given.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Tells two writes with the same id apart: SHA-256 over keys, expectations and values. Fence,
    /// revision and predecessor are left out, so that a new owner may repeat a write under its own lease.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for Change { key, expect, value } in &*self.changes {
            let (tag, version) = match expect {
                Expect::Any => (0_u8, 0),
                Expect::Absent => (1, 0),
                Expect::Version(version) => (2, *version),
            };
            hash.update([tag, u8::from(value.is_some()), key.as_str().len() as u8]);
            hash.update(version.to_be_bytes());
            hash.update(key.as_str());
            let value = value.as_deref().unwrap_or_default();
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
        random::prefix(&hash.finalize())
    }

    /// For stores, before anything is sent.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a value over 1 MiB, over 8 MiB of values, or over 1024 keys.
    pub fn check_limits(&self) -> Result<(), StoreError> {
        let limit = |what: &dyn Fn() -> String, size, limit| match size <= limit {
            true => Ok(()),
            false => Err(StoreError::TooLarge {
                what: what(),
                size,
                limit,
            }),
        };
        let mut total = 0;
        for change in &*self.changes {
            let bytes = change.value.as_ref().map_or(0, Vec::len);
            limit(
                &|| format!("value of key `{}` in bytes", change.key),
                bytes,
                MAX_VALUE_BYTES,
            )?;
            total += bytes;
        }
        limit(&|| "commit in bytes".to_owned(), total, MAX_COMMIT_BYTES)?;
        limit(
            &|| "commit in keys".to_owned(),
            self.changes.len(),
            MAX_COMMIT_KEYS,
        )
    }

    fn change(mut self, change: Change) -> Self {
        let changes = Arc::make_mut(&mut self.changes);
        match changes.iter_mut().find(|earlier| earlier.key == change.key) {
            Some(earlier) => *earlier = change,
            None => changes.push(change),
        }
        self
    }
}

/// What became of a [`Commit`]. Only [`Applied`](Self::Applied) and
/// [`Duplicate`](Self::Duplicate) mean that its changes were made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a commit may have been refused"]
pub enum CommitOutcome {
    /// Every change was made now.
    Applied {
        /// What the write survives.
        durability: Durability,
        /// How many commits the partition has taken with this one: 1 for its first.
        revision: u64,
    },
    /// The same write was made before: success, and nothing changed now. Answered even when the
    /// lease was lost since.
    Duplicate {
        /// What the write survives.
        durability: Durability,
        /// The revision it made when it was applied.
        revision: u64,
    },
    /// Another write with the same id was made before. Nothing changed: draw a new id, and find
    /// out why this one was used twice.
    DuplicateDifferent,
    /// A key was not as expected. Nothing changed: read it again.
    Conflict {
        /// The first such key.
        key: Key,
        /// The version it has; `None` if it has no value.
        found: Option<u64>,
    },
    /// The partition is not where [`Commit::at_revision`] and [`Commit::following`] say. Nothing
    /// changed: more commits than expected mean another writer or an own write whose answer was
    /// lost; fewer, or as many with another write for the latest, mean that the store was set back
    /// and has lost acknowledged writes.
    RevisionConflict {
        /// How many commits the partition has taken.
        found: u64,
    },
    /// The fence is missing or is not the current lease. Nothing changed: another owner is in
    /// charge, stop writing.
    StaleEpoch {
        /// The epoch of the current lease; `None` if the partition has none, for example because
        /// it expired.
        current: Option<u64>,
    },
}

impl CommitOutcome {
    /// Whether the changes are in the store: applied now, or before under the same id.
    pub const fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. } | Self::Duplicate { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::try_new(name).unwrap()
    }

    #[test]
    fn naming_a_key_again_replaces_its_change() {
        let commit = Commit::new(WriteId::from_bytes([0; 16]))
            .put(key("a"), Expect::Absent, vec![1])
            .delete(key("a"), Expect::Version(3));
        assert_eq!(
            commit.changes(),
            [Change {
                key: key("a"),
                expect: Expect::Version(3),
                value: None
            }]
        );
        let change = |name, value| Change {
            key: key(name),
            expect: Expect::Any,
            value,
        };
        let changes = vec![
            change("a", None),
            change("b", None),
            change("a", Some(vec![1])),
        ];
        let commit = Commit::of(WriteId::from_bytes([0; 16]), changes);
        assert_eq!(
            commit.changes(),
            [change("a", Some(vec![1])), change("b", None)]
        );
    }

    #[test]
    fn the_digest_tells_content_apart_but_not_fences() {
        let id = WriteId::from_bytes([0; 16]);
        let write =
            |name, expect, value: &[u8]| Commit::new(id).put(key(name), expect, value.into());
        let base = write("a", Expect::Any, b"1");
        for other in [
            write("b", Expect::Any, b"1"),
            write("a", Expect::Absent, b"1"),
            write("a", Expect::Version(0), b"1"),
            write("a", Expect::Any, b"2"),
            Commit::new(id).delete(key("a"), Expect::Any),
            Commit::new(id),
        ] {
            assert_ne!(base.digest(), other.digest(), "{other:?}");
        }
        let fenced = base.clone().fenced(Fence {
            epoch: 1,
            token: [0; 16],
        });
        assert_eq!(base.digest(), fenced.at_revision(3).digest());
    }

    #[test]
    fn limits_hold_exactly_at_the_limit() {
        let commit = Commit::new(WriteId::random());
        let put = |bytes| commit.clone().put(key("a"), Expect::Any, vec![0; bytes]);
        assert!(put(MAX_VALUE_BYTES).check_limits().is_ok());
        assert!(matches!(
            put(MAX_VALUE_BYTES + 1).check_limits(),
            Err(StoreError::TooLarge {
                limit: MAX_VALUE_BYTES,
                ..
            })
        ));
    }

    #[test]
    fn values_do_not_show_in_debug_output() {
        let commit = Commit::new(WriteId::random()).put(key("a"), Expect::Any, vec![211; 3]);
        let text = format!("{commit:?}");
        assert!(
            !text.contains("211") && text.contains("value_bytes: Some(3)"),
            "{text}"
        );
    }
}
