//! `/api/events`: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::App;
use super::problem::Problem;

/// Between two signs of life, so that whoever is in between does not take the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The last events and those to come, as `event`; `missed` says how many a slow reader has lost.
pub(super) async fn events(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let (kept, live) = app.engines.feed.subscribe().ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many listen to the events already; close a page",
        )
    })?;
    let listener = Listener {
        kept: kept.into(),
        live,
    };
    let chunks = stream::unfold(listener, |mut listener| async {
        let chunk = listener.next().await?;
        Some((Ok::<_, Infallible>(chunk), listener))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::from_stream(chunks)).into_response())
}

struct Listener {
    kept: VecDeque<Arc<str>>,
    live: Receiver<Arc<str>>,
}

impl Listener {
    async fn next(&mut self) -> Option<String> {
        if let Some(line) = self.kept.pop_front() {
            return Some(event(&line));
        }
        match tokio::time::timeout(HEARTBEAT, self.live.recv()).await {
            Err(_) => Some(":\n\n".to_owned()),
            Ok(Ok(line)) => Some(event(&line)),
            Ok(Err(RecvError::Lagged(missed))) => {
                Some(format!("event: missed\ndata: {{\"missed\":{missed}}}\n\n"))
            }
            Ok(Err(RecvError::Closed)) => None,
        }
    }
}

/// JSON has no line breaks of its own.
fn event(line: &str) -> String {
    format!("event: event\ndata: {line}\n\n")
}
