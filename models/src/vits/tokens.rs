//! Letters to the tokens of a model that reads letters (MMS-TTS), by its vocab.json or tokens.txt.

use std::{collections::HashMap, fs, ops::Range, path::Path};

use crate::engine::EngineError;

/// The token between letters.
const BLANK: i64 = 0;

/// A text as the model reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The tokens.
    pub(super) ids: Vec<i64>,
    /// The words, and which tokens sound of each; none, where that is not known.
    pub(super) words: Vec<(String, Range<usize>)>,
}

/// The letters that a model knows.
#[derive(Debug)]
pub(super) struct Letters {
    ids: HashMap<char, i64>,
    /// Whether a blank stands around each letter.
    has_blanks: bool,
}

impl Letters {
    /// Of `vocab.json`: an object of tokens with their ids.
    pub(super) fn of_vocabulary(file: &Path, has_blanks: bool) -> Result<Self, EngineError> {
        let vocabulary: HashMap<String, i64> = serde_json::from_str(&read(file)?).map_err(|error| {
            EngineError::Load(format!("{} is no vocabulary of letters ({error}); fetch it again", file.display()))
        })?;
        Self::new(file, vocabulary, has_blanks)
    }

    /// Of `tokens.txt`: a token and its id on each line; that of the space is a space.
    pub(super) fn of_list(file: &Path, has_blanks: bool) -> Result<Self, EngineError> {
        let mut vocabulary = HashMap::new();
        for (line, text) in read(file)?.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let listed = text.trim_end().rsplit_once(' ').and_then(|(token, id)| Some((token, id.parse().ok()?)));
            let Some((token, id)) = listed else {
                let (file, line) = (file.display(), line + 1);
                return Err(EngineError::Load(format!(
                    "{file}, line {line}: {text:?} is no token with its id, as `a 3` is"
                )));
            };
            vocabulary.insert(if token.is_empty() { " ".into() } else { token.to_owned() }, id);
        }
        Self::new(file, vocabulary, has_blanks)
    }

    fn new(file: &Path, vocabulary: HashMap<String, i64>, has_blanks: bool) -> Result<Self, EngineError> {
        let wrong = |says: String| Err(EngineError::Load(format!("{} {says}", file.display())));
        if let Some((token, id)) = vocabulary.iter().find(|(_, id)| !(0..1 << 20).contains(*id)) {
            return wrong(format!("gives {token:?} the id {id}: they are counted from 0"));
        }
        let letter = |(token, id): (String, i64)| {
            let mut letters = token.chars();
            letters.next().filter(|_| letters.next().is_none()).map(|letter| (letter, id))
        };
        let ids: HashMap<char, i64> = vocabulary.into_iter().filter_map(letter).collect();
        if !ids.keys().any(|letter| letter.is_alphabetic()) {
            return wrong("has no token that is one letter: it belongs to a model that reads something else".into());
        }
        Ok(Self { ids, has_blanks })
    }

    /// The highest id.
    pub(super) fn highest(&self) -> i64 {
        self.ids.values().copied().max().unwrap_or(BLANK)
    }

    /// The tokens of a text: letters as they are, else small, else without their accent; what the model does not know even so is left
    /// out. No tokens, where no letter is left.
    pub(super) fn line(&self, text: &str) -> Line {
        let mut ids = Vec::new();
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let known: Vec<(char, i64)> = word.chars().flat_map(|letter| self.known(letter)).collect();
            if !known.iter().any(|(letter, _)| letter.is_alphanumeric()) {
                continue;
            }
            if !ids.is_empty() {
                ids.extend(self.ids.get(&' '));
            }
            let start = ids.len();
            ids.extend(known.iter().map(|(_, id)| *id));
            words.push((word.to_owned(), start..ids.len()));
        }
        if self.has_blanks && !ids.is_empty() {
            ids = [BLANK].into_iter().chain(ids.into_iter().flat_map(|id| [id, BLANK])).collect();
            words.iter_mut().for_each(|(_, tokens)| *tokens = 2 * tokens.start + 1..2 * tokens.end);
        }
        Line { ids, words }
    }

    fn known(&self, letter: char) -> Vec<(char, i64)> {
        let find = |letter: char| self.ids.get(&letter).map(|id| (letter, *id));
        if let Some(known) = find(letter) {
            return vec![known];
        }
        letter.to_lowercase().filter_map(|small| find(small).or_else(|| find(plain(small)))).collect()
    }
}

/// A letter without its accent.
fn plain(letter: char) -> char {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' => 'a',
        'ç' => 'c',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        '’' | 'ʼ' => '\'',
        letter => letter,
    }
}

pub(super) fn read(file: &Path) -> Result<String, EngineError> {
    fs::read_to_string(file).map_err(|error| EngineError::Load(format!("{} cannot be read: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(list: &str, has_blanks: bool) -> Result<Letters, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), list).unwrap();
        Letters::of_list(file.path(), has_blanks).map_err(|error| error.to_string())
    }

    #[test]
    fn letters_are_made_small_and_plain_and_what_is_not_known_is_left_out() {
        let letters = letters("<pad> 0\n  1\na 2\nb 3\n' 4\nÈ 5\n", false).unwrap();
        let ids = |text: &str| letters.line(text).ids;
        assert_eq!(ids("Ab, 7 – bA"), [2, 3, 1, 3, 2]);
        assert_eq!(ids("à’B"), [2, 4, 3]);
        assert_eq!(ids("È"), [5], "what is known is taken as it is");
        assert!(ids("7 ' , дом").is_empty(), "an apostrophe alone is nothing to say");
        assert_eq!(letters.highest(), 5);
    }

    #[test]
    fn a_word_knows_its_tokens_among_the_blanks() {
        let line = letters("_ 0\n  1\na 2\nb 3\n", true).unwrap().line("Ab – b");
        assert_eq!(line.ids, [0, 2, 0, 3, 0, 1, 0, 3, 0]);
        assert_eq!(line.words, [("Ab".into(), 1..4), ("b".into(), 7..8)]);
    }

    #[test]
    fn a_list_that_is_none_is_told_with_its_line() {
        for (list, says) in [
            ("a 1\nb\n", "line 2: \"b\" is no token with its id"),
            ("a 1\nb x\n", "line 2: \"b x\""),
            ("a -1\n", "gives \"a\" the id -1"),
            ("<pad> 0\nab 1\n", "no token that is one letter"),
        ] {
            let told = letters(list, true).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
    }
}
