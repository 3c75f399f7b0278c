//! `/api/v1/webhooks`: the programs that are told of calls, and what they could not be told.

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::Serialize;

use super::{
    AppState, Problem,
    guard::{Administer, May, ReadWithin},
    paging::{List, page},
};
use crate::{
    notices::TargetReport,
    store::{DeadLetter, Key, Stamp},
};

#[derive(Debug, Serialize)]
struct Targets {
    webhooks: Vec<TargetReport>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/webhooks", get(list))
        .route("/api/v1/webhooks/dead", get(dead))
        .route("/api/v1/webhooks/dead/{id}", delete(forget))
        .route("/api/v1/webhooks/dead/{id}/retry", post(retry))
}

async fn list(State(state): State<AppState>, _: May<ReadWithin>) -> Response {
    fresh(Targets { webhooks: (state.health)().webhooks })
}

/// Each letter holds what was to be told, and so what was said.
async fn dead(
    State(state): State<AppState>,
    _: May<ReadWithin>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "dead letters")?;
    let page = state.store.dead_letters(cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("the letter that `cursor` points to is no longer dead: begin anew without it")
    })?;
    Ok(fresh(page))
}

async fn retry(
    State(state): State<AppState>,
    may: May<Administer>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
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

async fn forget(
    State(state): State<AppState>,
    may: May<Administer>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
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

/// What was said in calls stays in no cache.
fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
