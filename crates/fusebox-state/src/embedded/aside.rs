//! What is on record beside partitions: removals, leases given up.

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::signed;
use crate::rules::{ON_RECORD, OnRecord, ttl_ms};
use crate::{Fence, Partition};

/// Stands where a lease's id does.
const REMOVAL: &str = "";

pub(super) fn on_record(
    db: &Connection,
    partition: &Partition,
    fence: &Fence,
    now_ms: u64,
) -> rusqlite::Result<OnRecord> {
    let has = |token_id: &str| {
        db.prepare_cached(
            "SELECT 1 FROM aside WHERE name = ?1 AND token_id = ?2 AND until_ms > ?3",
        )?
        .query_row(
            params![partition.as_str(), token_id, signed(now_ms)],
            |_| Ok(()),
        )
        .optional()
        .map(|found| found.is_some())
    };
    Ok(OnRecord {
        removed: has(REMOVAL)?,
        given_up: has(fence.token_id().as_str())?,
    })
}

/// The partition is gone from `at_ms` on.
pub(super) fn removed(db: &Connection, partition: &Partition, at_ms: u64) -> rusqlite::Result<()> {
    add(db, partition, REMOVAL, at_ms)
}

/// A removal was called off.
pub(super) fn kept(db: &Connection, partition: &Partition) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM aside WHERE name = ?1 AND token_id = ?2")?
        .execute(params![partition.as_str(), REMOVAL])?;
    Ok(())
}

pub(super) fn given_up(
    db: &Connection,
    partition: &Partition,
    fence: &Fence,
    now_ms: u64,
) -> rusqlite::Result<()> {
    add(db, partition, fence.token_id().as_str(), now_ms)
}

pub(super) fn purge(db: &Connection, now_ms: u64, limit: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM aside WHERE (name, token_id) IN
             (SELECT name, token_id FROM aside WHERE until_ms <= ?1 LIMIT ?2)",
    )?
    .execute(params![signed(now_ms), limit])?;
    Ok(())
}

fn add(
    db: &Connection,
    partition: &Partition,
    token_id: &str,
    from_ms: u64,
) -> rusqlite::Result<()> {
    let until = signed(from_ms + ttl_ms(ON_RECORD));
    db.prepare_cached(
        "INSERT INTO aside (name, token_id, until_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)",
    )?
    .execute(params![partition.as_str(), token_id, until])?;
    Ok(())
}
