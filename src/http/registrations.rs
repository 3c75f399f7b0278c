//! `/api/v1/registrations`: the accounts of our own people's telephones, and which of these are registered.

use std::time::Instant;

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
use crate::accounts::AccountReport;

#[derive(Debug, Serialize)]
struct List {
    accounts: Vec<AccountReport>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/registrations", get(list))
}

async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    let accounts = state.accounts.report(now());
    ([(header::CACHE_CONTROL, "no-store")], Json(List { accounts })).into_response()
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long each has still is told from here")]
fn now() -> Instant {
    Instant::now()
}
