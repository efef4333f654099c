//! What is read from a file that is not as it was written.

use std::fs;
use std::path::{Path, PathBuf};

use fusebox_state::{EmbeddedStore, StateStore, StoreError, StoreErrorKind};
use tempfile::TempDir;

use crate::words::{key, partition, put};

/// Commits, each of a key of its own; half of them have left the log.
const COMMITS: usize = 40;
const VALUE_BYTES: usize = 600;

/// A state file and its log, as a machine that lost power leaves them.
#[derive(Debug)]
pub struct Specimen {
    /// The file.
    pub file: Vec<u8>,
    /// Its log, `-wal`, which holds the newer half.
    pub log: Vec<u8>,
}

/// What came of reading a number of damaged files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// Files read.
    pub files: usize,
    /// That did not open.
    pub refused: usize,
    /// That opened and said that they are damaged when they were read.
    pub told: usize,
    /// In which everything was as written.
    pub whole: usize,
    /// That were as they had been after an earlier commit.
    pub earlier: usize,
    /// In which something was missing, or a version or revision was another one, with no word of
    /// damage.
    pub holes: usize,
    /// That gave a value that was never written.
    pub wrong: usize,
}

impl Specimen {
    /// Writes one.
    ///
    /// # Panics
    /// If there is no disk to write to.
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let path = directory.path().join("state.db");
        // Closing a store empties its log into the file.
        write(
            &EmbeddedStore::open(&path).expect("it opens"),
            0..COMMITS / 2,
        )
        .await;
        let open = EmbeddedStore::open(&path).expect("it opens");
        write(&open, COMMITS / 2..COMMITS).await;
        Self {
            file: fs::read(&path).expect("it was written"),
            log: fs::read(log_of(&path)).expect("it is open"),
        }
    }

    /// Reads a copy of it for each way to damage it.
    ///
    /// # Panics
    /// If there is no disk to write to.
    pub async fn read_each(&self, damages: impl Iterator<Item = Self>) -> Findings {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let mut findings = Findings::default();
        for damaged in damages {
            findings.files += 1;
            damaged
                .read(&directory, findings.files, &mut findings)
                .await;
        }
        findings
    }

    async fn read(&self, directory: &TempDir, number: usize, findings: &mut Findings) {
        let path = directory.path().join(format!("{number}.db"));
        fs::write(&path, &self.file).expect("there is room");
        fs::write(log_of(&path), &self.log).expect("there is room");
        let found = match EmbeddedStore::open(&path) {
            Ok(store) => look(&store).await,
            Err(error) => {
                assert_ne!(error.kind(), StoreErrorKind::TooLarge, "{error:?}");
                Found::Refused
            }
        };
        match found {
            Found::Refused => findings.refused += 1,
            Found::Told => findings.told += 1,
            Found::Commits(COMMITS) => findings.whole += 1,
            Found::Commits(_) => findings.earlier += 1,
            Found::Hole => findings.holes += 1,
            Found::Wrong => findings.wrong += 1,
        }
        for path in [log_of(&path), path.clone()] {
            // A log is gone with the store that was opened on it.
            let _ = fs::remove_file(path);
        }
    }
}

enum Found {
    Refused,
    Told,
    Commits(usize),
    Hole,
    Wrong,
}

/// Reads every key that was ever written.
async fn look(store: &dyn StateStore) -> Found {
    let at = partition("run");
    let mut there = Vec::new();
    let mut is_numbered = true;
    for n in 0..COMMITS {
        match store.get(&at, &key(&name(n))).await {
            Ok(Some(entry)) if entry.value == value(n) => {
                is_numbered &= entry.version == 1;
                there.push(n);
            }
            Ok(Some(_)) => return Found::Wrong,
            Ok(None) => {}
            Err(error) => return told(&error),
        }
    }
    match store.image(&at).await {
        Err(error) => told(&error),
        Ok(image) => {
            let image = image.unwrap_or_default();
            let is_beginning = there.iter().copied().eq(0..there.len());
            let agrees = image.entries.len() == there.len()
                && image.revision == there.len() as u64
                && image.writes.len() == there.len();
            match is_numbered && is_beginning && agrees {
                true => Found::Commits(there.len()),
                false => Found::Hole,
            }
        }
    }
}

fn told(error: &StoreError) -> Found {
    // An unreadable file may also show as a failed read, or as a later format.
    assert_ne!(error.kind(), StoreErrorKind::TooLarge, "{error:?}");
    Found::Told
}

async fn write(store: &EmbeddedStore, commits: std::ops::Range<usize>) {
    for n in commits {
        let written = store
            .commit(&partition("run"), put(&name(n), &value(n)))
            .await;
        assert!(written.expect("an answer").is_applied());
    }
}

fn name(n: usize) -> String {
    format!("k{n:03}")
}

/// No two alike.
fn value(n: usize) -> Vec<u8> {
    (0..VALUE_BYTES)
        .map(|at| ((at * 31 + n * 7) % 251) as u8)
        .collect()
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}
