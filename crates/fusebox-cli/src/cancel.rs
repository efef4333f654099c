//! `fusebox cancel`.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use fusebox::orchestrator::control::{Request, find};
use fusebox::orchestrator::{By, CancelError, cancel as cancel_stored};
use fusebox::{RunId, RunStatus};
use serde_json::json;

use crate::args::{CancelArgs, PlaceArgs};
use crate::control::{Untold, tell_one};
use crate::failure::Failure;
use crate::output;
use crate::place::{Place, no_such_run};

pub(crate) async fn cancel(args: &CancelArgs) -> Result<ExitCode, Failure> {
    let place = Place::look(&args.place).await?;
    let stopped = stop(&args.run, &args.by.by(), &place, &args.place).await?;
    tell(args, stopped.status(), &stopped.to_string());
    Ok(ExitCode::SUCCESS)
}

/// How a run was stopped.
pub(crate) enum Stopped {
    /// The engine that works on it was told to.
    Told { run: RunId, pid: u32 },
    /// Nobody worked on it: its journal says so now.
    Stored { run: RunId, status: RunStatus },
}

impl Stopped {
    fn status(&self) -> String {
        match self {
            Self::Told { .. } => "stopping".to_owned(),
            Self::Stored { status, .. } => status.to_string(),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { run, pid } => write!(f, "process {pid} was told to stop {run}"),
            Self::Stored { run, status } => write!(f, "{run} {status}"),
        }
    }
}

/// Stops a run where it is worked on, or in the store.
pub(crate) async fn stop(
    run: &RunId,
    by: &By,
    place: &Place,
    args: &PlaceArgs,
) -> Result<Stopped, Failure> {
    let request = Request::Cancel {
        run: run.to_string(),
        by: by.clone(),
    };
    // The engine that works on it, if one does.
    match tell_one(&find(&place.engines()).await, &request).await {
        Ok(pid) => {
            let run = run.clone();
            return Ok(Stopped::Told { run, pid });
        }
        // Nobody's, or another one's.
        Err(Untold::Nobody | Untold::Refused(_)) => {}
        Err(silent @ Untold::Silent { .. }) => return Err(silent.into()),
    }
    let ended = cancel_stored(Arc::clone(&place.store), run, by).await;
    let head = ended.map_err(|error| match error {
        CancelError::NotFound(run) => no_such_run(&run, args),
        CancelError::Held(_) => Failure::misuse(format!(
            "{error}, by a process that does not listen in {}; stop it there",
            place.engines().display()
        )),
        CancelError::Over { .. } => Failure::Misuse(error.into()),
        other => Failure::environment(other.into()),
    })?;
    Ok(Stopped::Stored {
        run: run.clone(),
        status: head.status,
    })
}

fn tell(args: &CancelArgs, status: String, text: &str) {
    if args.json {
        output::document(&json!({ "run": args.run.as_str(), "status": status }));
    } else {
        output::say(text);
    }
}
