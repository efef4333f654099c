//! Whole partitions in the tables: heads, images, restores, changes.

use std::time::{Duration, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::ReadError;
use super::tables::{self, signed, stored_name, unsigned};
use super::{DURABILITY, aside};
use crate::rules::{self, LeaseRecord, Stored};
use crate::{
    Entry, Fence, GiveUpOutcome, Head, Image, Key, MAX_IMAGE_BYTES, Notice, Partition,
    RememberedWrite, Restore, RestoreOutcome, StoreError, StoreId, WriteId, record,
};

const PURPOSE: &str = "image of a partition in bytes";

pub(crate) fn head(
    db: &Connection,
    partition: &Partition,
    now_ms: u64,
) -> rusqlite::Result<Option<Head>> {
    let found = db
        .prepare_cached(
            "SELECT epoch, token, owner, lease_expires_ms, writes, changed_us, deadline_ms,
                    (SELECT count(*) FROM entry WHERE partition = partition.id),
                    -- Format byte and hash stand before each value.
                    (SELECT sum(length(value) - 9) FROM entry WHERE partition = partition.id),
                    (SELECT id FROM write_id WHERE partition = partition.id
                         AND slot = writes % 128 AND number = writes)
             FROM partition WHERE name = ?1 AND (deadline_ms IS NULL OR deadline_ms > ?2)",
        )?
        .query_row(params![partition.as_str(), signed(now_ms)], |row| {
            let mut head = Head::new(unsigned(row.get(4)?));
            let changed_us = unsigned(row.get(5)?);
            head.changed =
                (changed_us > 0).then(|| UNIX_EPOCH + Duration::from_millis(changed_us / 1000));
            head.expires_in = row
                .get::<_, Option<i64>>(6)?
                .map(|deadline| Duration::from_millis(unsigned(deadline).saturating_sub(now_ms)));
            head.keys = unsigned(row.get(7)?);
            head.value_bytes = unsigned(row.get::<_, Option<i64>>(8)?.unwrap_or(0));
            let latest: Option<[u8; 16]> = row.get(9)?;
            head.latest = latest.map(WriteId::from_bytes);
            head.lease = tables::lease_record(row, 0)?.map(|lease| lease.view(now_ms));
            Ok(head)
        })
        .optional()?;
    Ok(found)
}

pub(crate) fn image(
    db: &Connection,
    partition: &Partition,
    now_ms: u64,
) -> Result<Option<Image>, ReadError> {
    // One transaction, so that all of it is of one moment.
    let moment = db.unchecked_transaction()?;
    let found = moment
        .prepare_cached(
            "SELECT epoch, token, owner, lease_expires_ms, id, writes, version_floor FROM partition
             WHERE name = ?1 AND (deadline_ms IS NULL OR deadline_ms > ?2)",
        )?
        .query_row(params![partition.as_str(), signed(now_ms)], |row| {
            let lease = tables::lease_record(row, 0)?;
            Ok((lease, row.get(4)?, row.get(5)?, row.get(6)?))
        })
        .optional()?;
    let Some((lease, id, revision, floor)) = found else {
        return Ok(None);
    };
    Ok(Some(Image {
        revision: unsigned(revision),
        version_floor: unsigned(floor),
        entries: entries(&moment, partition, id)?,
        writes: writes(&moment, id)?,
        lease: lease.map(|lease| (&lease.fence).into()),
    }))
}

fn entries(
    db: &Connection,
    partition: &Partition,
    id: i64,
) -> Result<Vec<(Key, Entry)>, ReadError> {
    let mut statement = db.prepare_cached(
        "SELECT key, version, value FROM entry WHERE partition = ?1 ORDER BY key",
    )?;
    let mut rows = statement.query([id])?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let key = stored_name(row.get(0)?, Key::try_new)?;
        let stored = row.get_ref(2)?.as_blob().unwrap_or(&[]);
        let entry = tables::entry(partition, &key, row.get(1)?, stored)?;
        bytes += key.as_str().len() + entry.value.len();
        if bytes > MAX_IMAGE_BYTES {
            return Err(ReadError::Store(StoreError::TooLarge {
                what: PURPOSE.to_owned(),
                size: bytes,
                limit: MAX_IMAGE_BYTES,
            }));
        }
        entries.push((key, entry));
    }
    Ok(entries)
}

fn writes(db: &Connection, id: i64) -> rusqlite::Result<Vec<RememberedWrite>> {
    db.prepare_cached(
        "SELECT id, digest, number FROM write_id WHERE partition = ?1 ORDER BY number",
    )?
    .query_map([id], |row| {
        Ok(RememberedWrite {
            id: WriteId::from_bytes(row.get(0)?),
            digest: row.get(1)?,
            revision: unsigned(row.get(2)?),
        })
    })?
    .collect()
}

/// An image whose values are ready to be stored.
pub(crate) struct SealedRestore {
    restore: Restore,
    records: Vec<Vec<u8>>,
}

impl SealedRestore {
    pub(crate) fn new(mut restore: Restore) -> Self {
        let seal = |(_, entry): &mut (Key, Entry)| {
            let value = std::mem::take(&mut entry.value);
            record::seal(&value)
        };
        let records = restore.image.entries.iter_mut().map(seal).collect();
        Self { restore, records }
    }
}

pub(crate) fn restore(
    db: &Connection,
    partition: &Partition,
    SealedRestore { restore, records }: &SealedRestore,
    now_ms: u64,
) -> rusqlite::Result<RestoreOutcome> {
    let found = tables::head(db, partition, now_ms)?;
    let stored = match &found {
        Some(head) => Some(Stored {
            lease: head.lease.as_ref(),
            revision: unsigned(head.writes),
            last: tables::latest(db, head)?,
        }),
        None => None,
    };
    let on_record = aside::on_record(db, partition, &restore.fence, now_ms)?;
    let allowed = rules::restore(stored.as_ref(), on_record, &identity(db)?, restore);
    if let Err(refusal) = allowed {
        return Ok(refusal.outcome(DURABILITY));
    }
    let id = match found {
        Some(head) => head.id,
        None => tables::create(db, partition)?.id,
    };
    let image = &restore.image;
    for sql in [
        "DELETE FROM entry WHERE partition = ?1",
        "DELETE FROM write_id WHERE partition = ?1",
    ] {
        db.prepare_cached(sql)?.execute([id])?;
    }
    for ((key, entry), record) in image.entries.iter().zip(records) {
        db.prepare_cached(
            "INSERT INTO entry (partition, key, version, value) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![id, key.as_str(), signed(entry.version), record])?;
    }
    for write in &image.writes {
        db.prepare_cached(
            "INSERT INTO write_id (partition, slot, id, digest, number)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            id,
            tables::slot(signed(write.revision)),
            write.id.as_bytes(),
            write.digest,
            signed(write.revision)
        ])?;
    }
    let lease = LeaseRecord {
        fence: restore.fence.clone(),
        owner: restore.owner.clone(),
        expires_ms: now_ms + rules::ttl_ms(restore.ttl),
    };
    tables::set_lease(db, id, &lease)?;
    let figures = (signed(image.revision), signed(image.version_floor));
    tables::wrote(db, id, figures, now_ms)?;
    Ok(RestoreOutcome::Restored {
        durability: DURABILITY,
    })
}

pub(crate) fn give_up(
    db: &Connection,
    partition: &Partition,
    fence: &Fence,
    now_ms: u64,
) -> rusqlite::Result<GiveUpOutcome> {
    let head = tables::head(db, partition, now_ms)?;
    let lease = head.and_then(|head| head.lease);
    if lease.is_some_and(|lease| lease.fence == *fence) {
        return Ok(GiveUpOutcome::Current);
    }
    aside::given_up(db, partition, fence, now_ms)?;
    Ok(GiveUpOutcome::Recorded)
}

pub(crate) fn identity(db: &Connection) -> rusqlite::Result<StoreId> {
    db.query_row("SELECT id FROM store", [], |row| row.get::<_, String>(0))
        .map(StoreId::new)
}

/// When the latest write was.
pub(crate) fn latest_change(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(changed_us), 0) FROM partition")?
        .query_row([], |row| row.get(0))
}

/// The first change after `seen`, and how many there are.
pub(crate) fn changes(
    db: &Connection,
    prefix: &str,
    seen: i64,
) -> Result<(Option<(i64, Notice)>, u64), ReadError> {
    let upper = format!("{prefix}{}", tables::PAST_NAMES);
    let waiting: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM partition WHERE changed_us > ?1 AND name >= ?2 AND name < ?3",
        )?
        .query_row(params![seen, prefix, upper], |row| row.get(0))?;
    let first = db
        .prepare_cached(
            "SELECT changed_us, name, writes FROM partition
             WHERE changed_us > ?1 AND name >= ?2 AND name < ?3 ORDER BY changed_us LIMIT 1",
        )?
        .query_row(params![seen, prefix, upper], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })
        .optional()?;
    let first = match first {
        Some((moment, name, revision)) => {
            let partition = stored_name(name, Partition::try_new)?;
            let revision = unsigned(revision);
            Some((
                moment,
                Notice::Changed {
                    partition,
                    revision,
                },
            ))
        }
        None => None,
    };
    Ok((first, unsigned(waiting)))
}
