//! `POST /api/v1/translate`: a text in the other language.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
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
use crate::chat::{By, Untranslated};

/// What is to be translated. As the Python system has it, from Malagasy into French when nothing is said.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = TranslationOrder, example = json!({"text": "Tonga soa", "source": "mg", "target": "fr"}))]
struct Wanted {
    #[schema(min_length = 1, max_length = 5000)]
    text: String,
    #[serde(default = "malagasy")]
    #[schema(value_type = crate::engines::Tongue)]
    source: Language,
    #[serde(default = "french")]
    #[schema(value_type = crate::engines::Tongue)]
    target: Language,
}

fn malagasy() -> Language {
    Language::Mg
}

fn french() -> Language {
    Language::Fr
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Translation)]
struct Translated {
    #[schema(example = "Bienvenue")]
    translation: String,
    /// How sure it is, 0 to 1: 1 of set phrases, of others that of the least sure sentence; none of a language model.
    #[schema(example = 0.97)]
    confidence: Option<f32>,
    /// What translated it.
    by: By,
    #[schema(value_type = crate::engines::Tongue)]
    source: Language,
    #[schema(value_type = crate::engines::Tongue)]
    target: Language,
    #[schema(example = 350)]
    processing_ms: u64,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(translate))
}

/// Translate a text
///
/// From Malagasy into French when nothing is said. Set phrases are translated by heart; all else by the translator that is configured,
/// else by the language model. Without both the small translator that ships does what it is sure of. 503 where no engine can.
#[utoipa::path(
    post,
    path = "/api/v1/translate",
    operation_id = "translate",
    tag = "text",
    request_body = Wanted,
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The translation.", body = Translated),
    ),
)]
async fn translate(
    State(text): State<Text>,
    _: May<Converse>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Wanted { text: words, source, target }) = body?;
    let began = Instant::now();
    let said = text.chats.translate(&words, source, target).await?;
    let processing_ms = began.elapsed().as_millis() as u64;
    let translated =
        Translated { translation: said.text, confidence: said.confidence, by: said.by, source, target, processing_ms };
    Ok(Json(translated).into_response())
}

impl From<Untranslated> for Problem {
    fn from(why: Untranslated) -> Self {
        match why {
            Untranslated::Wrong(says) => Self::unprocessable(says),
            Untranslated::TooLong | Untranslated::Lost => Self::unprocessable(why.to_string()),
            Untranslated::Nobody | Untranslated::Unsure(..) => Self::unavailable(why.to_string()),
            Untranslated::Engine(error) => error.into(),
        }
    }
}
