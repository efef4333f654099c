//! `examples`: they run, and print what their comments promise.
//!
//! Every `crates/*/examples/*.rs` is run with all features, and every `examples/*/workflow.toml`
//! goes through `fusebox check`. An example states its output in its first comment:
//!
//! ~~~text
//! //! Prints:
//! //! ```text
//! //! closed
//! //! open
//! //! ```
//! ~~~
//!
//! Each of these lines has to appear, in this order; others may stand between them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::workspace::{Example, Workspace};
use crate::{cmd, no_arguments};

/// Examples that cannot run unattended: name and reason.
const SKIPPED: [(&str, &str); 0] = [];

pub(crate) fn main(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    for package in Workspace::load()?.crates() {
        for example in &package.examples {
            match SKIPPED.iter().find(|(name, _)| *name == example.name) {
                Some((name, reason)) => println!("skipped: example {name}: {reason}"),
                None => run(&package.name, example)?,
            }
        }
    }
    workflows()?.iter().try_for_each(|file| {
        cmd::run(
            cmd::cargo(["run", "--quiet", "--package", "fusebox-cli", "--", "check"]).arg(file),
        )
    })
}

fn run(package: &str, example: &Example) -> Result<()> {
    let mut command = cmd::cargo(["run", "--quiet", "--all-features", "--package", package]);
    command.args(["--example", &example.name]);
    eprintln!("$ {}", cmd::line(&command));
    let printed = cmd::stdout(&mut command)?;
    print!("{printed}");
    let source = fs::read_to_string(&example.source)
        .with_context(|| format!("cannot read `{}`", example.source.display()))?;
    if let Some(line) = first_missing(&promised(&source), &printed) {
        bail!(
            "example {} promises to print `{line}`, and does not (or not in this order)",
            example.name
        );
    }
    Ok(())
}

/// The lines in the block after `Prints:` in the first comment.
fn promised(source: &str) -> Vec<&str> {
    source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .skip_while(|line| line.trim() != "Prints:")
        .skip_while(|line| !line.starts_with("```"))
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .collect()
}

fn first_missing<'a>(promised: &[&'a str], printed: &str) -> Option<&'a str> {
    let mut lines = printed.lines();
    promised
        .iter()
        .copied()
        .find(|wanted| !lines.any(|line| line.trim_end() == wanted.trim_end()))
}

fn workflows() -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir("examples") else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry
            .context("cannot read examples")?
            .path()
            .join("workflow.toml");
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "//! An example.\n//!\n//! Prints:\n//!\n//! ```text\n//! one\n//! two\n//! ```\n//! More.\nfn main() {}\n";

    #[test]
    fn promised_lines_are_those_in_the_block() {
        assert_eq!(promised(SOURCE), ["one", "two"]);
        assert!(promised("//! Nothing promised.\n//! ```text\n//! x\n//! ```\n").is_empty());
    }

    #[test]
    fn promised_lines_have_to_come_in_their_order() {
        let promised = promised(SOURCE);
        assert_eq!(first_missing(&promised, "zero\none\nand\ntwo\n"), None);
        assert_eq!(first_missing(&promised, "two\none\n"), Some("two"));
        assert_eq!(first_missing(&promised, ""), Some("one"));
    }
}
