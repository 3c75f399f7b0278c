//! How far back a model sees in a call: so many exchanges, and of them what is not too much to read.

use std::ops::RangeInclusive;

/// Exchanges, and tokens, that a persona may want.
const EXCHANGES: RangeInclusive<usize> = 1..=200;
const TOKENS: RangeInclusive<usize> = 256..=1_000_000;
/// Bytes of text that are taken for one token, as in conversations by text: the tokenizers of large models need one for 2.5 to 4 of
/// French or Malagasy. No server is asked to count, since that would cost each turn a request.
const BYTES: usize = 3;
/// Tokens that stand around each message.
const AROUND: usize = 4;

/// How far back the model sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Exchanges, at most.
    pub exchanges: usize,
    /// Tokens of prompt, summary and exchanges, at most; none: until the model takes no more.
    pub tokens: Option<usize>,
    /// Whether what it does not see is summed up for it.
    pub is_summed_up: bool,
}

impl Reach {
    /// So many exchanges, and no summary of those before.
    pub(crate) fn of(exchanges: usize) -> Self {
        Self { exchanges, ..Self::default() }
    }

    /// Refuses what leaves no room for a conversation behind this prompt.
    pub(super) fn check(self, prompt: &str) -> Result<(), String> {
        let named = [("exchanges", Some(self.exchanges), EXCHANGES), ("context_tokens", self.tokens, TOKENS)];
        for (key, value, range) in named {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                return Err(format!("{key} = {value} is not within {} to {}", range.start(), range.end()));
            }
        }
        self.check_room("the prompt alone is", prompt)
    }

    /// Refuses what leaves no room behind these instructions.
    pub(super) fn check_room(self, which: &str, instructions: &str) -> Result<(), String> {
        let (taken, most) = (tokens(instructions), self.tokens.unwrap_or(usize::MAX));
        if taken < most { Ok(()) } else { Err(format!("context_tokens = {most}: {which} some {taken}")) }
    }
}

/// About how many tokens a message with this text is.
pub(super) fn tokens(text: &str) -> usize {
    text.len().div_ceil(BYTES) + AROUND
}
