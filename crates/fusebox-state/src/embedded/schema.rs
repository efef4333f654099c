//! Opening the file: is it ours, is it of our format, make it if there is none.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::{self, Fault};
use crate::{StoreError, StoreId};

/// "FBXS": marks the file as ours to SQLite and to `file(1)`.
const APPLICATION_ID: i32 = 0x4642_5853;
/// Kept in `user_version`.
const FORMAT: i32 = 2;
/// The oldest format that is brought up to date when it is opened.
const OLDEST: i32 = 1;
const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE partition (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        -- The lease; null until the first one.
        epoch INTEGER,
        token BLOB,
        owner TEXT,
        lease_expires_ms INTEGER,
        -- The greatest version ever deleted here.
        version_floor INTEGER NOT NULL DEFAULT 0,
        -- How many commits were applied.
        writes INTEGER NOT NULL DEFAULT 0,
        deadline_ms INTEGER
    ) STRICT;
    CREATE INDEX partition_deadline ON partition (deadline_ms) WHERE deadline_ms IS NOT NULL;
    CREATE TABLE entry (
        partition INTEGER NOT NULL,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,
        -- Format byte, 8 bytes of SHA-256, value.
        value BLOB NOT NULL,
        UNIQUE (partition, key)
    ) STRICT;
    CREATE TABLE write_id (
        partition INTEGER NOT NULL,
        id BLOB NOT NULL,
        digest BLOB NOT NULL,
        -- The partition's `writes` at the time.
        number INTEGER NOT NULL,
        PRIMARY KEY (partition, id)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX write_id_number ON write_id (partition, number);
";

/// What format 2 has more than format 1; a new file is made in both steps.
const FORMAT_2: &str = "
    -- When it was last written to, in microseconds since 1970, each later than the one before; 0 for
    -- never. Not indexed: each page that a commit touches is written to disk twice.
    ALTER TABLE partition ADD COLUMN changed_us INTEGER NOT NULL DEFAULT 0;
    -- A ring of the latest writes: one page is touched, where a key by id would touch one for the
    -- write that comes, one for the write that goes, and an index for both.
    ALTER TABLE write_id RENAME TO write_id_1;
    CREATE TABLE write_id (
        partition INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        id BLOB NOT NULL,
        digest BLOB NOT NULL,
        -- The partition's `writes` at the time.
        number INTEGER NOT NULL,
        PRIMARY KEY (partition, slot)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO write_id SELECT partition, number % 128, id, digest, number FROM write_id_1;
    DROP TABLE write_id_1;
    CREATE TABLE store (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        -- Names the content of this file.
        id TEXT NOT NULL
    ) STRICT;
    -- What is on record beside partitions, whether or not they are there.
    CREATE TABLE aside (
        name TEXT NOT NULL,
        -- The id of a lease given up, or nothing for a removal.
        token_id TEXT NOT NULL,
        until_ms INTEGER NOT NULL,
        PRIMARY KEY (name, token_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX aside_until ON aside (until_ms);
";

/// Opens the file for the writer, making it if need be.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(StoreError::misconfigured(
            "an embedded store needs a file; use `memory:` for state that is not kept",
        ));
    }
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        fs::create_dir_all(directory).map_err(|error| StoreError::Misconfigured {
            message: format!(
                "directory `{}` cannot be made; make it by hand or choose another path",
                directory.display()
            ),
            cause: Some(error.into()),
        })?;
    }
    // The switch to WAL does not wait for other processes that are just doing the same.
    let until = Instant::now() + PATIENCE;
    loop {
        match try_open(path) {
            Err(Refusal::Sqlite(error))
                if Fault::before_commit(&error).is_busy() && Instant::now() < until =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            Err(Refusal::Sqlite(error)) => return Err(fault::opening(path, &error)),
            Err(Refusal::Foreign(error)) => return Err(error),
            Ok(connection) => return Ok(connection),
        }
    }
}

/// Opens the file, which [`open`] has seen to, for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path)
        .and_then(|connection| {
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        })
        .map_err(|error| fault::opening(path, &error))
}

enum Refusal {
    Sqlite(rusqlite::Error),
    Foreign(StoreError),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn try_open(path: &Path) -> Result<Connection, Refusal> {
    let mut connection = connect(path)?;
    // Look before touching: switching the journal of somebody else's database would change it. In
    // one transaction, or the look could fall into the middle of another process making the file.
    let format = format(&*connection.transaction()?, path)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Refusal::Foreign(StoreError::misconfigured(format!(
            "`{}` is on a file system without shared memory; choose a path on a local disk",
            path.display()
        ))));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    // Also proves that the file can be written.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Looked at again: another process may have made it meanwhile.
    if format < FORMAT {
        bring_up_to_date(&transaction, self::format(&transaction, path)?)?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // SQLite's own handler sleeps up to 100 ms between tries and can lose for seconds against a
    // process that writes all the time. Trying each millisecond finds the gap between its commits.
    connection.busy_handler(Some(|tries| {
        thread::sleep(Duration::from_millis(1));
        tries < PATIENCE.as_millis() as i32
    }))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Makes the tables of a file that has `format`, 0 for an empty one.
fn bring_up_to_date(transaction: &Connection, format: i32) -> rusqlite::Result<()> {
    if format < 1 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if format < 2 {
        transaction.execute_batch(FORMAT_2)?;
        transaction.execute(
            "INSERT INTO store (only, id) VALUES (1, ?1)",
            [StoreId::random().as_str()],
        )?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)
}

/// The format of the file, 0 if there is nothing in it yet; an error if it is not ours or too new.
fn format(connection: &Connection, path: &Path) -> Result<i32, Refusal> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id")?;
    let format = number("user_version")?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, format, objects) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, OLDEST..=FORMAT, _) => Ok(format),
        (APPLICATION_ID, found, _) => Err(Refusal::Foreign(StoreError::Format {
            what: format!("state file `{}`", path.display()),
            found: found.unsigned_abs(),
            supported: FORMAT.unsigned_abs(),
        })),
        _ => Err(Refusal::Foreign(StoreError::misconfigured(format!(
            "`{}` is a database of another program; choose another path",
            path.display()
        )))),
    }
}
