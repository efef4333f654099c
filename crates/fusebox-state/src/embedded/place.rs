//! Whether the file at the path is still the one that was opened.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// A path, and which file was there.
pub(super) struct Place {
    path: PathBuf,
    opened: Option<Mark>,
}

#[cfg(unix)]
type Mark = (u64, u64);
/// Elsewhere a file in use cannot be removed.
#[cfg(not(unix))]
type Mark = ();

impl Place {
    /// To be called once the file is open.
    pub(super) fn of(path: &Path) -> Self {
        // The process may change its directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let opened = fs::metadata(&path).ok().as_ref().map(mark);
        Self { path, opened }
    }

    /// Whether what is written now can be found again under the path. One look at the directory.
    pub(super) fn is_kept(&self) -> bool {
        self.opened.is_some() && fs::metadata(&self.path).ok().as_ref().map(mark) == self.opened
    }
}

#[cfg(unix)]
fn mark(file: &Metadata) -> Mark {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn mark(_: &Metadata) -> Mark {}
