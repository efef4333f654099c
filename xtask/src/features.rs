//! `features`: each crate without features, and with each feature alone.
//!
//! Clippy instead of a plain check, since it can deny warnings in our crates alone: an import that
//! one combination does not need fails here.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{cmd, no_arguments};

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    for package in Workspace::load()?.crates() {
        check(&package.name, None)?;
        for feature in package
            .features
            .iter()
            .filter(|feature| *feature != "default")
        {
            check(&package.name, Some(feature))?;
        }
    }
    Ok(())
}

fn check(package: &str, feature: Option<&str>) -> Result<()> {
    let mut clippy = cmd::cargo([
        "clippy",
        "--quiet",
        "--package",
        package,
        "--no-default-features",
    ]);
    if let Some(feature) = feature {
        clippy.args(["--features", feature]);
    }
    cmd::run(clippy.args(["--", "-D", "warnings"]))
}
