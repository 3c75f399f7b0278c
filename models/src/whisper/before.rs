//! What the decoder is told to stand before an utterance, behind `<|startofprev|>`: names and words that it should know how to write
//! (Radford et al. 2022, section 4.5: text that came before makes what follows alike).

use super::{ENGINE, WhisperOptions, tokens::Tokens};
use crate::engine::EngineError;

/// The configured text, and how much there may be.
pub(super) struct Before {
    /// Each utterance's, whoever asks.
    words: Vec<u32>,
    /// What stands behind them where whoever asks says nothing else.
    text: Vec<u32>,
    /// The tokens that have a place: half of the decoder's positions are for what is heard.
    most: usize,
}

impl Before {
    pub(super) fn load(options: &WhisperOptions, tokens: &Tokens, positions: usize) -> Result<Self, EngineError> {
        let most = (positions / 2).saturating_sub(1);
        let (words, text) = (options.hot_words.join(", "), options.prompt.as_deref().unwrap_or_default());
        let own = Self { words: tokens.plain(&words)?, text: tokens.plain(text)?, most };
        let length = own.words.len() + own.text.len();
        if length > 0 && tokens.previous.is_none() {
            let says = "the prompt and hot words of the transcriber want a Whisper whose tokenizer.json has <|startofprev|>: \
                        this one lacks it, leave them out";
            return Err(EngineError::Load(says.into()));
        }
        if length > most {
            return Err(EngineError::Load(format!(
                "the prompt and hot words of the transcriber are {length} tokens, and this Whisper takes {most}: leave some out"
            )));
        }
        Ok(own)
    }

    /// The tokens before an utterance; `asked` stands in place of the configured text, its end where it is too long.
    pub(super) fn tokens(&self, asked: Option<&str>, tokens: &Tokens) -> Result<Vec<u32>, EngineError> {
        let asked = asked.map(|text| tokens.plain(text)).transpose()?;
        let text = asked.as_deref().unwrap_or(&self.text);
        let room = self.most - self.words.len();
        let text = &text[text.len().saturating_sub(room)..];
        if self.words.is_empty() && text.is_empty() {
            return Ok(Vec::new());
        }
        let previous = tokens.previous.ok_or_else(|| {
            let says = "this Whisper takes no prompt (its tokenizer has no <|startofprev|>): leave it out";
            EngineError::Input(says.into())
        })?;
        Ok([&[previous], &self.words[..], text].concat())
    }
}

impl Tokens {
    /// A text as it stands in a transcript; what looks like a special token or a time in it is left out.
    fn plain(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self.tokenizer.encode(format!(" {}", text.trim()), false);
        let encoding = encoding.map_err(|error| EngineError::Failed { engine: ENGINE, reason: error.to_string() })?;
        let is_text = |id: &u32| *id != self.end && !self.never.contains(id) && self.seconds(*id).is_none();
        Ok(encoding.get_ids().iter().copied().filter(is_text).collect())
    }
}
