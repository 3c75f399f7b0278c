//! `/api/v1/feedback`: what people think of calls and conversations by text.

use axum::{
    Json,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    calls::missing,
    guard::{Converse, May, Read},
    paging::bounds,
};
use crate::store::{Feedback, FeedbackPage, Key, Stamp};

/// Characters of a session's name and of a comment.
const LONGEST_SESSION: usize = 64;
const LONGEST_COMMENT: usize = 4_000;

/// What somebody thinks. Some clients have other names for the same; what else they send is nothing to Milo.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = FeedbackOrder, example = json!({"session_id": "web-42", "rating": 5, "comment": "Valiny tsara."}))]
struct Said {
    /// The conversation by text it is about, 64 characters at most: this, or `call_id`.
    #[serde(alias = "session")]
    session_id: Option<String>,
    /// The call it is about.
    #[serde(alias = "call")]
    call_id: Option<String>,
    /// The turn that is meant, counted from 1; left out: the whole.
    #[serde(alias = "turn_number")]
    #[schema(minimum = 1)]
    turn: Option<i32>,
    #[serde(alias = "score", alias = "thumbs")]
    #[schema(value_type = Rating)]
    rating: Option<Value>,
    /// In words, 4000 characters at most.
    #[serde(alias = "text")]
    comment: Option<String>,
}

/// 1, the worst, to 5; or a thumb: `up` or `down`, or whether it is up.
enum Rating {}

impl ToSchema for Rating {}

impl PartialSchema for Rating {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(5));
        let [text, up] = [Type::String, Type::Boolean].map(|kind| ObjectBuilder::new().schema_type(kind));
        OneOfBuilder::new().item(number).item(text).item(up).into()
    }
}

/// The query of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// As many rows at most; 50 when nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, example = 20)]
    limit: Option<String>,
    /// The `next` of the page before.
    #[param(value_type = Option<String>, format = "uuid")]
    cursor: Option<String>,
    /// Of this call only.
    #[param(value_type = Option<String>, format = "uuid")]
    call_id: Option<String>,
    /// Of this conversation by text only.
    #[param(example = "web-42")]
    session_id: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(give))
}

/// Say what somebody thinks of a call or a conversation by text
#[utoipa::path(
    post,
    path = "/api/v1/feedback",
    operation_id = "give_feedback",
    tag = "calls",
    request_body = Said,
    security(("key" = ["text"])),
    responses(
        (status = 201, description = "As it is kept.", body = Feedback),
        (status = 404, description = "the log has no call with this identifier, or the call has no such turn"),
    ),
)]
async fn give(
    State(state): State<AppState>,
    _: May<Converse>,
    body: Result<Json<Said>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(said) = body?;
    let (rating, thumbs) = rating(said.rating.as_ref())?;
    let named = |name: Option<String>| name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let (session, call) = (named(said.session_id), named(said.call_id));
    if session.is_none() && call.is_none() {
        return Err(Problem::unprocessable("say what it is about: `call_id`, or `session_id`"));
    }
    if session.as_ref().is_some_and(|name| name.chars().count() > LONGEST_SESSION || name.chars().any(char::is_control))
    {
        return Err(Problem::unprocessable(format!("a `session_id` has {LONGEST_SESSION} characters at most")));
    }
    let comment = named(said.comment).map(|comment| comment.replace('\0', "\u{fffd}"));
    if comment.as_ref().is_some_and(|comment| comment.chars().count() > LONGEST_COMMENT) {
        return Err(Problem::unprocessable(format!("a `comment` has {LONGEST_COMMENT} characters at most")));
    }
    if said.turn.is_some_and(|turn| turn < 1) {
        return Err(Problem::unprocessable("a `turn` is counted from 1"));
    }
    state.written().await;
    let call = match (call, &session) {
        (Some(call), _) => {
            let key: Key = call.parse().map_err(|_| missing())?;
            state.store.call(key).await?.ok_or_else(missing)?;
            Some(key)
        }
        // Whoever takes a call for a session means the call.
        (None, Some(session)) => match session.parse::<Key>() {
            Ok(key) => state.store.call(key).await?.map(|call| call.id),
            Err(_) => None,
        },
        (None, None) => None,
    };
    if let (Some(call), Some(turn)) = (call, said.turn)
        && !state.store.turns(call).await?.iter().any(|row| row.number == turn)
    {
        return Err(Problem::not_found(format!("this call has no turn {turn}")));
    }
    let feedback = Feedback {
        id: Key::new(),
        call,
        session,
        turn: said.turn,
        rating,
        thumbs: thumbs.map(Into::into),
        comment,
        at: Stamp::now(),
    };
    state.store.write_feedback(&feedback).await?;
    Ok((StatusCode::CREATED, Json(feedback)).into_response())
}

/// What people think, newest first
#[utoipa::path(
    get,
    path = "/api/v1/feedback",
    operation_id = "list_feedback",
    tag = "calls",
    params(Wanted),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of it.", body = FeedbackPage),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Ok(Query(wanted)) = query else {
        return Err(Problem::bad_request(
            "the list of feedback takes `limit`, `cursor`, `call_id` and `session_id`, once each, and nothing else",
        ));
    };
    let (cursor, limit) = bounds(wanted.limit.as_deref(), wanted.cursor.as_deref())?;
    let wrong = || Problem::bad_request("`call_id` is not the identifier of a call");
    let call = wanted.call_id.map(|call| call.parse::<Key>().map_err(|_| wrong())).transpose()?;
    let session = wanted.session_id.as_deref();
    if session.is_some_and(|session| session.chars().any(char::is_control)) {
        return Err(Problem::bad_request("`session_id` holds no control characters"));
    }
    let page = state.store.feedback((call, session), cursor, limit).await?;
    let page =
        page.ok_or_else(|| Problem::bad_request("what `cursor` points to is no longer there: begin anew without it"))?;
    Ok(Json(page).into_response())
}

/// 1 to 5, or a thumb in one of its spellings.
fn rating(said: Option<&Value>) -> Result<(i16, Option<&'static str>), Problem> {
    let wrong = || Problem::unprocessable("`rating` is a whole number from 1 to 5, or \"up\" or \"down\"");
    let number = |text: &str| text.parse::<i16>().ok().filter(|number| (1..=5).contains(number));
    match said {
        Some(Value::Number(said)) => number(&said.to_string()).map(|number| (number, None)),
        Some(Value::Bool(up)) => Some(thumb(*up)),
        Some(Value::String(text)) => match text.trim().to_lowercase().replace(['-', ' '], "_").as_str() {
            "up" | "thumbs_up" | "thumb_up" | "positive" | "👍" => Some(thumb(true)),
            "down" | "thumbs_down" | "thumb_down" | "negative" | "👎" => Some(thumb(false)),
            text => number(text).map(|number| (number, None)),
        },
        _ => None,
    }
    .ok_or_else(wrong)
}

fn thumb(up: bool) -> (i16, Option<&'static str>) {
    if up { (5, Some("up")) } else { (1, Some("down")) }
}
