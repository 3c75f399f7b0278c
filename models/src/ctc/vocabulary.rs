//! What the numbers of a CTC model stand for: everything is read from its vocab.json and tokenizer_config.json.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    engine::{EngineError, Language},
    onnx::export::{Export, settings},
};

const FILE: &str = "vocab.json";
const TOKENIZER: &str = "tokenizer_config.json";

/// What a frame may be.
#[derive(Debug, PartialEq)]
pub(super) enum Letter {
    /// Nothing new.
    Blank,
    /// A word has ended.
    Delimiter,
    /// What is never written: `<s>`, `<unk>`, a number that stands for nothing.
    Silent,
    Text(String),
}

/// The letters by their numbers.
#[derive(Debug)]
pub(super) struct Vocabulary(Vec<Letter>);

/// What is needed of tokenizer_config.json.
#[derive(Deserialize, Default)]
struct Tokenizer {
    pad_token: Option<Named>,
    unk_token: Option<Named>,
    bos_token: Option<Named>,
    eos_token: Option<Named>,
    word_delimiter_token: Option<Named>,
    target_lang: Option<String>,
}

/// A token by its text, or with more about it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    More { content: String },
}

impl Named {
    fn or(token: Option<Self>, usual: &str) -> String {
        match token {
            Some(Self::Text(text) | Self::More { content: text }) => text,
            None => usual.into(),
        }
    }
}

/// How MMS (ISO 639-3) and others name a language.
fn names(language: Language) -> [&'static str; 3] {
    match language {
        Language::Mg => ["mlg", "plt", "mg"],
        Language::Fr => ["fra", "fre", "fr"],
    }
}

/// The language that a folder's tokenizer_config.json names; none where it names none, or one that Milo does not know.
pub(super) fn told_language(folder: &Path) -> Result<Option<Language>, EngineError> {
    let told = settings::<Tokenizer>(folder, TOKENIZER)?.target_lang;
    let known = [Language::Mg, Language::Fr].into_iter();
    Ok(told.and_then(|told| known.into_iter().find(|language| names(*language).contains(&told.as_str()))))
}

impl Vocabulary {
    /// Reads what lies in a folder. `blank` is the blank's number where config.json has it.
    pub(super) fn load(export: &Export<'_>, language: Language, blank: Option<usize>) -> Result<Self, EngineError> {
        let file = export.folder().join(FILE);
        let wrong = |says: String| EngineError::Load(format!("{} {says}", file.display()));
        if !file.is_file() {
            return Err(wrong("is not there: put the model's own vocab.json beside its graph".into()));
        }
        let tokenizer: Tokenizer = export.settings(TOKENIZER)?;
        if let Some(told) = &tokenizer.target_lang
            && !names(language).contains(&told.as_str())
        {
            let file = export.folder().join(TOKENIZER);
            return Err(EngineError::Load(format!(
                "{} says that this model writes `{told}`, and it is configured for {language}: name one that writes `{}`, or correct the path",
                file.display(),
                names(language)[0]
            )));
        }
        let letters = flat(export.settings(FILE)?, language).map_err(&wrong)?;
        let special = [
            Named::or(tokenizer.unk_token, "<unk>"),
            Named::or(tokenizer.bos_token, "<s>"),
            Named::or(tokenizer.eos_token, "</s>"),
        ];
        let (pad, delimiter) =
            (Named::or(tokenizer.pad_token, "<pad>"), Named::or(tokenizer.word_delimiter_token, "|"));
        let blank = match letters.get(&pad).copied().or(blank) {
            Some(blank) => blank,
            None => return Err(wrong(format!("lacks the blank, `{pad}`: it belongs to no CTC model"))),
        };
        if !letters.contains_key(&delimiter) {
            return Err(wrong(format!("lacks `{delimiter}`, which stands between words: it belongs to no wav2vec2")));
        }
        let highest = letters.values().copied().max().unwrap_or(0).max(blank);
        let size = highest.saturating_add(1);
        // Numbers are given one after the other; one beyond all measure is no vocabulary's.
        if size > MOST {
            return Err(wrong(format!("has the number {highest}: there are at most {MOST}")));
        }
        // A model that knows capitals alone would shout.
        let is_letter = |token: &&String| token.chars().count() == 1;
        let shouts = !letters.keys().filter(is_letter).any(|token| token.chars().any(char::is_lowercase));
        let mut all: Vec<_> = (0..size).map(|_| Letter::Silent).collect();
        for (token, id) in letters {
            all[id] = if id == blank {
                Letter::Blank
            } else if token == delimiter {
                Letter::Delimiter
            } else if special.contains(&token) {
                Letter::Silent
            } else {
                Letter::Text(if shouts { token.to_lowercase() } else { token })
            };
        }
        all[blank] = Letter::Blank;
        Ok(Self(all))
    }

    #[cfg(test)]
    pub(super) fn of(letters: Vec<Letter>) -> Self {
        Self(letters)
    }

    /// What a number stands for.
    pub(super) fn letter(&self, id: usize) -> &Letter {
        self.0.get(id).unwrap_or(&Letter::Silent)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// More tokens than any vocabulary of letters or syllables has.
const MOST: usize = 1 << 20;

/// The tokens of a vocabulary, or those of one language of several.
fn flat(file: Value, language: Language) -> Result<BTreeMap<String, usize>, String> {
    let Value::Object(tokens) = file else {
        return Err("is no list of tokens with their numbers; fetch it again".into());
    };
    let is_nested = tokens.values().any(Value::is_object);
    if !is_nested {
        let number = |value: Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let mut numbers = BTreeSet::new();
        return tokens
            .into_iter()
            .map(|(token, value)| match number(value).filter(|number| numbers.insert(*number)) {
                Some(number) => Ok((token, number)),
                None => Err(format!("gives `{token}` no number of its own; fetch it again")),
            })
            .collect();
    }
    let mut by_language = tokens;
    match names(language).iter().find_map(|name| by_language.remove(*name)) {
        Some(tokens @ Value::Object(_)) if !tokens.as_object().is_some_and(|of| of.values().any(Value::is_object)) => {
            flat(tokens, language)
        }
        Some(_) => Err(format!("has no tokens with their numbers for {language}; fetch it again")),
        None => Err(format!("has no tokens for {language} (`{}`): this model does not write it", names(language)[0])),
    }
}
