//! `fusebox graph`.

use std::path::Path;
use std::process::ExitCode;

use fusebox::RunReport;
use fusebox::orchestrator::control::find;
use fusebox::orchestrator::load_run;

use crate::args::{GraphArgs, GraphFormat};
use crate::failure::Failure;
use crate::output;
use crate::place::{Place, no_such_run};
use crate::source::Source;

pub(crate) async fn graph(args: &GraphArgs) -> Result<ExitCode, Failure> {
    let file = args.file.as_ref();
    let file = file.map(|file| Source::read(file)?.parse()).transpose()?;
    let file = file.map(|file| file.workflow);
    let picture = match (&args.run, file) {
        (None, Some(workflow)) => match args.format {
            GraphFormat::Mermaid => workflow.to_mermaid(),
            GraphFormat::Dot => workflow.to_dot(),
            GraphFormat::Svg => workflow.to_svg(),
        },
        (None, None) => {
            return Err(Failure::misuse("give a workflow file, or a run with --run"));
        }
        (Some(run), file) => {
            let place = Place::look(&args.place).await?;
            let record = load_run(&*place.store, run).await?;
            let record = record.ok_or_else(|| no_such_run(run, &args.place))?;
            if file.is_some_and(|file| file.fingerprint() != record.head.fingerprint) {
                return Err(Failure::misuse(format!(
                    "run `{run}` did not begin with this file as it is now; leave the file out to draw what it began with"
                )));
            }
            let mut report = RunReport::from_record(&record);
            add_live(&mut report, &place.engines()).await;
            let drawing = record.workflow.with_states(&report);
            match args.format {
                GraphFormat::Mermaid => drawing.to_mermaid(),
                GraphFormat::Dot => drawing.to_dot(),
                GraphFormat::Svg => drawing.to_svg(),
            }
        }
    };
    output::say(picture.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Puts in the breakers as they are now, where an engine works on the run. The journal has them as they were when it
/// was last written.
pub(crate) async fn add_live(report: &mut RunReport, engines: &Path) {
    for client in find(engines).await {
        // One that has just ended knows nothing more than the journal.
        let Ok(overview) = client.overview().await else {
            continue;
        };
        if !overview.runs.iter().any(|live| live.run == report.run) {
            continue;
        }
        for step in &mut report.steps {
            let mut agents = overview.health.agents.iter();
            if let Some(agent) = agents.find(|agent| agent.agent == step.agent) {
                step.breaker.clone_from(&agent.state);
            }
        }
    }
}
