//! What the verbs say that take a message: `record`, `voicemail`.

use serde::{Deserialize, Serialize};

use super::{Prompt, ask::strange};

/// How a message is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Message {
    /// How long it may be, in seconds, 1 to 3,600.
    pub seconds: u64,
    /// Silence that ends it, in seconds, 1 to 60.
    pub silence_seconds: u64,
    /// Keys of which each ends it.
    pub ends: String,
    /// Whether a beep goes before it.
    pub beep: bool,
}

impl Default for Message {
    fn default() -> Self {
        Self { seconds: 120, silence_seconds: 5, ends: "#".into(), beep: true }
    }
}

impl Message {
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=3_600).contains(&self.seconds) {
            return Some(format!("seconds = {} is not within 1 to 3600", self.seconds));
        }
        if !(1..=60).contains(&self.silence_seconds) {
            return Some(format!("silence_seconds = {} is not within 1 to 60", self.silence_seconds));
        }
        strange(&self.ends).map(|fault| format!("ends = {:?}: {fault}", self.ends))
    }
}

/// A greeting and the message that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voicemail {
    /// What the caller hears first.
    pub greeting: Prompt,
    /// How the message is taken: the fields of `record`.
    #[serde(default)]
    pub message: Message,
}

impl Voicemail {
    pub(super) fn fault(&self) -> Option<String> {
        self.message.fault().map(|fault| format!("voicemail: message: {fault}"))
    }
}
