//! `fusebox breakers`.

use std::process::ExitCode;
use std::time::Duration;

use fusebox::orchestrator::control::{Client, ControlError, Overview, Request, find};
use fusebox::orchestrator::{Action, AgentHealth, By};
use serde_json::json;

use crate::args::{BreakersArgs, BreakersVerb, PlaceArgs};
use crate::control::{Untold, tell_all};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::plain::plain;
use crate::summary::table;

pub(crate) async fn breakers(args: BreakersArgs) -> Result<ExitCode, Failure> {
    let (agent, action, by, place) = match args.verb {
        None => return list(&args.place, args.json).await,
        Some(BreakersVerb::Trip(it)) => (it.agent, Action::Trip, it.by.by(), it.place),
        Some(BreakersVerb::Release(it)) => (it.agent, Action::Release, it.by.by(), it.place),
        Some(BreakersVerb::ForceOpen(it)) => {
            let by = lasting(it.by.by(), it.lasts);
            (it.agent, Action::ForceOpen, by, it.place)
        }
        Some(BreakersVerb::Disable(it)) => {
            let by = lasting(it.by.by(), it.lasts);
            (it.agent, Action::Disable, by, it.place)
        }
        Some(BreakersVerb::MetricsOnly(it)) => {
            let by = lasting(it.by.by(), it.lasts);
            (it.agent, Action::MetricsOnly, by, it.place)
        }
    };
    operate(&agent, action, by, &place, args.json).await
}

fn lasting(mut by: By, lasts: Option<Duration>) -> By {
    by.for_ms = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
    by
}

/// Those of every engine: each process has its own.
async fn list(place: &PlaceArgs, json: bool) -> Result<ExitCode, Failure> {
    let mut engines = Vec::new();
    for client in engines_of(place)?.await {
        match client.overview().await {
            Ok(overview) => engines.push(overview),
            // It has just ended.
            Err(ControlError::Gone(_)) => {}
            Err(error) => return Err(Failure::environment(error.into())),
        }
    }
    if json {
        output::document(&json!({ "engines": engines }));
        return Ok(ExitCode::SUCCESS);
    }
    if engines.is_empty() {
        output::say(&Untold::Nobody.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    for overview in &engines {
        show(overview);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(overview: &Overview) {
    let runs: Vec<&str> = overview.runs.iter().map(|run| run.run.as_str()).collect();
    output::say(&format!(
        "process {}: {}",
        overview.engine.pid,
        runs.join(", ")
    ));
    let mut table = table(&[
        "agent",
        "breaker",
        "due in",
        "in flight",
        "waiting",
        "away",
        "why",
    ]);
    for breaker in overview.health.breakers() {
        table.add_row(row(&breaker));
    }
    output::say(&table.to_string());
}

fn row(agent: &AgentHealth) -> [String; 7] {
    let time = |ms: u64| {
        let seconds = Duration::from_millis(ms).as_secs_f64();
        format!("{seconds:.1} s")
    };
    let away = agent.objective.current.map(|outage| {
        let objective = agent
            .objective
            .objective_ms
            .map(|ms| format!(" of {}", time(ms)));
        format!("{}{}", time(outage.away_ms), objective.unwrap_or_default())
    });
    [
        agent.agent.clone(),
        agent.state.clone(),
        agent.due_in_ms.map(time).unwrap_or_default(),
        agent.in_flight.to_string(),
        agent.waiting.to_string(),
        away.unwrap_or_default(),
        plain(agent.reason.as_deref().unwrap_or_default()),
    ]
}

async fn operate(
    agent: &str,
    action: Action,
    by: By,
    place: &PlaceArgs,
    json: bool,
) -> Result<ExitCode, Failure> {
    let done = tell(agent, action, &by, place).await?;
    if json {
        output::document(&json!({ "agent": agent, "action": action, "processes": done }));
    } else {
        let processes: Vec<String> = done.iter().map(u32::to_string).collect();
        output::say(&format!(
            "{action} {agent}: done in process {}",
            processes.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Every engine that has the agent does it. Answers with their processes.
pub(crate) async fn tell(
    agent: &str,
    action: Action,
    by: &By,
    place: &PlaceArgs,
) -> Result<Vec<u32>, Failure> {
    let request = Request::Operate {
        agent: agent.to_owned(),
        action,
        by: by.clone(),
    };
    Ok(tell_all(&engines_of(place)?.await, &request).await?)
}

fn engines_of(place: &PlaceArgs) -> Result<impl Future<Output = Vec<Client>>, Failure> {
    let directory = Place::engines_in(place)?;
    Ok(async move { find(&directory).await })
}
