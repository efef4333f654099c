//! A run's account: the summary for a person, the document for a machine.

use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use fusebox::orchestrator::file::WorkflowFile;
use fusebox::orchestrator::{RtoVerdict, Spending, StepReport, StepStatus};
use fusebox::{RunReport, RunStatus};
use serde::Serialize;

use crate::output;
use crate::plain::plain;
use crate::progress::{mark, time};
use crate::store_loss::StoreAccount;

/// The document of `run --json`, `resume --json` and `show --json`.
#[derive(Serialize)]
pub(crate) struct Document {
    #[serde(flatten)]
    pub(crate) run: RunReport,
    /// The chief report file, where it exists.
    report: Option<PathBuf>,
    /// All report files that exist.
    reports: Vec<PathBuf>,
    /// How the server fared that keeps the run.
    store: Option<StoreAccount>,
}

impl Document {
    pub(crate) fn new(run: RunReport, file: &WorkflowFile, artifacts: &Path) -> Self {
        let files = file.reports.iter().map(|name| artifacts.join(name));
        let reports: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        Self {
            run,
            report: reports.first().cloned(),
            reports,
            store: None,
        }
    }

    pub(crate) fn with_store(self, store: Option<StoreAccount>) -> Self {
        Self { store, ..self }
    }
}

/// The end of `run` and `resume` for a person.
pub(crate) fn print_report(document: &Document, spec: &WorkflowFile, flags: &str) {
    let report = &document.run;
    output::say(&step_table(&report.steps, Some(spec), "attempts"));
    output::say(&format!(
        "run {}: {} in {}",
        report.run,
        report.status,
        time(report.duration_ms)
    ));
    let was_away = document
        .store
        .as_ref()
        .is_some_and(|store| !store.changes.is_empty());
    if was_away || report.min_durability.is_some() {
        output::say(&durability(report));
    }
    if let Some(spent) = &report.spending {
        output::say(&spending(spent));
    }
    conclusion(report, flags);
    for file in &document.reports {
        output::say(&format!("report: {}", shown(file).display()));
    }
    for remark in document.store.iter().flat_map(|store| store.remarks(flags)) {
        output::say(&remark);
    }
}

/// What it has spent of its budget.
pub(crate) fn spending(spending: &Spending) -> String {
    let of = |limit: Option<String>| limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    let (spent, budget) = (spending.spent, spending.budget);
    let tokens = of(budget.tokens.map(|tokens| tokens.to_string()));
    let money = of(budget.micro_dollars.map(dollars));
    let in_flight = spending.in_flight;
    let calls = if in_flight.tokens + in_flight.micro_dollars == 0 {
        String::new()
    } else {
        format!(
            ", {} tokens and {} in flight",
            in_flight.tokens,
            dollars(in_flight.micro_dollars)
        )
    };
    format!(
        "spent: {}{tokens} tokens, {}{money}{calls}",
        spent.tokens,
        dollars(spent.micro_dollars)
    )
}

/// To the cent, and further where cents do not show it.
fn dollars(micro_dollars: u64) -> String {
    let digits = if micro_dollars.is_multiple_of(10_000) {
        2
    } else {
        6
    };
    format!("${:.digits$}", micro_dollars as f64 / 1e6)
}

/// What its commits survive.
pub(crate) fn durability(report: &RunReport) -> String {
    let reached = report.durability.as_deref().unwrap_or("unknown");
    let minimum = report.min_durability.as_deref();
    let asked = minimum.map_or_else(String::new, |level| format!(", at least {level} asked for"));
    format!("durability: {reached}{asked}")
}

/// The path from here, where that is shorter.
fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok())
        .map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Why, and what to do next.
pub(crate) fn conclusion(report: &RunReport, flags: &str) {
    if let Some(reason) = &report.reason {
        output::say(&format!("why: {}", plain(reason)));
    }
    for step in &report.steps {
        if step.status == StepStatus::Suspended {
            let (run, step) = (&report.run, &step.name);
            output::say(&format!(
                "to decide: fusebox approve {run} {step}{flags}, with --reject against it"
            ));
        }
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

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_header(header.to_vec());
    table
}

/// `count` says which of the two counts leads: attempts in this process, or executions over all.
pub(crate) fn step_table(steps: &[StepReport], spec: Option<&WorkflowFile>, count: &str) -> String {
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
