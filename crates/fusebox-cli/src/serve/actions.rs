//! What an operator may do. Each action names its reason and is told on standard error.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use fusebox::RunId;
use fusebox::orchestrator::control::Request;
use fusebox::orchestrator::{Action, By, CancelError, DecideError, Decision, cancel, decide};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::access::Peer;
use super::api::parse;
use super::problem::Problem;
use super::records::{bounded, unread};
use super::resume::resume;
use crate::control::{Untold, tell_all, tell_one};
use crate::output;
use crate::who::user;

/// The longest body, in bytes, and how long it may take to come.
const MAX_BODY: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest reason or name, in characters.
const MAX_TEXT: usize = 1000;

/// The body of an action.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// Why, for whoever reads it later.
    reason: String,
    /// Who; the user that serves, where nobody is named.
    by: Option<String>,
    /// How long an override holds, in milliseconds; until it is released, where nothing is said.
    for_ms: Option<u64>,
    /// Which step is decided about, where there are several.
    step: Option<String>,
}

impl Order {
    async fn read(body: Body) -> Result<Self, Problem> {
        let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await;
        let bytes = bytes.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
        })?;
        let bytes = bytes.map_err(|_| {
            let text = format!("the body could not be read, or has more than {MAX_BODY} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        })?;
        let order: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::bad(format!(
                "the body cannot be read: {error}; send {{\"reason\": …, \"by\": …, \"for_ms\": …}}"
            ))
        })?;
        order.checked()
    }

    fn checked(self) -> Result<Self, Problem> {
        if self.reason.trim().is_empty() {
            return Err(Problem::bad("say why: `reason` is empty"));
        }
        let name = self.by.as_deref().unwrap_or_default();
        if self.reason.chars().count() > MAX_TEXT || name.chars().count() > MAX_TEXT {
            return Err(Problem::bad(format!(
                "`reason` and `by` may have {MAX_TEXT} characters"
            )));
        }
        if self.for_ms == Some(0) {
            return Err(Problem::bad("`for_ms` must be more than 0"));
        }
        Ok(self)
    }

    fn by(&self) -> By {
        let named = self.by.as_ref().filter(|name| !name.trim().is_empty());
        let mut by = By::new(named.cloned().unwrap_or_else(user), &self.reason);
        by.for_ms = self.for_ms;
        by
    }
}

/// `POST /api/breakers/AGENT/ACTION`. Every engine that has the agent does it: to whoever operates, the agent is one.
pub(super) async fn breaker(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((agent, action)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let action = Action::ALL
        .into_iter()
        .find(|it| it.as_str() == action.replace('-', "_"));
    let action = action.ok_or_else(|| {
        Problem::missing(
            "a breaker can be moved by trip, force-open, disable, metrics-only and release",
        )
    })?;
    let order = Order::read(body).await?;
    let by = order.by();
    let request = Request::Operate {
        agent: agent.clone(),
        action,
        by: by.clone(),
    };
    let told = tell_all(&app.engines.clients().await, &request).await;
    let told = told.map_err(Problem::from);
    let what = format!("{action} {agent}");
    note(peer, &by, &what, &told);
    app.engines.feed.turn();
    told.map(|processes| Json(json!({ "agent": agent, "action": action, "processes": processes })))
}

/// `POST /api/runs/RUN/ACTION`.
pub(super) async fn run(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((run, action)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let run = parse(&run)?;
    let known = matches!(action.as_str(), "cancel" | "resume" | "approve" | "reject");
    if !known {
        return Err(Problem::missing(
            "a run can be told to cancel and resume, a step of it to approve and reject",
        ));
    }
    let order = Order::read(body).await?;
    let by = order.by();
    let done = match action.as_str() {
        "cancel" => cancel_run(&app, &run, &by).await,
        "resume" => resume_run(&app, &run).await,
        _ => decide_step(&app, &run, &order, action == "approve").await,
    };
    note(peer, &by, &format!("{action} {run}"), &done);
    app.engines.feed.turn();
    done.map(Json)
}

/// The engine that works on it is told; where none does, the store is.
async fn cancel_run(app: &App, run: &RunId, by: &By) -> Result<Value, Problem> {
    let request = Request::Cancel {
        run: run.to_string(),
        by: by.clone(),
    };
    match tell_one(&app.engines.clients().await, &request).await {
        Ok(process) => {
            return Ok(json!({ "run": run.as_str(), "status": "stopping", "process": process }));
        }
        // Nobody's, or another one's.
        Err(Untold::Nobody | Untold::Refused(_)) => {}
        Err(silent @ Untold::Silent { .. }) => return Err(silent.into()),
    }
    let store = app.records.store().await?;
    let head = bounded(cancel(store, run, by)).await?;
    let head = head.map_err(|error| match error {
        CancelError::NotFound(_) => Problem::missing(error),
        CancelError::Over { .. } => Problem::conflict(error),
        CancelError::Held(_) => Problem::conflict(format!(
            "{error}, by a process that does not listen here; stop it there"
        )),
        other => unread(other),
    })?;
    Ok(json!({ "run": run.as_str(), "status": head.status }))
}

async fn resume_run(app: &Arc<App>, run: &RunId) -> Result<Value, Problem> {
    let record = app.records.run(run).await?;
    let status = record.head.status;
    if status.is_delivered() {
        return Err(Problem::conflict(format!(
            "run `{run}` is {status} already"
        )));
    }
    let engines = app.engines.overviews().await;
    let at_work = |name: &str| name == run.as_str();
    if engines
        .iter()
        .any(|engine| engine.runs.iter().any(|live| at_work(&live.run)))
    {
        return Err(Problem::conflict(format!("run `{run}` is being worked on")));
    }
    let process = resume(app, run)?;
    Ok(json!({ "run": run.as_str(), "status": "resuming", "process": process }))
}

async fn decide_step(app: &App, run: &RunId, order: &Order, yes: bool) -> Result<Value, Problem> {
    let step = match &order.step {
        Some(step) => step.clone(),
        None => the_one_asked(app, run).await?,
    };
    let by = order.by();
    let decision = if yes {
        Decision::approve(by.actor)
    } else {
        Decision::reject(by.actor)
    };
    let decision = decision.with_reason(&order.reason);
    let store = app.records.store().await?;
    let head = bounded(decide(store, run, &step, decision.clone())).await?;
    let head = head.map_err(|error| match error {
        DecideError::NotFound(_) => Problem::missing(error),
        DecideError::Store(_) | DecideError::History(_) | DecideError::Unacknowledged(_) => {
            unread(error)
        }
        misuse => Problem::conflict(misuse),
    })?;
    Ok(json!({ "run": run.as_str(), "step": step, "status": head.status, "decision": decision }))
}

/// The step that waits for a person, where one does.
async fn the_one_asked(app: &App, run: &RunId) -> Result<String, Problem> {
    let record = app.records.run(run).await?;
    let asked = record.steps.values().filter(|step| {
        let undecided = step
            .approval
            .as_ref()
            .is_some_and(|it| it.decision.is_none());
        step.status == fusebox::StepStatus::Suspended && undecided
    });
    let mut asked: Vec<String> = asked.map(|step| step.name.clone()).collect();
    match asked.len() {
        0 => Err(Problem::conflict(format!(
            "no step of run `{run}` waits for a decision"
        ))),
        1 => Ok(asked.remove(0)),
        _ => Err(Problem::bad(format!(
            "say which `step`: {}",
            asked.join(", ")
        ))),
    }
}

/// Who did what and why, whatever came of it. Quoted, so that nobody's words can look like another line.
fn note<T>(peer: Peer, by: &By, what: &str, done: &Result<T, Problem>) {
    let lasts = by
        .for_ms
        .map(|ms| format!(" for {ms} ms"))
        .unwrap_or_default();
    let result = match done {
        Ok(_) => "done".to_owned(),
        Err(problem) => format!("refused: {:?}", problem.to_string()),
    };
    output::remark(&format!(
        "{} action {what:?}{lasts} by {:?} from {}, because {:?}: {result}",
        crate::inspect::timestamp(super::feed::now_ms()),
        by.actor,
        peer.0,
        by.reason,
    ));
}
