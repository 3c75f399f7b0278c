//! `/api/v1/requests`: what callers want of the people of the house, messages and calls back.

use axum::{
    Json,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Call, May, Read},
    named::Named,
    paging::bounds,
};
use crate::store::{Key, RequestPage, RequestRow, RequestsWanted, Stamp};

/// What there is of either.
const KINDS: [&str; 2] = ["message", "call_back"];
const STATES: [&str; 4] = ["open", "calling", "done", "failed"];

/// The query of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// As many rows at most; 50 when nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, example = 20)]
    limit: Option<String>,
    /// The `next` of the page before.
    #[param(value_type = Option<String>, format = "uuid")]
    cursor: Option<String>,
    /// `message` or `call_back`.
    #[param(example = "call_back")]
    kind: Option<String>,
    /// `open`: whatever a person is still to do, what `failed` too; `calling`, `done` or `failed`.
    #[param(example = "open")]
    state: Option<String>,
    /// Of this call only.
    #[param(value_type = Option<String>, format = "uuid")]
    call_id: Option<String>,
}

/// `{"done": true}`, or false to open it again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CallerRequestOrder, example = json!({"done": true}))]
struct Order {
    done: bool,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(settle))
}

fn missing() -> Problem {
    Problem::not_found("there is no request with this identifier")
}

/// What callers want of the people of the house, newest first
///
/// Messages that were left, and wishes to be called back. They are forgotten with their calls.
#[utoipa::path(
    get,
    path = "/api/v1/requests",
    operation_id = "list_requests",
    tag = "calls",
    params(Wanted),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of them.", body = RequestPage),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Ok(Query(wanted)) = query else {
        return Err(Problem::bad_request(
            "the list of requests takes `limit`, `cursor`, `kind`, `state` and `call_id`, once each, and nothing else",
        ));
    };
    let (cursor, limit) = bounds(wanted.limit.as_deref(), wanted.cursor.as_deref())?;
    for (name, value, known) in [("kind", &wanted.kind, &KINDS[..]), ("state", &wanted.state, &STATES[..])] {
        if value.as_ref().is_some_and(|value| !known.contains(&value.as_str())) {
            return Err(Problem::bad_request(format!("`{name}` is one of {}", known.join(", "))));
        }
    }
    let wrong = || Problem::bad_request("`call_id` is not the identifier of a call");
    let call = wanted.call_id.map(|call| call.parse::<Key>().map_err(|_| wrong())).transpose()?;
    state.written().await;
    let which = RequestsWanted { kind: wanted.kind.as_deref(), state: wanted.state.as_deref(), call };
    let page = state.store.requests(which, cursor, limit).await?;
    let page = page.ok_or_else(|| {
        Problem::bad_request("the request that `cursor` points to is no longer there: begin anew without it")
    })?;
    Ok(Json(page).into_response())
}

/// Say that a request is done, or open again
///
/// Whoever says first that it is done is the one who has done it. Milo calls nobody back of what is done; what is opened again after Milo
/// has called is a person's.
#[utoipa::path(
    post,
    path = "/api/v1/requests/{id}",
    operation_id = "settle_request",
    tag = "calls",
    params(("id" = Key, Path, description = "The request's identifier.")),
    request_body = Order,
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "As it is now.", body = RequestRow),
        (status = 404, description = "there is no request with this identifier"),
    ),
)]
async fn settle(
    State(state): State<AppState>,
    may: May<Call>,
    Named(id): Named,
    body: Result<Json<Order>, JsonRejection>,
) -> Result<Response, Problem> {
    let key: Key = id.parse().map_err(|_| missing())?;
    let Json(Order { done }) = body?;
    state.written().await;
    let deed =
        may.asker.deed("requests.settle", Some(key.to_string()), Some(if done { "done" } else { "open" }.into()));
    let by = done.then(|| (Stamp::now(), deed.who.as_str()));
    let request = state.store.settle_request(key, by).await?.ok_or_else(missing)?;
    state.log.done(deed);
    Ok(Json(request).into_response())
}
