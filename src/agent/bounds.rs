//! What a persona has of its own of `[conversation]` and `[limits]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::{self, Conversation};

/// How long callers are given to finish; what is left out is as the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turns {
    /// Silence that ends a turn of which it is not known whether it is over, in milliseconds.
    pub end_of_turn_ms: Option<u64>,
    /// Silence that ends one that seems to go on, in milliseconds.
    pub longest_pause_ms: Option<u64>,
}

impl Turns {
    /// The rhythm of talking with these in it.
    pub fn within(self, conversation: &Conversation) -> Conversation {
        Conversation {
            end_of_turn_ms: self.end_of_turn_ms.unwrap_or(conversation.end_of_turn_ms),
            longest_pause_ms: self.longest_pause_ms.unwrap_or(conversation.longest_pause_ms),
            ..conversation.clone()
        }
    }

    pub(super) fn check(self) -> Result<(), String> {
        let (end, pause) = (Conversation::END_OF_TURN_MS, Conversation::LONGEST_PAUSE_MS);
        for (key, value, range) in
            [("end_of_turn_ms", self.end_of_turn_ms, end), ("longest_pause_ms", self.longest_pause_ms, pause)]
        {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                return Err(format!("[turns]: {key} = {value} is not within {} to {}", range.start(), range.end()));
            }
        }
        Ok(())
    }
}

/// How long it waits, and how long it may go on; what is left out is as the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The budget of a turn, in milliseconds.
    pub filler_ms: Option<u64>,
    /// Silence after which it asks whether anybody is there, in seconds.
    pub silence_prompt_s: Option<u64>,
    /// Silence after which it hangs up, in seconds.
    pub silence_hangup_s: Option<u64>,
    /// How long a call may last, in seconds from its beginning, while this persona talks.
    pub call_seconds: Option<u64>,
}

impl Bounds {
    /// The rhythm of talking with these in it.
    pub fn within(self, conversation: &Conversation) -> Conversation {
        Conversation {
            filler_ms: self.filler_ms.unwrap_or(conversation.filler_ms),
            silence_prompt_s: self.silence_prompt_s.unwrap_or(conversation.silence_prompt_s),
            silence_hangup_s: self.silence_hangup_s.unwrap_or(conversation.silence_hangup_s),
            ..conversation.clone()
        }
    }

    /// When a call ends at the latest that ends by then, having lasted for so long.
    pub fn until(self, until: Instant, longest: Duration) -> Instant {
        let own = self.call_seconds.map_or(longest, Duration::from_secs);
        until.checked_sub(longest.saturating_sub(own)).unwrap_or(until)
    }

    /// Refuses what the configuration would refuse.
    pub(super) fn check(self) -> Result<(), String> {
        let named = [
            ("filler_ms", self.filler_ms, Conversation::FILLER_MS),
            ("silence_prompt_s", self.silence_prompt_s, Conversation::SILENCE_PROMPT_S),
            ("silence_hangup_s", self.silence_hangup_s, Conversation::SILENCE_HANGUP_S),
            ("call_seconds", self.call_seconds, config::Limits::CALL_SECONDS),
        ];
        for (key, value, range) in named {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                return Err(format!("[limits]: {key} = {value} is not within {} to {}", range.start(), range.end()));
            }
        }
        match (self.silence_prompt_s, self.silence_hangup_s) {
            (Some(_), None) | (None, Some(_)) => {
                Err("[limits]: silence_prompt_s and silence_hangup_s go together: one is longer than the other".into())
            }
            (Some(asks), Some(leaves)) if leaves <= asks => Err(format!(
                "[limits]: silence_hangup_s = {leaves} is not longer than silence_prompt_s = {asks}: Milo would hang up \
                 before asking"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(text: &str) -> Bounds {
        toml::from_str(text).expect("bounds")
    }

    #[test]
    fn what_a_persona_has_of_its_own_stands_in_the_place_of_what_all_have() {
        let usual = Conversation::default();
        assert_eq!(bounds("").within(&usual).filler_ms, usual.filler_ms);
        let own = bounds("filler_ms = 900\nsilence_prompt_s = 20\nsilence_hangup_s = 60").within(&usual);
        assert_eq!((own.filler_ms, own.silence_prompt_s, own.silence_hangup_s), (900, 20, 60));
        assert_eq!(own.end_of_turn_ms, usual.end_of_turn_ms);
    }

    #[test]
    fn a_call_ends_by_the_persona_however_often_it_begins_to_talk_and_never_later_than_by_the_configuration() {
        let (now, longest) = (Instant::now(), Duration::from_secs(1_800));
        let until = now + longest;
        assert_eq!(bounds("").until(until, longest), until);
        assert_eq!(bounds("call_seconds = 300").until(until, longest), now + Duration::from_secs(300));
        assert_eq!(bounds("call_seconds = 3600").until(until, longest), until);
    }

    #[test]
    fn what_the_configuration_would_refuse_is_refused() {
        for (text, why) in [
            ("filler_ms = 100", "[limits]: filler_ms = 100 is not within 200 to 20000"),
            ("silence_prompt_s = 5", "go together"),
            (
                "silence_prompt_s = 9\nsilence_hangup_s = 9",
                "silence_hangup_s = 9 is not longer than silence_prompt_s = 9",
            ),
            ("call_seconds = 0", "[limits]: call_seconds = 0 is not within 1 to 86400"),
        ] {
            let refused = bounds(text).check().expect_err(text);
            assert!(refused.contains(why), "{refused}");
        }
        assert!(toml::from_str::<Bounds>("filler = 3").is_err());
    }
}
