//! `fusebox runs` and `fusebox show`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use fusebox::orchestrator::file::WorkflowFile;
use fusebox::orchestrator::{
    EventRecord, RunRecord, list_runs, load_events, load_output, load_run,
};
use fusebox::{RunId, RunReport, RunStatus};
use serde_json::json;

use crate::args::{RunsArgs, ShowArgs};
use crate::failure::Failure;
use crate::graph::add_live;
use crate::output;
use crate::page;
use crate::place::{Place, no_such_run};
use crate::plain::plain;
use crate::progress::describe;
use crate::run_page::Content;
use crate::source::Source;
use crate::summary::{Document, conclusion, durability, spending, step_table, table};

pub(crate) async fn runs(args: &RunsArgs) -> Result<ExitCode, Failure> {
    let place = Place::look(&args.place).await?;
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
        let why = plain(&head.reason.unwrap_or_default());
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
    let place = Place::look(&args.place).await?;
    let record = load_run(&*place.store, &args.run).await?;
    let record = record.ok_or_else(|| no_such_run(&args.run, &args.place))?;
    let events = load_events(&*place.store, &args.run).await?;
    let mut report = RunReport::from_record(&record);
    if let Some(to) = &args.html {
        add_live(&mut report, &place.engines()).await;
        return show_page(to.as_deref(), &report, &record, &events, &place).await;
    }
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
    output::say(&durability(&report));
    if let Some(spent) = &report.spending {
        output::say(&spending(spent));
    }
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

/// Writes the run as a page.
async fn show_page(
    to: Option<&Path>,
    report: &RunReport,
    record: &RunRecord,
    events: &[EventRecord],
    place: &Place,
) -> Result<ExitCode, Failure> {
    let run: RunId =
        (record.head.run.parse()).map_err(|error| Failure::misuse(format!("{error}")))?;
    let mut outputs = BTreeMap::new();
    for step in report.steps.iter().filter(|step| step.status.has_output()) {
        let output = load_output(&*place.store, &run, &step.name).await?;
        outputs.extend(output.map(|output| (step.name.clone(), output)));
    }
    let content = Content {
        record,
        report,
        events,
        outputs: &outputs,
    };
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let page = content.page(u64::try_from(now).unwrap_or(u64::MAX));
    let own = || PathBuf::from(format!("{run}.html"));
    let path = to.map_or_else(own, Path::to_owned);
    if path == Path::new("-") {
        output::say(page.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    page::write(&page, &path)?;
    page::tell(&path);
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

/// Milliseconds since 1970 as a date and time (UTC).
pub(crate) fn timestamp(ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_seconds(at)
        .to_string()
        .replace(['T', 'Z'], " ")
        .trim_end()
        .to_owned()
}
