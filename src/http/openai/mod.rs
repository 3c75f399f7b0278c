//! The OpenAI protocol (<https://platform.openai.com/docs/api-reference>), as far as Milo can: programs and libraries that speak it
//! need nothing but another address.
//!
//! ```text
//! /v1/chat/completions ─► chat.rs ───────────► Chats::complete ─┐
//! /v1/audio/speech ─────► speech.rs ─────────► Chats::aloud     ├─ the same engines, places and keys as /api/v1
//! /v1/audio/transcriptions ► transcriptions.rs ► Chats::listen ─┘
//! /v1/models ───────────► models.rs
//! ```
//! What is asked and cannot be done is refused by name. Problems have that protocol's shape: `{"error": {"message", …}}`.

mod chat;
mod models;
mod speech;
mod transcriptions;

use axum::{
    Json,
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use super::{Problem, text::Text};

/// A problem is a sentence or two.
const LONGEST_PROBLEM: usize = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default()
        .merge(chat::routes())
        .merge(speech::routes())
        .merge(transcriptions::routes())
        .merge(models::routes())
}

/// Problems as this protocol has them, whoever raises them: for everything below `/v1/`.
pub(super) async fn in_its_shape(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let response = next.run(request).await;
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
    if !is_problem {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let bytes = http_body_util::Limited::new(body, LONGEST_PROBLEM).collect().await.map(|body| body.to_bytes());
    let problem: Value = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::CONTENT_TYPE);
    let message = problem["detail"].as_str().unwrap_or("something is wrong");
    (head.status, head.headers, Json(error(head.status, message))).into_response()
}

/// A problem, as this protocol has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiProblem)]
pub(super) struct Refusal {
    error: Fault,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiFault)]
struct Fault {
    /// What is wrong, as a sentence for whoever reads it.
    #[schema(example = "the model \"gpt-4\" does not exist; for chats there are demo")]
    message: String,
    #[schema(example = "invalid_request_error")]
    r#type: &'static str,
    /// Always null.
    #[schema(example = json!(null))]
    param: Option<String>,
    #[schema(example = "model_not_found")]
    code: Option<&'static str>,
}

/// `{"error": …}`.
pub(super) fn error(status: StatusCode, message: &str) -> Value {
    let (kind, code) = match status {
        StatusCode::UNAUTHORIZED => ("invalid_request_error", Some("invalid_api_key")),
        StatusCode::NOT_FOUND => ("invalid_request_error", Some("model_not_found")),
        StatusCode::TOO_MANY_REQUESTS => ("requests", Some("rate_limit_exceeded")),
        status if status.is_server_error() => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let error = Fault { message: message.into(), r#type: kind, param: None, code };
    serde_json::to_value(Refusal { error }).unwrap_or_default()
}

/// An option that would change what comes out, and that Milo has not: refused unless it asks for what comes anyway.
fn refuse(options: &serde_json::Map<String, Value>, neutral: &[(&str, &[Value])]) -> Result<(), Problem> {
    for (name, values) in neutral {
        let given = options.get(*name).filter(|given| !given.is_null());
        if let Some(given) = given.filter(|given| !values.contains(given)) {
            let says = format!("`{name}` = {given} is not something that Milo can do; leave it out");
            return Err(Problem::bad_request(says));
        }
    }
    Ok(())
}
