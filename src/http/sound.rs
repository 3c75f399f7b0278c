//! `GET /api/v1/calls/{id}/recording`: the sound of a call.

use std::{io, path::Path};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{fs::File, io::AsyncReadExt};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{May, ReadWithin},
    named::Named,
};
use crate::{call::is_recording, store::Key};

/// What is read of a file at once, in bytes.
const PIECE: usize = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(sound))
}

/// The recording of a call
///
/// The caller left and Milo right. Of a call that is up, what has been written of it.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/recording",
    operation_id = "get_recording",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log.")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The sound.", content((Vec<u8> = "audio/ogg"), (Vec<u8> = "audio/wav"))),
        (status = 404, description = "this call has no recording (any more)"),
    ),
)]
async fn sound(State(state): State<AppState>, _: May<ReadWithin>, Named(id): Named) -> Result<Response, Problem> {
    let missing = || Problem::not_found("this call has no recording (any more)").coded("recording_gone");
    let key: Key = id.parse().map_err(|_| Problem::not_found("the log has no call with this identifier"))?;
    state.written().await;
    let call = state.store.call(key).await?;
    let name = call.and_then(|call| call.recording).filter(|name| is_recording(name)).ok_or_else(missing)?;
    let file = File::open(state.recordings.join(&name)).await.map_err(|_| missing())?;
    let kind = if name.ends_with(".wav") { "audio/wav" } else { "audio/ogg" };
    let shown = Path::new(&name).file_name().and_then(|name| name.to_str()).unwrap_or("recording").to_owned();
    let length = file.metadata().await.map_err(|_| missing())?.len();
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{shown}\"")),
    ];
    // A live recording grows meanwhile: no more is sent than was said.
    let pieces = stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(piece), file)))
    });
    Ok((headers, Body::from_stream(pieces)).into_response())
}
