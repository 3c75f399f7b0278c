//! `POST /api/v1/chat`: a message and its answer, as one body or as server-sent events; `/api/v1/sessions/{id}`: what was said.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream;
use milo_models::engine::Language;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    guard::{Converse, May},
    named::Named,
    text::Text,
};
use crate::{
    chat::{Answer, Chats, Message, Said, SessionName, Unanswered},
    engines,
};

/// A message.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"message": "Amin'ny ora firy no misokatra ny birao ?", "language": "mg"}))]
struct Chat {
    #[schema(min_length = 1, max_length = 4_000)]
    message: String,
    /// Of an earlier answer, or a name of one's own.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    session_id: Option<String>,
    #[schema(value_type = Option<crate::engines::Tongue>)]
    language: Option<Language>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    stream: bool,
    persona: Option<String>,
}

/// What comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ChatMode)]
enum Mode {
    /// The words.
    #[default]
    Text,
    /// The words, and their sound.
    Voice,
}

/// The whole answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChatAnswer)]
struct Answered {
    #[schema(example = "Misokatra amin'ny valo ora maraina ny birao.")]
    reply: String,
    #[schema(example = "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01")]
    session_id: String,
    /// Where the model ran.
    mode: engines::Mode,
    #[schema(value_type = crate::engines::Tongue)]
    language: Language,
    /// Whether the model takes the conversation to be over.
    ends: bool,
    /// Whether the model said no more although it had not finished.
    cut: bool,
    #[schema(example = 412)]
    processing_ms: u64,
    /// A WAV file, 16 kHz mono, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "UklGRg==")]
    audio: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(chat)).routes(routes!(session)).routes(routes!(forget))
}

/// Answer a message
///
/// With `stream: true`, or `Accept: text/event-stream`, as server-sent events: `session`, one `token` after the other with its
/// `text`, then `done` with the whole answer, or `error` with a problem.
#[utoipa::path(
    post,
    path = "/api/v1/chat",
    operation_id = "chat",
    tag = "text",
    request_body = Chat,
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The answer.", content((Answered = "application/json"), (String = "text/event-stream", example = json!("event: token\ndata: {\"text\":\"Misokatra\"}\n\n")))),
    ),
)]
async fn chat(
    State(text): State<Text>,
    may: May<Converse>,
    headers: HeaderMap,
    body: Result<Json<Chat>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(chat) = body?;
    let began = Instant::now();
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_streamed = chat.stream || accepts.contains("text/event-stream");
    let Chat { message, session_id, language, mode, persona, .. } = chat;
    let session = SessionName::new(may.asker.confined_to(), session_id.as_deref()).ok_or(Unanswered::Session)?;
    let answer = text.chats.ask(Message { text: message, session, language, persona }).await?;
    if is_streamed {
        return Ok(events(text.chats, answer, mode, began));
    }
    let mut answer = answer;
    while let Some(piece) = answer.next().await {
        piece?;
    }
    let answered = whole(&text.chats, &answer, mode, began).await?;
    Ok(Json(answered).into_response())
}

/// The answer, and its sound where that is wanted.
async fn whole(chats: &Chats, answer: &Answer, mode: Mode, began: Instant) -> Result<Answered, Problem> {
    let reply = answer.said().trim().to_owned();
    let audio = match mode {
        Mode::Text => None,
        Mode::Voice => {
            let chats = chats.in_mode(answer.wanted());
            let mut aloud = chats.aloud(&reply, answer.language(), answer.sounding());
            let mut samples = Vec::new();
            while let Some(more) = aloud.next().await {
                samples.extend(more?);
            }
            Some(STANDARD.encode(milo_media::wav::bytes(&samples)))
        }
    };
    Ok(Answered {
        reply,
        session_id: answer.session().into(),
        mode: answer.mode(),
        language: answer.language(),
        ends: answer.ends(),
        cut: answer.is_cut(),
        processing_ms: began.elapsed().as_millis() as u64,
        audio,
    })
}

/// The next words.
#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
}

enum Streaming {
    Words(Box<Answer>),
    Over,
}

/// `session`, then one `token` after the other, then `done` with the whole, or `error` with a problem.
fn events(chats: Chats, answer: Answer, mode: Mode, began: Instant) -> Response {
    #[derive(Serialize)]
    struct Session<'a> {
        session_id: &'a str,
        language: Language,
    }
    let first = event("session", &Session { session_id: answer.session(), language: answer.language() });
    let rest = stream::unfold((chats, Streaming::Words(Box::new(answer))), move |(chats, state)| async move {
        let Streaming::Words(mut answer) = state else { return None };
        let (event, state) = match answer.next().await {
            Some(Ok(text)) => (event("token", &Words { text: &text }), Streaming::Words(answer)),
            Some(Err(error)) => (event("error", &Problem::from(error)), Streaming::Over),
            None => match whole(&chats, &answer, mode, began).await {
                Ok(answered) => (event("done", &answered), Streaming::Over),
                Err(problem) => (event("error", &problem), Streaming::Over),
            },
        };
        Some((event, (chats, state)))
    });
    let all = stream::StreamExt::chain(stream::iter([first]), rest);
    Sse::new(all).keep_alive(KeepAlive::default()).into_response()
}

/// An event whose data is JSON.
pub(super) fn event(name: &str, data: &impl Serialize) -> Result<Event, Infallible> {
    let data = serde_json::to_string(data).unwrap_or_default();
    Ok(Event::default().event(name).data(data))
}

/// What was said in a session.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
struct Shown {
    #[schema(example = "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01")]
    session_id: String,
    #[schema(value_type = crate::engines::Tongue)]
    language: Language,
    exchanges: Vec<Said>,
}

fn unknown() -> Problem {
    Problem::not_found("there is no session with this session_id; it may be over, or Milo was started anew")
}

/// What was said in a session
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}",
    operation_id = "get_session",
    tag = "text",
    params(("id" = String, Path, description = "The `session_id` of an answer.", example = "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01")),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The exchanges that are remembered.", body = Shown),
        (status = 404, description = "there is no session with this session_id; it may be over, or Milo was started anew"),
    ),
)]
async fn session(State(text): State<Text>, may: May<Converse>, Named(id): Named) -> Result<Response, Problem> {
    let name = SessionName::new(may.asker.confined_to(), Some(&id)).ok_or_else(unknown)?;
    let (language, exchanges) = text.chats.sessions().said(&name).await.ok_or_else(unknown)?;
    let shown = Shown { session_id: id, language, exchanges };
    Ok(Json(shown).into_response())
}

/// Forget a session
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    operation_id = "delete_session",
    tag = "text",
    params(("id" = String, Path, description = "The `session_id` of an answer.", example = "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01")),
    security(("key" = ["text"])),
    responses(
        (status = 204, description = "It is forgotten."),
        (status = 404, description = "there is no session with this session_id; it may be over, or Milo was started anew"),
    ),
)]
async fn forget(State(text): State<Text>, may: May<Converse>, Named(id): Named) -> Result<StatusCode, Problem> {
    let name = SessionName::new(may.asker.confined_to(), Some(&id)).ok_or_else(unknown)?;
    if text.chats.sessions().forget(&name).await { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}
