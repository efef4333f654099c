//! `dashboards`: the table of metrics as a page, a Grafana dashboard, alert rules and their tests.
//!
//! All are written from `fusebox_metrics::METRICS` and the alerts beside this file, so none of them can name a metric
//! that is not there. `--check` fails where a file is not what would be written, lets promtool judge rules and tests,
//! and has a real Prometheus scrape a real run; what is not run for want of a program is said.

mod alerts;
mod grafana;
mod page;
mod promtool;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::only_flag;
use crate::workspace::Workspace;

const PAGE: &str = "docs/metrics.md";
const DASHBOARD: &str = "docs/observability/fusebox-dashboard.json";
const RULES: &str = "docs/observability/fusebox-alerts.yml";
const RULE_TESTS: &str = "docs/observability/fusebox-alerts.test.yml";

pub(crate) fn main(args: &[String]) -> Result<()> {
    let check = only_flag(args, "--check")?;
    let files = [
        (PAGE, page::render()),
        (DASHBOARD, grafana::render()),
        (RULES, rules::render()),
        (RULE_TESTS, rules::render_tests()),
    ];
    if !check {
        return files.iter().try_for_each(|(path, text)| write(path, text));
    }
    let drifted: Vec<&str> = files
        .iter()
        .filter(|(path, text)| fs::read_to_string(path).ok().as_ref() != Some(text))
        .map(|(path, _)| *path)
        .collect();
    if !drifted.is_empty() {
        bail!(
            "not what the tables say: {}; `cargo xtask dashboards` writes them anew",
            drifted.join(", ")
        );
    }
    println!("as the tables say: {} files", files.len());
    promtool::judge(
        &Workspace::load()?.target,
        Path::new(RULES),
        Path::new(RULE_TESTS),
    )
}

fn write(path: &str, text: &str) -> Result<()> {
    let path = PathBuf::from(path);
    let folder = path.parent().expect("it lies in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
