//! `llm`: a small real model behind an API like OpenAI's, and what the agents make of it.
//!
//! The model and what runs it are fetched and built once, under `target/llm`; the server listens
//! on a free port of the loopback and is stopped at the end. Not part of `test`: the first time
//! takes some minutes, and a C++ compiler.

mod prepare;
mod server;

use anyhow::{Result, bail};

use self::prepare::Prepared;
use self::server::Server;
use crate::cmd;
use crate::workspace::Workspace;

/// The example, and the suite among its tests.
const PACKAGE: &str = "support-triage";
/// Where the tests and the example find the model.
const ENV_URL: &str = "OPENAI_BASE_URL";
const ENV_MODEL: &str = "OPENAI_MODEL";

/// Without arguments the suite; with names the tests that have them in theirs; `--example ARGS` the
/// example; `--serve` the model alone, until standard input ends.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let workspace = Workspace::load()?;
    let prepared = Prepared::new(&workspace.target)?;
    let server = Server::start(&prepared)?;
    eprintln!("model {} at {}", prepare::MODEL, server.url);
    match args.split_first() {
        Some((flag, [])) if flag == "--serve" => {
            println!("export {ENV_URL}='{}'", server.url);
            println!("export {ENV_MODEL}='{}'", prepare::MODEL);
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            Ok(())
        }
        Some((flag, args)) if flag == "--example" => {
            let mut run = cmd::cargo(["run", "--quiet", "--package", PACKAGE, "--"]);
            run.args(args)
                .env(ENV_URL, &server.url)
                .env(ENV_MODEL, prepare::MODEL);
            cmd::run(&mut run)
        }
        Some((flag, _)) if flag.starts_with('-') => {
            bail!("`llm` knows `--serve`, `--example ARGS` and names of tests, not `{flag}`")
        }
        _ => suite(&server, args),
    }
}

fn suite(server: &Server, filters: &[String]) -> Result<()> {
    let mut test = cmd::cargo(["test", "--package", PACKAGE, "--test", "llm", "--"]);
    // The model does one thing at a time.
    test.args(["--test-threads", "1", "--nocapture"])
        .args(filters);
    test.env(ENV_URL, &server.url)
        .env(ENV_MODEL, prepare::MODEL);
    let (counts, passed) = cmd::run_counted(&mut test)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if !passed || counts.failed > 0 {
        bail!("the agents do not get on with a real model");
    }
    if counts.passed == 0 {
        bail!("there is no test named like `{}`", filters.join("`, `"));
    }
    Ok(())
}
