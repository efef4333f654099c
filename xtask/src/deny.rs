//! `deny`: licences, sources, banned crates and known vulnerabilities, with cargo-deny.

use anyhow::{Result, bail};

use crate::{cmd, no_arguments};

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    if !cmd::has_subcommand("deny") {
        bail!("cargo-deny is missing: `cargo install --locked cargo-deny`");
    }
    cmd::run(&mut cmd::cargo([
        "deny", "check", "bans", "licenses", "sources",
    ]))?;
    advisories()
}

fn advisories() -> Result<()> {
    let mut command = cmd::cargo(["deny", "check", "advisories"]);
    let output = cmd::capture(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => eprint!("{said}"),
        false if database_out_of_reach(&said) => println!(
            "NOT CHECKED: known vulnerabilities (RustSec advisories); the database at \
             https://github.com/RustSec/advisory-db cannot be reached from here"
        ),
        false => bail!("`{}` failed:\n{said}", cmd::line(&command)),
    }
    Ok(())
}

fn database_out_of_reach(said: &str) -> bool {
    said.contains("failed to fetch advisory database")
}

#[cfg(test)]
mod tests {
    use super::database_out_of_reach;

    #[test]
    fn only_a_database_out_of_reach_is_excused() {
        assert!(database_out_of_reach(
            "[ERROR] failed to fetch advisory database https://… with cli: failed to clone"
        ));
        assert!(!database_out_of_reach(
            "error[vulnerability]: something bad\nadvisories FAILED"
        ));
    }
}
