//! `/api/v1/messages`: the texts that came and went, and the way to send one.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    AppState, Problem,
    guard::{Call, May, Read},
    paging::{List, page},
};
use crate::{
    dialplan::TrunkNames,
    store::Key,
    texts::{Came, Wanted},
};

/// How long the answer waits for what becomes of a text.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long it waits for the text's row, so that its address can be asked at once.
const ROW: Duration = Duration::from_millis(500);

/// A text that is to be sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    #[serde(default)]
    to: String,
    account: Option<String>,
    trunk: Option<TrunkNames>,
    from: Option<String>,
    text: String,
}

/// A text that was sent, or is on its way.
#[derive(Debug, Serialize)]
struct Going {
    id: Key,
    trunk: Option<String>,
    result: Option<&'static str>,
    sip_status: Option<u16>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/messages", get(list).post(send)).route("/api/v1/messages/{id}", get(one))
}

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
    Ok(fresh(page))
}

async fn one(State(state): State<AppState>, _: May<Read>, Path(id): Path<String>) -> Result<Response, Problem> {
    let missing = || Problem::not_found("there is no message with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    state.written().await;
    Ok(fresh(state.store.message(key).await?.ok_or_else(missing)?))
}

async fn send(
    State(state): State<AppState>,
    _: May<Call>,
    body: Result<Json<Message>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(message) = body.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let Message { to, account, trunk, from, text } = message;
    let sent = state.texts.send(Wanted { to, account, trunks: trunk, from, text, call: None })?;
    let came: Option<Came> = timeout(PATIENCE, sent.came).await.ok().and_then(Result::ok);
    state.log.flush(ROW).await;
    let status = if came.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/api/v1/messages/{}", sent.id);
    let (result, sip_status) = came.map_or((None, None), |came| (Some(came.result), came.sip_status));
    let going = Going { id: sent.id, trunk: sent.trunk, result, sip_status };
    Ok((status, [(header::LOCATION, location)], fresh(going)).into_response())
}

/// Numbers and words of people stay in no cache.
fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
