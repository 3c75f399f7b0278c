//! `/api/v1/memories`: what is known of callers from their last calls, for the personas that remember them. All about a number is forgotten by
//! `DELETE /api/v1/calls?number=…`, this with it.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{May, Read},
    named::Named,
    paging::{List, page},
};
use crate::store::{MemoryPage, MemoryRow, Stamp};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(one))
}

/// What is known of callers, whoever called last first
#[utoipa::path(
    get,
    path = "/api/v1/memories",
    operation_id = "list_memories",
    tag = "calls",
    params(List),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of it.", body = MemoryPage),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "memories")?;
    state.written().await;
    let page = state.store.memories(Stamp::now(), cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("whoever `cursor` points to has called again or is forgotten: begin anew without it")
    })?;
    Ok(Json(page).into_response())
}

/// What is known of a caller
#[utoipa::path(
    get,
    path = "/api/v1/memories/{number}",
    operation_id = "get_memory",
    tag = "calls",
    params(("number" = String, Path, description = "Their number as the log has it; a + is %2B.", example = "0341234567")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "It.", body = MemoryRow),
        (status = 404, description = "nothing is known of this number"),
    ),
)]
async fn one(State(state): State<AppState>, _: May<Read>, Named(number): Named) -> Result<Response, Problem> {
    let missing = || Problem::not_found("nothing is known of this number");
    if number.chars().any(char::is_control) {
        return Err(missing());
    }
    state.written().await;
    Ok(Json(state.store.memory_row(&number, Stamp::now()).await?.ok_or_else(missing)?).into_response())
}
