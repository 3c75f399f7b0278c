//! `POST /v1/chat/completions`.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use milo_models::language_model::{ChatMessage, Role, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

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

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiChat, example = json!({"model": "demo", "messages": [{"role": "user", "content": "Amin'ny ora firy no misokatra ny birao ?"}]}))]
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
    #[schema(value_type = Option<Stop>)]
    stop: Option<Stop>,
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiStreamOptions)]
struct StreamOptions {
    /// Whether the last event but one says how many tokens it took.
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiMessage)]
struct Message {
    role: String,
    #[schema(value_type = Option<Content>)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = OpenAiContent)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiPart)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = OpenAiStop)]
enum Stop {
    One(String),
    Some(Vec<String>),
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(complete))
}

/// Complete a chat
///
/// With `stream: true` as server-sent events, each a `chat.completion.chunk`, the last one `[DONE]`.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "openai_chat",
    tag = "openai",
    request_body = Wanted,
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The answer.", content((Completed = "application/json"), (String = "text/event-stream", example = json!("data: [DONE]\n\n")))),
        (status = 404, description = "the model \"x\" does not exist"),
    ),
)]
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
    let message = Some(Words { role: "assistant", content: said.trim().into(), refusal: None });
    let choice = Choice { message, finish_reason: Some(finish(&completion)), ..Choice::default() };
    let whole = Completed {
        usage: completion.usage().map(|usage| Some(usage.into())),
        ..shape.with("chat.completion", vec![choice])
    };
    Ok(Json(whole).into_response())
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

impl From<Usage> for Counted {
    fn from(usage: Usage) -> Self {
        let Usage { prompt_tokens, completion_tokens, .. } = usage;
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens }
    }
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

/// An answer, or a piece of one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiCompletion)]
struct Completed {
    #[schema(example = "chatcmpl-0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01")]
    id: String,
    /// `chat.completion`, or `chat.completion.chunk`.
    #[schema(example = "chat.completion")]
    object: &'static str,
    /// Seconds since 1970.
    #[schema(example = 1_796_022_000)]
    created: i64,
    #[schema(example = "demo")]
    model: String,
    /// One; none in the event that tells the usage.
    choices: Vec<Choice>,
    /// Left out where whoever answered has not counted; null in the pieces before the one that tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Counted>)]
    usage: Option<Option<Counted>>,
}

/// How many tokens an answer took.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiUsage)]
struct Counted {
    #[schema(example = 57)]
    prompt_tokens: u64,
    #[schema(example = 12)]
    completion_tokens: u64,
    #[schema(example = 69)]
    total_tokens: u64,
}

#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiChoice)]
struct Choice {
    index: u32,
    /// Of the whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Words>,
    /// Of a piece: what is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!({"content": "Misokatra"}))]
    delta: Option<Value>,
    /// Always null.
    #[schema(example = json!(null))]
    logprobs: Option<Value>,
    /// `stop`, or `length` where the model had not finished.
    #[schema(example = "stop")]
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OpenAiAnswer)]
struct Words {
    #[schema(example = "assistant")]
    role: &'static str,
    #[schema(example = "Misokatra amin'ny valo ora maraina ny birao.")]
    content: String,
    /// Always null.
    #[schema(example = json!(null))]
    refusal: Option<String>,
}

impl Shape {
    fn with(&self, object: &'static str, choices: Vec<Choice>) -> Completed {
        let Self { id, created, model, counts } = self;
        Completed {
            id: id.clone(),
            object,
            created: *created,
            model: model.clone(),
            choices,
            usage: counts.then_some(None),
        }
    }

    fn event(&self, delta: Value, finish_reason: Option<&'static str>) -> Result<Event, Infallible> {
        let choice = Choice { delta: Some(delta), finish_reason, ..Choice::default() };
        Ok(event(&self.with("chat.completion.chunk", vec![choice])))
    }
}

fn event(piece: &Completed) -> Event {
    Event::default().data(serde_json::to_string(piece).unwrap_or_default())
}

/// The last event but one, where it is wanted and whoever answered has counted.
fn usage(shape: &Shape, completion: &Completion) -> Option<Result<Event, Infallible>> {
    let usage = completion.usage().filter(|_| shape.counts)?;
    let piece = Completed { usage: Some(Some(usage.into())), ..shape.with("chat.completion.chunk", Vec::new()) };
    Some(Ok(event(&piece)))
}

enum Streaming {
    /// Words that are there already.
    Words(Option<String>),
    Usage,
    Last,
    Over,
}

fn streamed(shape: Shape, completion: Completion, first: Option<String>) -> Response {
    let head = shape.event(json!({ "role": "assistant", "content": "" }), None);
    let start = (shape, completion, Streaming::Words(first));
    let rest = stream::unfold(start, |(shape, mut completion, state)| async move {
        let (event, state) = match state {
            Streaming::Words(Some(words)) => (shape.event(json!({ "content": words }), None), Streaming::Words(None)),
            Streaming::Words(None) => match completion.next().await {
                Some(Ok(words)) => (shape.event(json!({ "content": words }), None), Streaming::Words(None)),
                None => (shape.event(json!({}), Some(finish(&completion))), Streaming::Usage),
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
    Sse::new(all).keep_alive(KeepAlive::default()).into_response()
}
