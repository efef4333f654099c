//! Which server program to start.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::StartError;

/// The variable that names the server program; `cargo xtask test` sets it.
pub const ENV: &str = "FUSEBOX_TEST_SERVER";

/// The variable that names further servers, `NAME=PATH` separated by commas: `redis-6.2`,
/// `redis-7.0` (built with TLS), `redis-8.2`, `valkey-8.1`, `valkey-9.1`, or names of your own.
/// `cargo xtask test` sets it; `cargo xtask server --env` prints it.
pub const ENV_ALL: &str = "FUSEBOX_TEST_SERVERS";

/// The name of the server that [`named_servers`] gives where [`ENV_ALL`] is not set.
pub const DEFAULT_NAME: &str = "default";

/// A server program with the name tests know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedServer {
    /// Its name in [`ENV_ALL`].
    pub name: String,
    /// Its program.
    pub path: PathBuf,
}

const NAMES: [&str; 2] = ["valkey-server", "redis-server"];

/// The program named by [`ENV`], otherwise `valkey-server` or `redis-server` on `PATH`.
///
/// # Errors
/// [`StartError::NoBinary`] when there is none, or when the variable names no file: a wrong
/// variable is never passed over in silence.
pub fn find_binary() -> Result<PathBuf, StartError> {
    if let Some(named) = env::var_os(ENV).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        return match path.is_file() {
            true => Ok(path),
            false => Err(StartError::NoBinary { named: Some(path) }),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    on_path(env::split_paths(&path)).ok_or(StartError::NoBinary { named: None })
}

/// The servers named by [`ENV_ALL`], in its order; without it the one of [`find_binary`] under
/// [`DEFAULT_NAME`]. Never empty, so that a test over all of them cannot pass over none.
///
/// # Errors
/// [`StartError::Named`] for an entry that is not `NAME=PATH` or names no file, and what
/// [`find_binary`] says.
pub fn named_servers() -> Result<Vec<NamedServer>, StartError> {
    match env::var(ENV_ALL) {
        Ok(list) if !list.is_empty() => list.split(',').map(read_entry).collect(),
        _ => Ok(vec![NamedServer {
            name: DEFAULT_NAME.to_owned(),
            path: find_binary()?,
        }]),
    }
}

/// The program of that name in [`ENV_ALL`].
///
/// # Errors
/// [`StartError::Named`] when there is none, otherwise as [`named_servers`].
pub fn find_named(name: &str) -> Result<PathBuf, StartError> {
    let found = named_servers()?.into_iter().find(|s| s.name == name);
    found.map(|s| s.path).ok_or_else(|| StartError::Named {
        entry: name.to_owned(),
    })
}

fn read_entry(entry: &str) -> Result<NamedServer, StartError> {
    entry
        .split_once('=')
        .map(|(name, path)| (name.trim(), PathBuf::from(path.trim())))
        .filter(|(name, path)| !name.is_empty() && path.is_file())
        .map(|(name, path)| NamedServer {
            name: name.to_owned(),
            path,
        })
        .ok_or_else(|| StartError::Named {
            entry: entry.to_owned(),
        })
}

fn on_path(dirs: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let dirs: Vec<PathBuf> = dirs.collect();
    NAMES
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|candidate| is_program(candidate))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_without_a_server_give_none() {
        assert_eq!(on_path([PathBuf::from("/nonexistent")].into_iter()), None);
    }

    #[test]
    fn an_entry_is_a_name_and_a_file() {
        let read = read_entry(" own = /bin/sh ").unwrap();
        assert_eq!(
            (read.name.as_str(), read.path),
            ("own", PathBuf::from("/bin/sh"))
        );
        for wrong in ["", "own", "=/bin/sh", "own=", "own=/nonexistent"] {
            let error = read_entry(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
