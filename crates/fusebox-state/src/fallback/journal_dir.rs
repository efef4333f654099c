//! Journals in a directory that several processes share.
//!
//! Each process has a file of its own, and a lock file beside it that it holds for as long as it
//! lives. A lock that can be taken belongs to a process that has ended.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{EmbeddedStore, StateStore, StoreError, random};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";

/// The files of one journal, locked.
pub(super) struct Files {
    journal: PathBuf,
    lock_path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
    remove: bool,
}

impl Files {
    /// Nothing is in the journal any more.
    pub(super) fn remove_on_drop(&mut self) {
        self.remove = true;
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.remove {
            return;
        }
        // The lock goes last: whoever finds it has the journal too. What cannot be removed is empty.
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.journal.clone().into_os_string();
            path.push(suffix);
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_file(&self.lock_path);
    }
}

type Opened = (Arc<dyn StateStore>, Files);

/// A new journal.
pub(super) fn create(directory: &Path) -> Result<Opened, StoreError> {
    fs::create_dir_all(directory).map_err(|error| unusable(directory, error))?;
    let name = random::hex(&random::bytes16());
    let lock_path = directory.join(name).with_extension(LOCK);
    let lock = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&lock_path)
        .map_err(|error| unusable(&lock_path, error))?;
    lock.try_lock()
        .map_err(|error| unusable(&lock_path, io::Error::from(error)))?;
    open(lock_path, lock)
}

/// Those that ended processes left. Others are left alone.
pub(super) fn left_behind(directory: &Path) -> Result<Vec<Opened>, StoreError> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(|error| unusable(directory, error))?;
    for entry in entries {
        let path = entry.map_err(|error| unusable(directory, error))?.path();
        if path.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        let lock = match OpenOptions::new().write(true).open(&path) {
            Ok(lock) => lock,
            // Its process has just cleaned up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unusable(&path, error)),
        };
        match lock.try_lock() {
            // Removed between the two steps: the lock is on a file that nobody finds.
            Ok(()) if !path.exists() => {}
            Ok(()) => found.push(open(path, lock)?),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
        }
    }
    Ok(found)
}

fn open(lock_path: PathBuf, lock: File) -> Result<Opened, StoreError> {
    let journal = lock_path.with_extension(JOURNAL);
    let store = EmbeddedStore::open(&journal)?;
    let files = Files {
        journal,
        lock_path,
        _lock: lock,
        remove: false,
    };
    Ok((Arc::new(store), files))
}

fn unusable(path: &Path, error: io::Error) -> StoreError {
    StoreError::Misconfigured {
        message: format!(
            "journal `{}` cannot be used; choose another directory, or one policy that needs none",
            path.display()
        ),
        cause: Some(error.into()),
    }
}
