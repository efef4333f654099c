//! The contract every store keeps.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::{
    AcquireOutcome, ChangeFeed, Commit, CommitOutcome, Fence, GiveUpOutcome, Head, Image, Key,
    Lease, LeaseRequest, Partition, RenewOutcome, Restore, RestoreOutcome, StoreError, StoreStatus,
};

/// Most items in one [`Page`]; a larger limit is read as this, and 0 as 1.
pub const MAX_PAGE: usize = 1000;

/// Versioned, fenced state in partitions.
///
/// Anyone may implement it; the `conformance` feature has the tests that an implementation must
/// pass. `Ok(None)` means "never written", an error means "could not ask": they are not mixed.
///
/// Every method may be called again. Reads and [`now`](Self::now) change nothing;
/// [`commit`](Self::commit) is repeated under the same write id; [`renew`](Self::renew),
/// [`release`](Self::release), [`restore`](Self::restore) and [`expire`](Self::expire) have the same
/// effect twice.
/// An [`acquire`](Self::acquire) whose answer was lost leaves a lease that nobody holds: wait for
/// it to run out, or recognise the own name in [`lease`](Self::lease) and take it over.
///
/// A dropped future leaves a write done or not done, never half done; the caller learns which by
/// repeating it.
///
/// Time is the store's: [`now`](Self::now), at millisecond resolution. It may step back when its
/// machine's clock does; safety rests on fences and versions, time only decides who may try.
#[async_trait]
pub trait StateStore: fmt::Debug + Send + Sync {
    /// What and where the store is. No I/O.
    fn describe(&self) -> StoreDescription;

    /// The store's clock, by which leases and partitions expire.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn now(&self) -> Result<SystemTime, StoreError>;

    /// The value of one key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] if the value does not match its hash.
    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Keys starting with `prefix` and greater than `after`, in byte order, with their values, all
    /// read at one moment. At most `limit` (0 is read as 1, more than 1000 as 1000); a page may
    /// be shorter to bound its bytes. [`Page::next`] is the key to pass as `after` for the next page,
    /// which is read at a later moment.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError>;

    /// Partitions whose name starts with `prefix`, in no promised order. `cursor` is
    /// [`Page::next`] of the page before; it means nothing to another store. A partition that
    /// exists throughout is listed at least once, possibly in two pages. A page has about `limit`
    /// names: it may be shorter, even empty, while more follow, and on Redis it may be longer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Misconfigured`] for a cursor that the store
    /// did not give.
    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError>;

    /// Makes all changes of `commit`, or none.
    ///
    /// Checked in this order: was the write id used before (the last 128 per partition are
    /// remembered), is the fence current, is the revision as expected, is every key as expected. A partition that was ever
    /// leased takes only writes under its current lease, which may have run out as long as nobody
    /// else acquired it.
    ///
    /// A key's version is 1 at its first write and grows by one with each. Once something was
    /// deleted from the partition, a key without a value starts above every version deleted there
    /// instead, so that a version of a key never names two values.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] before anything is sent; [`StoreError::Refused`] if the store
    /// takes no writes; [`StoreError::Unavailable`], where
    /// [`may_have_applied`](StoreError::may_have_applied) tells if the write may be there.
    async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError>;

    /// Makes the caller the partition's owner, unless another owner's lease still runs; with
    /// [`LeaseRequest::first`], unless there ever was one.
    ///
    /// The new epoch is the previous one plus one or the store's time in milliseconds, whichever
    /// is greater. The lease is a record: it runs out, but it never disappears while the partition
    /// exists.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError>;

    /// Lets the lease run for `ttl` from now, even if it had run out or been released, as long as
    /// nobody else acquired it.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError>;

    /// Lets the lease run out now.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn release(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<RenewOutcome, StoreError>;

    /// The current lease, also when it has run out; `None` if there never was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError>;

    /// Removes the whole partition, lease and remembered writes included, `ttl` from now: at once
    /// for zero, never for `None`. Later writes do not postpone it. False if there is no such
    /// partition.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn expire(
        &self,
        partition: &Partition,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError>;

    /// What the partition holds, without its values; `None` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn head(&self, partition: &Partition) -> Result<Option<Head>, StoreError>;

    /// Everything the partition holds, read at one moment; `None` if it is not there.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`StoreError::TooLarge`] for more than 64 MiB.
    async fn image(&self, partition: &Partition) -> Result<Option<Image>, StoreError>;

    /// Puts a partition back to what its owner was told it is, after the store was set back (a
    /// replica was promoted that had not seen everything, a server restarted from an old copy) or
    /// while it was away.
    ///
    /// Accepted only if
    ///
    /// - the stored lease is the restorer's own or the one it replaced ([`Restore::predecessor`]).
    ///   That the own epoch is greater does not do: with clocks or counters set back, a stale
    ///   owner's may be. A partition that is there without a lease is nobody's to restore;
    /// - the stored revision is not above the image's;
    /// - or the partition is not there, that is [allowed for](Restore::onto_absent), and no removal
    ///   of it is on record;
    /// - the lease was not [given up](Self::give_up), and the store is the one it was
    ///   [decided for](Restore::decided_for).
    ///
    /// The partition then has the image's entries with their versions, its revision, its remembered
    /// writes and the restorer's lease; its time to live is as it was. Removals and leases given up
    /// stay on record for at least 7 days (in memory: the latest 10,000).
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn restore(
        &self,
        partition: &Partition,
        restore: Restore,
    ) -> Result<RestoreOutcome, StoreError>;

    /// Records that what was acknowledged under `fence` is kept elsewhere: from now on no restore
    /// under it is accepted, not even one that is already under way. For an owner that was refused.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn give_up(
        &self,
        partition: &Partition,
        fence: &Fence,
    ) -> Result<GiveUpOutcome, StoreError>;

    /// Tells of every commit and restore on partitions whose name starts with `prefix`, from now on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError>;

    /// Names this store's content: drawn at random when the store is first used, and gone with it.
    /// Another answer than before means that the store was emptied or is another one.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn identity(&self) -> Result<StoreId, StoreError>;

    /// What is known about the store now, without asking it.
    fn status(&self) -> StoreStatus {
        StoreStatus::healthy(self.describe().durability)
    }

    /// One round trip, and what an operator should know about how the store is set up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn health(&self) -> Result<Health, StoreError>;
}

/// Names the content of a store; see [`StateStore::identity`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoreId(String);

impl StoreId {
    /// Reads an id that [`Display`](fmt::Display) printed.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// A fresh id that no other store has.
    pub fn random() -> Self {
        Self(crate::random::hex(&crate::random::bytes16()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({})", self.0)
    }
}

/// A value and the version it has.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was written.
    pub value: Vec<u8>,
    /// 1 for a key's first write.
    pub version: u64,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("version", &self.version)
            .field("value_bytes", &self.value.len())
            .finish()
    }
}

/// Part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page for a store to return.
    pub const fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }
}

/// What an acknowledged write survives; greater survives more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it ends with the process.
    Volatile,
    /// The process and a power failure of this machine, not the loss of its disk.
    LocalFsync,
    /// The caller's machine. The server has it in memory; what else it survives is the server's
    /// configuration.
    Primary,
    /// As `Primary`, and the server wrote it to its disk first.
    PrimaryFsync,
    /// That many replicas had it too.
    Replicated(u8),
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volatile => f.write_str("volatile"),
            Self::LocalFsync => f.write_str("local_fsync"),
            Self::Primary => f.write_str("primary"),
            Self::PrimaryFsync => f.write_str("primary_fsync"),
            Self::Replicated(replicas) => write!(f, "replicated({replicas})"),
        }
    }
}

/// What and where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreDescription {
    /// `memory`, `embedded`, `redis`, or another store's name for itself.
    pub kind: &'static str,
    /// Path or address, without secrets.
    pub location: String,
    /// What an acknowledged write survives, as far as known now.
    pub durability: Durability,
}

impl StoreDescription {
    /// A description for a store to return; `location` must not contain secrets.
    pub fn new(kind: &'static str, location: impl Into<String>, durability: Durability) -> Self {
        Self {
            kind,
            location: location.into(),
            durability,
        }
    }
}

impl fmt::Display for StoreDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.kind, self.location, self.durability)
    }
}

/// A store that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long one small request took.
    pub round_trip: Duration,
    /// What an operator should look at, one sentence each; empty if all is well.
    pub warnings: Vec<String>,
}

impl Health {
    /// A report for a store to return.
    pub const fn new(round_trip: Duration, warnings: Vec<String>) -> Self {
        Self {
            round_trip,
            warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Durability::*;

    #[test]
    fn durability_is_ordered_by_what_it_survives() {
        let order = [
            Volatile,
            LocalFsync,
            Primary,
            PrimaryFsync,
            Replicated(1),
            Replicated(2),
        ];
        assert!(order.is_sorted() && order.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(Replicated(2).to_string(), "replicated(2)");
    }
}
