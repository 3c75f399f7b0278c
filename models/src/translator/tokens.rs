//! What the tokens of a translator mean: everything is read from its tokenizer.json, no id is written here.

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::{ENGINE, Way};
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
    /// Malagasy and French; none where a model knows one way and needs not be told.
    languages: Option<(u32, u32)>,
}

/// What a Marian's tokenizer_config.json says of its way.
#[derive(Deserialize, Default)]
struct Told {
    source_lang: Option<String>,
    target_lang: Option<String>,
}

impl Tokens {
    /// Reads `tokenizer.json` in the folder.
    pub(super) fn load(export: &Export<'_>, way: Way) -> Result<Self, EngineError> {
        if let Way::From(source) = way {
            check_way(export, source)?;
        }
        let (mut tokenizer, file) = export.tokenizer()?;
        // What looks like a special token in a text is text; nothing is cut off or filled up.
        tokenizer.set_encode_special_tokens(true);
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| EngineError::Load(format!("{}: {error}", file.display())))?;
        let lacks = |what: &str| {
            EngineError::Load(format!(
                "{} lacks the token {what}: it belongs to no NLLB-200, M2M100 or Marian",
                file.display()
            ))
        };
        let language = |wanted: Language| {
            let (_, names) = NAMES.iter().find(|(language, _)| *language == wanted)?;
            names.iter().find_map(|name| tokenizer.token_to_id(name))
        };
        let languages = match way {
            Way::From(_) => None,
            Way::Both => Some((
                language(Language::Mg).ok_or_else(|| lacks("plt_Latn of Malagasy"))?,
                language(Language::Fr).ok_or_else(|| lacks("fra_Latn of French"))?,
            )),
        };
        let end = tokenizer.token_to_id("</s>").ok_or_else(|| lacks("</s>"))?;
        Ok(Self { end, languages, tokenizer })
    }

    /// The token that says which language it is, where the model is told.
    pub(super) fn language(&self, language: Language) -> Option<u32> {
        self.languages.map(|(malagasy, french)| match language {
            Language::Mg => malagasy,
            Language::Fr => french,
        })
    }

    /// The source as the encoder wants it: its language, its tokens, the end.
    pub(super) fn source(&self, text: &str, language: Language) -> Result<Vec<u32>, EngineError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| failed(&error))?;
        let language = self.language(language);
        Ok([language.as_slice(), encoding.get_ids(), &[self.end]].concat())
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

/// Refuses a Marian without a tokenizer.json, and one whose own words say that it goes another way.
fn check_way(export: &Export<'_>, source: Language) -> Result<(), EngineError> {
    let folder = export.folder().display();
    if !export.folder().join("tokenizer.json").is_file() {
        return Err(EngineError::Load(format!(
            "{folder} has no tokenizer.json, and no Marian comes with one: write it with `python models/training/marian_tokenizer.py {folder}`"
        )));
    }
    let told: Told = export.settings("tokenizer_config.json")?;
    let (Some(from), Some(to)) = (told.source_lang, told.target_lang) else { return Ok(()) };
    let names = |language| match language {
        Language::Mg => ["mg", "mlg"],
        Language::Fr => ["fr", "fra"],
    };
    let is_back = names(source).contains(&to.as_str());
    if is_back {
        return Err(EngineError::Load(format!(
            "{folder} translates from {from} into {to}, and is named as one from {source}: exchange the two folders"
        )));
    }
    Ok(())
}

fn failed(error: &tokenizers::Error) -> EngineError {
    EngineError::Failed { engine: ENGINE, reason: error.to_string() }
}
