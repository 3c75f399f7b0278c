//! `/api/v1/queues`: the lines in which callers wait.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    AppState,
    guard::{May, Read},
};
use crate::call::LineReport;

#[derive(Debug, Serialize)]
struct List {
    queues: Vec<LineReport>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/queues", get(list))
}

async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    let queues = (state.health)().lines;
    ([(header::CACHE_CONTROL, "no-store")], Json(List { queues })).into_response()
}
