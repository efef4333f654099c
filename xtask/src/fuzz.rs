//! `fuzz`: coverage-guided inputs for everything that parses.
//!
//! A property of `tests/properties` is fed by libFuzzer, starting from its folder under `fuzz/seeds`. What reached new
//! code is kept under `target/fuzz/corpus` and is where the next run starts. Sanitizers are not stable, so the
//! compiler is told to take their switches all the same; AddressSanitizer is there for its view of compared strings,
//! as the workspace has no unsafe code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cmd;

const SEEDS: &str = "fuzz/seeds";
const TARGET: &str = "target/fuzz";
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Per property, unless told otherwise.
const SECONDS: u64 = 60;

const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
];

pub(crate) fn main(args: &[String]) -> Result<()> {
    let (targets, seconds) = read(args, &targets()?)?;
    let program = build()?;
    let mut found = Vec::new();
    for target in &targets {
        if let Some(inputs) = fuzz(&program, target, seconds)? {
            found.push(inputs);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!(
        "faults were found; once one is mended, keep its input under {SEEDS}:\n{}",
        found.join("\n")
    );
}

/// Every property has a folder of seeds.
fn targets() -> Result<Vec<String>> {
    let folders = fs::read_dir(SEEDS).with_context(|| format!("cannot read `{SEEDS}`"))?;
    let mut names = Vec::new();
    for folder in folders {
        names.push(folder?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn read(args: &[String], known: &[String]) -> Result<(Vec<String>, u64)> {
    let (mut targets, mut seconds) = (Vec::new(), SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let number = args.next().context("`--seconds` needs a number")?;
            let parsed = number.parse().ok().filter(|seconds| *seconds > 0);
            seconds =
                parsed.with_context(|| format!("`{number}` is not a whole number of seconds"))?;
        } else if known.contains(arg) {
            targets.push(arg.clone());
        } else {
            bail!(
                "there is no target `{arg}`; there are: {}",
                known.join(", ")
            );
        }
    }
    if targets.is_empty() {
        targets = known.to_vec();
    }
    Ok((targets, seconds))
}

fn build() -> Result<PathBuf> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    cmd::stdout(Command::new(&compiler).arg("--version"))
        .with_context(|| format!("the fuzzer is C++ and `{compiler}` does not run; install one"))?;
    let host = host()?;
    let mut build = cmd::cargo(["build", "--quiet", "--release", "--manifest-path", MANIFEST]);
    // A target makes the flags spare what runs at build time.
    build.args(["--target-dir", TARGET, "--target", &host]);
    build.env("RUSTFLAGS", FLAGS.join(" "));
    build.env("RUSTC_BOOTSTRAP", "1");
    cmd::run(&mut build).with_context(|| {
        format!("needs a toolchain that has AddressSanitizer for {host}, such as the one for x86_64 Linux")
    })?;
    Ok(Path::new(TARGET).join(host).join("release/fusebox-fuzz"))
}

fn host() -> Result<String> {
    let version = cmd::stdout(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Feeds one property and says how much it was fed; where the inputs lie that show faults, if any does.
fn fuzz(program: &Path, target: &str, seconds: u64) -> Result<Option<String>> {
    let folder = |name: &str| -> Result<PathBuf> {
        let path = Path::new(TARGET).join(name).join(target);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    };
    let (corpus, found) = (folder("corpus")?, folder("found")?);
    let log = Path::new(TARGET).join(format!("{target}.log"));
    let words = Path::new("fuzz/words").join(target);
    let mut command = Command::new(program);
    command.env("FUSEBOX_PROPERTY", target);
    command.arg(&corpus).arg(Path::new(SEEDS).join(target));
    command.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.arg(format!("-dict={}", words.display()));
    // Memory is watched by the limit above; looking for leaks needs leave to trace.
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    let out = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(out)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    println!("{}", summary(target, &said));
    if status.success() {
        return Ok(None);
    }
    let last: Vec<&str> = said.lines().filter(|line| is_telling(line)).collect();
    println!("{}", last.join("\n"));
    Ok(Some(format!(
        "  {}, see {}",
        found.display(),
        log.display()
    )))
}

/// How many inputs, and how much code they reached.
fn summary(target: &str, log: &str) -> String {
    let figure = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix(name));
        line.map_or("?", |rest| rest.trim_start_matches(':').trim())
    };
    let covered = log.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(" cov: ")?;
        rest.split_whitespace().next()
    });
    format!(
        "{target:<16}{:>12} inputs, {:>6} a second, {:>5} places in the code reached",
        figure("stat::number_of_executed_units"),
        figure("stat::average_exec_per_sec"),
        covered.unwrap_or("?"),
    )
}

/// The lines of a log that say what went wrong.
fn is_telling(line: &str) -> bool {
    [
        "panicked at",
        "assertion",
        "  left:",
        " right:",
        "ERROR:",
        "Test unit",
        "Base64",
    ]
    .iter()
    .any(|part| line.contains(part))
}
