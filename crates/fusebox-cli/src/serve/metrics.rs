//! `/metrics`: everything the engines of this place have counted, for a Prometheus server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use fusebox::metrics::figures::CONTENT_TYPE;

use super::App;

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = app.engines.figures().await.render();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}
