//! `POST /v1/chat/completions`.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::header,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::post,
};
use futures_util::stream;
use milo_models::language_model::{ChatMessage, Role, Usage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{error, refuse};
use crate::{
    chat::{Asked, Completion},
    http::{
        Problem,
        guard::{Converse, May},
        text::Text,
    },
    store::{Key, Stamp},
};

#[derive(Debug, Deserialize)]
struct Wanted {
    /// The name of a persona.
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    seed: Option<i64>,
    stop: Option<Stop>,
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Some(Vec<String>),
}

pub(super) fn routes() -> Router<Text> {
    Router::new().route("/v1/chat/completions", post(complete))
}

async fn complete(
    State(text): State<Text>,
    _: May<Converse>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = body?;
    refuse(
        &wanted.others,
        &[
            ("n", &[json!(1)]),
            ("tools", &[json!([])]),
            ("functions", &[json!([])]),
            ("tool_choice", &[json!("none"), json!("auto")]),
            ("response_format", &[json!({ "type": "text" })]),
            ("logprobs", &[json!(false)]),
            ("logit_bias", &[json!({})]),
            ("top_p", &[json!(1), json!(1.0)]),
            ("frequency_penalty", &[json!(0), json!(0.0)]),
            ("presence_penalty", &[json!(0), json!(0.0)]),
            ("modalities", &[json!(["text"])]),
        ],
    )?;
    let personas = text.chats.personas();
    if !personas.contains(&wanted.model) {
        let says = format!("the model {:?} does not exist; for chats there are {}", wanted.model, personas.join(", "));
        return Err(Problem::not_found(says));
    }
    let messages = wanted.messages.into_iter().map(message).collect::<Result<_, _>>()?;
    let stops = match wanted.stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Some(stops)) => stops,
    };
    let asked = Asked {
        messages,
        persona: Some(wanted.model.clone()),
        max_tokens: wanted.max_tokens,
        temperature: wanted.temperature,
        seed: wanted.seed.map_or(0, i64::unsigned_abs),
        stops,
    };
    let mut completion = text.chats.complete(asked).await?;
    let shape = Shape {
        id: format!("chatcmpl-{}", Key::new()),
        created: Stamp::now().millis() / 1_000,
        model: wanted.model,
        counts: wanted.stream && wanted.stream_options.unwrap_or_default().include_usage,
    };
    // The first words say whether there is an answer at all: after them there is no other status any more.
    let first = completion.next().await.transpose()?;
    if wanted.stream {
        return Ok(streamed(shape, completion, first));
    }
    let mut said = first.unwrap_or_default();
    while let Some(words) = completion.next().await {
        said += &words?;
    }
    let message = json!({ "role": "assistant", "content": said.trim(), "refusal": null });
    let mut whole = shape.with("chat.completion", "message", &message, Some(finish(&completion)));
    if let Some(usage) = completion.usage() {
        whole["usage"] = counted(usage);
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(whole)).into_response())
}

fn message(message: Message) -> Result<ChatMessage, Problem> {
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(Problem::bad_request(format!(
                "the role {other:?} is none of system, developer, user and assistant"
            )));
        }
    };
    let content = match message.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let mut all = Vec::new();
            for part in parts {
                match (part.r#type.as_str(), part.text) {
                    ("text", Some(text)) => all.push(text),
                    (other, _) => {
                        return Err(Problem::bad_request(format!("a part of a message is {other:?}; Milo reads text")));
                    }
                }
            }
            all.join("\n")
        }
    };
    Ok(ChatMessage::new(role, content))
}

/// As the protocol has it.
fn counted(usage: Usage) -> Value {
    let Usage { prompt_tokens, completion_tokens } = usage;
    let total_tokens = prompt_tokens.saturating_add(completion_tokens);
    json!({ "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total_tokens })
}

fn finish(completion: &Completion) -> &'static str {
    if completion.is_cut() { "length" } else { "stop" }
}

/// What every piece of an answer says of it.
struct Shape {
    id: String,
    created: i64,
    model: String,
    /// Whether the last event but one says how many tokens it took, and the others that they do not say it.
    counts: bool,
}

impl Shape {
    fn with(&self, object: &str, name: &str, what: &Value, finish: Option<&str>) -> Value {
        let mut choice = json!({ "index": 0, "logprobs": null, "finish_reason": finish });
        choice[name] = what.clone();
        let mut whole = json!({ "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": [choice] });
        if self.counts {
            whole["usage"] = Value::Null;
        }
        whole
    }

    fn event(&self, delta: &Value, finish: Option<&str>) -> Result<Event, Infallible> {
        Ok(Event::default().data(self.with("chat.completion.chunk", "delta", delta, finish).to_string()))
    }
}

/// The last event but one, where it is wanted and whoever answered has counted.
fn usage(shape: &Shape, completion: &Completion) -> Option<Result<Event, Infallible>> {
    let usage = completion.usage().filter(|_| shape.counts)?;
    let whole = json!({ "id": shape.id, "object": "chat.completion.chunk", "created": shape.created, "model": shape.model,
        "choices": [], "usage": counted(usage) });
    Some(Ok(Event::default().data(whole.to_string())))
}

enum Streaming {
    /// Words that are there already.
    Words(Option<String>),
    Usage,
    Last,
    Over,
}

fn streamed(shape: Shape, completion: Completion, first: Option<String>) -> Response {
    let head = shape.event(&json!({ "role": "assistant", "content": "" }), None);
    let start = (shape, completion, Streaming::Words(first));
    let rest = stream::unfold(start, |(shape, mut completion, state)| async move {
        let (event, state) = match state {
            Streaming::Words(Some(words)) => (shape.event(&json!({ "content": words }), None), Streaming::Words(None)),
            Streaming::Words(None) => match completion.next().await {
                Some(Ok(words)) => (shape.event(&json!({ "content": words }), None), Streaming::Words(None)),
                None => (shape.event(&json!({}), Some(finish(&completion))), Streaming::Usage),
                Some(Err(fault)) => {
                    let problem = Problem::from(fault);
                    let told = error(axum::http::StatusCode::SERVICE_UNAVAILABLE, problem.detail());
                    (Ok(Event::default().data(told.to_string())), Streaming::Last)
                }
            },
            Streaming::Usage => match usage(&shape, &completion) {
                Some(event) => (event, Streaming::Last),
                None => (Ok(Event::default().data("[DONE]")), Streaming::Over),
            },
            Streaming::Last => (Ok(Event::default().data("[DONE]")), Streaming::Over),
            Streaming::Over => return None,
        };
        Some((event, (shape, completion, state)))
    });
    let all = stream::StreamExt::chain(stream::iter([head]), rest);
    ([(header::CACHE_CONTROL, "no-store")], Sse::new(all).keep_alive(KeepAlive::default())).into_response()
}
