//! `loom`: every interleaving of small histories of the breaker's atomics.

use anyhow::Result;

use crate::{cmd, no_arguments};

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let mut test = cmd::cargo(["test", "--release", "--package", "fusebox-breaker"]);
    test.args(["--test", "loom", "--target-dir", "target/loom"]);
    cmd::run(test.env("RUSTFLAGS", "--cfg loom"))
}
