//! `baselines`: what the standard workflow does under faults and under load, as a page.

use std::fs;

use anyhow::{Context, Result};

use crate::{bench, cmd, no_arguments};

const DOCUMENT: &str = "docs/baselines.md";

/// Writes the page anew. Its figures are virtual time and seeds, so that it changes with behaviour
/// alone.
pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let page = cmd::stdout(&mut bench::orchestrator_program("baselines"))?;
    print!("{page}");
    let page = page.trim_end().to_owned() + "\n";
    fs::write(DOCUMENT, page).with_context(|| format!("cannot write {DOCUMENT}"))?;
    eprintln!("written anew: {DOCUMENT}");
    Ok(())
}
