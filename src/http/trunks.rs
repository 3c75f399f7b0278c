//! `/api/v1/trunks`: the trunks, and how they are.

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
use crate::trunk::TrunkReport;

#[derive(Debug, Serialize)]
struct List {
    trunks: Vec<TrunkReport>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/trunks", get(list))
}

async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    let trunks = (state.health)().trunks;
    ([(header::CACHE_CONTROL, "no-store")], Json(List { trunks })).into_response()
}
