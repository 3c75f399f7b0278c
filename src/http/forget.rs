//! `DELETE /api/v1/calls?number=…`: everything about a caller's number is deleted.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, May},
};
use crate::call::delete_recordings;

/// How long a deletion waits for rows that are on their way.
const ALL_WRITTEN: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// The number as the log has it.
    #[param(min_length = 1, example = "0341234567")]
    number: String,
}

/// What was deleted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Deleted {
    #[schema(example = 3)]
    calls: u64,
    #[schema(example = 1)]
    messages: u64,
    #[schema(example = 2)]
    recordings: usize,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(forget))
}

/// Delete everything about a number
///
/// Calls with their turns, events and recordings, and messages, of or to this number, what personas know of its caller, and requests that name it.
#[utoipa::path(
    delete,
    path = "/api/v1/calls",
    operation_id = "forget_number",
    tag = "calls",
    params(Whose),
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "What was deleted.", body = Deleted),
    ),
)]
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
    let delete = async |names: Vec<String>| {
        let folder = state.recordings.clone();
        tokio::task::spawn_blocking(move || delete_recordings(&folder, &names)).await.unwrap_or_default()
    };
    // The files first: whatever comes between, a row that is left names what is left.
    let (mut recordings, left) = delete(state.store.recordings_of(&number).await?).await;
    if left > 0 {
        return Err(Problem::unavailable(format!(
            "{left} recordings of this number cannot be deleted, as the log of Milo says; its calls are still there: try again \
             when the folder of recordings may be written"
        )));
    }
    let forgotten = state.store.forget_number(&number, &state.campaigns.target(&number)).await?;
    // Of calls that have ended meanwhile.
    recordings += delete(forgotten.recordings).await.0;
    let deleted = Deleted { calls: forgotten.calls, messages: forgotten.messages, recordings };
    // The number itself is what is to be forgotten.
    let detail =
        format!("{} calls, {} messages, {} recordings of a number", deleted.calls, deleted.messages, recordings);
    state.log.done(may.asker.deed("calls.forget", None, Some(detail)));
    Ok(Json(deleted).into_response())
}
