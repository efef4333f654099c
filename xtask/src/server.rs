//! `server`: the Redis and Valkey servers the tests run against.
//!
//! The default one, in this order: the variable `FUSEBOX_TEST_SERVER`, `PATH`, an earlier
//! download, a download. The others: the variable `FUSEBOX_TEST_SERVERS`, downloads.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fusebox_test_server::{ENV, ENV_ALL, StartError, TestServer, find_binary, named_servers};

use crate::pins::{DEFAULT, NAMES, SERVERS, WITH_TLS};
use crate::workspace::Workspace;
use crate::{cmd, fetch};

const WHAT_TO_DO: &str = "install one (`apt install redis-server` or `valkey`, `brew install valkey`), \
     or set FUSEBOX_TEST_SERVER=/path/to/redis-server, \
     or leave the tests that need it out: `cargo xtask test --no-redis`";

/// A server program, proved to run.
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    version: String,
    from: &'static str,
}

impl Server {
    /// Whether it was built with TLS: told to speak it without a certificate, one that was says
    /// what is missing, and one that was not says so.
    pub(crate) fn speaks_tls(&self) -> bool {
        let server = TestServer::builder().binary(&self.path);
        let refused = server.arg("--tls-port").arg("1").start();
        matches!(refused, Err(StartError::Exited { .. }))
    }
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
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let workspace = Workspace::load()?;
    match words[..] {
        [] => print_path(&locate(&workspace)?),
        ["--version", name] => print_path(&locate_named(&workspace, name)?),
        ["--tool", name] => println!("{}", locate_tool(&workspace, name)?.display()),
        ["--env"] => {
            let (default, all) = (locate(&workspace)?, locate_all(&workspace));
            all.report();
            println!("export {ENV}='{}'", default.path.display());
            println!("export {ENV_ALL}='{}'", all.variable());
        }
        _ => bail!(
            "`server` takes nothing, `--version NAME` ({}), `--tool NAME` (redis-cli, \
             redis-benchmark) or `--env`, not `{}`",
            NAMES.join(", "),
            words.join(" ")
        ),
    }
    Ok(())
}

fn print_path(server: &Server) {
    eprintln!("{server}");
    println!("{}", server.path.display());
}

/// Finds or fetches the default server, starts it once and stops it again.
pub(crate) fn locate(workspace: &Workspace) -> Result<Server> {
    match find_binary() {
        Ok(path) => {
            let named = env::var_os(ENV).is_some_and(|value| !value.is_empty());
            prove(&path, if named { ENV } else { "PATH" })
        }
        Err(StartError::NoBinary { named: None }) => {
            eprintln!("no valkey-server or redis-server on PATH");
            locate_named(workspace, DEFAULT).context(WHAT_TO_DO)
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds or fetches the server of that name, starts it once and stops it again.
pub(crate) fn locate_named(workspace: &Workspace, name: &str) -> Result<Server> {
    if env::var_os(ENV_ALL).is_some_and(|value| !value.is_empty())
        && let Some(found) = named_servers()?.into_iter().find(|s| s.name == name)
    {
        return prove(&found.path, ENV_ALL);
    }
    let fetched = fetch::cached_or_fetched(&workspace.target, name)?;
    prove(&fetched.program, fetched.from)
}

/// Every server there is a name for, and why some are missing.
pub(crate) fn locate_all(workspace: &Workspace) -> All {
    All {
        servers: NAMES
            .iter()
            .map(|name| (*name, locate_named(workspace, name)))
            .collect(),
    }
}

/// A tool such as `redis-cli` or `redis-benchmark`, under that name or Valkey's: on `PATH`, or from
/// a download that holds one.
pub(crate) fn locate_tool(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let valkey = name.replace("redis-", "valkey-");
    let names = [name, &valkey];
    for program in names {
        if Command::new(program).arg("--version").output().is_ok() {
            return Ok(program.into());
        }
    }
    let mut refused = Vec::new();
    let rows = SERVERS.iter().filter(|row| row.tool(&names).is_some());
    for row in rows {
        match fetch::cached_or_fetched(&workspace.target, row.name) {
            Ok(fetched) => match fetched.tool(&names) {
                Some(tool) => return Ok(tool),
                None => refused.push(format!("{} came without it", row.name)),
            },
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    bail!(
        "no {name} on PATH and none to fetch: {}",
        refused.join("; ")
    )
}

/// What [`locate_all`] found, by name.
pub(crate) struct All {
    servers: Vec<(&'static str, Result<Server>)>,
}

impl All {
    /// One line each on standard error: where it is, or why it is missing.
    pub(crate) fn report(&self) {
        for (name, server) in &self.servers {
            match server {
                Ok(server) => eprintln!("test server {name}: {server}"),
                Err(error) => eprintln!("test server {name}: none here: {error:#}"),
            }
        }
    }

    /// Whether the one that tests look to for TLS has it.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.servers.iter().any(|(name, server)| {
            *name == WITH_TLS && server.as_ref().is_ok_and(Server::speaks_tls)
        })
    }

    /// The value of `FUSEBOX_TEST_SERVERS`.
    pub(crate) fn variable(&self) -> String {
        let found = self.servers.iter().filter_map(|(name, server)| {
            let path = &server.as_ref().ok()?.path;
            Some(format!("{name}={}", path.display()))
        });
        found.collect::<Vec<_>>().join(",")
    }
}

fn prove(path: &Path, from: &'static str) -> Result<Server> {
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
