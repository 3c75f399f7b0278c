//! `[conversation]`: the rhythm of talking.

use serde::{Deserialize, Serialize};

use super::Faults;

/// When Milo answers, asks, and gives up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation {
    /// Silence after which the caller's turn is over, in milliseconds, where its sound does not tell. The transcript is begun after
    /// half of it, or after 200.
    pub end_of_turn_ms: u64,
    /// Silence after which it is over although it sounds as if the caller goes on; never shorter than `end_of_turn_ms`.
    pub longest_pause_ms: u64,
    /// Silence of both after which Milo asks "are you there?", in seconds.
    pub silence_prompt_s: u64,
    /// Silence of the caller after which Milo hangs up, in seconds.
    pub silence_hangup_s: u64,
}

impl Default for Conversation {
    fn default() -> Self {
        Self { end_of_turn_ms: 400, longest_pause_ms: 1_500, silence_prompt_s: 8, silence_hangup_s: 20 }
    }
}

impl Conversation {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("conversation.end_of_turn_ms", self.end_of_turn_ms, 100..=5_000);
        faults.within("conversation.longest_pause_ms", self.longest_pause_ms, 100..=10_000);
        faults.within("conversation.silence_prompt_s", self.silence_prompt_s, 1..=600);
        faults.within("conversation.silence_hangup_s", self.silence_hangup_s, 2..=3_600);
        if self.silence_hangup_s <= self.silence_prompt_s {
            faults.add(
                "conversation.silence_hangup_s",
                format!(
                    "is not longer than silence_prompt_s ({} s): Milo would hang up before asking",
                    self.silence_prompt_s
                ),
            );
        }
    }
}
