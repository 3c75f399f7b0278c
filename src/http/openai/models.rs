//! `GET /v1/models`: the personas, which answer chats, and the models of ear and voice.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    Problem,
    guard::{Converse, May},
    named::Named,
    text::Text,
};

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiModel)]
struct Model {
    #[schema(example = "demo")]
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    created: u64,
    #[schema(example = "milo")]
    owned_by: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiModels)]
struct List {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Model>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(one))
}

fn model(id: &str) -> Model {
    Model { id: id.into(), object: "model", created: 0, owned_by: "milo" }
}

/// What `model` may be: of chats, of transcriptions, of speech.
pub(super) fn known(text: &Text) -> Vec<String> {
    let mut names = text.chats.personas();
    names.extend(["whisper-1".to_owned(), "tts-1".to_owned()]);
    names
}

/// What `model` may be
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "openai_list_models",
    tag = "openai",
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The names.", body = List),
    ),
)]
async fn list(State(text): State<Text>, _: May<Converse>) -> Response {
    let data = known(&text).iter().map(|id| model(id)).collect();
    Json(List { object: "list", data }).into_response()
}

/// One of them
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    operation_id = "openai_get_model",
    tag = "openai",
    params(("id" = String, Path, description = "The name.", example = "demo")),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "It is one.", body = Model),
        (status = 404, description = "the model \"x\" does not exist"),
    ),
)]
async fn one(State(text): State<Text>, _: May<Converse>, Named(id): Named) -> Result<Response, Problem> {
    let known = known(&text);
    if known.contains(&id) {
        return Ok(Json(model(&id)).into_response());
    }
    Err(Problem::not_found(format!("the model {id:?} does not exist; there are {}", known.join(", "))))
}
