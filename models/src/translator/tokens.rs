//! What the tokens of a translator mean: everything is read from its tokenizer.json, no id is written here.

use tokenizers::Tokenizer;

use super::ENGINE;
use crate::{
    engine::{EngineError, Language},
    onnx::export::Export,
};

/// A language's token, as NLLB-200 and as M2M100 name it (FLORES-200 codes; ISO 639-1 between underlines).
const NAMES: [(Language, [&str; 2]); 2] =
    [(Language::Mg, ["plt_Latn", "__mg__"]), (Language::Fr, ["fra_Latn", "__fr__"])];

/// A tokenizer and its special tokens.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    pub(super) end: u32,
    malagasy: u32,
    french: u32,
}

impl Tokens {
    /// Reads `tokenizer.json` in the folder.
    pub(super) fn load(export: &Export<'_>) -> Result<Self, EngineError> {
        let (mut tokenizer, file) = export.tokenizer()?;
        // What looks like a special token in a text is text; nothing is cut off or filled up.
        tokenizer.set_encode_special_tokens(true);
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| EngineError::Load(format!("{}: {error}", file.display())))?;
        let lacks = |what: &str| {
            EngineError::Load(format!("{} lacks the token {what}: it belongs to no NLLB-200 or M2M100", file.display()))
        };
        let language = |wanted: Language| {
            let (_, names) = NAMES.iter().find(|(language, _)| *language == wanted)?;
            names.iter().find_map(|name| tokenizer.token_to_id(name))
        };
        Ok(Self {
            end: tokenizer.token_to_id("</s>").ok_or_else(|| lacks("</s>"))?,
            malagasy: language(Language::Mg).ok_or_else(|| lacks("plt_Latn of Malagasy"))?,
            french: language(Language::Fr).ok_or_else(|| lacks("fra_Latn of French"))?,
            tokenizer,
        })
    }

    pub(super) fn language(&self, language: Language) -> u32 {
        match language {
            Language::Mg => self.malagasy,
            Language::Fr => self.french,
        }
    }

    /// The source as the encoder wants it: its language, its tokens, the end.
    pub(super) fn source(&self, text: &str, language: Language) -> Result<Vec<u32>, EngineError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| failed(&error))?;
        Ok([&[self.language(language)], encoding.get_ids(), &[self.end]].concat())
    }

    /// The text of tokens, without special tokens.
    pub(super) fn text(&self, ids: &[u32]) -> Result<String, EngineError> {
        let text = self.tokenizer.decode(ids, true).map_err(|error| failed(&error))?;
        Ok(text.trim().to_owned())
    }

    /// The highest id there is.
    pub(super) fn highest(&self) -> u32 {
        self.tokenizer.get_vocab(true).values().copied().max().unwrap_or(0)
    }
}

fn failed(error: &tokenizers::Error) -> EngineError {
    EngineError::Failed { engine: ENGINE, reason: error.to_string() }
}
