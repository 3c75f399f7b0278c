//! `GET /api/v1/audit`: what was done by those who run Milo, newest first.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, May},
    paging::{List, page},
};
use crate::store::DeedPage;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// What was done by those who run Milo, newest first
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "list_deeds",
    tag = "administration",
    params(List),
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "A page of deeds.", body = DeedPage),
    ),
)]
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
    Ok(Json(page).into_response())
}
