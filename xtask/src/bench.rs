//! `bench` and `peers`: what is ours beside its floors and beside others, in one process.
//!
//! They are packages of their own, `benches/peers`, `benches/state` and `benches/orchestrator`, so that
//! the peers' trees stay out of ours.

use std::process::Command;

use anyhow::{Result, bail};
use fusebox_test_server::ENV;

use crate::workspace::Workspace;
use crate::{cmd, no_arguments, server};

const PEERS: &str = "benches/peers/Cargo.toml";
const STATE: &str = "benches/state/Cargo.toml";
const ORCHESTRATOR: &str = "benches/orchestrator/Cargo.toml";

/// Speed. Arguments after the name select suites by a part of their title.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let Some((what, suites)) = args.split_first() else {
        bail!(
            "name what to measure: `cargo xtask bench breaker`, `observed`, `policy`, `state` or `orchestrator`"
        );
    };
    match what.as_str() {
        "breaker" => {
            say_where()?;
            run("bench", suites)
        }
        "observed" => {
            say_where()?;
            run("observed", suites)
        }
        "policy" => {
            say_where()?;
            run("policy", suites)
        }
        "state" => state(suites),
        "orchestrator" => orchestrator(suites),
        _ => bail!(
            "there is no bench `{what}`; there are: breaker, observed, policy, state, orchestrator"
        ),
    }
}

/// The stores, on a server that is found or fetched.
fn state(suites: &[String]) -> Result<()> {
    let workspace = Workspace::load()?;
    let server = server::locate(&workspace)?;
    println!("test server: {server}");
    say_where()?;
    let mut command = cmd::cargo(["run", "--release", "--quiet", "--manifest-path", STATE]);
    command
        .args(["--target-dir", "target/peers", "--"])
        .args(suites);
    command.env(ENV, &server.path);
    // For scale only: without it the table says so.
    if let Ok(tool) = server::locate_tool(&workspace, "redis-benchmark") {
        command.env("FUSEBOX_REDIS_BENCHMARK", tool);
    }
    cmd::run(&mut command)
}

/// The engine on every store, on a server that is found or fetched.
fn orchestrator(suites: &[String]) -> Result<()> {
    let server = server::locate(&Workspace::load()?)?;
    println!("test server: {server}");
    say_where()?;
    let mut command = cmd::cargo(["run", "--release", "--quiet"]);
    command.args([
        "--manifest-path",
        ORCHESTRATOR,
        "--target-dir",
        "target/peers",
    ]);
    command.args(["--bin", "bench", "--"]).args(suites);
    cmd::run(command.env(ENV, &server.path))
}

/// A program of the same package on virtual time; arguments may follow.
pub(crate) fn orchestrator_program(name: &str) -> Command {
    let mut command = cmd::cargo(["run", "--release", "--quiet"]);
    command.args([
        "--manifest-path",
        ORCHESTRATOR,
        "--target-dir",
        "target/peers",
    ]);
    command.args(["--features", "virtual-time", "--bin", name, "--"]);
    command
}

/// Behaviour: the same black-box questions to every breaker.
pub(crate) fn peers(args: &[String]) -> Result<()> {
    no_arguments(args)?;
    run("behaviour", &[])
}

fn run(program: &str, args: &[String]) -> Result<()> {
    let mut command = cmd::cargo(["run", "--release", "--quiet", "--manifest-path", PEERS]);
    command.args(["--target-dir", "target/peers", "--bin", program, "--"]);
    cmd::run(command.args(args))
}

/// No figure without the machine and the commit it was taken on.
fn say_where() -> Result<()> {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let commit = cmd::stdout(Command::new("git").args(["describe", "--always", "--dirty"]));
    let commit = commit.unwrap_or_else(|_| "no commit".to_owned());
    let rustc = cmd::stdout(Command::new("rustc").arg("--version"))?;
    println!(
        "{model}, {cores} cores; {}; {}",
        rustc.trim(),
        commit.trim()
    );
    println!("trust the ratios: they are taken within a round\n");
    Ok(())
}
