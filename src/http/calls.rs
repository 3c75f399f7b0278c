//! `/api/v1/calls`: the call log, and what is done to the recording of a call that is up.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    AppState, Problem,
    guard::{Call, May, Read},
    search::{Wanted, wanted},
};
use crate::{
    call::{RecordingNow, Unreached},
    dialplan::RecordingStep,
    store::{CallRow, EventRow, Feedback, Key, TurnRow},
};

/// How long the answer to an order waits for it to be done; an announcement may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What people think of a call: the newest so many are shown with it.
const MOST_FEEDBACK: u32 = 100;

/// One call with all that is known of it.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    call: CallRow,
    turns: Vec<TurnRow>,
    events: Vec<EventRow>,
    feedback: Vec<Feedback>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/calls", get(list))
        .route("/api/v1/calls/{id}", get(one))
        .route("/api/v1/calls/{id}/recording", post(recording))
}

async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let (search, (cursor, limit)) = wanted(query)?;
    state.written().await;
    let page = state.store.calls(&search, cursor, limit).await?;
    let page = page.ok_or_else(|| {
        Problem::bad_request("the call that `cursor` points to is no longer in the log: begin anew without it")
    })?;
    Ok(fresh(page))
}

async fn one(State(state): State<AppState>, _: May<Read>, Path(id): Path<String>) -> Result<Response, Problem> {
    let missing = || Problem::not_found("the log has no call with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    state.written().await;
    let call = state.store.call(key).await?.ok_or_else(missing)?;
    let (turns, events) = (state.store.turns(key).await?, state.store.events(key).await?);
    let feedback = state.store.feedback((Some(key), None), None, MOST_FEEDBACK).await?;
    let feedback = feedback.map(|page| page.feedback).unwrap_or_default();
    Ok(fresh(Whole { call, turns, events, feedback }))
}

/// `{"action": "start"}`, or `pause`, `resume`, `stop`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    action: RecordingStep,
}

/// Whether the call is recorded now.
#[derive(Debug, Serialize)]
struct Recorded {
    recording: RecordingNow,
}

async fn recording(
    State(state): State<AppState>,
    may: May<Call>,
    Path(id): Path<String>,
    body: Result<Json<Order>, JsonRejection>,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("the log has no call with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    let Ok(Json(Order { action })) = body else {
        return Err(Problem::bad_request(
            "what is wanted is told as JSON: {\"action\": \"start\"}, or \"pause\", \"resume\", \"stop\"",
        ));
    };
    let done = match state.live.recording(key, action) {
        Ok(done) => done,
        Err(Unreached::Busy) => return Err(Problem::conflict("the call has not done yet what was wanted before")),
        Err(Unreached::NotUp) => {
            state.store.call(key).await?.ok_or_else(missing)?;
            return Err(Problem::conflict("this call is not up"));
        }
    };
    state.log.done(may.asker.deed(
        "calls.recording",
        Some(key.to_string()),
        Some(format!("{action:?}").to_lowercase()),
    ));
    match timeout(PATIENCE, done).await {
        Ok(Ok(Ok(recording))) => Ok(fresh(Recorded { recording })),
        Ok(Ok(Err(why))) => Err(Problem::conflict(why)),
        Ok(Err(_)) => Err(Problem::conflict("the call ended meanwhile")),
        // The announcement is being played; the call goes on with it.
        Err(_) => Ok((StatusCode::ACCEPTED, fresh(Recorded { recording: RecordingNow::Starting })).into_response()),
    }
}

/// Numbers and words of callers stay in no cache.
fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
