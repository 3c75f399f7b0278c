//! `GET /api/v1/calls/{id}/audio`: a person listens to a call that is up. `GET /api/v1/calls/{id}/takeover`: they speak with its caller in
//! the agent's place. Both are WebSockets.
//!
//! ```text
//! audio:    listening, binary (16 bits, 16 kHz, stereo: the caller left, what they are sent right), missed ◄── call::Listener
//! takeover: binary (16 bits, 16 kHz, mono) ─► Pacer ─► call::Headset ─► bridge ─► the caller
//!           give_back ─► the agent;   taken_over, binary, given_back, error ◄──
//! ```

mod listen;
mod takeover;

use std::time::Duration;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    calls::{missing, unreached},
    guard::{Call, May},
    named::Named,
    socket::{Opening, welcome},
    text::Text,
};
use crate::store::Key;

/// How often a client is asked whether it lives, and how long it may say nothing at all.
const PING: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(15);

/// What stands in the address.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// A ticket of `POST /api/v1/tickets` for `supervision`, in place of a key.
    ticket: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(audio)).routes(routes!(take_over))
}

/// Listen to a call that is up
///
/// Over a WebSocket. Text messages are JSON with a `type`: first `listening` with `call_id`, `sample_rate` and `channels`; `missed` with `ms`
/// where sound was left out because it was not read in time; `transcript` with `text`, `language` and `partial`, what the caller says, `partial`
/// while they still speak; `reply_text` with `text`, as much of a reply as was heard. Binary messages are sound: PCM, 16 bits, little-endian, 16 kHz, stereo, the
/// caller left, and right what the caller is sent, whoever speaks. It ends with the call. While the recording is paused, both sides are
/// silent. The call's events (`listening`, `listened`) and the audit tell who listens; four may at once.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/audio",
    operation_id = "listen_to_call",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log."), Wanted),
    security(("key" = ["calls"])),
    responses(
        (status = 101, description = "The WebSocket is open, and the sound comes."),
        (status = 400, description = "a parameter is not what it should be, or is not known"),
        (status = 403, description = "this needs a key with the scope `calls`, and a page of this host or of `[http] cors_origins`"),
        (status = 404, description = "the log has no call with this identifier"),
        (status = 409, description = "this call is not up, or as many listen to it as may"),
        (status = 426, description = "this address is for a WebSocket"),
    ),
)]
async fn audio(
    State(text): State<Text>,
    may: May<Call>,
    Named(id): Named,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
    opening: Result<Opening, Problem>,
) -> Result<Response, Problem> {
    let (key, opening) = admitted(&text, &id, query, (&headers, opening))?;
    let listener = match text.app.live.overhear(key, may.asker.name()) {
        Ok(listener) => listener,
        Err(why) => return Err(unreached(&text.app, key, why).await),
    };
    text.app.log.done(may.asker.deed("calls.listen", Some(key.to_string()), None));
    Ok(opening.open(move |socket| listen::carry(socket, key, listener)))
}

/// Take a call over from the agent that speaks in it
///
/// Over a WebSocket. Binary messages are sound, both ways: PCM, 16 bits, little-endian, 16 kHz, mono, at most 64 kB each. To the client
/// first comes `taken_over` with `call_id`, once the agent has fallen silent. `{"type": "give_back"}` gives the call back to the agent, which
/// is told what was said, and is answered with `given_back`; so does whoever goes away. With the call's end it closes. The call's events
/// (`taken_over`, `given_back`) and the audit tell who, and the turns what was said (`said_by`).
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/takeover",
    operation_id = "take_call_over",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log."), Wanted),
    security(("key" = ["calls"])),
    responses(
        (status = 101, description = "The WebSocket is open; the call is taken over with `taken_over`."),
        (status = 400, description = "a parameter is not what it should be, or is not known"),
        (status = 403, description = "this needs a key with the scope `calls`, and a page of this host or of `[http] cors_origins`"),
        (status = 404, description = "the log has no call with this identifier"),
        (status = 409, description = "this call is not up, no agent speaks in it, somebody else is about to take it, or its caller would hear nobody speak"),
        (status = 426, description = "this address is for a WebSocket"),
    ),
)]
async fn take_over(
    State(text): State<Text>,
    may: May<Call>,
    Named(id): Named,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
    opening: Result<Opening, Problem>,
) -> Result<Response, Problem> {
    let (key, opening) = admitted(&text, &id, query, (&headers, opening))?;
    let place = match text.app.live.taker(key) {
        Ok(place) => place,
        Err(why) => return Err(unreached(&text.app, key, why).await),
    };
    text.app.log.done(may.asker.deed("calls.takeover", Some(key.to_string()), None));
    let by = may.asker.name().to_owned();
    Ok(opening.open(move |socket| async move {
        let (supervisor, headset) = text.web.supervisor(&by);
        place.send(supervisor);
        takeover::carry(socket, key, headset).await;
    }))
}

/// Which call is meant, and the way to whoever asks: what is wrong is told before the socket opens.
fn admitted(
    text: &Text,
    id: &str,
    query: Result<Query<Wanted>, QueryRejection>,
    (headers, opening): (&HeaderMap, Result<Opening, Problem>),
) -> Result<(Key, Opening), Problem> {
    query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    welcome(headers, &text.app.origins)?;
    let key = id.parse().map_err(|_| missing())?;
    Ok((key, opening?))
}
