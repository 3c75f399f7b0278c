//! `POST /v1/audio/speech`.

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    response::Response,
    routing::post,
};
use milo_media::sound_file::Container;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

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

#[derive(Debug, Deserialize)]
struct Wanted {
    /// Any: there is one voice.
    #[serde(rename = "model")]
    _model: String,
    input: String,
    voice: Option<String>,
    #[serde(default = "mp3")]
    response_format: String,
    speed: Option<f32>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn mp3() -> String {
    "mp3".into()
}

pub(super) fn routes() -> Router<Text> {
    Router::new().route("/v1/audio/speech", post(speak))
}

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
