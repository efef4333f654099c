//! `fusebox approve`.

use std::process::ExitCode;
use std::sync::Arc;

use fusebox::orchestrator::{DecideError, Decision, decide};
use serde_json::json;

use crate::args::ApproveArgs;
use crate::failure::Failure;
use crate::output;
use crate::place::{Place, no_such_run};
use crate::who::user;

pub(crate) async fn approve(args: &ApproveArgs) -> Result<ExitCode, Failure> {
    let place = Place::look(&args.place).await?;
    let by = args.by.clone().unwrap_or_else(user);
    let mut decision = if args.reject {
        Decision::reject(by)
    } else {
        Decision::approve(by)
    };
    if let Some(reason) = &args.reason {
        decision = decision.with_reason(reason);
    }
    let decided = decide(
        Arc::clone(&place.store),
        &args.run,
        &args.step,
        decision.clone(),
    );
    let head = decided.await.map_err(|error| match error {
        DecideError::NotFound(run) => no_such_run(&run, &args.place),
        DecideError::Store(_) | DecideError::History(_) | DecideError::Unacknowledged(_) => {
            Failure::environment(error.into())
        }
        misuse => Failure::Misuse(misuse.into()),
    })?;
    if args.json {
        output::document(&json!({
            "run": head.run,
            "step": args.step,
            "status": head.status,
            "decision": decision,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let verb = if decision.approved {
        "approved"
    } else {
        "rejected"
    };
    output::say(&format!("{} {verb} by {}", args.step, decision.by));
    let flags = Place::flags(&args.place);
    output::say(&format!("to go on: fusebox resume {}{flags}", args.run));
    Ok(ExitCode::SUCCESS)
}
