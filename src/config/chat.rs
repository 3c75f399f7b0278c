//! `[chat]`: conversations by text.

use serde::{Deserialize, Serialize};

use super::Faults;

/// Who answers, and what is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Chat {
    /// The persona that answers where a message names no other.
    pub persona: String,
    /// How long a session is remembered after its last message, in seconds.
    pub session_ttl_s: u64,
    /// How many exchanges of it the model sees again.
    pub session_history: usize,
    /// How many tokens these have at most, three bytes of text taken for one; the newest is seen whatever its length.
    pub session_tokens: usize,
}

impl Default for Chat {
    fn default() -> Self {
        Self { persona: "demo".into(), session_ttl_s: 1_800, session_history: 10, session_tokens: 3_000 }
    }
}

impl Chat {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("chat.session_ttl_s", self.session_ttl_s, 1..=604_800);
        faults.within("chat.session_history", self.session_history, 0..=1_000);
        faults.within("chat.session_tokens", self.session_tokens, 100..=1_000_000);
    }
}
