//! `server`: the Redis or Valkey server the tests run against.
//!
//! In this order: the variable `FUSEBOX_TEST_SERVER`, `PATH`, an earlier download, a download.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fusebox_test_server::{ENV, StartError, TestServer, find_binary};

use crate::workspace::Workspace;
use crate::{cmd, fetch, no_arguments};

/// A server program, proved to run.
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    version: String,
    from: &'static str,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {} ({})",
            self.version,
            self.path.display(),
            self.from
        )
    }
}

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let server = locate(&Workspace::load()?)?;
    eprintln!("{server}");
    println!("{}", server.path.display());
    Ok(())
}

/// Finds or fetches a server, starts it once and stops it again.
pub(crate) fn locate(workspace: &Workspace) -> Result<Server> {
    let (path, from) = choose(workspace)?;
    // Tests run in other directories.
    let path = path
        .canonicalize()
        .with_context(|| format!("no server at {}", path.display()))?;
    let version = version(&path);
    drop(
        TestServer::builder()
            .binary(&path)
            .start()
            .context("the server does not run")?,
    );
    Ok(Server {
        path,
        version,
        from,
    })
}

fn choose(workspace: &Workspace) -> Result<(PathBuf, &'static str)> {
    match find_binary() {
        Ok(path) => {
            let named = env::var_os(ENV).is_some_and(|value| !value.is_empty());
            Ok((path, if named { ENV } else { "PATH" }))
        }
        Err(StartError::NoBinary { named: None }) => fetch::cached_or_fetched(&workspace.target),
        Err(error) => Err(error.into()),
    }
}

/// `Valkey 9.1.2` or `Redis 7.0.15`; what the server says when it says something else.
fn version(path: &Path) -> String {
    let said = cmd::stdout(Command::new(path).arg("--version")).unwrap_or_default();
    read_version(&said)
}

fn read_version(said: &str) -> String {
    let mut words = said.split_whitespace();
    let name = words.next().unwrap_or("a server");
    match words.find_map(|word| word.strip_prefix("v=")) {
        Some(version) => format!("{name} {version}"),
        None => format!("{name} of unknown version"),
    }
}

#[cfg(test)]
mod tests {
    use super::read_version;

    #[test]
    fn a_version_is_read_from_what_servers_say() {
        let said = "Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=1";
        assert_eq!(read_version(said), "Valkey 9.1.2");
        assert_eq!(read_version("Redis server v=7.0.15 sha=0"), "Redis 7.0.15");
        assert_eq!(read_version(""), "a server of unknown version");
    }
}
