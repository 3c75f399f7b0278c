//! The words of a transcript, by its tokens: each begins with a space, and marks cling to the word before them, or, where they open
//! something, to the one behind.

use std::ops::Range;

use super::{ENGINE, tokens::Tokens};
use crate::engine::EngineError;

/// A letter and a space before it are never of more tokens than this: what makes none by then is let stand.
const MOST_OF_A_LETTER: usize = 5;

/// A word, and which of the tokens say it: the marks that cling to it take no time.
#[derive(Debug, PartialEq)]
pub(super) struct Spoken {
    pub(super) text: String,
    pub(super) tokens: Range<usize>,
}

/// Whole letters, and the tokens that they are of.
struct Piece {
    text: String,
    tokens: Range<usize>,
}

/// The words that these tokens of text say.
pub(super) fn words(ids: &[u32], tokens: &Tokens) -> Result<Vec<Spoken>, EngineError> {
    let mut words: Vec<Spoken> = Vec::new();
    // What opens a word that is still to come.
    let mut opening = String::new();
    for Piece { text, tokens } in pieces(ids, tokens)? {
        let is_new = text.starts_with(char::is_whitespace) || words.is_empty() || !opening.is_empty();
        if !text.chars().any(char::is_alphanumeric) {
            match words.last_mut() {
                Some(word) if !is_new || !opens(&text) && opening.is_empty() => word.text.push_str(&text),
                _ => opening.push_str(&text),
            }
        } else if is_new {
            words.push(Spoken { text: opening.clone() + &text, tokens });
            opening.clear();
        } else if let Some(word) = words.last_mut() {
            word.text.push_str(&text);
            word.tokens.end = tokens.end;
        }
    }
    match words.last_mut() {
        Some(word) => word.text.push_str(&opening),
        // Marks alone.
        None if !opening.trim().is_empty() => words.push(Spoken { text: opening, tokens: 0..ids.len() }),
        None => {}
    }
    words.iter_mut().for_each(|word| word.text = word.text.trim().to_owned());
    Ok(words)
}

/// Whether a mark belongs to what comes behind it.
fn opens(mark: &str) -> bool {
    mark.trim()
        .chars()
        .all(|mark| matches!(mark, '"' | '\'' | '“' | '‘' | '«' | '¿' | '¡' | '(' | '[' | '{' | '-' | '–' | '—'))
}

/// Tokens that are bytes of one letter are one piece, and so is a space with what follows it.
fn pieces(ids: &[u32], tokens: &Tokens) -> Result<Vec<Piece>, EngineError> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for end in 1..=ids.len() {
        let text = tokens.tokenizer.decode(&ids[from..end], true);
        let text = text.map_err(|error| EngineError::Failed { engine: ENGINE, reason: error.to_string() })?;
        let is_whole = !text.contains(char::REPLACEMENT_CHARACTER) && !text.trim().is_empty();
        if is_whole || end - from == MOST_OF_A_LETTER || end == ids.len() {
            pieces.push(Piece { text, tokens: from..end });
            from = end;
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::onnx::{
        OrtRuntime,
        export::{Export, Precision},
    };

    /// The words of a text, and of how many tokens each is.
    fn said(text: &str) -> Vec<(String, usize)> {
        let ort = OrtRuntime::load(None).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/ears");
        let tokens = Tokens::load(&Export::open(&folder, "Whisper", &ort, Precision::Full, 1).unwrap()).unwrap();
        let ids = tokens.tokenizer.encode(format!(" {text}"), false).unwrap().get_ids().to_vec();
        let words = words(&ids, &tokens).unwrap();
        assert!(words.iter().all(|word| word.tokens.end <= ids.len()));
        assert!(words.windows(2).all(|pair| pair[0].tokens.end <= pair[1].tokens.start), "{words:?}");
        let spoken = |range: &Range<usize>| tokens.text(&ids[range.clone()]).unwrap();
        let bare = |word: &Spoken| (word.text.clone(), spoken(&word.tokens).chars().count());
        words.iter().map(bare).collect()
    }

    fn texts(text: &str) -> Vec<String> {
        said(text).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn words_begin_with_a_space_and_marks_cling_to_theirs() {
        assert_eq!(texts("salama tompoko"), ["salama", "tompoko"]);
        assert_eq!(texts("Eny, amin'ny rendez-vous."), ["Eny,", "amin'ny", "rendez-vous."]);
        assert_eq!(texts("Où ? « Là-bas » (à Ivato) !"), ["Où ?", "« Là-bas »", "(à", "Ivato) !"]);
        assert_eq!(texts("salama -"), ["salama -"], "what opens nothing stays with the last word");
        assert_eq!(texts("..."), ["..."]);
        assert_eq!(texts("écoute 😀 ça"), ["écoute 😀", "ça"], "letters of several tokens are whole");
    }

    #[test]
    fn marks_take_no_time() {
        assert_eq!(said("Eny!? eny"), [("Eny!?".to_owned(), 3), ("eny".to_owned(), 3)]);
    }
}
