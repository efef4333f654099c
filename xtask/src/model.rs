//! `model`: the state protocol in every state it can reach, and what breaks without each rule.
//!
//! A package of its own, `tests/model`, so that the checker's tree stays out of ours.

use anyhow::{Result, bail};

use crate::cmd;

const MANIFEST: &str = "tests/model/Cargo.toml";

/// Arguments select variants by a part of their test's name; all run without any.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let cargo = |verb: &[&str]| {
        let mut command = cmd::cargo(verb);
        command.args(["--manifest-path", MANIFEST]);
        command
    };
    if args.is_empty() {
        cmd::run(cargo(&["fmt"]).arg("--check"))?;
        let mut clippy = cargo(&["clippy", "--locked", "--all-targets"]);
        clippy.args(["--target-dir", "target/model", "--", "-D", "warnings"]);
        cmd::run(&mut clippy)?;
    }
    // One variant at a time: each uses every core, and its figures stand beside its name.
    let mut test = cargo(&["test", "--release", "--locked"]);
    test.args(["--target-dir", "target/model", "--"]);
    test.args(["--nocapture", "--test-threads", "1"]).args(args);
    let (counts, passed) = cmd::run_counted(&mut test)?;
    if !passed || counts.failed > 0 {
        bail!("the model does not answer as it should");
    }
    if counts.passed == 0 {
        bail!("there is no variant named like `{}`", args.join("`, `"));
    }
    Ok(())
}
