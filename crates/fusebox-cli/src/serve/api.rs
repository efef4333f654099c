//! What can be looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use fusebox::orchestrator::control::Overview;
use fusebox::orchestrator::{EventRecord, HealthStatus, RunHead, load_events};
use fusebox::{RunId, RunReport};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::feed::{now_ms, text};
use super::graph;
use super::problem::Problem;
use super::records::{bounded, unread};
use crate::who::user;

/// Runs in one answer unless asked for fewer or more, and at most.
const DEFAULT_RUNS: usize = 1000;
const MAX_RUNS: usize = 10_000;

/// Events of a run in one answer: the last ones.
const MAX_EVENTS: usize = 2000;

/// The engines with their health and live runs, and how it all is.
pub(super) async fn overview(State(app): State<Arc<App>>) -> Json<Value> {
    let engines = app.engines.overviews().await;
    let (status, reasons) = worst(&engines);
    Json(json!({
        "at_ms": now_ms(),
        "version": env!("CARGO_PKG_VERSION"),
        "user": user(),
        "status": status,
        "reasons": reasons,
        "engines": *engines,
    }))
}

/// 200 while nobody has to look, 503 when somebody has: an objective is missed, a run is stalled.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let engines = app.engines.overviews().await;
    let (status, reasons) = worst(&engines);
    let code = match status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let body = json!({ "status": status, "reasons": reasons, "engines": engines.len() });
    (code, Json(body)).into_response()
}

/// The whole is as its worst part. Without an engine nothing is wrong.
fn worst(engines: &[Overview]) -> (HealthStatus, Vec<&String>) {
    let status = engines.iter().map(|engine| engine.health.status).max();
    let mut engines: Vec<_> = engines.iter().collect();
    engines.sort_by_key(|engine| std::cmp::Reverse(engine.health.status));
    let reasons = engines.iter().flat_map(|engine| &engine.health.reasons);
    (status.unwrap_or(HealthStatus::Healthy), reasons.collect())
}

#[derive(Deserialize)]
pub(super) struct RunsQuery {
    limit: Option<usize>,
    /// Part of the name of a run or its workflow.
    #[serde(default)]
    q: String,
    /// Runs of this status alone.
    #[serde(default)]
    status: String,
}

/// The runs in the store, newest first, and which engine works on each.
pub(super) async fn runs(
    State(app): State<Arc<App>>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Value>, Problem> {
    let heads = app.records.heads(app.engines.feed.turns()).await?;
    let live = live(&app.engines.overviews().await);
    let wanted = |head: &&RunHead| {
        let named = head.run.contains(&query.q) || head.workflow.contains(&query.q);
        let status = query.status.is_empty() || head.status.to_string() == query.status;
        named && status
    };
    let limit = query.limit.unwrap_or(DEFAULT_RUNS).min(MAX_RUNS);
    let shown = heads.iter().filter(wanted).take(limit);
    let runs: Vec<Value> = shown.map(|head| line(head, &live)).collect();
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    for head in heads.iter() {
        *statuses.entry(head.status.to_string()).or_default() += 1;
    }
    Ok(Json(
        json!({ "total": heads.len(), "statuses": statuses, "runs": runs }),
    ))
}

/// A run in a list. Its input may hold anything, so it stays in the store.
fn line(head: &RunHead, live: &BTreeMap<String, u32>) -> Value {
    json!({
        "run": head.run,
        "workflow": head.workflow,
        "status": head.status,
        "reason": head.reason,
        "tenant": head.tenant,
        "created_ms": head.created_ms,
        "updated_ms": head.updated_ms,
        "due_ms": head.due_ms,
        "processes": head.processes,
        "live": live.get(&head.run),
    })
}

/// The process that works on each run.
fn live(engines: &[Overview]) -> BTreeMap<String, u32> {
    let runs = engines.iter().flat_map(|engine| {
        let pid = engine.engine.pid;
        engine.runs.iter().map(move |run| (run.run.clone(), pid))
    });
    runs.collect()
}

/// One run: its report and what happened.
pub(super) async fn run(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
) -> Result<Json<Value>, Problem> {
    let run = parse(&run)?;
    let record = app.records.run(&run).await?;
    let events = events(&app, &run).await?;
    let live = live(&app.engines.overviews().await);
    let skipped = events.len().saturating_sub(MAX_EVENTS);
    let told = events.iter().skip(skipped).map(|event| {
        let mut document = json!(event);
        document["text"] = text(&event.event).into();
        document
    });
    Ok(Json(json!({
        "head": line(&record.head, &live),
        "report": RunReport::from_record(&record),
        "events": told.collect::<Vec<_>>(),
        "events_left_out": skipped,
    })))
}

/// The graph of a run with the states of its steps and breakers.
pub(super) async fn graph(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
) -> Result<Json<Value>, Problem> {
    let run = parse(&run)?;
    let record = app.records.run(&run).await?;
    let events = events(&app, &run).await?;
    let engines = app.engines.overviews().await;
    Ok(Json(graph::document(&record, &events, &engines)))
}

async fn events(app: &App, run: &RunId) -> Result<Vec<EventRecord>, Problem> {
    let store = app.records.store().await?;
    let events = bounded(load_events(&*store, run)).await?;
    events.map_err(unread)
}

pub(super) fn parse(run: &str) -> Result<RunId, Problem> {
    run.parse()
        .map_err(|error| Problem::bad(format!("{error}")))
}
