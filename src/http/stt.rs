//! `POST /api/v1/stt`: a recording as text, in pieces, with progress where server-sent events are asked for.

use std::{
    io::Write,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json,
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream;
use milo_media::prompt;
use milo_models::{engine::Language, transcriber::Listen};
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::NamedTempFile;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    chat::event,
    guard::{Converse, May},
    text::Text,
};
use crate::chat::{Listening, Transcribed, before};

/// The largest JSON body, and the largest upload, in bytes.
pub(super) const LARGEST: (usize, usize) = (25 << 20, 256 << 20);
/// The longest recording, in seconds: an hour and a little.
const LONGEST_S: usize = 3_660;
/// Recordings in memory at once, and how long the next one waits: an hour of sound is over a hundred megabytes.
static IN_MEMORY: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(3)));
const WAIT: Duration = Duration::from_secs(30);

/// Five milliseconds of silence, 8 kHz, as a WAV file in base64: the document's example.
const SILENCE: &str = "UklGRnQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YVAAAAAAAAAA\
                       AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                       AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

/// A recording in JSON.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"audio": SILENCE, "language": "mg"}))]
struct Recording {
    /// A sound file in base64.
    #[schema(min_length = 1)]
    audio: String,
    #[schema(value_type = Option<crate::engines::Tongue>)]
    language: Option<Language>,
    #[serde(default)]
    stream: bool,
    /// Whether each word is told with its times.
    #[serde(default)]
    words: bool,
    /// What is to stand before the words, so that they are written alike: names, words of a trade.
    #[schema(max_length = 4000)]
    prompt: Option<String>,
    /// What the file is, as the Python system wanted to be told. Its first bytes say so.
    #[serde(rename = "format")]
    _format: Option<String>,
    #[serde(rename = "sample_rate")]
    _sample_rate: Option<i64>,
}

/// A recording as a file, in the document: the parts are read as they come.
#[derive(utoipa::ToSchema)]
#[schema(as = Upload)]
#[expect(dead_code, reason = "nothing but the document's")]
struct Upload {
    /// The sound file; `audio` is another name for it.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What is spoken; found out when it is left out.
    #[schema(value_type = Option<crate::engines::Tongue>)]
    language: Option<Language>,
    /// Whether the answer comes as server-sent events.
    stream: Option<bool>,
    /// Whether each word is told with its times.
    words: Option<bool>,
    /// What is to stand before the words, so that they are written alike: names, words of a trade.
    #[schema(max_length = 4000)]
    prompt: Option<String>,
}

/// What a request holds.
struct Wanted {
    file: NamedTempFile,
    is_streamed: bool,
    asked: Listen,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(stt)).layer(DefaultBodyLimit::max(LARGEST.1))
}

/// Transcribe a recording
///
/// WAV, Ogg (Opus, Vorbis), MP3 or FLAC, an hour at most; in base64 up to 25 MB, as a file up to 256 MB. With `stream`, or
/// `Accept: text/event-stream`, as server-sent events: one `progress` after each piece, then `done` with the whole, or `error` with
/// a problem.
#[utoipa::path(
    post,
    path = "/api/v1/stt",
    operation_id = "transcribe",
    tag = "text",
    request_body(content((Recording = "application/json"), (Upload = "multipart/form-data"))),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The transcript.", content((Transcribed = "application/json"), (String = "text/event-stream", example = json!("event: progress\ndata: {\"done_ms\":3200,\"duration_ms\":3200,\"segments\":[]}\n\n")))),
    ),
)]
async fn stt(
    State(text): State<Text>,
    _: May<Converse>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let said = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts_events = said(header::ACCEPT).contains("text/event-stream");
    let wanted = if said(header::CONTENT_TYPE).to_ascii_lowercase().starts_with("multipart/form-data") {
        let parts = Multipart::from_request(request, &()).await;
        uploaded(parts.map_err(|wrong| Problem::of_status(wrong.status(), wrong.body_text()))?).await?
    } else {
        in_json(request).await?
    };
    let began = Instant::now();
    let (samples, place) = decoded(wanted.file).await?;
    let listening = text.chats.listen(samples, wanted.asked)?;
    if wanted.is_streamed || accepts_events {
        return Ok(events(listening, place, began));
    }
    let mut listening = listening;
    while let Some(segments) = listening.next().await {
        segments?;
    }
    let whole: Transcribed = listening.whole(began.elapsed());
    drop(place);
    Ok(Json(whole).into_response())
}

/// `progress` after each piece, with its segments, then `done` with the whole, or `error` with a problem.
fn events(listening: Listening, place: OwnedSemaphorePermit, began: Instant) -> Response {
    let all = stream::unfold(Some(Box::new((listening, place))), move |state| async move {
        let mut state = state?;
        let (listening, _) = &mut *state;
        Some(match listening.next().await {
            Some(Ok(progress)) => (event("progress", &progress), Some(state)),
            Some(Err(error)) => (event("error", &Problem::from(error)), None),
            None => (event("done", &listening.whole(began.elapsed())), None),
        })
    });
    Sse::new(all).keep_alive(KeepAlive::default()).into_response()
}

/// A JSON body of so many bytes at most; `instead` says what to do with a larger one.
pub(super) async fn json_within(request: Request, most: usize, instead: &str) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(format!("a JSON body may have {} MB here: {instead}", most >> 20));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > most) {
        return Err(too_large());
    }
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        })
    });
    if !is_json {
        return Err(Problem::of_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/json; a single sound may also come as a file in multipart/form-data",
        ));
    }
    axum::body::to_bytes(request.into_body(), most).await.map_err(|_| too_large())
}

/// What the JSON says: 400 where it is none, 422 where something else is wanted.
pub(super) fn said<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|wrong| {
        let status = if wrong.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Problem::of_status(status, format!("the body is not right: {wrong}"))
    })
}

async fn in_json(request: Request) -> Result<Wanted, Problem> {
    let body = json_within(request, LARGEST.0, "send larger ones as multipart").await?;
    let recording: Recording = said(&body)?;
    let sound = recording.audio.trim();
    // What browsers put before it in a data URL.
    let sound = sound.split_once(";base64,").map_or(sound, |(_, sound)| sound);
    let bytes = STANDARD.decode(sound).map_err(|wrong| Problem::bad_request(format!("audio is no base64: {wrong}")))?;
    let file = tokio::task::spawn_blocking(move || {
        let mut file = NamedTempFile::new()?;
        file.write_all(&bytes).map(|()| file)
    });
    let file = file.await.map_err(|_| no_room())?.map_err(|_| no_room())?;
    let Recording { language, stream, words, prompt, .. } = recording;
    let asked = Listen { language, words, prompt: prompt.as_deref().and_then(before), ..Listen::default() };
    Ok(Wanted { file, is_streamed: stream, asked })
}

/// Parts: `file` (or `audio`), and perhaps `language`, `stream`, `words` and `prompt`. The file goes to disk as it comes.
async fn uploaded(mut parts: Multipart) -> Result<Wanted, Problem> {
    let broken = |wrong: MultipartError| Problem::of_status(wrong.status(), wrong.body_text());
    let (mut file, mut is_streamed, mut asked) = (None, false, Listen::default());
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match part.name().unwrap_or_default() {
            "file" | "audio" => file = Some(kept(part).await?),
            "language" => {
                let text = part.text().await.map_err(broken)?;
                asked.language = Some(text.trim().parse::<Language>()?).filter(|_| !text.trim().is_empty());
            }
            "stream" => is_streamed = part.text().await.map_err(broken)?.trim() == "true",
            "words" => asked.words = part.text().await.map_err(broken)?.trim() == "true",
            "prompt" => asked.prompt = before(&part.text().await.map_err(broken)?),
            _ => {}
        }
    }
    let file = file.ok_or_else(|| Problem::unprocessable("there is no part named `file`: put the sound into one"))?;
    Ok(Wanted { file, is_streamed, asked })
}

pub(super) async fn kept(mut part: Field<'_>) -> Result<NamedTempFile, Problem> {
    let mut file = NamedTempFile::new().map_err(|_| no_room())?;
    while let Some(bytes) = part.chunk().await.map_err(|wrong| Problem::of_status(wrong.status(), wrong.body_text()))? {
        file = tokio::task::spawn_blocking(move || write(file, &bytes)).await.map_err(|_| no_room())??;
    }
    Ok(file)
}

fn write(mut file: NamedTempFile, bytes: &Bytes) -> Result<NamedTempFile, Problem> {
    file.write_all(bytes).map(|()| file).map_err(|_| no_room())
}

fn no_room() -> Problem {
    Problem::unavailable("the upload cannot be kept on disk while it is read")
}

/// The samples, and their place in memory, which is given up when the reading is over, whoever still waits for it.
pub(super) async fn decoded(file: NamedTempFile) -> Result<(Vec<i16>, OwnedSemaphorePermit), Problem> {
    let busy = || Problem::unavailable("too many recordings are being read").after(30);
    let permit =
        timeout(WAIT, Arc::clone(&IN_MEMORY).acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())?;
    let read = tokio::task::spawn_blocking(move || (prompt::read_within(file.path(), LONGEST_S), permit));
    let (samples, place) = read.await.map_err(|_| Problem::unavailable("the recording could not be read"))?;
    samples.map(|samples| (samples, place)).map_err(|wrong| match wrong {
        milo_media::MediaError::Sound { reason, .. } => Problem::unprocessable(format!("the recording {reason}")),
        other => {
            tracing::warn!(error = %other, "an upload could not be read");
            no_room()
        }
    })
}
