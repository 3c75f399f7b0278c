//! `/api/v1/calls`: the call log, and what is done to the recording of a call that is up.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Call, May, Read},
    named::Named,
    search::{Listed, Wanted, wanted},
};
use crate::{
    call::{RecordingNow, Unreached},
    dialplan::RecordingStep,
    store::{Analysis, CallRow, EventRow, Feedback, Key, Page, TurnRow},
};

/// How long the answer to an order waits for it to be done; an announcement may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What people think of a call: the newest so many are shown with it.
const MOST_FEEDBACK: u32 = 100;

/// One call with all that is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CallWithTurns)]
struct Whole {
    #[serde(flatten)]
    call: CallRow,
    turns: Vec<TurnRow>,
    events: Vec<EventRow>,
    /// What people think of it, the newest hundred.
    feedback: Vec<Feedback>,
    /// What the model has written down of it since it is over; null until it is there, and where the persona wants none.
    analysis: Option<Analysis>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(one)).routes(routes!(recording))
}

/// No call has this identifier.
pub(super) fn missing() -> Problem {
    Problem::not_found("the log has no call with this identifier")
}

/// Something was wanted of a call that is not up, or of none.
pub(super) async fn not_up(state: &AppState, key: Key) -> Problem {
    match state.store.call(key).await {
        Ok(Some(_)) => Problem::conflict("this call is not up").coded("call_not_up"),
        Ok(None) => missing(),
        Err(error) => error.into(),
    }
}

/// Why a call is not reached.
pub(super) async fn unreached(state: &AppState, key: Key, why: Unreached) -> Problem {
    match why {
        Unreached::NotUp => not_up(state, key).await,
        Unreached::NoAgent => Problem::conflict("no agent speaks in this call now").coded("no_agent"),
        Unreached::Busy => Problem::conflict("the call has not done yet what was wanted before"),
        Unreached::Crowded => Problem::conflict("as many people listen to this call as may").coded("crowded"),
        Unreached::Unheard => {
            let says =
                "this caller takes each reply whole (a conversation without stream=1), and would hear nobody speak";
            Problem::conflict(says).coded("unheard")
        }
    }
}

/// Calls, newest first
///
/// Those that fit all of what the query says, a page at a time.
#[utoipa::path(
    get,
    path = "/api/v1/calls",
    operation_id = "list_calls",
    tag = "calls",
    params(Listed),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of calls.", body = Page),
    ),
)]
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
    Ok(Json(page).into_response())
}

/// A call with its turns and events, what people think of it, and what came of it
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}",
    operation_id = "get_call",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log.")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "All that is known of it.", body = Whole),
        (status = 404, description = "the log has no call with this identifier"),
    ),
)]
async fn one(State(state): State<AppState>, _: May<Read>, Named(id): Named) -> Result<Response, Problem> {
    let key: Key = id.parse().map_err(|_| missing())?;
    state.written().await;
    let call = state.store.call(key).await?.ok_or_else(missing)?;
    let (turns, events) = (state.store.turns(key).await?, state.store.events(key).await?);
    let feedback = state.store.feedback((Some(key), None), None, MOST_FEEDBACK).await?;
    let feedback = feedback.map(|page| page.feedback).unwrap_or_default();
    let analysis = state.store.analysis(key).await?;
    Ok(Json(Whole { call, turns, events, feedback, analysis }).into_response())
}

/// `{"action": "start"}`, or `pause`, `resume`, `stop`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecordingOrder, example = json!({"action": "start"}))]
struct Order {
    action: RecordingStep,
}

/// Whether the call is recorded now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Recorded {
    recording: RecordingNow,
}

/// Start, pause, resume or stop the recording of a call that is up
///
/// An announcement, where one is configured, is played to everybody before anything is recorded.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/recording",
    operation_id = "record_call",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log.")),
    request_body = Order,
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "It is done.", body = Recorded),
        (status = 202, description = "It is about to be done: the announcement is being played.", body = Recorded),
        (status = 404, description = "the log has no call with this identifier"),
        (status = 409, description = "this call is not up"),
    ),
)]
async fn recording(
    State(state): State<AppState>,
    may: May<Call>,
    Named(id): Named,
    body: Result<Json<Order>, JsonRejection>,
) -> Result<Response, Problem> {
    let key: Key = id.parse().map_err(|_| missing())?;
    let Json(Order { action }) = body?;
    let done = match state.live.recording(key, action) {
        Ok(done) => done,
        Err(why) => return Err(unreached(&state, key, why).await),
    };
    state.log.done(may.asker.deed(
        "calls.recording",
        Some(key.to_string()),
        Some(format!("{action:?}").to_lowercase()),
    ));
    match timeout(PATIENCE, done).await {
        Ok(Ok(Ok(recording))) => Ok(Json(Recorded { recording }).into_response()),
        Ok(Ok(Err(why))) => Err(Problem::conflict(why)),
        Ok(Err(_)) => Err(Problem::conflict("the call ended meanwhile").coded("call_not_up")),
        // The announcement is being played; the call goes on with it.
        Err(_) => Ok((StatusCode::ACCEPTED, Json(Recorded { recording: RecordingNow::Starting })).into_response()),
    }
}
