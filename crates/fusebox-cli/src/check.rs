//! `fusebox check`.

use std::process::ExitCode;

use serde_json::json;

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::output;
use crate::source::Source;

pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let file = Source::read(&args.file)?.parse()?;
    let (workflow, agents) = (&file.workflow, file.agents.len());
    if args.json {
        output::document(&json!({
            "errors": [],
            "workflow": workflow.name(),
            "steps": workflow.steps().len(),
            "agents": agents,
            "fingerprint": workflow.fingerprint(),
        }));
    } else {
        let steps = workflow.steps().len();
        output::say(&format!(
            "{}: {} is good: {steps} steps, {agents} agents",
            args.file.display(),
            workflow.name()
        ));
        for step in workflow.steps() {
            let particulars = step.particulars();
            if !particulars.is_empty() {
                output::say(&format!("  {}: {}", step.name(), particulars.join("; ")));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
