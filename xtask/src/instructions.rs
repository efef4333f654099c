//! `instructions`: how many instructions a call costs, against the kept baseline.
//!
//! Times move with the load of the machine, instruction counts do not: callgrind counts a program
//! that makes 12,000 calls and one that makes 2,000, and the difference is 10,000 calls. The clock is
//! a fake one, so that no reading of a real clock is in it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cmd, only_flag};

const BASELINE: &str = "crates/fusebox-breaker/benches/instructions.json";
const PROGRAM: &str = "target/instructions/release/examples/instructions";

/// A count may differ from its baseline by this ratio.
const TOLERANCE: f64 = 0.02;

const CALLS: (u64, u64) = (2_000, 12_000);

pub(crate) fn main(args: &[String]) -> Result<()> {
    let update = only_flag(args, "--update")?;
    let toolchain = toolchain()?;
    build()?;
    let counted = count_all()?;
    let mut baselines = baselines()?;
    if update {
        baselines.insert(toolchain.clone(), counted);
        let text = serde_json::to_string_pretty(&baselines)? + "\n";
        fs::write(BASELINE, text).with_context(|| format!("cannot write `{BASELINE}`"))?;
        println!("baseline written for {toolchain}");
        return Ok(());
    }
    match baselines.get(&toolchain) {
        Some(baseline) => compare(&counted, baseline),
        None => {
            println!("no baseline for this toolchain ({toolchain}); counted:");
            counted
                .iter()
                .for_each(|(name, count)| println!("  {name:<28}{count:>8.1}"));
            Ok(())
        }
    }
}

/// As part of `ci`: a machine without valgrind is told what it did not check.
pub(crate) fn where_possible(args: &[String]) -> Result<()> {
    if cmd::capture(Command::new("valgrind").arg("--version")).is_err() {
        println!("NOT CHECKED: instructions per call; valgrind is not installed");
        return Ok(());
    }
    main(args)
}

type Counts = BTreeMap<String, f64>;

/// Counts depend on what compiled and on what counts.
fn toolchain() -> Result<String> {
    let rustc = cmd::stdout(Command::new("rustc").arg("--version"))?;
    let valgrind = cmd::stdout(Command::new("valgrind").arg("--version"));
    let valgrind = valgrind.context("valgrind counts the instructions; install it")?;
    Ok(format!(
        "{}, {}, {}",
        rustc.trim(),
        valgrind.trim(),
        std::env::consts::ARCH
    ))
}

fn build() -> Result<()> {
    let mut build = cmd::cargo(["build", "--release", "--package", "fusebox-breaker"]);
    cmd::run(build.args([
        "--example",
        "instructions",
        "--target-dir",
        "target/instructions",
    ]))
}

fn count_all() -> Result<Counts> {
    let names = cmd::stdout(&mut Command::new(PROGRAM))?;
    let count = |name: &str| -> Result<(String, f64)> {
        let (few, many) = (count(name, CALLS.0)?, count(name, CALLS.1)?);
        let per_call = many.saturating_sub(few) as f64 / (CALLS.1 - CALLS.0) as f64;
        Ok((name.to_owned(), (per_call * 10.0).round() / 10.0))
    };
    names.lines().map(count).collect()
}

fn count(name: &str, calls: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        PROGRAM,
        name,
    ]);
    let output = cmd::capture(valgrind.arg(calls.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let collected = collected.with_context(|| format!("callgrind counted nothing:\n{said}"))?;
    Ok(collected.1.trim().parse()?)
}

fn baselines() -> Result<BTreeMap<String, Counts>> {
    let text = fs::read_to_string(BASELINE).unwrap_or_else(|_| "{}".to_owned());
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("cannot read `{BASELINE}`"))?;
    let mut baselines = BTreeMap::new();
    for (toolchain, counts) in value.as_object().into_iter().flatten() {
        let counts = counts.as_object().into_iter().flatten();
        let counts = counts.filter_map(|(name, count)| Some((name.clone(), count.as_f64()?)));
        baselines.insert(toolchain.clone(), counts.collect());
    }
    Ok(baselines)
}

fn compare(counted: &Counts, baseline: &Counts) -> Result<()> {
    let mut off = Vec::new();
    println!(
        "{:<28}{:>10}{:>10}",
        "instructions per call", "baseline", "now"
    );
    for (name, now) in counted {
        let Some(before) = baseline.get(name) else {
            off.push(format!("{name} has no baseline"));
            continue;
        };
        println!("{name:<28}{before:>10.1}{now:>10.1}");
        if (now - before).abs() > before * TOLERANCE {
            off.push(format!("{name}: {before} before, {now} now"));
        }
    }
    if off.is_empty() {
        return Ok(());
    }
    let off = off.join("; ");
    bail!("more than 2 % off: {off}; if that is meant, `cargo xtask instructions --update`")
}
