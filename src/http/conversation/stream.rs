//! `GET /api/v1/media-stream`: the messages of Twilio's Media Streams, so that bridges to hosted telephony have Milo at their far end.
//!
//! ```text
//! connected, start, media (µ-law, 8 kHz, base64), dtmf, mark, stop ─► the call ─► media, mark behind each reply, clear
//! ```

use std::time::Duration;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use milo_media::dtmf::is_key;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        Problem,
        guard::{Converse, May},
        socket::{Close, Opening, Outbox, Socket, close},
        text::Text,
    },
    admitted,
    messages::Said,
    talk::{self, Tongue},
};
use crate::{
    agent::{Happened, Manner},
    call::Visitor,
};

/// How long the client may take until it says `start`.
const START: Duration = Duration::from_secs(10);
/// As long as what a client calls its stream may be.
const LONGEST_NAME: usize = 100;

/// What stands in the address.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The key, where no header can be sent.
    api_key: Option<String>,
    /// A ticket of `POST /api/v1/tickets` for `media-stream`, in place of a key.
    ticket: Option<String>,
    /// The number that is called: its plan treats the call. Any other than `milo` needs the scope `calls` as well.
    #[param(min_length = 1, max_length = 64)]
    number: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(media_stream))
}

/// Put a call of hosted telephony through to Milo
///
/// The messages are those of Twilio's Media Streams. From the client: `connected`, `start`, `media` with sound (µ-law, 8 kHz, base64),
/// `dtmf`, `mark`, `stop`. To the client: `media`, a `mark` behind each reply, and `clear` when the caller has spoken into it.
#[utoipa::path(
    get,
    path = "/api/v1/media-stream",
    operation_id = "media_stream",
    tag = "calls",
    params(Wanted),
    security(("key" = ["text"])),
    responses(
        (status = 101, description = "The WebSocket is open; the call begins with `start`."),
        (status = 400, description = "a parameter is not what it should be, or is not known"),
        (status = 403, description = "this needs a key with the scope `text`, and a page of this host or of `[http] cors_origins`"),
        (status = 422, description = "no plan answers this number"),
        (status = 426, description = "this address is for a WebSocket"),
    ),
)]
async fn media_stream(
    State(text): State<Text>,
    may: May<Converse>,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
    opening: Result<Opening, Problem>,
) -> Result<Response, Problem> {
    let Query(wanted) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let (number, opening, room) = admitted(&text, &may, wanted.number, (&headers, opening))?;
    let key = may.asker.name().to_owned();
    Ok(opening.open(move |mut socket| async move {
        let started = timeout(START, start(&mut socket)).await;
        let started = started.unwrap_or_else(|_| Err(Close::policy("no `start` came within ten seconds")));
        let (name, call) = match started {
            Ok(started) => started,
            Err(why) => return close(socket, &Outbox::default(), &why).await,
        };
        let detail = json!({ "key": key, "stream": name, "call": call });
        let (way, manner) = ("media-stream", Manner::Live);
        let visitor =
            Visitor { number, from: super::FROM, way, detail, codec: Tongue::STREAM, manner, remembered: Vec::new() };
        talk::carry(socket, Tongue::Stream(Streaming { name, replies: 0 }), (text.web, room, visitor), None).await;
    }))
}

/// Waits for `start`: what the client calls the stream, and the call.
async fn start(socket: &mut Socket) -> Result<(String, String), Close> {
    while let Some(Ok(message)) = socket.next().await {
        let event = match &message {
            Message::Text(text) => event(text)?,
            Message::Binary(_) => return Err(binary()),
            _ => continue,
        };
        if event["event"] != "start" {
            continue;
        }
        let (start, name) = (&event["start"], |value: &Value| value.as_str().map(str::to_owned));
        let format = &start["mediaFormat"];
        let differs = |field: &str, wanted: Value| !format[field].is_null() && format[field] != wanted;
        if differs("encoding", json!("audio/x-mulaw"))
            || differs("sampleRate", json!(8_000))
            || differs("channels", json!(1))
        {
            return Err(Close::unsupported("the mediaFormat is audio/x-mulaw, 8000 Hz, one channel"));
        }
        let stream = name(&event["streamSid"]).or_else(|| name(&start["streamSid"])).unwrap_or_default();
        let call = name(&start["callSid"]).unwrap_or_default();
        if stream.is_empty() || stream.len() > LONGEST_NAME || call.len() > LONGEST_NAME {
            return Err(Close::invalid(format!("`start` has a streamSid of 1 to {LONGEST_NAME} letters")));
        }
        return Ok((stream, call));
    }
    Err(Close::done("the client is gone"))
}

fn event(text: &str) -> Result<Value, Close> {
    let event = serde_json::from_str::<Value>(text).ok().filter(|event| event["event"].is_string());
    event.ok_or_else(|| Close::invalid("a message is a JSON object with an `event`"))
}

fn binary() -> Close {
    Close::unsupported("sound comes in `media` events, as base64")
}

/// A stream that has begun.
#[derive(Debug)]
pub(super) struct Streaming {
    name: String,
    replies: u32,
}

impl Streaming {
    /// What a message of the client says.
    pub(super) fn read(message: &Message) -> Result<Said, Close> {
        let event = match message {
            Message::Text(text) => event(text)?,
            Message::Binary(_) => return Err(binary()),
            Message::Close(_) => return Ok(Said::HangUp),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(Said::Nothing),
        };
        match event["event"].as_str().unwrap_or_default() {
            "media" if event["media"]["track"] == "outbound" => Ok(Said::Nothing),
            "media" => {
                let payload = event["media"]["payload"].as_str().and_then(|payload| STANDARD.decode(payload).ok());
                payload.map(Said::Sound).ok_or_else(|| Close::invalid("the payload of `media` is base64"))
            }
            "dtmf" => {
                let digit = event["dtmf"]["digit"].as_str().unwrap_or_default();
                Ok(digit.chars().next().filter(|key| is_key(*key)).map_or(Said::Nothing, Said::Key))
            }
            "stop" => Ok(Said::HangUp),
            // `connected`, `mark`, and what there may be one day.
            _ => Ok(Said::Nothing),
        }
    }

    fn message(&self, kind: &str, more: Option<Value>) -> Message {
        let mut event = json!({ "event": kind, "streamSid": self.name });
        more.into_iter().for_each(|more| event[kind] = more);
        Message::text(event.to_string())
    }

    /// 20 ms of Milo's voice.
    pub(super) fn sound(&self, payload: &[u8]) -> Message {
        self.message("media", Some(json!({ "payload": STANDARD.encode(payload) })))
    }

    /// What the client is told of what happened.
    pub(super) fn told(&mut self, happened: &Happened) -> Option<Message> {
        match happened {
            Happened::Cleared => Some(self.message("clear", None)),
            Happened::Said { interrupted: false, .. } => {
                self.replies += 1;
                Some(self.message("mark", Some(json!({ "name": format!("reply-{}", self.replies) }))))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_those_of_the_protocol() {
        let said = |text: &str| Streaming::read(&Message::text(text));
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"track":"inbound","chunk":"1","payload":"/wD/"}}"#;
        assert_eq!(said(media), Ok(Said::Sound(vec![0xff, 0, 0xff])));
        assert_eq!(said(r#"{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"7"}}"#), Ok(Said::Key('7')));
        assert_eq!(said(r#"{"event":"stop"}"#), Ok(Said::HangUp));
        for nothing in [r#"{"event":"mark","mark":{"name":"a"}}"#, r#"{"event":"media","media":{"track":"outbound"}}"#]
        {
            assert_eq!(said(nothing), Ok(Said::Nothing), "{nothing}");
        }
        for wrong in ["x", "[]", r#"{"event":"media","media":{"payload":"!"}}"#] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
        let mut stream = Streaming { name: "MZ1".into(), replies: 0 };
        let text = |message: Message| message.into_text().unwrap().to_string();
        let json = |message: Message| serde_json::from_str::<Value>(&text(message)).unwrap();
        let media = json!({ "event": "media", "streamSid": "MZ1", "media": { "payload": "/wA=" } });
        assert_eq!(json(stream.sound(&[0xff, 0])), media);
        let clear = json!({ "event": "clear", "streamSid": "MZ1" });
        assert_eq!(json(stream.told(&Happened::Cleared).unwrap()), clear);
        let over = Happened::Said {
            text: String::new(),
            heard: String::new(),
            interrupted: false,
            mode: None,
            total_ms: None,
        };
        let mark = json!({ "event": "mark", "streamSid": "MZ1", "mark": { "name": "reply-1" } });
        assert_eq!(json(stream.told(&over).unwrap()), mark);
    }
}
