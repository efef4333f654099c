//! Faults of the file of an embedded store.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fusebox_state::{EmbeddedStore, Partition, StateStore};
use tempfile::TempDir;

use super::Answer::{InDoubt, Ok as Done, Refused, Unavailable};
use super::{Allowed, Arena};

/// The variable that names the file the other process locks.
pub const ENV_LOCK: &str = "FUSEBOX_CHAOS_LOCK";
const LOCKED: &str = "locked";

/// What is done to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// Another process writes and does not come to an end.
    Locked,
    /// Nothing more fits on the disk.
    DiskFull,
}

/// A file, and one fault.
#[derive(Debug)]
pub struct FileArena {
    fault: FileFault,
    file: PathBuf,
    held: Mutex<Option<Held>>,
    /// The directory goes when the arena does.
    _directory: Option<TempDir>,
}

/// What lasts from the beginning of a fault to its end.
#[derive(Debug)]
enum Held {
    Process(Child, BufReader<ChildStdout>),
    Filler(PathBuf),
}

impl FileArena {
    /// In a directory of its own, or in the one that stands for a disk.
    ///
    /// # Panics
    /// If there is no directory to be had.
    pub fn new(fault: FileFault, disk: Option<&Path>) -> Self {
        let own = disk
            .is_none()
            .then(|| tempfile::tempdir().expect("a directory for temporary files"));
        let directory = own
            .as_ref()
            .map_or_else(|| disk.expect("one of both"), TempDir::path);
        Self {
            fault,
            file: directory.join("state.db"),
            held: Mutex::default(),
            _directory: own,
        }
    }

    fn open(&self) -> Arc<dyn StateStore> {
        let store = EmbeddedStore::open(&self.file);
        Arc::new(store.unwrap_or_else(|error| panic!("{}: {error:?}", self.file.display())))
    }
}

#[async_trait]
impl Arena for FileArena {
    fn fault(&self) -> &'static str {
        match self.fault {
            FileFault::Locked => "locked by a writer of another process",
            FileFault::DiskFull => "disk full (a small tmpfs)",
        }
    }

    fn allowed(&self) -> Allowed {
        match self.fault {
            FileFault::Locked => Allowed {
                writes: &[Unavailable],
                reads: &[Done],
                watch: &[Done],
                fallback: &[Done],
            },
            FileFault::DiskFull => Allowed {
                writes: &[Refused, InDoubt],
                reads: &[Done],
                watch: &[Done],
                fallback: &[Done],
            },
        }
    }

    async fn store(&self) -> Arc<dyn StateStore> {
        self.open()
    }

    async fn witness(&self) -> Arc<dyn StateStore> {
        self.open()
    }

    async fn begin(&self, _at: &Partition) {
        let held = match self.fault {
            FileFault::Locked => lock(&self.file),
            FileFault::DiskFull => Held::Filler(fill(&self.file.with_file_name("filler"))),
        };
        *self.held.lock().expect("nothing panics with this") = Some(held);
    }

    async fn end(&self, _at: &Partition) {
        let held = self.held.lock().expect("nothing panics with this").take();
        match held.expect("begun before") {
            Held::Process(mut child, mut said) => {
                // It ends when nothing more can be said to it.
                drop(child.stdin.take());
                std::io::copy(&mut said, &mut std::io::sink()).expect("a pipe can be read");
                child.wait().expect("the other process ends");
            }
            Held::Filler(path) => std::fs::remove_file(path).expect("the filler was there"),
        }
    }
}

/// Starts this program once more, to run the test that holds the lock, and waits until it does.
fn lock(file: &Path) -> Held {
    let program = std::env::current_exe().expect("a test has a program");
    let mut child = Command::new(program)
        .args(["--exact", "holds_a_lock", "--nocapture"])
        .env(ENV_LOCK, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts again");
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = said.by_ref().lines().map_while(Result::ok);
    let locked = lines.any(|line| line.contains(LOCKED));
    assert!(locked, "the other process did not lock {}", file.display());
    Held::Process(child, said)
}

/// What the other process does: writes, says so, and goes no further until nobody listens.
///
/// # Panics
/// If the file cannot be locked.
#[expect(clippy::print_stdout, reason = "the parent waits for this word")]
pub fn hold_lock(file: &Path) {
    let database = rusqlite::Connection::open(file).expect("the file is there");
    database
        .execute_batch("PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE; UPDATE store SET id = id;")
        .expect("the file can be locked");
    println!("{LOCKED}");
    // Ends with the parent's end, whatever becomes of it.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// Takes what is left of the disk.
fn fill(path: &Path) -> PathBuf {
    let mut filler = std::fs::File::create(path).expect("a name costs nothing");
    for size in [1 << 16, 1 << 12, 1 << 8, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
    path.to_owned()
}
