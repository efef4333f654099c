//! `fmt`: the workspace and the consumers beside it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{cmd, consumers, only_flag};

pub(crate) fn main(args: &[String]) -> Result<()> {
    let check = only_flag(args, "--check")?;
    let mut workspace = cmd::cargo(["fmt", "--all"]);
    let sources: Vec<PathBuf> = consumers::all()?
        .iter()
        .map(|consumer| consumer.join("src/main.rs"))
        .collect();
    let mut beside = Command::new("rustfmt");
    if check {
        workspace.arg("--check");
        beside.arg("--check");
    }
    cmd::run(&mut workspace)?;
    match sources.is_empty() {
        true => Ok(()),
        false => cmd::run(beside.args(sources)),
    }
}
