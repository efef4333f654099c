//! What was acknowledged and could not be delivered, kept apart.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::Shared;
use super::owned::Owned;
use crate::{
    Entry, Image, Key, Partition, Predecessor, Restore, StateStore, StoreError, random, rules,
};

const PREFIX: &str = "fork/";
/// The key of a fork that says where it comes from.
const ORIGIN: &str = "fusebox.fork";
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Of a long name, so that the fork's own is not too long.
const NAME_BYTES: usize = 100;
const PAGE: usize = 100;

/// What an owner was told was written, kept apart because another owner had taken the partition.
///
/// It is a partition of its own, [`stored_as`](Self::stored_as), with the same keys: read it, take
/// from it what is missing, then expire it at once. It expires by itself after 7 days. Nothing ever
/// applies it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fork {
    /// Where its content is.
    pub stored_as: Partition,
    /// The partition it was written to.
    pub partition: Partition,
    /// The epoch it was written under.
    pub epoch: u64,
    /// The revision its owner had reached.
    pub revision: u64,
    /// The epoch that took the partition; `None` if it was removed.
    pub winner: Option<u64>,
    /// When it was kept, by the clock of the machine that kept it.
    pub kept: SystemTime,
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} up to revision {} under epoch {}, kept as {}",
            self.partition, self.revision, self.epoch, self.stored_as
        )
    }
}

/// The forks kept in `store`, in order of their names.
///
/// # Errors
/// As [`StateStore::partitions`] and [`StateStore::get`].
pub async fn forks(store: &dyn StateStore) -> Result<Vec<Fork>, StoreError> {
    let origin = origin_key();
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.partitions(PREFIX, cursor.as_deref(), PAGE).await?;
        for partition in page.items {
            if let Some(entry) = store.get(&partition, &origin).await? {
                found.extend(parse(partition, &entry.value));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.sort_by(|one, other| one.stored_as.cmp(&other.stored_as));
    found.dedup();
    Ok(found)
}

/// Keeps `image` in the journal, if there is one, and in the primary for others to see.
pub(super) async fn keep(
    shared: &Shared,
    owned: &Arc<Owned>,
    mut image: Image,
    winner: Option<u64>,
) -> Result<(), StoreError> {
    let fork = Fork {
        stored_as: name(owned)?,
        partition: owned.partition.clone(),
        epoch: owned.fence.epoch,
        revision: image.revision,
        winner,
        kept: SystemTime::now(),
    };
    let entry = Entry {
        value: write(&fork).into_bytes(),
        version: 1,
    };
    image.entries.push((origin_key(), entry));
    image.entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let journal = owned.data().journal.clone();
    if let Some(journal) = journal {
        put(&**journal.store(), owned, &fork.stored_as, image.clone()).await?;
    }
    put(&*shared.primary, owned, &fork.stored_as, image).await
}

async fn put(
    store: &dyn StateStore,
    owned: &Owned,
    at: &Partition,
    image: Image,
) -> Result<(), StoreError> {
    let copy = Restore::new(owned.fence.clone(), &*owned.owner, Duration::ZERO, image);
    let lease = store.lease(at).await?;
    let copy = copy.over(lease.as_ref().map(Predecessor::from));
    let _ = store.restore(at, copy.onto_absent()).await?;
    let _ = store.expire(at, Some(KEPT_FOR)).await?;
    Ok(())
}

fn origin_key() -> Key {
    Key::try_new(ORIGIN).expect("a valid name")
}

/// A name that tells where the fork comes from, one for each partition and lease.
fn name(owned: &Owned) -> Result<Partition, StoreError> {
    let partition = owned.partition.as_str();
    let start = &partition[..partition.len().min(NAME_BYTES)];
    let hash = random::hex(&Sha256::digest(partition)[..4]);
    let (epoch, token) = (owned.fence.epoch, owned.fence.token_id());
    Ok(Partition::try_new(format!(
        "{PREFIX}{start}.{hash}/{epoch}.{token}"
    ))?)
}

fn write(fork: &Fork) -> String {
    let winner = fork
        .winner
        .map_or_else(String::new, |epoch| epoch.to_string());
    format!(
        "fusebox fork 1\n{}\n{}\n{}\n{winner}\n{}\n",
        fork.partition,
        fork.epoch,
        fork.revision,
        rules::unix_ms(fork.kept)
    )
}

/// None for what another version wrote; it is still a partition that anyone can read.
fn parse(stored_as: Partition, value: &[u8]) -> Option<Fork> {
    let text = std::str::from_utf8(value).ok()?;
    let lines: Vec<_> = text.lines().collect();
    let ["fusebox fork 1", partition, epoch, revision, winner, kept] = lines[..] else {
        return None;
    };
    Some(Fork {
        stored_as,
        partition: Partition::try_new(partition).ok()?,
        epoch: epoch.parse().ok()?,
        revision: revision.parse().ok()?,
        winner: match winner {
            "" => None,
            epoch => Some(epoch.parse().ok()?),
        },
        kept: SystemTime::UNIX_EPOCH + Duration::from_millis(kept.parse().ok()?),
    })
}
