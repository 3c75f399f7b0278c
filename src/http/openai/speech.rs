//! `POST /v1/audio/speech`.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::Response,
};
use milo_media::sound_file::Container;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::refuse;
use crate::{
    chat::Say,
    http::{
        Problem,
        guard::{Converse, May},
        text::Text,
        tts::{self, NO_MP3},
    },
};

/// Names of the protocol's own voices: whoever asks for one gets Milo's plain voice.
const THEIRS: [&str; 13] =
    ["alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"];

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiSpeech, example = json!({"model": "tts-1", "input": "Tonga soa", "response_format": "wav"}))]
struct Wanted {
    /// Any: there is one voice.
    #[serde(rename = "model")]
    _model: String,
    #[schema(min_length = 1, max_length = 10000)]
    input: String,
    voice: Option<String>,
    #[serde(default = "mp3")]
    #[schema(pattern = "^(mp3|opus|wav|pcm)$")]
    response_format: String,
    #[schema(minimum = 0.6, maximum = 2.5)]
    speed: Option<f32>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn mp3() -> String {
    "mp3".into()
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(speak))
}

/// Say a text
#[utoipa::path(
    post,
    path = "/v1/audio/speech",
    operation_id = "openai_speech",
    tag = "openai",
    request_body = Wanted,
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The sound, while it is made.", content((Vec<u8> = "audio/mpeg"), (Vec<u8> = "audio/ogg"), (Vec<u8> = "audio/wav"), (Vec<u8> = "audio/pcm"))),
    ),
)]
async fn speak(
    State(text): State<Text>,
    _: May<Converse>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = body?;
    refuse(&wanted.others, &[("stream_format", &[json!("audio")]), ("instructions", &[json!("")])])?;
    let container = match wanted.response_format.as_str() {
        "mp3" => Container::mp3().ok_or_else(|| Problem::unprocessable(NO_MP3))?,
        "opus" => Container::Ogg,
        "wav" => Container::Wav,
        "pcm" => Container::Raw,
        other => {
            return Err(Problem::bad_request(format!(
                "response_format is {other:?}; there are mp3, opus, wav and pcm"
            )));
        }
    };
    let began = Instant::now();
    let voice = wanted.voice.filter(|voice| !THEIRS.contains(&voice.as_str()));
    let say = Say { text: wanted.input, language: None, voice, speed: wanted.speed };
    let (mut aloud, _) = text.chats.say(&say)?;
    let first = aloud.next().await.transpose()?.unwrap_or_default();
    tts::streamed(aloud, first, container, began)
}
