//! `/api/v1/campaigns/do-not-call`: the numbers that no campaign calls.

use axum::{
    Json,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    campaigns::LARGEST,
    guard::{Call, May, Read},
    named::Named,
    paging::{List, page},
};
use crate::store::{Unwanted, UnwantedPage};

/// A number that no campaign is to call.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DoNotCallOrder, example = json!({"number": "0341234567", "note": "asked so on the telephone"}))]
struct Order {
    #[schema(min_length = 1)]
    number: String,
    /// Why.
    #[schema(max_length = 200)]
    note: Option<String>,
}

/// What came of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DoNotCallImported)]
struct Imported {
    /// Numbers of the list.
    #[schema(minimum = 1)]
    total: usize,
    /// Those that were not known before.
    new: u64,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(add))
        .routes(routes!(import))
        .routes(routes!(remove))
        .layer(DefaultBodyLimit::max(LARGEST))
}

/// The numbers that no campaign calls, the last that were added first
#[utoipa::path(
    get,
    path = "/api/v1/campaigns/do-not-call",
    operation_id = "list_do_not_call",
    tag = "campaigns",
    params(List),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of numbers.", body = UnwantedPage),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "numbers that are not to be called")?;
    Ok(Json(state.store.unwanted(cursor, limit).await?).into_response())
}

/// Have no campaign call a number
///
/// From this moment on, those that run among them. A call that is up goes on.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/do-not-call",
    operation_id = "add_do_not_call",
    tag = "campaigns",
    request_body = Order,
    security(("key" = ["calls"])),
    responses(
        (status = 201, description = "It is on the list.", body = Unwanted),
        (status = 200, description = "It was on the list before, and stays as it was.", body = Unwanted),
    ),
)]
async fn add(
    State(state): State<AppState>,
    may: May<Call>,
    body: Result<Json<Order>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Order { number, note }) = body?;
    let (entry, is_new) = state.campaigns.forbid(&number, note.as_deref(), may.asker.name()).await?;
    state.log.done(may.asker.deed("campaigns.forbid", Some(entry.number.clone()), entry.note.clone()));
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(entry)).into_response())
}

/// Have no campaign call the numbers of a list
///
/// CSV with a head: `number`, and perhaps `note`. A list with a fault is not taken; what is wrong is told by line and field.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/do-not-call/import",
    operation_id = "import_do_not_call",
    tag = "campaigns",
    request_body(content((String = "text/csv", example = json!("number,note\n0341234567,asked so on the telephone\n")))),
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "They are on the list.", body = Imported),
    ),
)]
async fn import(
    State(state): State<AppState>,
    may: May<Call>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")) {
        let says = "send the list as text/csv; a single number goes to /api/v1/campaigns/do-not-call";
        return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, says));
    }
    let (total, new) = state.campaigns.forbid_all(body.into(), may.asker.name()).await?;
    state.log.done(may.asker.deed("campaigns.forbid", None, Some(format!("{new} new numbers of a list of {total}"))));
    Ok(Json(Imported { total, new }).into_response())
}

/// Let campaigns call a number again
#[utoipa::path(
    delete,
    path = "/api/v1/campaigns/do-not-call/{number}",
    operation_id = "remove_do_not_call",
    tag = "campaigns",
    params(("number" = String, Path, description = "The number, however it is written.", example = "0341234567")),
    security(("key" = ["calls"])),
    responses(
        (status = 204, description = "It is no longer on the list."),
        (status = 404, description = "the number is not on the list"),
    ),
)]
async fn remove(State(state): State<AppState>, may: May<Call>, Named(number): Named) -> Result<Response, Problem> {
    if !state.campaigns.allow(&number).await? {
        return Err(Problem::not_found("the number is not on the list"));
    }
    state.log.done(may.asker.deed("campaigns.allow", Some(number), None));
    Ok(StatusCode::NO_CONTENT.into_response())
}
