//! What the tokens of a Whisper mean: everything is read from its tokenizer.json, no id is written here.

use tokenizers::Tokenizer;

use crate::{
    engine::{EngineError, Language},
    onnx::export::Export,
};

/// A tokenizer and its special tokens.
pub(super) struct Tokens {
    pub(super) tokenizer: Tokenizer,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) transcribe: u32,
    pub(super) no_timestamps: u32,
    pub(super) no_speech: Option<u32>,
    /// What text that came before stands behind.
    pub(super) previous: Option<u32>,
    /// Every language token, Milo's or not.
    pub(super) languages: Vec<u32>,
    malagasy: Option<u32>,
    french: Option<u32>,
    /// The first timestamp token and the seconds of it and of those that follow it.
    timestamps: Option<(u32, Vec<f32>)>,
    /// Special tokens that are never text.
    pub(super) never: Vec<u32>,
}

impl Tokens {
    /// Reads `tokenizer.json` in the folder.
    pub(super) fn load(export: &Export<'_>) -> Result<Self, EngineError> {
        let (tokenizer, file) = export.tokenizer()?;
        let added = tokenizer.get_added_tokens_decoder();
        let id = |content: &str| tokenizer.token_to_id(content);
        let needed = |content: &str| {
            id(content).ok_or_else(|| {
                EngineError::Load(format!(
                    "{} lacks the token {content}: it belongs to no multilingual Whisper",
                    file.display()
                ))
            })
        };
        let mut languages: Vec<u32> =
            added.iter().filter(|(_, token)| is_language(&token.content)).map(|(id, _)| *id).collect();
        languages.sort_unstable();
        let (malagasy, french) = (id("<|mg|>"), id("<|fr|>"));
        if malagasy.is_none() && french.is_none() {
            needed("<|mg|>")?;
        }
        let mut times: Vec<(u32, f32)> =
            added.iter().filter_map(|(id, token)| Some((*id, seconds(&token.content)?))).collect();
        times.sort_unstable_by_key(|(id, _)| *id);
        let contiguous = times.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0 && pair[0].1 < pair[1].1);
        let timestamps = match times.first() {
            Some((first, _)) if contiguous => Some((*first, times.iter().map(|(_, seconds)| *seconds).collect())),
            _ => None,
        };
        let end = needed("<|endoftext|>")?;
        let mut never: Vec<u32> = added
            .iter()
            .filter(|(id, token)| token.special && **id != end && seconds(&token.content).is_none())
            .map(|(id, _)| *id)
            .collect();
        never.sort_unstable();
        Ok(Self {
            start: needed("<|startoftranscript|>")?,
            end,
            transcribe: needed("<|transcribe|>")?,
            no_timestamps: needed("<|notimestamps|>")?,
            no_speech: id("<|nospeech|>").or_else(|| id("<|nocaptions|>")),
            previous: id("<|startofprev|>"),
            languages,
            malagasy,
            french,
            timestamps,
            never,
            tokenizer,
        })
    }

    /// The token of a language, where the model knows it.
    pub(super) fn language(&self, language: Language) -> Option<u32> {
        match language {
            Language::Mg => self.malagasy,
            Language::Fr => self.french,
        }
    }

    /// The first timestamp token.
    pub(super) fn first_timestamp(&self) -> Option<u32> {
        self.timestamps.as_ref().map(|(first, _)| *first)
    }

    /// The seconds that a timestamp token stands for.
    pub(super) fn seconds(&self, id: u32) -> Option<f32> {
        let (first, times) = self.timestamps.as_ref()?;
        times.get(usize::try_from(id.checked_sub(*first)?).ok()?).copied()
    }

    /// The highest id there is.
    pub(super) fn highest(&self) -> u32 {
        self.tokenizer.get_vocab(true).values().copied().max().unwrap_or(0)
    }

    /// The text of tokens, without special tokens and timestamps.
    pub(super) fn text(&self, ids: &[u32]) -> Result<String, EngineError> {
        let words: Vec<u32> = ids.iter().copied().filter(|id| self.seconds(*id).is_none()).collect();
        let text = self.tokenizer.decode(&words, true);
        text.map(|text| text.trim().to_owned())
            .map_err(|error| EngineError::Failed { engine: super::ENGINE, reason: error.to_string() })
    }
}

/// `<|mg|>`, `<|fr|>`, `<|haw|>` …: two or three small letters.
fn is_language(content: &str) -> bool {
    let code = content.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>")).unwrap_or_default();
    matches!(code.len(), 2 | 3) && code.bytes().all(|letter| letter.is_ascii_lowercase())
}

/// `<|1.24|>` → 1.24.
fn seconds(content: &str) -> Option<f32> {
    let number = content.strip_prefix("<|")?.strip_suffix("|>")?;
    number.contains('.').then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_and_times_are_told_from_other_special_tokens() {
        assert!(is_language("<|mg|>") && is_language("<|haw|>"));
        assert!(!is_language("<|nospeech|>") && !is_language("<|0.02|>") && !is_language("fr"));
        assert_eq!(seconds("<|1.24|>"), Some(1.24));
        assert_eq!(seconds("<|fr|>"), None);
        assert_eq!(seconds("<|12|>"), None);
    }
}
