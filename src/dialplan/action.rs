//! What a dialplan can do with a call: one variant a verb.

use milo_media::tone::{Country, Pattern, Signal};
use serde::{Deserialize, Serialize};

use super::Dial;
use crate::press::{self, PressBy};

/// One step of a plan. After ringing, and what is heard early, a plan begins with `answer` or `reject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// 180 Ringing for so many seconds.
    Ring {
        /// Seconds, 1 to 60.
        seconds: u64,
    },
    /// 183 Session Progress: the caller hears what stands between here and `answer` or `reject` (`play`, `tone`, `music`)
    /// while nothing is charged. A caller that cannot be heard early rings instead.
    Early {},
    /// 200 OK: the call is up.
    Answer {},
    /// The agent talks until the conversation ends.
    Converse {
        /// A file of `dialplans/personas/`, without its ending.
        persona: String,
    },
    /// The caller hears themselves until they hang up.
    Echo {},
    /// Calls somebody else and joins the two.
    Dial(Dial),
    /// A sound file (WAV, Ogg, MP3, FLAC), as a path within the folder of dialplans.
    Play(String),
    /// Music, for whoever waits: these files of the folder of dialplans, over and over, or the built-in music.
    Music {
        /// Seconds, 1 to 3,600.
        seconds: u64,
        /// Sound files, one after the other.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
    },
    /// A signal of a country's telephone network.
    Tone {
        /// Two letters: `mg`, `fr`, `re`, `za`, `gb`, `de`, `us`, `ca`.
        country: String,
        /// `dial`, `ringback`, `busy` or `congestion`.
        signal: String,
        /// Seconds, 1 to 3,600.
        seconds: u64,
    },
    /// Begins, pauses, resumes or ends the call's recording.
    Recording(RecordingStep),
    /// Reads back the digits that are pressed; ends after `#` or ten seconds of nothing.
    Digits {},
    /// Presses keys, for machines that answer with a menu.
    Press {
        /// `0` to `9`, `*`, `#`, `A` to `D`; 1 to 64 of them.
        digits: String,
        /// `agreed` (telephone-event, or tones where it was not agreed on), `info` (SIP INFO) or `tones`.
        #[serde(default)]
        by: PressBy,
    },
    /// BYE.
    Hangup {},
    /// A final refusal instead of an answer.
    Reject {
        /// A SIP status of 400 to 699 (RFC 3261 section 21).
        status: u16,
    },
}

/// What the verb `recording` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingStep {
    /// From here on the call is recorded, whatever else says so; after the announcement, if one is configured.
    Start,
    /// Silence is recorded in place of both sides: for card numbers.
    Pause,
    /// Both sides again.
    Resume,
    /// The recording ends; `start` begins another file.
    Stop,
}

impl Action {
    /// The signal that `tone` names, once it was checked.
    pub fn pattern(country: &str, signal: &str) -> Option<Pattern> {
        Some(Country::of_code(country)?.pattern(Signal::named(signal)?))
    }

    /// Whether it may stand before the answer, behind `early`.
    pub(super) fn is_heard_early(&self) -> bool {
        matches!(self, Self::Play(_) | Self::Music { .. } | Self::Tone { .. })
    }

    /// The sound files it plays.
    pub(super) fn sounds(&self) -> &[String] {
        match self {
            Self::Play(file) => std::slice::from_ref(file),
            Self::Music { files, .. } => files,
            Self::Dial(dial) => &dial.music_files,
            _ => &[],
        }
    }

    /// What is impossible about this action, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Ring { seconds } if !(1..=60).contains(seconds) => {
                Some(format!("ring: seconds = {seconds} is not within 1 to 60"))
            }
            Self::Music { seconds, .. } if !(1..=3_600).contains(seconds) => {
                Some(format!("music: seconds = {seconds} is not within 1 to 3600"))
            }
            Self::Tone { seconds, .. } if !(1..=3_600).contains(seconds) => {
                Some(format!("tone: seconds = {seconds} is not within 1 to 3600"))
            }
            Self::Tone { country, .. } if Country::of_code(country).is_none() => Some(format!(
                "tone: country = {country:?} is not one of {}",
                Country::ALL.map(Country::code).join(", ")
            )),
            Self::Tone { signal, .. } if Signal::named(signal).is_none() => {
                Some(format!("tone: signal = {signal:?} is not one of {}", Signal::ALL.map(Signal::name).join(", ")))
            }
            Self::Press { digits, .. } => {
                press::fault(digits).map(|fault| format!("press: digits = {digits:?}: {fault}"))
            }
            Self::Reject { status } if !(400..700).contains(status) => {
                Some(format!("reject: status = {status} is not within 400 to 699"))
            }
            Self::Converse { persona } if persona.is_empty() || persona.contains(['/', '\\', '.']) => {
                Some(format!("converse: persona = {persona:?} is not the name of a file in personas/ (without .toml)"))
            }
            Self::Dial(dial) => dial.fault(),
            _ => None,
        }
    }
}
