//! `docs`: the documentation builds, and no link in it is broken.

use anyhow::Result;

use crate::{cmd, no_arguments};

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    let mut doc = cmd::cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    cmd::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
