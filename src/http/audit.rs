//! `GET /api/v1/audit`: what was done by those who run Milo, newest first.

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    AppState, Problem,
    guard::{Administer, May},
    paging::{List, page},
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/audit", get(list))
}

async fn list(
    State(state): State<AppState>,
    _: May<Administer>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "deeds")?;
    state.written().await;
    let page = state
        .store
        .deeds(cursor, limit)
        .await?
        .ok_or_else(|| Problem::bad_request("what `cursor` points to is no longer there: begin anew without it"))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)).into_response())
}
