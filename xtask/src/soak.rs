//! `soak`: many runs through the store in memory, and what is left of them.

use anyhow::{Result, bail};

use crate::{bench, cmd};

/// `--runs N` says how many count, after those that warm up; one million unless said.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [] => {}
        ["--runs", runs] if runs.parse::<u64>().is_ok() => {}
        _ => bail!("`soak` takes `--runs N` only; see `cargo xtask help`"),
    }
    cmd::run(bench::orchestrator_program("soak").args(args))
}
