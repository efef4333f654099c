//! The small packages in `tests/consumers`: each uses one crate as a stranger would, outside the
//! workspace, with that crate's default features and its own idea of the rest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cmd;
use crate::counts::Counts;

/// Builds and runs the consumers whose name contains one of `filters` (all, if there is none).
/// Each counts as one test.
pub(crate) fn run(target: &Path, filters: &[String]) -> Result<(Counts, bool)> {
    let mut counts = Counts::default();
    for consumer in all()? {
        let name = consumer
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            counts.skipped += 1;
            continue;
        }
        match run_one(&consumer, &target.join("consumers")) {
            Ok(()) => counts.passed += 1,
            Err(error) => {
                eprintln!("error: consumer {name}: {error:#}");
                counts.failed += 1;
            }
        }
    }
    Ok((counts, true))
}

/// The directories of all consumers, sorted.
pub(crate) fn all() -> Result<Vec<PathBuf>> {
    let home = Path::new("tests/consumers");
    let mut found = Vec::new();
    if home.is_dir() {
        for entry in fs::read_dir(home).context("cannot read tests/consumers")? {
            let path = entry?.path();
            if path.join("Cargo.toml").is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn run_one(consumer: &Path, target: &Path) -> Result<()> {
    let _lock = Lock::seed(consumer)?;
    let manifest = consumer.join("Cargo.toml");
    let cargo = |verb: &str| {
        let mut command = cmd::cargo([verb, "--quiet", "--manifest-path"]);
        command.arg(&manifest).arg("--target-dir").arg(target);
        command
    };
    let offline = cmd::capture(cargo("build").arg("--offline"))?;
    if !offline.status.success() {
        let said = String::from_utf8_lossy(&offline.stderr);
        if !said.contains("--offline") {
            anyhow::bail!("does not build\n{said}");
        }
        // Something it needs was never downloaded.
        cmd::run(&mut cargo("build"))?;
    }
    cmd::run(cargo("run").arg("--offline"))
}

/// A lock file for the time of the build, taken from ours: the versions a consumer gets are the
/// ones the workspace was tested with, and there is no second set of lock files to keep.
struct Lock(Option<PathBuf>);

impl Lock {
    fn seed(consumer: &Path) -> Result<Self> {
        let path = consumer.join("Cargo.lock");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::copy("Cargo.lock", &path)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Git ignores a leftover.
            let _ = fs::remove_file(path);
        }
    }
}
