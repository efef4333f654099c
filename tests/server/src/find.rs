//! Which server program to start.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::StartError;

/// The variable that names the server program; `cargo xtask test` sets it.
pub const ENV: &str = "FUSEBOX_TEST_SERVER";

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
}
