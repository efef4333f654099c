//! `fusebox cancel`.

use std::process::ExitCode;
use std::sync::Arc;

use fusebox::orchestrator::control::{ControlError, Request, find};
use fusebox::orchestrator::{CancelError, cancel as cancel_stored};
use serde_json::json;

use crate::args::CancelArgs;
use crate::failure::Failure;
use crate::output;
use crate::place::{Place, no_such_run};

pub(crate) async fn cancel(args: &CancelArgs) -> Result<ExitCode, Failure> {
    let place = Place::look(&args.place).await?;
    let by = args.by.by();
    let request = Request::Cancel {
        run: args.run.to_string(),
        by: by.clone(),
    };
    // The engine that works on it, if one does.
    for client in find(&place.engines()).await {
        match client.tell(&request).await {
            Ok(()) => {
                let pid = client.engine().pid;
                tell(
                    args,
                    "stopping",
                    &format!("process {pid} was told to stop {}", args.run),
                );
                return Ok(ExitCode::SUCCESS);
            }
            // Another one's run, or an engine that has just ended.
            Err(ControlError::Refused(_) | ControlError::Gone(_)) => {}
            Err(error) => return Err(Failure::environment(error.into())),
        }
    }
    let ended = cancel_stored(Arc::clone(&place.store), &args.run, &by).await;
    let head = ended.map_err(|error| match error {
        CancelError::NotFound(run) => no_such_run(&run, &args.place),
        CancelError::Held(_) => Failure::misuse(format!(
            "{error}, by a process that does not listen in {}; stop it there",
            place.engines().display()
        )),
        CancelError::Over { .. } => Failure::Misuse(error.into()),
        other => Failure::environment(other.into()),
    })?;
    tell(
        args,
        &head.status.to_string(),
        &format!("{} {}", args.run, head.status),
    );
    Ok(ExitCode::SUCCESS)
}

fn tell(args: &CancelArgs, status: &str, text: &str) {
    if args.json {
        output::document(&json!({ "run": args.run.as_str(), "status": status }));
    } else {
        output::say(text);
    }
}
