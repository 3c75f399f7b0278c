//! `POST /api/v1/translate`: a text in the other language.

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use milo_models::engine::Language;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Problem,
    guard::{Converse, May},
    text::Text,
};
use crate::chat::Untranslated;

/// What is to be translated. As the Python system has it, from Malagasy into French when nothing is said.
#[derive(Debug, Deserialize)]
struct Wanted {
    text: String,
    #[serde(default = "malagasy")]
    source: Language,
    #[serde(default = "french")]
    target: Language,
}

fn malagasy() -> Language {
    Language::Mg
}

fn french() -> Language {
    Language::Fr
}

#[derive(Debug, Serialize)]
struct Translated {
    translation: String,
    source: Language,
    target: Language,
    processing_ms: u64,
}

pub(super) fn routes() -> Router<Text> {
    Router::new().route("/api/v1/translate", post(translate))
}

async fn translate(
    State(text): State<Text>,
    _: May<Converse>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Wanted { text: words, source, target }) = body?;
    let began = Instant::now();
    let translation = text.chats.translate(&words, source, target).await?;
    let translated = Translated { translation, source, target, processing_ms: began.elapsed().as_millis() as u64 };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(translated)).into_response())
}

impl From<Untranslated> for Problem {
    fn from(why: Untranslated) -> Self {
        match why {
            Untranslated::Wrong(says) => Self::unprocessable(says),
            Untranslated::TooLong => Self::unprocessable(why.to_string()),
            Untranslated::Nobody => Self::unavailable(why.to_string()),
            Untranslated::Engine(error) => error.into(),
        }
    }
}
