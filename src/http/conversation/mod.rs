//! `GET /api/v1/conversation`: a call over a WebSocket. The messages are those of the Python system; with `stream=1` the sound comes
//! as it is heard, and may be spoken into.
//!
//! ```text
//! binary: PCM, 16 bits, 16 kHz ─► Pacer ─► pipe ─► leg ─► the call, as of a telephone
//! {"type":"stop"}, dtmf, hangup ─────────► its far end
//! session, vad, transcript, reply_text, reply_audio or binary, clear, mode, error ◄── what happens in it
//! ```
//! `GET /api/v1/media-stream` is the same with other messages (stream.rs).

mod memory;
pub(super) mod messages;
mod stream;
mod talk;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use milo_media::L16;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use memory::Memory;
use talk::Tongue;

use super::{
    Problem,
    guard::{self, Converse, May},
    socket::{Opening, welcome},
    text::Text,
};
use crate::{
    agent::Manner,
    call::{Room, Visitor},
    chat::{SessionName, Unanswered},
};

/// The number that is called where none is named.
const NUMBER: &str = "milo";
/// Who calls, as plans and the log have it: nobody with a number.
const FROM: &str = "websocket";
/// As long as a number may be.
const LONGEST_NUMBER: usize = 64;

/// What stands in the address.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The key, for clients of the Python system and others that can send no header. It may end up in logs of proxies: a ticket does not
    /// matter there.
    api_key: Option<String>,
    /// A ticket of `POST /api/v1/tickets`, in place of a key.
    ticket: Option<String>,
    /// The session to go on with: what was said in it is remembered.
    #[param(pattern = "^[A-Za-z0-9_-]{0,64}$")]
    session_id: Option<String>,
    /// `1`: sound comes as it is heard, in binary messages, Milo greets, and may be spoken into. Otherwise each reply comes whole.
    #[param(pattern = "^(0|1|false|true)?$")]
    stream: Option<String>,
    /// The number that is called: its plan treats the call. Any other than `milo` needs the scope `calls` as well.
    #[param(min_length = 1, max_length = 64)]
    number: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(conversation)).merge(stream::routes())
}

/// Talk with Milo over a WebSocket
///
/// Binary messages are sound: PCM, 16 bits, little-endian, 16 kHz, mono, at most 64 kB each. Text messages are JSON with a `type`. From
/// the client: `stop` (what was said is over), `mute` with `muted`, `say` with a `text` in place of sound, `dtmf` with a `digit`, `hangup`. To the client: `session` with `session_id` and the
/// `call_id` of the log; `vad` with `speaking`; `transcript` with `text`, `language` and `partial`; `reply_text` with `text`;
/// `reply_audio` with `audio`, a WAV file in base64; `mode` with `value`; `error` with a sentence. With `stream=1` binary messages come
/// in place of `reply_audio`, `reply_text` comes with `partial: true` clause by clause and then whole, and `clear` says that sound which
/// has not been played yet shall not be.
#[utoipa::path(
    get,
    path = "/api/v1/conversation",
    operation_id = "converse",
    tag = "calls",
    params(Wanted),
    security(("key" = ["text"])),
    responses(
        (status = 101, description = "The WebSocket is open, and the call begins."),
        (status = 400, description = "a parameter is not what it should be, or is not known"),
        (status = 403, description = "this needs a key with the scope `text`, and a page of this host or of `[http] cors_origins`"),
        (status = 422, description = "no plan answers this number, or the session's name cannot be one"),
        (status = 426, description = "this address is for a WebSocket"),
    ),
)]
async fn conversation(
    State(text): State<Text>,
    may: May<Converse>,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
    opening: Result<Opening, Problem>,
) -> Result<Response, Problem> {
    let Query(wanted) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let manner = match wanted.stream.as_deref() {
        Some("1" | "true") => Manner::Live,
        None | Some("0" | "false" | "") => Manner::Patient,
        Some(_) => return Err(Problem::bad_request("`stream` is 1 or 0")),
    };
    let called = wanted.session_id.filter(|name| !name.is_empty());
    let session = SessionName::new(may.asker.confined_to(), called.as_deref()).ok_or(Unanswered::Session)?;
    let (number, opening, room) = admitted(&text, &may, wanted.number, (&headers, opening))?;
    let detail = json!({ "key": may.asker.name(), "session": session.called(), "stream": manner == Manner::Live });
    Ok(opening.open(move |socket| async move {
        let remembered = text.chats.recalled(&session).await;
        let visitor = Visitor { number, from: FROM, way: FROM, detail, codec: &L16, manner, remembered };
        talk::carry(socket, Tongue::Page(manner), (text.web, room, visitor), Some((text.chats, session))).await;
    }))
}

/// The number that is called by whoever comes over the web.
pub(super) fn called(text: &Text, may: &May<Converse>, wanted: Option<String>) -> Result<String, Problem> {
    let Some(number) = wanted.filter(|number| number != NUMBER) else { return Ok(NUMBER.into()) };
    if !(1..=LONGEST_NUMBER).contains(&number.chars().count()) || number.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!("`number` has 1 to {LONGEST_NUMBER} characters")));
    }
    // Its plan may call others.
    may.asker.also::<guard::Call>(&text.app)?;
    Ok(number)
}

/// Looks whether a call may begin, and takes a place for it.
fn admitted(
    text: &Text,
    may: &May<Converse>,
    number: Option<String>,
    (headers, opening): (&HeaderMap, Result<Opening, Problem>),
) -> Result<(String, Opening, Room), Problem> {
    let number = called(text, may, number)?;
    welcome(headers, &text.app.origins)?;
    text.web.check(&number, FROM)?;
    let opening = opening?;
    Ok((number, opening, text.web.room()?))
}
