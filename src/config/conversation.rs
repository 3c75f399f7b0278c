//! `[conversation]`: the rhythm of talking.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Faults;

/// When Milo answers, asks, and gives up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation {
    /// Silence after which the caller's turn is over, in milliseconds, where neither its sound nor its words tell. The transcript is begun after
    /// half of it, or after 200.
    pub end_of_turn_ms: u64,
    /// Silence after which it is over although it sounds, or its words say, that the caller goes on; never shorter than `end_of_turn_ms`.
    pub longest_pause_ms: u64,
    /// Whether the reply is begun while it is not sure yet that the caller has finished: it is heard sooner, and what a caller who goes
    /// on makes useless was computed, or paid for, in vain.
    pub early_replies: bool,
    /// The budget of a turn, in milliseconds: when the answer has no sound so long after the turn was over, the persona's `wait` is said;
    /// where that is likely before the model is asked, it is asked for a short reply.
    pub filler_ms: u64,
    /// Silence of both after which Milo asks "are you there?", in seconds.
    pub silence_prompt_s: u64,
    /// Silence of the caller after which Milo hangs up, in seconds.
    pub silence_hangup_s: u64,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            end_of_turn_ms: 400,
            longest_pause_ms: 1_500,
            early_replies: true,
            filler_ms: 1_500,
            silence_prompt_s: 8,
            silence_hangup_s: 20,
        }
    }
}

impl Conversation {
    /// What `end_of_turn_ms` may be.
    pub const END_OF_TURN_MS: RangeInclusive<u64> = 100..=5_000;
    /// What `longest_pause_ms` may be.
    pub const LONGEST_PAUSE_MS: RangeInclusive<u64> = 100..=10_000;
    /// What `filler_ms` may be.
    pub const FILLER_MS: RangeInclusive<u64> = 200..=20_000;
    /// What `silence_prompt_s` may be.
    pub const SILENCE_PROMPT_S: RangeInclusive<u64> = 1..=600;
    /// What `silence_hangup_s` may be.
    pub const SILENCE_HANGUP_S: RangeInclusive<u64> = 2..=3_600;

    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("conversation.end_of_turn_ms", self.end_of_turn_ms, Self::END_OF_TURN_MS);
        faults.within("conversation.longest_pause_ms", self.longest_pause_ms, Self::LONGEST_PAUSE_MS);
        faults.within("conversation.filler_ms", self.filler_ms, Self::FILLER_MS);
        faults.within("conversation.silence_prompt_s", self.silence_prompt_s, Self::SILENCE_PROMPT_S);
        faults.within("conversation.silence_hangup_s", self.silence_hangup_s, Self::SILENCE_HANGUP_S);
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
