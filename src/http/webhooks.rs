//! `/api/v1/webhooks`: the programs that are told of calls, and what they could not be told.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, May, ReadWithin},
    named::Named,
    paging::{List, page},
};
use crate::{
    notices::TargetReport,
    store::{DeadLetter, DeadPage, Key, Stamp},
};

/// The programs that are told of calls.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Webhooks)]
struct Targets {
    webhooks: Vec<TargetReport>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(dead)).routes(routes!(forget)).routes(routes!(retry))
}

/// The programs that are told of calls
///
/// Those of `[[webhooks]]` in `milo.toml`, and how it is with each.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    operation_id = "list_webhooks",
    tag = "administration",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Each program.", body = Targets),
    ),
)]
async fn list(State(state): State<AppState>, _: May<ReadWithin>) -> Response {
    Json(Targets { webhooks: (state.health)().webhooks }).into_response()
}

/// What programs could not be told, the last one that was given up first
///
/// Each letter holds what was to be told, and so what was said.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/dead",
    operation_id = "list_dead_letters",
    tag = "administration",
    params(List),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of dead letters.", body = DeadPage),
    ),
)]
async fn dead(
    State(state): State<AppState>,
    _: May<ReadWithin>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "dead letters")?;
    let page = state.store.dead_letters(cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("the letter that `cursor` points to is no longer dead: begin anew without it")
    })?;
    Ok(Json(page).into_response())
}

/// Try a dead letter again
///
/// As if it were new.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/dead/{id}/retry",
    operation_id = "retry_dead_letter",
    tag = "administration",
    params(("id" = Key, Path, description = "The letter's identifier.")),
    security(("key" = ["admin"])),
    responses(
        (status = 202, description = "It is tried as soon as it is its turn."),
        (status = 404, description = "there is no dead letter with this identifier"),
        (status = 409, description = "\"crm\" is not one of [[webhooks]] any more: delete the letter, or add it again"),
    ),
)]
async fn retry(State(state): State<AppState>, may: May<Administer>, Named(id): Named) -> Result<StatusCode, Problem> {
    let letter = letter(&state, &id).await?;
    if !(state.health)().webhooks.iter().any(|target| target.name == letter.target) {
        let says =
            format!("{:?} is not one of [[webhooks]] any more: delete the letter, or add it again", letter.target);
        return Err(Problem::conflict(says));
    }
    if !state.store.revive(letter.id, Stamp::now()).await? {
        return Err(missing());
    }
    state.log.look_for_deliveries();
    state.log.done(may.asker.deed("webhooks.retry", Some(id), Some(letter.target)));
    Ok(StatusCode::ACCEPTED)
}

/// Delete a dead letter
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/dead/{id}",
    operation_id = "delete_dead_letter",
    tag = "administration",
    params(("id" = Key, Path, description = "The letter's identifier.")),
    security(("key" = ["admin"])),
    responses(
        (status = 204, description = "It is deleted."),
        (status = 404, description = "there is no dead letter with this identifier"),
    ),
)]
async fn forget(State(state): State<AppState>, may: May<Administer>, Named(id): Named) -> Result<StatusCode, Problem> {
    let letter = letter(&state, &id).await?;
    if !state.store.delete_dead(letter.id).await? {
        return Err(missing());
    }
    state.log.look_for_deliveries();
    state.log.done(may.asker.deed("webhooks.delete", Some(id), Some(letter.target)));
    Ok(StatusCode::NO_CONTENT)
}

async fn letter(state: &AppState, id: &str) -> Result<DeadLetter, Problem> {
    let key: Key = id.parse().map_err(|_| missing())?;
    state.store.dead_letter(key).await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("there is no dead letter with this identifier")
}
