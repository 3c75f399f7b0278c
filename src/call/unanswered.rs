//! Why somebody who was called did not come to the telephone, and whether another trunk may reach them.

use std::time::Duration;

use milo_signaling::SignalingError;
use serde_json::{Value, json};

use crate::{
    store::Outcome,
    trunk::{Denied, Trunk},
};

/// Why nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Busy,
    NoAnswer,
    Refused,
    CredentialsRefused,
    /// No telephone of the account is registered.
    NotRegistered,
    /// The call could not be placed, or not brought up.
    Failed,
    /// As many calls are up as may be.
    NoRoom,
    /// The trunk takes no such call.
    Denied(Denied),
}

/// A call that was placed, or was to be, and has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    pub(super) why: Why,
    /// The SIP status that said so.
    pub(super) status: Option<u16>,
    /// Whether another trunk may reach them: it was this way that failed, and nobody was called to the telephone.
    pub(super) elsewhere: bool,
    /// The words that came with the status.
    pub(super) phrase: Option<String>,
}

/// A telephone rings (RFC 3261 section 21.1.2). 183 says no such thing: carriers send it while they look for a way.
pub(super) const RINGING: u16 = 180;

/// As long as a phrase is kept, in characters.
const PHRASE: usize = 100;

impl Unanswered {
    /// What the far side's refusal means (RFC 3261 section 21).
    ///
    /// Another way is tried after what speaks of the way: no response at all (408), a server that has failed (5xx, section 21.5;
    /// of 503 it says so outright), our credentials (401, 407). Not once it has rung. Not after any other 4xx, which speaks of
    /// whom we call or of the request, nor after 6xx, which no other server will do better than (section 21.6).
    pub(super) fn refused(status: u16, rang: bool) -> Self {
        let why = match status {
            486 | 600 => Why::Busy,
            408 | 480 | 487 => Why::NoAnswer,
            401 | 407 => Why::CredentialsRefused,
            _ => Why::Refused,
        };
        let elsewhere = !rang && matches!(status, 401 | 407 | 408 | 500..600);
        Self { why, status: Some(status), elsewhere, phrase: None }
    }

    /// The same, in these words of the far side.
    pub(super) fn saying(self, phrase: &str) -> Self {
        let phrase: String = phrase.chars().filter(|c| !c.is_control()).take(PHRASE).collect();
        Self { phrase: Some(phrase).filter(|phrase| !phrase.is_empty()), ..self }
    }

    /// The same in these words, over a trunk, which keeps what speaks of it for whoever asks how it is.
    pub(super) fn refused_over(trunk: Option<&Trunk>, (status, reason): (u16, &str), rang: bool) -> Self {
        let refused = Self::refused(status, rang);
        if let Some(trunk) = trunk.filter(|_| refused.elsewhere) {
            trunk.failed(status, reason);
        }
        refused.saying(reason)
    }

    /// Nobody came in time. Where it has not even rung, the way is at fault.
    pub(super) fn no_answer(rang: bool) -> Self {
        Self { why: Why::NoAnswer, status: None, elsewhere: !rang, phrase: None }
    }

    /// The call could not be placed.
    pub(super) fn not_placed() -> Self {
        Self { why: Why::Failed, status: None, elsewhere: true, phrase: None }
    }

    /// The call could not be placed, for this reason. Where the house is full, it is for every trunk.
    pub(super) fn unplaced(error: &SignalingError) -> Self {
        match error {
            SignalingError::Full { .. } => Self { why: Why::NoRoom, status: None, elsewhere: false, phrase: None },
            _ => Self::not_placed(),
        }
    }

    /// Whether nothing was sent to anybody.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self.why, Why::NoRoom | Why::Denied(_)) || *self == Self::not_placed()
    }

    /// No telephone of the account is registered.
    pub(super) fn not_registered() -> Self {
        Self { why: Why::NotRegistered, status: None, elsewhere: false, phrase: None }
    }

    /// The call was answered, or heard, and could not be brought up.
    pub(super) fn not_up() -> Self {
        Self { why: Why::Failed, status: None, elsewhere: false, phrase: None }
    }

    /// What whoever has asked for the call by a REFER is told of it.
    pub(super) fn reported(&self) -> u16 {
        match (self.status, self.why) {
            (Some(status), _) => status,
            (None, Why::Busy) => 486,
            (None, Why::NoAnswer | Why::NotRegistered) => 480,
            (None, Why::Refused | Why::CredentialsRefused | Why::Denied(_)) => 403,
            (None, Why::Failed | Why::NoRoom) => 503,
        }
    }

    /// What the event of a call says.
    pub(super) fn result(&self) -> &'static str {
        match self.why {
            Why::Busy => "busy",
            Why::NoAnswer => "no answer",
            Why::Refused => "refused",
            Why::CredentialsRefused => "credentials refused",
            Why::NotRegistered => "not registered",
            Why::Failed => "failed",
            Why::NoRoom => "as many calls are up as may be",
            Why::Denied(denied) => denied.as_str(),
        }
    }

    /// The event of a try over one of several trunks.
    pub(super) fn tried(&self, trunk: &str, after: Duration) -> Value {
        let after_ms = after.as_millis() as u64;
        json!({ "trunk": trunk, "result": self.result(), "status": self.status, "phrase": self.phrase, "after_ms": after_ms })
    }

    /// What the row of a call says.
    pub(super) fn outcome(&self) -> Outcome {
        match self.why {
            Why::Busy => Outcome::Busy,
            Why::NoAnswer | Why::NotRegistered => Outcome::NoAnswer,
            Why::Refused | Why::CredentialsRefused => Outcome::Refused,
            Why::Failed | Why::NoRoom | Why::Denied(_) => Outcome::Failed,
        }
    }
}

impl From<Denied> for Unanswered {
    fn from(denied: Denied) -> Self {
        Self { why: Why::Denied(denied), status: None, elsewhere: true, phrase: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_is_tried_when_this_one_failed_and_nobody_was_asked() {
        for status in [401, 407, 408, 500, 502, 503, 504, 580] {
            assert!(Unanswered::refused(status, false).elsewhere, "{status}");
            assert!(!Unanswered::refused(status, true).elsewhere, "{status}, and it rang");
        }
        // They are there, and do not come; or the request is wrong wherever it is sent.
        for status in [302, 400, 403, 404, 480, 484, 486, 487, 488, 600, 603, 604, 606] {
            assert!(!Unanswered::refused(status, false).elsewhere, "{status}");
        }
        assert!(Unanswered::no_answer(false).elsewhere && !Unanswered::no_answer(true).elsewhere);
    }
}
