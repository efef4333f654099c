//! `lint`: clippy over everything, warnings denied.

use anyhow::Result;

use crate::{cmd, no_arguments};

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let mut clippy = cmd::cargo(["clippy", "--workspace", "--all-targets", "--all-features"]);
    cmd::run(clippy.args(["--", "-D", "warnings"]))
}
