//! The messages of a conversation, both ways.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use milo_media::dtmf::is_key;
use milo_models::text::shown;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::super::socket::Close;
use crate::{
    agent::{Happened, Manner},
    call::NotPlaced,
};

/// How long a key is taken to be down.
pub(in crate::http) const PRESS: Duration = Duration::from_millis(120);

/// As long as what is written in place of being said may be, in characters.
const LONGEST_TEXT: usize = 2_000;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Said {
    /// Sound, as L16: two bytes a sample, the greater first.
    Sound(Vec<u8>),
    /// What it said is over.
    Stop,
    /// A key was pressed.
    Key(char),
    /// Its sound is not listened to, or is again.
    Mute(bool),
    /// It says this by writing it.
    Say(String),
    HangUp,
    /// It is alive.
    Nothing,
    /// Something that is not understood, and why; the call goes on.
    Strange(String),
}

/// What a message of a client says.
///
/// # Errors
/// Why there is nothing more to be said to each other.
pub(super) fn read(message: Message) -> Result<Said, Close> {
    match message {
        Message::Binary(bytes) if bytes.len() % 2 != 0 => {
            let says = format!("sound is PCM of 16 bits: {} bytes are no whole number of samples", bytes.len());
            Err(Close::invalid(says))
        }
        Message::Binary(bytes) => Ok(Said::Sound(swapped(&bytes))),
        Message::Text(text) => said(&text),
        Message::Close(_) => Ok(Said::HangUp),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Said::Nothing),
    }
}

/// What a text message says.
pub(in crate::http) fn said(text: &str) -> Result<Said, Close> {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Err(Close::invalid("a text message is JSON, like {\"type\":\"stop\"}; sound goes in binary messages"));
    };
    let Some(kind) = message["type"].as_str() else {
        return Err(Close::unsupported("a text message is an object with a `type`; sound goes in binary messages"));
    };
    Ok(match kind {
        "stop" => Said::Stop,
        "hangup" => Said::HangUp,
        "dtmf" => {
            let digit = message["digit"].as_str().unwrap_or_default();
            let mut keys = digit.chars();
            match (keys.next().filter(|key| is_key(*key)), keys.next()) {
                (Some(key), None) => Said::Key(key),
                _ => Said::Strange("`digit` is one of 0 to 9, *, # and A to D".into()),
            }
        }
        "mute" => match message["muted"].as_bool() {
            Some(muted) => Said::Mute(muted),
            None => Said::Strange("`muted` is true or false".into()),
        },
        "say" => match message["text"].as_str().map(str::trim) {
            Some(text) if !text.is_empty() && text.chars().count() <= LONGEST_TEXT => Said::Say(text.to_owned()),
            _ => Said::Strange(format!("`text` has 1 to {LONGEST_TEXT} characters")),
        },
        _ => Said::Strange("`type` is none that is known here: there are stop, mute, say, dtmf and hangup".into()),
    })
}

/// The same samples, their bytes the other way round.
pub(in crate::http) fn swapped(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks::<2>().0.iter().flat_map(|&[one, two]| [two, one]).collect()
}

/// As a WebSocket carries it.
pub(super) fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

/// The first message.
pub(in crate::http) fn session(session: &str, call: &str) -> Value {
    json!({ "type": "session", "session_id": session, "call_id": call })
}

/// Something is wrong.
pub(in crate::http) fn fault(says: &str) -> Value {
    json!({ "type": "error", "error": says })
}

/// Something is wrong that has a name, as problems have: a page says it in another language.
pub(in crate::http) fn coded(code: &str, says: &str) -> Value {
    json!({ "type": "error", "error": says, "code": code })
}

/// More was written than is read.
pub(in crate::http) fn unread() -> Value {
    coded("unread", "nobody reads what is written now: say it after the reply, to a plan that converses")
}

/// There is no call after all.
pub(in crate::http) fn not_begun(why: &NotPlaced) -> Value {
    let code = if matches!(why, NotPlaced::Full) { "lines_taken" } else { "unavailable" };
    coded(code, why.says())
}

/// A key that is pressed for the client.
pub(in crate::http) fn pressed(key: char) -> Value {
    json!({ "type": "dtmf", "digit": key.to_string() })
}

/// The same for a WebSocket.
pub(super) fn key(key: char) -> Message {
    text(&pressed(key))
}

/// What those on a WebSocket are told of what happened.
pub(super) fn told(happened: &Happened, manner: Manner) -> Vec<Message> {
    events(happened, manner).iter().map(text).collect()
}

/// What those who take part so are told of what happened.
pub(in crate::http) fn events(happened: &Happened, manner: Manner) -> Vec<Value> {
    let is_live = manner == Manner::Live;
    let state = |value: &str| json!({ "type": "state", "value": value });
    match happened {
        Happened::Speaking(speaking) => vec![json!({ "type": "vad", "speaking": speaking })],
        Happened::Heard { is_partial: true, .. } if !is_live => Vec::new(),
        Happened::Heard { text, language, is_partial } => {
            let written = shown(text);
            let language = language.code();
            let heard = json!({
                "type": "transcript", "text": text, "written": written, "partial": is_partial, "language": language
            });
            let thinks = is_live && !is_partial;
            [heard].into_iter().chain(thinks.then(|| state("thinking"))).collect()
        }
        Happened::Clause(text) if is_live => {
            vec![state("speaking"), json!({ "type": "reply_text", "text": text, "partial": true })]
        }
        Happened::Whole { text, samples, mode } => {
            let audio = STANDARD.encode(milo_media::wav::bytes(samples));
            let mode = mode.map(|mode| json!({ "type": "mode", "value": mode }));
            let reply =
                [json!({ "type": "reply_text", "text": text }), json!({ "type": "reply_audio", "audio": audio })];
            reply.into_iter().chain(mode).collect()
        }
        Happened::Cleared if is_live => vec![json!({ "type": "clear" })],
        Happened::Said { text, heard, interrupted, mode, total_ms } if is_live => {
            let reply = json!({
                "type": "reply_text",
                "text": text,
                "partial": false,
                "heard": heard,
                "interrupted": interrupted,
                "total_ms": total_ms.map(f64::round),
            });
            let mode = mode.map(|mode| json!({ "type": "mode", "value": mode }));
            [reply].into_iter().chain(mode).chain([state("listening")]).collect()
        }
        Happened::Failed => {
            vec![coded("engine_failed", "an engine failed; say it again in a moment")]
        }
        Happened::Clause(_) | Happened::Cleared | Happened::Said { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_understood_or_named() {
        let read_text = |text: &str| read(Message::text(text));
        assert_eq!(read(Message::binary(vec![1, 2, 3, 4])), Ok(Said::Sound(vec![2, 1, 4, 3])));
        assert_eq!(read_text(r#"{"type":"stop"}"#), Ok(Said::Stop));
        assert_eq!(read_text(r##"{"type":"dtmf","digit":"#"}"##), Ok(Said::Key('#')));
        for strange in [r#"{"type":"dtmf","digit":"12"}"#, r#"{"type":"dtmf"}"#, r#"{"type":"start"}"#] {
            assert!(matches!(read_text(strange), Ok(Said::Strange(_))), "{strange}");
        }
        assert!(read(Message::binary(vec![1, 2, 3])).is_err_and(|close| close.reason().contains("3 bytes")));
        for (wrong, why) in [("UklGRiQ=", "JSON"), ("{", "JSON"), ("[1]", "`type`"), ("{}", "`type`"), ("7", "`type`")]
        {
            assert!(read_text(wrong).is_err_and(|close| close.reason().contains(why)), "{wrong}");
        }
    }

    #[test]
    fn clients_of_the_python_system_see_nothing_that_it_did_not_send() {
        let kinds = |happened: &Happened, manner| -> Vec<String> {
            let all = told(happened, manner).into_iter().map(|message| message.into_text().unwrap().to_string());
            all.map(|text| serde_json::from_str::<Value>(&text).unwrap()["type"].as_str().unwrap().to_owned()).collect()
        };
        let whole =
            Happened::Whole { text: "Salama".into(), samples: vec![0; 160], mode: Some(crate::engines::Mode::Local) };
        assert_eq!(kinds(&whole, Manner::Patient), ["reply_text", "reply_audio", "mode"]);
        let said = Happened::Said {
            text: "Salama".into(),
            heard: "Salama".into(),
            interrupted: false,
            mode: Some(crate::engines::Mode::Local),
            total_ms: None,
        };
        for (happened, live) in
            [(Happened::Clause("a".into()), 2), (Happened::Cleared, 1), (said, 3), (Happened::Speaking(true), 1)]
        {
            let is_both = happened == Happened::Speaking(true);
            assert_eq!(kinds(&happened, Manner::Live).len(), live, "{happened:?}");
            assert_eq!(kinds(&happened, Manner::Patient).len(), usize::from(is_both), "{happened:?}");
        }
    }
}
