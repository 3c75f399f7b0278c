//! `DELETE /api/v1/calls?number=…`: everything about a caller's number is deleted.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
    routing::delete,
};
use serde::{Deserialize, Serialize};

use super::{
    AppState, Problem,
    guard::{Administer, May},
};
use crate::call::delete_recordings;

/// How long a deletion waits for rows that are on their way.
const ALL_WRITTEN: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    number: String,
}

/// What was deleted.
#[derive(Debug, Serialize)]
struct Deleted {
    calls: u64,
    messages: u64,
    recordings: usize,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/calls", delete(forget))
}

async fn forget(
    State(state): State<AppState>,
    may: May<Administer>,
    query: Result<Query<Whose>, QueryRejection>,
) -> Result<Response, Problem> {
    let number = query.map(|Query(whose)| whose.number.trim().to_owned()).unwrap_or_default();
    if number.is_empty() || number.chars().any(char::is_control) {
        return Err(Problem::bad_request("say whose calls: ?number=0341234567, exactly as the log has it"));
    }
    // What still waits, in the journal too, would come after the deletion.
    if !state.log.flush(ALL_WRITTEN).await {
        return Err(Problem::unavailable("rows of the call log still wait to be written; try again when they are"));
    }
    let forgotten = state.store.forget_number(&number).await?;
    let (folder, names) = (state.recordings.clone(), forgotten.recordings);
    let recordings = tokio::task::spawn_blocking(move || delete_recordings(&folder, &names)).await.unwrap_or_default();
    let deleted = Deleted { calls: forgotten.calls, messages: forgotten.messages, recordings };
    // The number itself is what is to be forgotten.
    let detail =
        format!("{} calls, {} messages, {} recordings of a number", deleted.calls, deleted.messages, recordings);
    state.log.done(may.asker.deed("calls.forget", None, Some(detail)));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(deleted)).into_response())
}
