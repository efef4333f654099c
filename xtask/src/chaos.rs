//! `chaos`: what the state stores answer and keep while something is wrong.
//!
//! The tests of `tests/chaos`, those included that take whole sets of servers and minutes. Each
//! writes a row of a table; the tables are put together under `target/chaos`, and with `--update` in
//! `docs/state-faults.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fusebox_test_server::{ENV, ENV_ALL};

use crate::workspace::Workspace;
use crate::{cmd, server};

const PACKAGE: &str = "fusebox-chaos-tests";
/// Rows by table; the variable that names it is the package's `report::ENV_DIR`.
const ROWS: &str = "target/chaos/rows";
const ENV_ROWS: &str = "FUSEBOX_CHAOS_ROWS";
const REPORT: &str = "target/chaos/report.md";
const DOCUMENT: &str = "docs/state-faults.md";
/// What stands above the tables.
const INTRODUCTION: &str = include_str!("chaos/introduction.md");

/// Arguments select tests by a part of their name; all run without any.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let (flags, filters): (Vec<_>, Vec<_>) =
        args.iter().cloned().partition(|arg| arg.starts_with('-'));
    let update = match &flags[..] {
        [] => false,
        [flag] if flag == "--update" && filters.is_empty() => true,
        _ => bail!("`chaos` takes test names, or `--update` alone; see `cargo xtask help`"),
    };
    let rows = std::env::current_dir()?.join(ROWS);
    if filters.is_empty() && rows.exists() {
        // Rows of tests that are gone would stay.
        fs::remove_dir_all(&rows).with_context(|| format!("cannot clear {ROWS}"))?;
    }
    // Others may commit while it runs.
    let machine = machine();
    let outcome = run(&rows, &filters);
    let tables = tables(&rows)?;
    print!("{tables}");
    let document = format!("{INTRODUCTION}\n{machine}\n{tables}");
    write(REPORT, &document)?;
    println!("report: {REPORT}");
    outcome?;
    if update {
        write(DOCUMENT, &document)?;
        println!("written anew: {DOCUMENT}");
    }
    Ok(())
}

fn run(rows: &Path, filters: &[String]) -> Result<()> {
    let workspace = Workspace::load()?;
    let (default, all) = (server::locate(&workspace)?, server::locate_all(&workspace));
    println!("test server: {default}");
    all.report();
    // Named one by one: what runs long does not run by default.
    let targets = ["controls", "damage", "history", "matrix", "whole"];
    let mut test = cmd::cargo(["test", "--package", PACKAGE, "--no-fail-fast"]);
    test.arg("--lib");
    for target in targets {
        test.args(["--test", target]);
    }
    test.arg("--").args(filters);
    test.env(ENV, &default.path).env(ENV_ALL, all.variable());
    test.env(ENV_ROWS, rows);
    let (counts, passed) = cmd::run_counted(&mut test)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if !passed || counts.failed > 0 {
        bail!("a store does not keep what it should");
    }
    if counts.passed == 0 {
        bail!("there is no test named like `{}`", filters.join("`, `"));
    }
    Ok(())
}

/// Every table there are rows of, in order of their names.
fn tables(rows: &Path) -> Result<String> {
    let mut text = String::new();
    if !rows.exists() {
        // Not even one test got as far as a row.
        return Ok(text);
    }
    for table in sorted(rows)? {
        // `head` comes before every `row`.
        for part in sorted(&table)? {
            let read = fs::read_to_string(&part);
            text += &read.with_context(|| format!("cannot read {}", part.display()))?;
        }
        text.push('\n');
    }
    Ok(text)
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn write(path: &str, text: &str) -> Result<()> {
    if let Some(dir) = Path::new(path).parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    // One blank line at the end of a table is enough.
    let text = text.trim_end().to_owned() + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {path}"))
}

/// Where times come from.
fn machine() -> String {
    let commit = cmd::stdout(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
    let kernel = cmd::stdout(Command::new("uname").args(["-s", "-r", "-m"]));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Measured at commit {} on {}, {cores} cores, which others used at the same time.\n",
        commit.as_deref().map_or("?", str::trim),
        kernel.as_deref().map_or("?", str::trim),
    )
}
