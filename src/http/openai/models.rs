//! `GET /v1/models`: the personas, which answer chats, and the models of ear and voice.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::http::{
    Problem,
    guard::{Converse, May},
    text::Text,
};

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

pub(super) fn routes() -> Router<Text> {
    Router::new().route("/v1/models", get(list)).route("/v1/models/{id}", get(one))
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

async fn list(State(text): State<Text>, _: May<Converse>) -> Response {
    let data = known(&text).iter().map(|id| model(id)).collect();
    Json(List { object: "list", data }).into_response()
}

async fn one(State(text): State<Text>, _: May<Converse>, Path(id): Path<String>) -> Result<Response, Problem> {
    let known = known(&text);
    if known.contains(&id) {
        return Ok(Json(model(&id)).into_response());
    }
    Err(Problem::not_found(format!("the model {id:?} does not exist; there are {}", known.join(", "))))
}
