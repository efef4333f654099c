//! `cargo xtask VERB`: one verb per job, the same on a laptop and in CI.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that talks to whoever runs it"
)]

mod baselines;
mod bench;
mod chaos;
mod ci;
mod cmd;
mod consumers;
mod counts;
mod dashboards;
mod deny;
mod docs;
mod examples;
mod features;
mod fetch;
mod fmt;
mod fuzz;
mod instructions;
mod layers;
mod lint;
mod llm;
mod loom;
mod model;
mod pins;
mod server;
mod soak;
mod stages;
mod test;
mod tidy;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

type Verb = (
    &'static str,
    &'static str,
    &'static str,
    fn(&[String]) -> Result<()>,
);

const VERBS: [Verb; 22] = [
    (
        "test",
        "[--no-redis] [FILTER...]",
        "all tests; a Redis or Valkey server is found or fetched",
        test::main,
    ),
    (
        "ci",
        "[--keep-going]",
        "everything that has to pass before a merge",
        ci::main,
    ),
    ("fmt", "[--check]", "format, consumers included", fmt::main),
    ("lint", "", "clippy, warnings denied", lint::main),
    (
        "layers",
        "",
        "compare the arrows between our crates with the diagram",
        layers::main,
    ),
    (
        "deny",
        "",
        "licences, sources, banned crates, advisories",
        deny::main,
    ),
    (
        "docs",
        "",
        "build the documentation, warnings denied",
        docs::main,
    ),
    (
        "features",
        "",
        "each crate without features, and with each alone",
        features::main,
    ),
    (
        "examples",
        "",
        "run the examples and compare what they print",
        examples::main,
    ),
    (
        "tidy",
        "",
        "what documents name exists; no leftovers",
        tidy::main,
    ),
    (
        "bench",
        "NAME [SUITE...]",
        "speed of breaker, policy, state or orchestrator, as ratios",
        bench::main,
    ),
    (
        "dashboards",
        "[--check]",
        "metrics page, dashboard and alert rules from their tables",
        dashboards::main,
    ),
    (
        "soak",
        "[--runs N]",
        "a million runs in memory, and what is left of them",
        soak::main,
    ),
    (
        "baselines",
        "",
        "writes docs/baselines.md anew",
        baselines::main,
    ),
    (
        "peers",
        "",
        "behaviour beside four published breakers",
        bench::peers,
    ),
    (
        "instructions",
        "[--update]",
        "instructions per call against the kept baseline",
        instructions::main,
    ),
    (
        "loom",
        "",
        "every interleaving of small histories of the breaker",
        loom::main,
    ),
    (
        "model",
        "[VARIANT...]",
        "the state protocol in every state it can reach",
        model::main,
    ),
    (
        "chaos",
        "[FILTER... | --update]",
        "what the state stores answer and keep under faults",
        chaos::main,
    ),
    (
        "llm",
        "[NAME... | --example ARGS | --serve]",
        "agents against a small real model, fetched and built once",
        llm::main,
    ),
    (
        "fuzz",
        "[TARGET...] [--seconds N]",
        "coverage-guided inputs for all that parses",
        fuzz::main,
    ),
    (
        "server",
        "[--version NAME | --tool NAME | --env]",
        "print the path of a test server, fetched if need be",
        server::main,
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    workspace::enter()?;
    let Some((verb, rest)) = args.split_first() else {
        print!("{}", help());
        bail!("name a verb");
    };
    if ["help", "--help", "-h"].contains(&verb.as_str()) {
        print!("{}", help());
        return Ok(());
    }
    match VERBS.iter().find(|(name, ..)| name == verb) {
        Some((.., run)) => run(rest),
        None => bail!("there is no verb `{verb}`; `cargo xtask help` lists them"),
    }
}

fn help() -> String {
    let mut text = String::from("usage: cargo xtask VERB\n\n");
    for (name, args, what, _) in VERBS {
        text += &format!("  {:<36}{what}\n", format!("{name} {args}"));
    }
    text + &format!("  {:<36}this list\n", "help")
}

/// For verbs that take no arguments: a stray one is an error, not ignored.
fn no_arguments(args: &[String]) -> Result<()> {
    match args.first() {
        Some(arg) => bail!("this verb takes no argument, not `{arg}`; see `cargo xtask help`"),
        None => Ok(()),
    }
}

/// For verbs that take one flag: whether it is there.
fn only_flag(args: &[String], flag: &str) -> Result<bool> {
    match args.iter().find(|arg| *arg != flag) {
        Some(arg) => bail!("this verb knows `{flag}` only, not `{arg}`; see `cargo xtask help`"),
        None => Ok(!args.is_empty()),
    }
}
