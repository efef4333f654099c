//! The store's operations on its tables. Writers call these inside a transaction.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::ReadError;
use super::{DURABILITY, aside};
use crate::commit::REMEMBERED_WRITES;
use crate::rules::{self, LeaseRecord};
use crate::{
    AcquireOutcome, Commit, CommitOutcome, Entry, Fence, Key, Lease, LeaseRequest, Page, Partition,
    RenewOutcome, WriteId, record,
};

/// Values of one page, in bytes, after which it ends early.
const PAGE_BYTES: usize = 4 << 20;
/// Greater than every character of a name.
pub(super) const PAST_NAMES: char = '\u{7f}';
/// Expired partitions removed in one go.
const PURGE: i64 = 64;

/// A commit whose values are ready to be stored.
pub(crate) struct Sealed {
    commit: Commit,
    records: Vec<Option<Vec<u8>>>,
}

impl Sealed {
    pub(crate) fn new(commit: Commit) -> Self {
        let seal = |value: &Option<Vec<u8>>| value.as_deref().map(record::seal);
        let records = commit
            .changes()
            .iter()
            .map(|change| seal(&change.value))
            .collect();
        Self { commit, records }
    }
}

pub(super) struct Head {
    pub(super) id: i64,
    pub(super) lease: Option<LeaseRecord>,
    pub(super) version_floor: i64,
    /// The partition's revision.
    pub(super) writes: i64,
}

pub(crate) fn get(
    db: &Connection,
    partition: &Partition,
    key: &Key,
    now_ms: u64,
) -> Result<Option<Entry>, ReadError> {
    let found = db
        .prepare_cached(
            "SELECT version, value FROM entry JOIN partition ON partition.id = entry.partition
             WHERE name = ?1 AND key = ?2 AND (deadline_ms IS NULL OR deadline_ms > ?3)",
        )?
        .query_row(
            params![partition.as_str(), key.as_str(), signed(now_ms)],
            |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)),
        )
        .optional()?;
    Ok(found
        .map(|(version, record)| entry(partition, key, version, &record))
        .transpose()?)
}

pub(crate) fn scan(
    db: &Connection,
    partition: &Partition,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
    now_ms: u64,
) -> Result<Page<(Key, Entry)>, ReadError> {
    let mut statement = db.prepare_cached(
        "SELECT key, version, value FROM entry JOIN partition ON partition.id = entry.partition
         WHERE name = ?1 AND (deadline_ms IS NULL OR deadline_ms > ?2)
           AND key >= ?3 AND key < ?4 AND key > ?5
         ORDER BY key",
    )?;
    let mut rows = statement.query(params![
        partition.as_str(),
        signed(now_ms),
        prefix,
        format!("{prefix}{PAST_NAMES}"),
        after.map_or("", Key::as_str),
    ])?;
    let mut items: Vec<(Key, Entry)> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if items.len() == limit || bytes >= PAGE_BYTES {
            let next = items.last().map(|(key, _)| key.to_string());
            return Ok(Page::new(items, next));
        }
        let key = stored_name(row.get(0)?, Key::try_new)?;
        let entry = entry(
            partition,
            &key,
            row.get(1)?,
            row.get_ref(2)?.as_blob().unwrap_or(&[]),
        )?;
        bytes += entry.value.len();
        items.push((key, entry));
    }
    Ok(Page::new(items, None))
}

pub(crate) fn partitions(
    db: &Connection,
    prefix: &str,
    cursor: Option<&str>,
    limit: usize,
    now_ms: u64,
) -> Result<Page<Partition>, ReadError> {
    let mut statement = db.prepare_cached(
        "SELECT name FROM partition
         WHERE name >= ?1 AND name < ?2 AND name > ?3
           AND (deadline_ms IS NULL OR deadline_ms > ?4)
         ORDER BY name LIMIT ?5",
    )?;
    let upper = format!("{prefix}{PAST_NAMES}");
    // One more than asked for tells whether there is a next page.
    let rows = statement.query_map(
        params![
            prefix,
            upper,
            cursor.unwrap_or(""),
            signed(now_ms),
            limit as i64 + 1
        ],
        |row| row.get::<_, String>(0),
    )?;
    let mut items = Vec::new();
    for name in rows {
        items.push(stored_name(name?, Partition::try_new)?);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(Partition::to_string);
    Ok(Page::new(items, next))
}

pub(crate) fn lease(
    db: &Connection,
    partition: &Partition,
    now_ms: u64,
) -> rusqlite::Result<Option<Lease>> {
    let found = db
        .prepare_cached(
            "SELECT epoch, token, owner, lease_expires_ms FROM partition
             WHERE name = ?1 AND (deadline_ms IS NULL OR deadline_ms > ?2)",
        )?
        .query_row(params![partition.as_str(), signed(now_ms)], |row| {
            lease_record(row, 0)
        })
        .optional()?;
    Ok(found.flatten().map(|lease| lease.view(now_ms)))
}

pub(crate) fn commit(
    db: &Connection,
    partition: &Partition,
    Sealed { commit, records }: &Sealed,
    digest: [u8; 32],
    now_ms: u64,
) -> rusqlite::Result<CommitOutcome> {
    let head = head(db, partition, now_ms)?;
    let written = match &head {
        Some(head) => written(db, head.id, commit)?,
        None => None,
    };
    if let Some((written, number)) = written {
        return Ok(match written == digest {
            true => CommitOutcome::Duplicate {
                durability: DURABILITY,
                revision: unsigned(number),
            },
            false => CommitOutcome::DuplicateDifferent,
        });
    }
    let lease = head.as_ref().and_then(|head| head.lease.as_ref());
    if let Err(current) = rules::admit(lease, commit.fence()) {
        return Ok(CommitOutcome::StaleEpoch { current });
    }
    let found = head.as_ref().map_or(0, |head| unsigned(head.writes));
    let latest = match &head {
        // Asked only by those who want to know.
        Some(head) if commit.follows().is_some() => latest(db, head)?,
        _ => None,
    };
    if !commit.builds_on(found, latest) {
        return Ok(CommitOutcome::RevisionConflict { found });
    }
    let mut deleted = 0;
    for change in commit.changes() {
        let found = match &head {
            Some(head) => version(db, head.id, &change.key)?,
            None => None,
        };
        if !change.expect.holds(found.map(unsigned)) {
            let (key, found) = (change.key.clone(), found.map(unsigned));
            return Ok(CommitOutcome::Conflict { key, found });
        }
        if change.value.is_none() {
            deleted = found.unwrap_or(0).max(deleted);
        }
    }
    let head = match head {
        Some(head) => head,
        None => create(db, partition)?,
    };
    for (change, record) in commit.changes().iter().zip(records) {
        match record {
            Some(record) => put(db, &head, &change.key, record)?,
            None => delete(db, &head, &change.key)?,
        }
    }
    remember(db, &head, commit, digest)?;
    let revision = head.writes + 1;
    let floor = head.version_floor.max(deleted);
    wrote(db, head.id, (revision, floor), now_ms)?;
    Ok(CommitOutcome::Applied {
        durability: DURABILITY,
        revision: unsigned(revision),
    })
}

pub(crate) fn acquire(
    db: &Connection,
    partition: &Partition,
    request: &LeaseRequest,
    token: [u8; 16],
    now_ms: u64,
) -> rusqlite::Result<AcquireOutcome> {
    let head = match head(db, partition, now_ms)? {
        Some(head) => head,
        None => create(db, partition)?,
    };
    let lease = match rules::acquire(head.lease.as_ref(), request, token, now_ms) {
        Ok(lease) => lease,
        Err(held) => return Ok(AcquireOutcome::Held(held)),
    };
    set_lease(db, head.id, &lease)?;
    let previous = head.lease.map(|lease| lease.view(now_ms));
    Ok(AcquireOutcome::Acquired {
        fence: lease.fence,
        previous,
    })
}

/// Lets the lease run until `expires_ms` and answers `done`, if `fence` holds it.
pub(crate) fn touch_lease(
    db: &Connection,
    partition: &Partition,
    fence: &Fence,
    expires_ms: u64,
    done: RenewOutcome,
    now_ms: u64,
) -> rusqlite::Result<RenewOutcome> {
    let head = head(db, partition, now_ms)?;
    match head.and_then(|head| Some((head.id, head.lease?))) {
        Some((id, lease)) if lease.fence == *fence => {
            db.prepare_cached("UPDATE partition SET lease_expires_ms = ?2 WHERE id = ?1")?
                .execute(params![id, signed(expires_ms)])?;
            Ok(done)
        }
        other => Ok(RenewOutcome::Lost {
            current_epoch: other.map(|(_, lease)| lease.fence.epoch),
        }),
    }
}

pub(crate) fn expire(
    db: &Connection,
    partition: &Partition,
    ttl: Option<Duration>,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let Some(head) = head(db, partition, now_ms)? else {
        return Ok(false);
    };
    match ttl {
        Some(ttl) => aside::removed(db, partition, now_ms + rules::ttl_ms(ttl))?,
        None => aside::kept(db, partition)?,
    }
    if ttl == Some(Duration::ZERO) {
        remove(db, head.id)?;
    } else {
        db.prepare_cached("UPDATE partition SET deadline_ms = ?2 WHERE id = ?1")?
            .execute(params![
                head.id,
                ttl.map(|ttl| signed(now_ms + rules::ttl_ms(ttl)))
            ])?;
    }
    Ok(true)
}

pub(crate) fn has_expired(db: &Connection, now_ms: u64) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM partition WHERE deadline_ms <= ?1)
             OR EXISTS (SELECT 1 FROM aside WHERE until_ms <= ?1)",
    )?
    .query_row([signed(now_ms)], |row| row.get(0))
}

/// Removes some expired partitions and records.
pub(crate) fn purge(db: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    aside::purge(db, now_ms, PURGE)?;
    let expired: Vec<i64> = db
        .prepare_cached("SELECT id FROM partition WHERE deadline_ms <= ?1 LIMIT ?2")?
        .query_map([signed(now_ms), PURGE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    expired.into_iter().try_for_each(|id| remove(db, id))
}

/// The partition, unless it has expired: then it is removed.
pub(super) fn head(
    db: &Connection,
    partition: &Partition,
    now_ms: u64,
) -> rusqlite::Result<Option<Head>> {
    let found = db
        .prepare_cached(
            "SELECT epoch, token, owner, lease_expires_ms, id, version_floor, writes, deadline_ms
             FROM partition WHERE name = ?1",
        )?
        .query_row([partition.as_str()], |row| {
            let head = Head {
                lease: lease_record(row, 0)?,
                id: row.get(4)?,
                version_floor: row.get(5)?,
                writes: row.get(6)?,
            };
            Ok((head, row.get::<_, Option<i64>>(7)?))
        })
        .optional()?;
    match found {
        Some((head, Some(deadline))) if deadline <= signed(now_ms) => {
            remove(db, head.id)?;
            Ok(None)
        }
        other => Ok(other.map(|(head, _)| head)),
    }
}

pub(super) fn lease_record(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<LeaseRecord>> {
    let Some(epoch) = row.get::<_, Option<i64>>(first)? else {
        return Ok(None);
    };
    Ok(Some(LeaseRecord {
        fence: Fence {
            epoch: unsigned(epoch),
            token: row.get(first + 1)?,
        },
        owner: row.get(first + 2)?,
        expires_ms: unsigned(row.get(first + 3)?),
    }))
}

pub(super) fn create(db: &Connection, partition: &Partition) -> rusqlite::Result<Head> {
    db.prepare_cached("INSERT INTO partition (name) VALUES (?1)")?
        .execute([partition.as_str()])?;
    Ok(Head {
        id: db.last_insert_rowid(),
        lease: None,
        version_floor: 0,
        writes: 0,
    })
}

fn remove(db: &Connection, id: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM entry WHERE partition = ?1",
        "DELETE FROM write_id WHERE partition = ?1",
        "DELETE FROM partition WHERE id = ?1",
    ] {
        db.prepare_cached(sql)?.execute([id])?;
    }
    Ok(())
}

/// The write that made the partition's revision.
pub(super) fn latest(db: &Connection, head: &Head) -> rusqlite::Result<Option<WriteId>> {
    db.prepare_cached("SELECT id FROM write_id WHERE partition = ?1 AND slot = ?2 AND number = ?3")?
        .query_row(params![head.id, slot(head.writes), head.writes], |row| {
            row.get(0).map(WriteId::from_bytes)
        })
        .optional()
}

fn written(db: &Connection, id: i64, commit: &Commit) -> rusqlite::Result<Option<([u8; 32], i64)>> {
    db.prepare_cached("SELECT digest, number FROM write_id WHERE partition = ?1 AND id = ?2")?
        .query_row(params![id, commit.id().as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
}

pub(super) fn set_lease(db: &Connection, id: i64, lease: &LeaseRecord) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE partition SET epoch = ?2, token = ?3, owner = ?4, lease_expires_ms = ?5
         WHERE id = ?1",
    )?
    .execute(params![
        id,
        signed(lease.fence.epoch),
        lease.fence.token,
        lease.owner,
        signed(lease.expires_ms)
    ])?;
    Ok(())
}

fn version(db: &Connection, id: i64, key: &Key) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT version FROM entry WHERE partition = ?1 AND key = ?2")?
        .query_row(params![id, key.as_str()], |row| row.get(0))
        .optional()
}

fn put(db: &Connection, head: &Head, key: &Key, record: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO entry (partition, key, version, value) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET version = version + 1, value = excluded.value",
    )?
    .execute(params![
        head.id,
        key.as_str(),
        head.version_floor + 1,
        record
    ])?;
    Ok(())
}

fn delete(db: &Connection, head: &Head, key: &Key) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM entry WHERE partition = ?1 AND key = ?2")?
        .execute(params![head.id, key.as_str()])?;
    Ok(())
}

fn remember(
    db: &Connection,
    head: &Head,
    commit: &Commit,
    digest: [u8; 32],
) -> rusqlite::Result<()> {
    let number = head.writes + 1;
    db.prepare_cached(
        "INSERT OR REPLACE INTO write_id (partition, slot, id, digest, number)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        head.id,
        slot(number),
        commit.id().as_bytes(),
        digest,
        number
    ])?;
    Ok(())
}

/// The place of a write in the ring of those remembered.
pub(super) fn slot(number: i64) -> i64 {
    number % REMEMBERED_WRITES as i64
}

/// Now in microseconds, but later than any moment given before. Between two processes lies a flush.
fn next_moment(now_ms: u64) -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = signed(now_ms) * 1000;
    let later = |last: i64| Some(now.max(last + 1));
    let before = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    now.max(before.unwrap_or(now) + 1)
}

/// Notes that the partition was written to, for heads and feeds.
pub(super) fn wrote(
    db: &Connection,
    id: i64,
    (revision, floor): (i64, i64),
    now_ms: u64,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE partition SET writes = ?2, version_floor = ?3, changed_us = ?4 WHERE id = ?1",
    )?
    .execute(params![id, revision, floor, next_moment(now_ms)])?;
    Ok(())
}

pub(super) fn entry(
    partition: &Partition,
    key: &Key,
    version: i64,
    stored: &[u8],
) -> Result<Entry, crate::StoreError> {
    let what = || format!("value of key `{key}` in partition `{partition}`");
    Ok(Entry {
        value: record::unseal(stored, what)?,
        version: unsigned(version),
    })
}

pub(super) fn stored_name<N>(
    name: String,
    parse: impl Fn(String) -> Result<N, crate::InvalidName>,
) -> Result<N, crate::StoreError> {
    parse(name).map_err(|error| record::damaged("a stored name".to_owned(), &error.to_string()))
}

// Milliseconds and versions stay far below 2^63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
