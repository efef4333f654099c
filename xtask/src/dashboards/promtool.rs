//! Prometheus and its tool: found or fetched, asked what they make of our files and of a real run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cmd;
use crate::test::build_command;

/// A folder with the programs `prometheus` and `promtool`.
const ENV: &str = "FUSEBOX_PROMETHEUS";

const WHAT_TO_DO: &str = "install them (`apt install prometheus`, `brew install prometheus`) or set \
     FUSEBOX_PROMETHEUS to the folder that holds them";

/// Has promtool judge the rules and their tests, and Prometheus scrape a run. Where they are not here, says so.
pub(super) fn judge(target: &Path, rules: &Path, tests: &Path) -> Result<()> {
    let folder = match locate(target) {
        Ok(folder) => folder,
        // Who names a folder means it.
        Err(error) if is_named() => return Err(error),
        Err(error) => {
            println!(
                "NOT RUN: promtool check rules, promtool test rules, the scrape by a real Prometheus"
            );
            println!("         {error:#}; {WHAT_TO_DO}");
            return Ok(());
        }
    };
    let tool = folder.join("promtool");
    cmd::run(Command::new(&tool).args(["check", "rules"]).arg(rules))?;
    cmd::run(Command::new(&tool).args(["test", "rules"]).arg(tests))?;
    let mut scrape = cmd::cargo(["test", "--quiet", "--package", "fusebox-tests"]);
    scrape.args(["--test", "metrics", "--", "--ignored"]);
    // What is scraped is `fusebox serve`.
    scrape.env("FUSEBOX_BIN", build_command()?);
    cmd::run(scrape.env(ENV, &folder))
}

fn is_named() -> bool {
    env::var_os(ENV).is_some_and(|value| !value.is_empty())
}

/// The variable, `PATH`, an earlier download, a download: in this order.
fn locate(target: &Path) -> Result<PathBuf> {
    if let Some(folder) = env::var_os(ENV).filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        return holds_both(&folder)
            .then_some(folder)
            .with_context(|| format!("{ENV} names a folder without the two programs"));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = env::split_paths(&path).find(|folder| holds_both(folder)) {
        return Ok(folder);
    }
    let home = target.join("fusebox-prometheus");
    let folder = home.join("usr/bin");
    if !holds_both(&folder) {
        fetch(&home).context("neither on PATH nor to be fetched as a package of Debian")?;
    }
    if !holds_both(&folder) {
        bail!("the package holds no prometheus and promtool");
    }
    // The programs run in other directories.
    folder.canonicalize().context("the folder is there")
}

fn holds_both(folder: &Path) -> bool {
    ["prometheus", "promtool"]
        .iter()
        .all(|name| folder.join(name).is_file())
}

/// The package of the distribution, unpacked without root; apt checks its hash against the signed lists.
fn fetch(home: &Path) -> Result<()> {
    std::fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
    cmd::stdout(
        Command::new("apt-get")
            .args(["--quiet", "download", "prometheus"])
            .current_dir(home),
    )?;
    let package = std::fs::read_dir(home)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .context("apt-get downloaded no package")?;
    cmd::stdout(Command::new("dpkg-deb").arg("-x").arg(&package).arg(home))?;
    std::fs::remove_file(&package).context("cannot remove the package")
}
