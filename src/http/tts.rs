//! `POST /api/v1/tts`: a text as sound, sent while it is made.

use std::io;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use milo_media::{
    SAMPLE_RATE,
    sound_file::{Container, Writer},
    wav,
};
use milo_models::engine::Language;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    guard::{Converse, May},
    text::Text,
};
use crate::chat::{Aloud, Say};

/// Why there is no MP3.
pub(super) const NO_MP3: &str = "this Milo was built without MP3: ask for ogg or wav";

/// What is to be said.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = SpeechOrder, example = json!({"text": "Tonga soa", "language": "mg", "format": "wav"}))]
struct Speech {
    #[serde(flatten)]
    say: Say,
    #[serde(default)]
    format: Format,
}

/// How the sound comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SoundFormat)]
enum Format {
    /// A WAV file, while it is made.
    #[default]
    Wav,
    /// An MP3 file, while it is made.
    Mp3,
    /// Ogg Opus, while it is made.
    #[serde(alias = "opus")]
    Ogg,
    /// A WAV file in base64, in JSON.
    #[serde(alias = "base64")]
    Json,
}

/// The sound in JSON.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Spoken {
    #[schema(example = "UklGRg==")]
    audio: String,
    #[schema(example = "wav")]
    format: &'static str,
    #[schema(example = 16000)]
    sample_rate: u32,
    #[schema(value_type = crate::engines::Tongue)]
    language: Language,
    /// The words as they are said: figures, money and dates read out.
    #[schema(example = "Tonga soa")]
    spoken: String,
    #[schema(example = 740)]
    duration_ms: u64,
    #[schema(example = 31)]
    processing_ms: u64,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(tts))
}

/// Say a text
///
/// The file comes while it is made, with the trailer `X-Processing-Ms`; `format: json` waits for all of it.
#[utoipa::path(
    post,
    path = "/api/v1/tts",
    operation_id = "speak",
    tag = "text",
    request_body = Speech,
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The sound.", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/mpeg"), (Vec<u8> = "audio/ogg"), (Spoken = "application/json"))),
    ),
)]
async fn tts(
    State(text): State<Text>,
    _: May<Converse>,
    body: Result<Json<Speech>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = body?;
    let began = Instant::now();
    let container = match wanted.format {
        Format::Wav => Some(Container::Wav),
        Format::Mp3 => Some(Container::mp3().ok_or_else(|| Problem::unprocessable(NO_MP3))?),
        Format::Ogg => Some(Container::Ogg),
        Format::Json => None,
    };
    let (mut aloud, language) = text.chats.say(&wanted.say)?;
    let spoken = aloud.words();
    // The first samples say whether the voice takes it: after them there is no other status any more.
    let first = aloud.next().await.transpose()?.unwrap_or_default();
    if let Some(container) = container {
        return streamed(aloud, first, container, began);
    }
    let mut samples = first;
    while let Some(more) = aloud.next().await {
        samples.extend(more?);
    }
    let spoken = Spoken {
        audio: STANDARD.encode(wav::bytes(&samples)),
        format: "wav",
        sample_rate: SAMPLE_RATE,
        language,
        spoken,
        duration_ms: samples.len() as u64 * 1000 / u64::from(SAMPLE_RATE),
        processing_ms: began.elapsed().as_millis() as u64,
    };
    Ok(Json(spoken).into_response())
}

/// Where the sending is.
enum Sending {
    /// With samples that were made before.
    Sound(Box<Aloud>, Writer, Option<Vec<i16>>),
    Trailer,
    Over,
}

/// A file whose length nobody knows yet, and behind it the trailer `X-Processing-Ms`. A sound that breaks off ends the
/// connection, so that half of it is not taken for the whole.
pub(super) fn streamed(
    aloud: Aloud,
    first: Vec<i16>,
    container: Container,
    began: Instant,
) -> Result<Response, Problem> {
    let writer = Writer::new(container).map_err(|error| {
        tracing::warn!(%error, "a sound file does not begin");
        Problem::unavailable("the sound cannot be made into a file of this kind now")
    })?;
    let frames = stream::unfold(Sending::Sound(Box::new(aloud), writer, Some(first)), move |state| async move {
        let (frame, state) = match state {
            Sending::Sound(aloud, writer, made) => match sound(aloud, writer, made).await {
                Ok((bytes, Some((aloud, writer)))) => (Ok(Frame::data(bytes)), Sending::Sound(aloud, writer, None)),
                Ok((bytes, None)) => (Ok(Frame::data(bytes)), Sending::Trailer),
                Err(error) => {
                    tracing::warn!(%error, "the voice failed in the middle of a text");
                    (Err(error), Sending::Over)
                }
            },
            Sending::Trailer => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-processing-ms", HeaderValue::from(began.elapsed().as_millis() as u64));
                (Ok(Frame::trailers(trailers)), Sending::Over)
            }
            Sending::Over => return None,
        };
        Some((frame, state))
    });
    let headers = [(header::CONTENT_TYPE, container.media_type()), (header::TRAILER, "x-processing-ms")];
    Ok((headers, Body::new(StreamBody::new(frames))).into_response())
}

/// The next bytes of the file, and what makes those behind them; none at its end. An encoder gathers half a second at first.
async fn sound(
    mut aloud: Box<Aloud>,
    mut writer: Writer,
    mut made: Option<Vec<i16>>,
) -> io::Result<(Bytes, Option<(Box<Aloud>, Writer)>)> {
    loop {
        let samples = match made.take() {
            Some(samples) => samples,
            None => match aloud.next().await.transpose().map_err(io::Error::other)? {
                Some(samples) => samples,
                None => return Ok((writer.finish()?.into(), None)),
            },
        };
        let bytes = writer.write(&samples)?;
        if !bytes.is_empty() {
            return Ok((bytes.into(), Some((aloud, writer))));
        }
    }
}
