//! What the text endpoints need beside the rest, and how what goes wrong there is told.

use std::sync::Arc;

use axum::{
    extract::{FromRef, rejection::JsonRejection},
    http::StatusCode,
};
use milo_models::engine::{EngineError, RemoteFault};
use milo_signaling::webrtc::WebRtc;

use super::{AppState, Problem, around::LARGEST_BODY, whip::Peers};
use crate::{
    batch::Batches,
    call::WebCalls,
    chat::{Chats, Unanswered},
};

/// The state of `chat`, `tts`, `stt`, `batch` and `conversation`. Cheap to clone.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) app: AppState,
    pub(super) chats: Chats,
    pub(super) batches: Batches,
    pub(super) web: WebCalls,
    /// What answers offers of WebRTC, unless that is switched off, and the calls that came so.
    pub(super) webrtc: Option<WebRtc>,
    pub(super) peers: Arc<Peers>,
}

impl FromRef<Text> for AppState {
    fn from_ref(text: &Text) -> Self {
        text.app.clone()
    }
}

impl From<EngineError> for Problem {
    /// What was asked is wrong: 422, or 400 in the words of the server that does not take it. Too much at once, or an engine that fails: 503, and the engine's own words stand in the log.
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Input(says) => Self::unprocessable(says),
            EngineError::Remote { engine, fault: RemoteFault::Unfit, says, .. } => {
                Self::bad_request(format!("the {engine} {says}"))
            }
            EngineError::Overloaded { .. } => Self::unavailable(error.to_string()).after(1).coded("overloaded"),
            EngineError::Stopped { .. }
            | EngineError::Failed { .. }
            | EngineError::Stalled { .. }
            | EngineError::Remote { .. }
            | EngineError::Load(_) => {
                tracing::warn!(%error, "an engine failed a request");
                Self::unavailable("an engine failed; try again in a moment").coded("engine_failed")
            }
        }
    }
}

impl From<Unanswered> for Problem {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Engine(error) => error.into(),
            Unanswered::Nobody(..) => Self::unavailable(why.to_string()),
            Unanswered::Empty => Self::unprocessable(why.to_string()).coded("message_empty"),
            Unanswered::TooLong(_) => Self::unprocessable(why.to_string()).coded("message_too_long"),
            wrong => Self::unprocessable(wrong.to_string()),
        }
    }
}

impl From<JsonRejection> for Problem {
    /// No JSON, or none of the media type: 400 or 415; of the wrong shape: 422; too large: 413.
    fn from(wrong: JsonRejection) -> Self {
        if wrong.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large(format!("a JSON body may have {} MB here", LARGEST_BODY >> 20));
        }
        Self::of_status(wrong.status(), wrong.body_text())
    }
}
