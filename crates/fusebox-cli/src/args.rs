//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fusebox::RunId;
use fusebox::orchestrator::{Allowance, parse_durability};
use fusebox::state::Durability;

use crate::store_loss::OnStoreLoss;

/// Runs workflows of agents behind circuit breakers, and resumes them after any crash.
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes of run and resume: 0 completed, 3 degraded, 4 failed, 5 waiting, 6 suspended, \
    7 cancelled, 2 misuse (nothing was started), 1 the surroundings failed (store, files)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// Whether the answer is for a machine.
    pub(crate) fn json(&self) -> bool {
        match &self.verb {
            Verb::Run(args) => args.how.json,
            Verb::Resume(args) => args.how.json,
            Verb::Approve(args) => args.json,
            Verb::Cancel(args) => args.json,
            Verb::Breakers(args) => args.json,
            Verb::Check(args) => args.json,
            Verb::Runs(args) => args.json,
            Verb::Show(args) => args.json,
            Verb::Lab(args) => args.json,
            Verb::State(StateVerb::Stats(args)) => args.json,
            Verb::State(StateVerb::Forks(args)) => args.json,
            Verb::Graph(_) | Verb::Top(_) | Verb::Serve(_) | Verb::Agent(_) => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a workflow file
    Run(RunArgs),
    /// Go on with a run that did not finish
    Resume(ResumeArgs),
    /// Decide about a step that waits for a person; `resume` goes on from there
    Approve(ApproveArgs),
    /// Stop a run, or give up one that waits; what is finished is kept
    Cancel(CancelArgs),
    /// List the breakers, or move one by hand: trip, force-open, disable, release
    Breakers(BreakersArgs),
    /// Check a workflow file without running it
    Check(CheckArgs),
    /// Draw a workflow file, or a run with its states
    Graph(GraphArgs),
    /// List the runs in the store
    Runs(RunsArgs),
    /// Explain one run: its steps and what happened
    Show(ShowArgs),
    /// Play a plan of faults with breakers and without, side by side, in virtual time or real
    Lab(LabArgs),
    /// Watch breakers and runs live in the terminal, and operate them by keys
    Top(TopArgs),
    /// Serve a page that shows runs and breakers live, and lets you operate them
    Serve(ServeArgs),
    /// Look into the store: what it holds, and what was kept apart
    #[command(subcommand)]
    State(StateVerb),
    /// Run one built-in function as a command agent: JSON in on stdin, JSON out on stdout
    Agent(AgentArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateVerb {
    /// Count what the store holds, and say how it is
    Stats(StatsArgs),
    /// List what was acknowledged to a run while another process had taken it over
    Forks(ForksArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The workflow file
    pub(crate) file: PathBuf,
    /// Give the run an input, such as path=../other; repeatable
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = parse_input)]
    pub(crate) inputs: Vec<(String, String)>,
    /// Name the run instead of having a name made up
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<RunId>,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run, as `fusebox runs` lists it
    pub(crate) run: RunId,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The run, as `fusebox runs` lists it
    pub(crate) run: RunId,
    /// The step, as `fusebox show` lists it
    pub(crate) step: String,
    /// Decide against it: the step has failed
    #[arg(long)]
    pub(crate) reject: bool,
    /// Why, for whoever reads the run later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Who decides [default: the user of this session]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The run, as `fusebox runs` lists it
    pub(crate) run: RunId,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BreakersArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<BreakersVerb>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BreakersVerb {
    /// Open one as a failure would: it comes back by itself
    Trip(MoveArgs),
    /// Refuse every call until it is released or the time is over
    ForceOpen(HoldArgs),
    /// Let every call through, unjudged, until it is released or the time is over
    Disable(HoldArgs),
    /// Let every call through and judge it, without consequence, until it is released or the time is over
    MetricsOnly(HoldArgs),
    /// Lift what was forced; one that opened by itself is tried at once
    Release(MoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The agent, or the server of tools, as `fusebox breakers` lists it
    pub(crate) agent: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// The agent, or the server of tools, as `fusebox breakers` lists it
    pub(crate) agent: String,
    /// For how long, such as 10m [default: until it is released]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) lasts: Option<Duration>,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Who does it and why.
#[derive(Debug, Args)]
pub(crate) struct ByArgs {
    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who does it [default: the user of this session]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

/// How to run.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// End as waiting (exit code 5) instead of waiting for an unavailable agent
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Replace the workflow's objective: the run must have its outputs within this time, such as 90s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) objective: Option<Duration>,
    /// Make an agent fail on purpose: AGENT=KIND:PROBABILITY[,until=TIME]; repeatable
    ///
    /// Kinds: timeout, exhaustion, api, corruption, dependency, breaker-open, latency, hang.
    #[arg(long = "fault", value_name = "FAULT", verbatim_doc_comment)]
    pub(crate) faults: Vec<String>,
    /// Fix the random draws of faults and jitter, so that a run can be repeated
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Print one JSON document on stdout and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
    /// Append a line to FILE for every call of an agent, before it is made; independent of the journal
    #[arg(long, value_name = "FILE")]
    pub(crate) execution_log: Option<PathBuf>,
    /// Write what was measured to FILE in the Prometheus text format at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Send spans and metrics to the OpenTelemetry collector at URL while it runs (OTLP over HTTP), such as
    /// http://127.0.0.1:4318; OTEL_EXPORTER_OTLP_HEADERS has what it wants to see of whoever sends
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// What to do while the server that keeps the run is away [default: durable]
    #[arg(long, value_name = "POLICY", value_enum)]
    pub(crate) on_store_loss: Option<OnStoreLoss>,
    /// Count a commit as acknowledged only from this level on: volatile, local-fsync, primary,
    /// primary-fsync, replicated:N [default: whatever the store gives]
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) min_durability: Option<Durability>,
    /// On whose behalf to run: where calls queue for a slot, tenants take turns
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// POST what happens to breakers, objectives and the run to URL, as JSON, at most once a second;
    /// env:NAME takes the URL from a variable, FUSEBOX_NOTIFY_TOKEN is sent as a bearer token; repeatable
    #[arg(long, value_name = "URL")]
    pub(crate) notify_url: Vec<String>,
    /// Give the same to a program on its standard input: words, no shell; repeatable
    #[arg(long, value_name = "COMMAND")]
    pub(crate) notify_command: Vec<String>,
    /// What all calls of the run may cost together, such as tokens=50000,dollars=2.5 [default: what the
    /// file says; of a resumed run what it began with]
    #[arg(long, value_name = "AMOUNTS", value_parser = parse_budget)]
    pub(crate) budget: Option<Allowance>,
    /// How long to keep the journal of the run once it is over; one that waits is kept until resumed
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30d")]
    pub(crate) keep_finished: Duration,
}

/// Where runs are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// The directory for reports and, unless --state says otherwise, for the journals
    #[arg(long, value_name = "DIR", default_value = ".fusebox")]
    pub(crate) state_dir: PathBuf,
    /// The store of the journals: sqlite:FILE, redis://HOST:PORT, memory:
    #[arg(long, visible_alias = "store", value_name = "URL")]
    pub(crate) state: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The workflow file
    pub(crate) file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The workflow file; with --run it may be left out
    #[arg(required_unless_present = "run")]
    pub(crate) file: Option<PathBuf>,
    /// Draw how the steps and breakers of this run stand, live where it is worked on
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<RunId>,
    /// As a Mermaid flow chart, in the language of Graphviz, or as an image
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = GraphFormat::Mermaid)]
    pub(crate) format: GraphFormat,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Mermaid,
    Dot,
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run, as `fusebox runs` lists it
    pub(crate) run: RunId,
    /// Write a page of its own instead, with graph and timeline, to FILE [default: RUN.html; `-`: standard output]
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "json")]
    pub(crate) html: Option<Option<PathBuf>>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// The plan
    pub(crate) plan: PathBuf,
    /// Write a page of its own, with plots, to FILE as well
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Call the real agents of a plan with time = "real", as often as it says
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on, port 0 for any that is free; one that other machines can reach needs a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7377")]
    pub(crate) listen: SocketAddr,
    /// Print the address as the first line on stdout
    #[arg(long)]
    pub(crate) print_address: bool,
    /// Ask for the token that this environment variable holds
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// Ask for the token that this file holds
    #[arg(long, value_name = "PATH", conflicts_with = "token_env")]
    pub(crate) token_file: Option<PathBuf>,
    /// Open the page in a browser
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ForksArgs {
    /// Print everything that one fork holds
    #[arg(long, value_name = "NAME")]
    pub(crate) read: Option<String>,
    /// Remove one fork for good; its whole name, as it is listed, confirms it
    #[arg(long, value_name = "NAME", conflicts_with = "read")]
    pub(crate) drop: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// The function, such as review/data
    pub(crate) function: String,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "give a number and its unit, such as 500ms, 90s or 5m")?;
    (!duration.is_zero())
        .then_some(duration)
        .ok_or_else(|| "it must be longer than zero".to_owned())
}

fn parse_budget(text: &str) -> Result<Allowance, String> {
    let usage = "write it as tokens=NUMBER,dollars=NUMBER, or one of them";
    let mut allowance = Allowance::new();
    for part in text.split(',') {
        let (name, amount) = part.split_once('=').ok_or(usage)?;
        allowance = match name.trim() {
            "tokens" => allowance.with_tokens(amount.trim().parse().map_err(|_| usage)?),
            "dollars" => {
                let dollars: f64 = amount.trim().parse().map_err(|_| usage)?;
                if !(0.0..=1e6).contains(&dollars) {
                    return Err("dollars go from 0 to a million".to_owned());
                }
                allowance.with_micro_dollars((dollars * 1e6).round() as u64)
            }
            _ => return Err(usage.to_owned()),
        };
    }
    Ok(allowance)
}

fn parse_level(text: &str) -> Result<Durability, String> {
    parse_durability(text).ok_or_else(|| {
        "use volatile, local-fsync, primary, primary-fsync, or replicated:N with N from 1 to 255"
            .to_owned()
    })
}

fn parse_input(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
