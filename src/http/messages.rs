//! `/api/v1/messages`: the texts that came and went, and the way to send one.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Call, May, Read},
    named::Named,
    paging::{List, page},
};
use crate::{
    dialplan::TrunkNames,
    store::{Key, MessagePage, MessageRow},
    texts::{Came, Wanted},
};

/// How long the answer waits for what becomes of a text.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long it waits for the text's row, so that its address can be asked at once.
const ROW: Duration = Duration::from_millis(500);

/// A text that is to be sent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MessageOrder, example = json!({"to": "0341234567", "text": "Efa vonona ny taratasinao."}))]
struct Message {
    #[serde(default)]
    to: String,
    account: Option<String>,
    #[schema(value_type = Option<TrunkNames>)]
    trunk: Option<TrunkNames>,
    from: Option<String>,
    #[schema(min_length = 1, max_length = 8192)]
    text: String,
}

/// A text that was sent, or is on its way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = MessageSent)]
struct Going {
    id: Key,
    #[schema(example = "carrier")]
    trunk: Option<String>,
    #[schema(example = "delivered")]
    result: Option<&'static str>,
    #[schema(example = 200)]
    sip_status: Option<u16>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(one)).routes(routes!(send))
}

/// Texts that came and went, newest first
#[utoipa::path(
    get,
    path = "/api/v1/messages",
    operation_id = "list_messages",
    tag = "messages",
    params(List),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of texts.", body = MessagePage),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "messages")?;
    state.written().await;
    let page = state.store.messages(cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("the message that `cursor` points to is no longer there: begin anew without it")
    })?;
    Ok(Json(page).into_response())
}

/// A text
#[utoipa::path(
    get,
    path = "/api/v1/messages/{id}",
    operation_id = "get_message",
    tag = "messages",
    params(("id" = Key, Path, description = "The text's identifier.")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "All that is known of it.", body = MessageRow),
        (status = 404, description = "there is no message with this identifier"),
    ),
)]
async fn one(State(state): State<AppState>, _: May<Read>, Named(id): Named) -> Result<Response, Problem> {
    let missing = || Problem::not_found("there is no message with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    state.written().await;
    Ok(Json(state.store.message(key).await?.ok_or_else(missing)?).into_response())
}

/// Send a text
///
/// To a number over a trunk, to a SIP address, or to all telephones of an account (RFC 3428).
#[utoipa::path(
    post,
    path = "/api/v1/messages",
    operation_id = "send_message",
    tag = "messages",
    request_body = Message,
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "What became of it.", body = Going, headers(("location" = String, description = "Where the text is shown."))),
        (status = 202, description = "It is still on its way.", body = Going, headers(("location" = String, description = "Where the text is shown."))),
    ),
)]
async fn send(
    State(state): State<AppState>,
    _: May<Call>,
    body: Result<Json<Message>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(message) = body?;
    let Message { to, account, trunk, from, text } = message;
    let sent = state.texts.send(Wanted { to, account, trunks: trunk, from, text, call: None })?;
    let came: Option<Came> = timeout(PATIENCE, sent.came).await.ok().and_then(Result::ok);
    state.log.flush(ROW).await;
    let status = if came.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/api/v1/messages/{}", sent.id);
    let (result, sip_status) = came.map_or((None, None), |came| (Some(came.result), came.sip_status));
    let going = Going { id: sent.id, trunk: sent.trunk, result, sip_status };
    Ok((status, [(header::LOCATION, location)], Json(going)).into_response())
}
