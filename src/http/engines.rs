//! `POST /api/v1/engines/{engine}/reload`: another model in the place of one that is in memory, while calls are up.

use std::path::PathBuf;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use milo_models::engine::Language;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    guard::{Administer, May},
    text::Text,
};
use crate::engines::{Order, Swapped, Unswapped};

/// The model that is wanted.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelOrder, example = json!({"path": "whisper-small-mg"}))]
struct Wanted {
    /// Its file or folder: below `DATA_DIR/models`, from where a relative path leads on, or what the configuration names for this engine.
    /// Left out: what the configuration names, or else the model that ships.
    #[schema(value_type = Option<String>)]
    path: Option<PathBuf>,
    /// What it hears or speaks, or from what it translates (`mg`, `fr`), where there is a model for each language. Left out: one does all, and
    /// of `tts` the path is then that of espeak-ng's data.
    #[schema(value_type = Option<String>)]
    language: Option<Language>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(reload))
}

impl From<Unswapped> for Problem {
    fn from(why: Unswapped) -> Self {
        match why {
            Unswapped::Unknown(_) => Self::not_found(why.to_string()),
            Unswapped::Busy => Self::conflict(why.to_string()),
            Unswapped::Wrong(_) => Self::unprocessable(why.to_string()),
        }
    }
}

/// Put another model in the place of an engine's
///
/// `engine` is `stt`, `llm`, `translate` or `tts`. `language` names the place of a voice, of ears or of a translator of one
/// language. The new model is loaded beside the old one and does its work on trial; from then on
/// it has whatever is begun, and what is under way is ended by the old one. Calls go on. Where it cannot be loaded or fails on trial the
/// old one stays, and the answer says why. Nothing of it outlasts the process. Whoever does not wait for the answer has changed nothing.
#[utoipa::path(
    post,
    path = "/api/v1/engines/{engine}/reload",
    operation_id = "reload_engine",
    tag = "administration",
    params(("engine" = String, Path, description = "`stt`, `llm`, `translate` or `tts`.", example = "stt")),
    request_body(content = Option<Wanted>, content_type = "application/json"),
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "The new model, and what it did on trial.", body = Swapped),
        (status = 404, description = "there is no such engine"),
        (status = 409, description = "another model is being loaded"),
        (status = 422, description = "the path, the model or what it did is not right; the model of before stays"),
    ),
)]
async fn reload(
    State(text): State<Text>,
    may: May<Administer>,
    Path(engine): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    // Its fields by their names: serde takes a list for them too.
    let wanted = match body.is_empty() {
        true => Ok(Wanted::default()),
        false => {
            serde_json::from_slice::<Map<_, _>>(&body).and_then(|body| serde_json::from_value(Value::Object(body)))
        }
    };
    let Wanted { path, language } =
        wanted.map_err(|wrong| Problem::unprocessable(format!("the body is no such order: {wrong}")))?;
    let came = text.chats.change(Order { job: &engine, path: path.as_deref(), language }).await;
    let (target, detail) = match &came {
        Ok(swapped) => (swapped.model.name.clone(), None),
        Err(why) => (path.map_or_else(String::new, |path| path.display().to_string()), Some(why.to_string())),
    };
    // What was tried and refused is as worth knowing as what was done.
    text.app.log.done(may.asker.deed(
        "engines.reload",
        Some(format!("{engine} {target}").trim_end().to_owned()),
        detail,
    ));
    Ok(Json(came?).into_response())
}
