//! `fusebox runs` and `fusebox show`, and the summary at the end of a run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use comfy_table::{CellAlignment, Table, presets};
use fusebox::orchestrator::file::WorkflowFile;
use fusebox::orchestrator::{
    EventRecord, RtoVerdict, StepReport, list_runs, load_events, load_run,
};
use fusebox::{RunId, RunReport, RunStatus};
use serde_json::json;

use crate::args::{PlaceArgs, RunsArgs, ShowArgs};
use crate::execute::Document;
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::progress::{describe, mark, time};
use crate::source::Source;

pub(crate) async fn runs(args: &RunsArgs) -> Result<ExitCode, Failure> {
    let place = Place::open(&args.place).await?;
    let heads = list_runs(&*place.store).await?;
    if args.json {
        output::document(&json!({ "runs": heads }));
        return Ok(ExitCode::SUCCESS);
    }
    if heads.is_empty() {
        output::say("no runs yet; start one with `fusebox run FILE`");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(&["run", "workflow", "status", "started (UTC)", "why"]);
    for head in heads {
        let why = head.reason.unwrap_or_default();
        table.add_row([
            head.run,
            head.workflow,
            head.status.to_string(),
            timestamp(head.created_ms),
            why,
        ]);
    }
    output::say(&table.to_string());
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let place = Place::open(&args.place).await?;
    let record = load_run(&*place.store, &args.run).await?;
    let record = record.ok_or_else(|| no_such_run(&args.run, &args.place))?;
    let events = load_events(&*place.store, &args.run).await?;
    let report = RunReport::from_record(&record);
    let file = serde_json::from_value::<Source>(record.attachment)
        .ok()
        .map(|source| source.parse())
        .transpose()?;
    if args.json {
        return Ok(show_json(report, &events, file.as_ref(), &place, &args.run));
    }
    output::say(&format!(
        "run {} of {}: {}",
        report.run, report.workflow, report.status
    ));
    if report.status == RunStatus::Running {
        output::say("it is being worked on, or its process died; `fusebox resume` finds out");
    }
    output::say(&step_table(&report.steps, file.as_ref(), "executions"));
    output::say("what happened:");
    let begin = events.first().map_or(0, |event| event.at_ms);
    for event in &events {
        if let Some(text) = describe(&event.event) {
            let at = Duration::from_millis(event.at_ms.saturating_sub(begin)).as_secs_f64();
            output::say(&format!("{at:>8.2}s  [{}] {text}", event.process));
        }
    }
    conclusion(&report, &Place::flags(&args.place));
    Ok(ExitCode::SUCCESS)
}

fn show_json(
    report: RunReport,
    events: &[EventRecord],
    file: Option<&WorkflowFile>,
    place: &Place,
    run: &RunId,
) -> ExitCode {
    let mut document = match file {
        Some(file) => json!(Document::new(report, file, &place.artifacts(run))),
        None => json!(report),
    };
    document["events"] = json!(events);
    output::document(&document);
    ExitCode::SUCCESS
}

/// The end of `run` and `resume` for a person.
pub(crate) fn print_report(
    report: &RunReport,
    files: &[PathBuf],
    spec: &WorkflowFile,
    flags: &str,
) {
    output::say(&step_table(&report.steps, Some(spec), "attempts"));
    output::say(&format!(
        "run {}: {} in {}",
        report.run,
        report.status,
        time(report.duration_ms)
    ));
    conclusion(report, flags);
    for file in files {
        output::say(&format!("report: {}", shown(file).display()));
    }
}

/// The path from here, where that is shorter.
fn shown(path: &std::path::Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok())
        .map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Why, and what to do next.
fn conclusion(report: &RunReport, flags: &str) {
    if let Some(reason) = &report.reason {
        output::say(&format!("why: {reason}"));
    }
    match (report.status, report.due_in_ms) {
        (RunStatus::Waiting, Some(due)) if due > 0 => {
            output::say(&format!(
                "due back in {}: fusebox resume {}{flags}",
                time(due),
                report.run
            ));
        }
        (RunStatus::Waiting | RunStatus::Failed | RunStatus::Cancelled | RunStatus::Running, _) => {
            output::say(&format!("to go on: fusebox resume {}{flags}", report.run));
        }
        _ => {}
    }
}

pub(crate) fn no_such_run(run: &RunId, place: &PlaceArgs) -> Failure {
    let flags = Place::flags(place);
    Failure::misuse(format!(
        "there is no run `{run}` in this store; `fusebox runs{flags}` lists those there are"
    ))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_header(header.to_vec());
    table
}

/// `count` says which of the two counts leads: attempts in this process, or executions over all.
fn step_table(steps: &[StepReport], spec: Option<&WorkflowFile>, count: &str) -> String {
    let mut table = table(&["step", "outcome", count, "time", "breaker", "RTO"]);
    for step in steps {
        let attempts = if step.attempts == step.executions || count == "executions" {
            step.executions.to_string()
        } else {
            format!(
                "{} (+{} before)",
                step.attempts,
                step.executions - step.attempts
            )
        };
        table.add_row([
            step.name.clone(),
            format!("{} {}", mark(step.status), step.status),
            attempts,
            step.duration_ms.map(time).unwrap_or_default(),
            step.breaker.clone(),
            objective(step, spec),
        ]);
    }
    for column in [2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// How the agent's recovery objective fared.
fn objective(step: &StepReport, spec: Option<&WorkflowFile>) -> String {
    if let Some(rto) = step.rto {
        let verdict = match rto.verdict {
            RtoVerdict::Met => "met",
            RtoVerdict::Breached => "breached",
            RtoVerdict::Pending => "still away",
            _ => "no objective",
        };
        let of = rto
            .objective_ms
            .map(|ms| format!(" of {}", time(ms)))
            .unwrap_or_default();
        return format!("{verdict}: {}{of}", time(rto.away_ms));
    }
    let spec = spec.and_then(|file| file.agents.get(&step.agent));
    let objective = spec.and_then(|spec| spec.resilience.breaker.recovery_objective());
    objective.map_or_else(
        || "-".into(),
        |objective| format!("no outage ({})", time(objective.as_millis() as u64)),
    )
}

/// Milliseconds since 1970 as a date and time (UTC).
fn timestamp(ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_seconds(at)
        .to_string()
        .replace(['T', 'Z'], " ")
        .trim_end()
        .to_owned()
}
