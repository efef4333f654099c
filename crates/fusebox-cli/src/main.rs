//! The `fusebox` command.
//!
//! `fusebox help` lists the verbs; `docs/command.md` explains them and the exit codes.

mod agents;
mod approve;
mod args;
mod breakers;
mod cancel;
mod check;
mod collector;
mod control;
mod endpoints;
mod execute;
mod execution_log;
mod failure;
mod graph;
mod inspect;
mod invoke;
mod journals;
mod lab;
mod mcp;
mod notify;
mod output;
mod page;
mod place;
mod plain;
mod progress;
mod review;
mod run_page;
mod serve;
mod signals;
mod source;
mod state;
mod store_log;
mod store_loss;
mod summary;
mod top;
mod typed;
mod who;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, StateVerb, Verb};
use crate::failure::Failure;

fn main() -> ExitCode {
    // A command agent's supervisor is this executable again.
    fusebox::endpoints::enter_shim_if_asked();
    let cli = Cli::parse();
    let json = cli.json();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.verb)),
        Err(error) => Err(Failure::environment(error.into())),
    };
    result.unwrap_or_else(|failure| failure.report(json))
}

async fn dispatch(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run(args) => execute::run(args).await,
        Verb::Resume(args) => execute::resume(args).await,
        Verb::Approve(args) => approve::approve(&args).await,
        Verb::Cancel(args) => cancel::cancel(&args).await,
        Verb::Breakers(args) => breakers::breakers(args).await,
        Verb::Check(args) => check::check(&args),
        Verb::Graph(args) => graph::graph(&args).await,
        Verb::Runs(args) => inspect::runs(&args).await,
        Verb::Show(args) => inspect::show(&args).await,
        Verb::Lab(args) => lab::lab(args).await,
        Verb::Top(args) => top::top(args).await,
        Verb::Serve(args) => serve::serve(args).await,
        Verb::State(StateVerb::Stats(args)) => state::stats(&args).await,
        Verb::State(StateVerb::Forks(args)) => state::forks(&args).await,
        Verb::Agent(args) => invoke::invoke(&args).await,
    }
}
