//! The directory where commits wait that a server could not take, and their delivery.
//!
//! A state directory may be used with several servers, and a journal says nothing about where it
//! belongs. So each server has a directory of its own in it, named by its address.

use std::fs::{self, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox::state::{FallbackConfig, FallbackStore, StateStore, StoreError, StoreStatus};

const DIRECTORY: &str = "fallback";
/// Beside each journal lies a file of this kind, locked for as long as its process lives.
const LOCK: &str = "lock";
/// Of a long address, for people; what tells it from others is the digest.
const READABLE: usize = 80;

/// The journals of one server.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    pub(crate) directory: PathBuf,
}

/// How many journals there are, by what became of their processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Their processes have ended.
    pub(crate) left: usize,
    /// Their processes live.
    pub(crate) in_use: usize,
}

impl Journals {
    /// Those in `state_dir` that belong to `store`, which `url` has opened.
    pub(crate) fn of(store: &dyn StateStore, url: &str, state_dir: &Path) -> Self {
        let location = store.describe().location;
        let name = name(&location, prefix(url));
        Self {
            directory: state_dir.join(DIRECTORY).join(name),
        }
    }

    /// Looks at the locks. One is held for that moment: a process that looks at the same time takes
    /// it for one in use, and leaves the journal to this one.
    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return count;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != LOCK) {
                continue;
            }
            let Ok(lock) = OpenOptions::new().write(true).open(&path) else {
                continue;
            };
            match lock.try_lock() {
                Ok(()) => count.left += 1,
                Err(TryLockError::WouldBlock) => count.in_use += 1,
                Err(TryLockError::Error(_)) => {}
            }
        }
        count
    }

    /// Hands over to `store` what ended processes left. Answers what still waits, and what was found
    /// to be another's by now.
    pub(crate) async fn deliver(
        &self,
        store: &Arc<dyn StateStore>,
    ) -> Result<StoreStatus, StoreError> {
        let config = FallbackConfig::degrade_durable_in(&self.directory);
        let fallback = FallbackStore::open(Arc::clone(store), config).await?;
        Ok(fallback.status())
    }
}

/// The part of a server's content that `prefix=` in its URL names.
fn prefix(url: &str) -> &str {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let mut named = parameters
        .split('&')
        .filter_map(|p| p.strip_prefix("prefix="));
    named.next().unwrap_or_default()
}

fn name(location: &str, prefix: &str) -> String {
    let address = location
        .split_once("://")
        .map_or(location, |(_, rest)| rest);
    let safe = |c: char| match c {
        c if c.is_ascii_alphanumeric() || ".-".contains(c) => c,
        _ => '_',
    };
    let readable: String = address.chars().take(READABLE).map(safe).collect();
    let readable = readable.trim_start_matches('.');
    format!("{readable}-{:016x}", digest(&[location, prefix]))
}

/// FNV-1a of 64 bits: the same in every version of this program, which the standard library's
/// hashes do not promise.
fn digest(parts: &[&str]) -> u64 {
    // What no address holds stands between the parts.
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_prefixes_have_directories_of_their_own() {
        let names = [
            name("redis://127.0.0.1:6379/0", ""),
            name("redis://127.0.0.1:6379/1", ""),
            name("redis://127.0.0.1:6379/0", "team"),
            name("rediss://127.0.0.1:6379/0", ""),
            name("redis://127.0.0.1:6380/0", ""),
        ];
        let mut distinct = names.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names[0].starts_with("127.0.0.1_6379_0-"), "{}", names[0]);
    }

    #[test]
    fn a_directory_keeps_its_name_from_version_to_version() {
        assert_eq!(
            name("redis://127.0.0.1:6379/0", ""),
            "127.0.0.1_6379_0-f2555d02a04096b1"
        );
    }

    #[test]
    fn no_address_leads_out_of_the_state_directory() {
        for location in [
            "redis+unix:///../../x?db=0",
            "redis://..",
            &"x/".repeat(500),
        ] {
            let name = name(location, "");
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
            assert!(name.len() < 128, "{name}");
        }
    }

    #[test]
    fn the_prefix_is_the_urls() {
        assert_eq!(prefix("redis://h"), "");
        assert_eq!(prefix("redis://h?replicas=1&prefix=team"), "team");
    }
}
