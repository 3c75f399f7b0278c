//! What a dialplan can do with a call: one variant a verb.

use serde::{Deserialize, Serialize};

/// One step of a plan. After ringing, a plan begins with `answer` or `reject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// 180 Ringing for so many seconds.
    Ring {
        /// Seconds, 1 to 60.
        seconds: u64,
    },
    /// 200 OK: the call is up.
    Answer {},
    /// The agent talks until the conversation ends.
    Converse {
        /// A file of `dialplans/personas/`, without its ending.
        persona: String,
    },
    /// The caller hears themselves until they hang up.
    Echo {},
    /// A clocked tone and music.
    Music {
        /// Seconds, 1 to 3,600.
        seconds: u64,
    },
    /// Reads back the digits that are pressed; ends after `#` or ten seconds of nothing.
    Digits {},
    /// BYE.
    Hangup {},
    /// A final refusal instead of an answer.
    Reject {
        /// A SIP status of 400 to 699 (RFC 3261 section 21).
        status: u16,
    },
}

impl Action {
    /// What is impossible about this action, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Ring { seconds } if !(1..=60).contains(seconds) => {
                Some(format!("ring: seconds = {seconds} is not within 1 to 60"))
            }
            Self::Music { seconds } if !(1..=3_600).contains(seconds) => {
                Some(format!("music: seconds = {seconds} is not within 1 to 3600"))
            }
            Self::Reject { status } if !(400..700).contains(status) => {
                Some(format!("reject: status = {status} is not within 400 to 699"))
            }
            Self::Converse { persona } if persona.is_empty() || persona.contains(['/', '\\', '.']) => {
                Some(format!("converse: persona = {persona:?} is not the name of a file in personas/ (without .toml)"))
            }
            _ => None,
        }
    }
}
