//! `fusebox lab`: a plan of faults, played with breakers and without.

mod page;
mod progress;
mod rows;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use fusebox::agent::FaultPlan;
use fusebox::lab::{Comparison, Plan, RealTime, Time};

use self::progress::Meter;
use crate::agents::{self, Wrapping};
use crate::args::LabArgs;
use crate::failure::Failure;
use crate::mcp::Servers;
use crate::output;
use crate::signals::Signals;
use crate::source::{self, Source};

/// A target was missed.
const MISSED: u8 = 1;
/// Stopped by a person, as for a run.
const STOPPED: u8 = 7;

pub(crate) async fn lab(args: LabArgs) -> Result<ExitCode, Failure> {
    let plan = read(&args.plan)?;
    let comparison = match plan.time {
        Time::Real => measure(&plan, &args).await?,
        _ => simulate(plan).await?,
    };
    if args.json {
        output::document(&comparison);
    } else {
        table::print(&comparison);
    }
    if let Some(path) = &args.html
        && let Err(failure) = write(&comparison, path, args.json)
    {
        // What was measured has been told: it may have taken an hour.
        output::complain(&failure.message());
        return Ok(ExitCode::FAILURE);
    }
    Ok(match comparison.is_interrupted {
        true => ExitCode::from(STOPPED),
        false if comparison.meets_targets() => ExitCode::SUCCESS,
        false => ExitCode::from(MISSED),
    })
}

/// Writes the page, and says where where nobody reads a document.
fn write(comparison: &Comparison, path: &Path, json: bool) -> Result<(), Failure> {
    crate::page::write(&page::of(comparison), path)?;
    if !json {
        crate::page::tell(path);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::misuse(format!(
            "{path} could not be read: {error}; give the path of a plan"
        ))
    })?;
    let directory = directory_of(path);
    let read = |file: &Path| {
        std::fs::read_to_string(directory.join(file)).map_err(|error| error.to_string())
    };
    Ok(Plan::parse_with(&path.display().to_string(), &text, &read)?)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Both sides, as long as the processor takes.
async fn simulate(plan: Plan) -> Result<Comparison, Failure> {
    let task = tokio::task::spawn_blocking(move || {
        let meter = Meter::of_goes();
        plan.simulate(&|progress| meter.show(progress))
    });
    let comparison = task.await.context("the simulation broke off");
    Ok(comparison.map_err(Failure::environment)??)
}

/// One side after the other, with the agents of the file.
async fn measure(plan: &Plan, args: &LabArgs) -> Result<Comparison, Failure> {
    let (runs, name) = (plan.runs_per_seed(), plan.file.workflow.name());
    let about = format!(
        "{} calls the real agents of `{name}`: about {runs} runs with breakers, then {runs} without, {} each",
        args.plan.display(),
        humantime::format_duration(plan.duration)
    );
    if !args.yes {
        return Err(Failure::misuse(format!(
            "{about}; add --yes if that is what you want"
        )));
    }
    output::remark(&about);
    let source = Source::read(&directory_of(&args.plan).join(&plan.workflow_path))?;
    // Once more, with what only this program knows: functions and placeholders.
    let file = source.parse()?;
    let given: Vec<(String, String)> = plan.inputs.clone().into_iter().collect();
    let input = source::inputs(&file, &given)?;
    let artifacts = Artifacts::make()?;
    let mut how = RealTime::default();
    how.input = input.clone();
    how.artifacts = Some(artifacts.0.clone());
    stop_on_signals(&how)?;
    let wrapping = Wrapping {
        // The lab puts the plan's around the agents itself.
        faults: FaultPlan::new(),
        seed: 0,
        execution_log: None,
        servers: Servers::default(),
    };
    let meter = Meter::of_runs();
    let make = |spec: &_| agents::make(spec, &file, &source.directory, &input, &wrapping);
    plan.measure(how, make, &|progress| meter.show(progress))
        .await
}

/// The first signal ends the measurement in order, the second the process.
fn stop_on_signals(how: &RealTime) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::environment(error.into()))?;
    let cancellation = how.cancellation.clone();
    tokio::spawn(async move {
        signals.next().await;
        output::remark("stopping: what was measured is told; once more to end at once");
        cancellation.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(())
}

/// A directory for what agents leave, removed at the end: nobody asked for a thousand reports.
struct Artifacts(PathBuf);

impl Artifacts {
    fn make() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("fusebox-lab-{}", std::process::id()));
        let made = std::fs::create_dir_all(&path);
        let made = made.with_context(|| format!("{} could not be made", path.display()));
        made.map_err(Failure::environment)?;
        Ok(Self(path))
    }
}

impl Drop for Artifacts {
    fn drop(&mut self) {
        // What is left is in a directory that the system clears.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
