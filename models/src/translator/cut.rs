//! A text in parts: such models know sentences, and were taught no longer texts.

use super::Part;
use crate::text::clauses::Clauses;

/// Sentences, and the line breaks and spaces between them. What holds neither letter nor digit belongs to what stands before it.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for line in text.trim().lines() {
        if !parts.is_empty() {
            parts.push(Part::Between("\n"));
        }
        let mut cutter = Clauses::of_sentences();
        let mut sentences = cutter.push(line);
        sentences.extend(cutter.finish());
        for (at, sentence) in sentences.into_iter().enumerate() {
            match parts.last_mut() {
                Some(Part::Sentence(before)) if !sentence.chars().any(char::is_alphanumeric) => {
                    *before += " ";
                    *before += &sentence;
                }
                _ => {
                    if at > 0 {
                        parts.push(Part::Between(" "));
                    }
                    parts.push(Part::Sentence(sentence));
                }
            }
        }
    }
    parts
}

/// Two parts of a sentence that is too long: at its clauses if it has some, else in the middle of its words, else anywhere. `None`:
/// it is one letter.
pub(super) fn halves(sentence: &str) -> Option<(&str, &str)> {
    let middle = sentence.len() / 2;
    let nearest = |is_place: &dyn Fn(char, char) -> bool| {
        let letters = sentence.char_indices().zip(sentence.chars().skip(1));
        let places = letters.filter(|((_, letter), next)| is_place(*letter, *next));
        places.map(|((at, letter), _)| at + letter.len_utf8()).min_by_key(|at| at.abs_diff(middle))
    };
    let has_words = |at: &usize| {
        let (left, right) = sentence.split_at(*at);
        [left, right].iter().all(|half| half.chars().any(char::is_alphanumeric))
    };
    let clause = nearest(&|letter, next| matches!(letter, ',' | ';' | ':') && next.is_whitespace());
    let at = clause.filter(has_words).or_else(|| nearest(&|_, next| next.is_whitespace()).filter(has_words));
    let (left, right) = sentence.split_at(at.or_else(|| nearest(&|_, _| true))?);
    Some((left.trim(), right.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_sentences_are_parts_of_their_own() {
        let sentence = |text: &str| Part::Sentence(text.into());
        let text = " Salama, M. Rakoto. Inona ny vaovao?\n\nMisaotra ! 😀";
        let expected = [
            sentence("Salama, M. Rakoto."),
            Part::Between(" "),
            sentence("Inona ny vaovao?"),
            Part::Between("\n"),
            Part::Between("\n"),
            sentence("Misaotra !"),
        ];
        let told = parts(text);
        assert_eq!(told[..5], expected[..5], "{told:?}");
        assert_eq!(told.last(), Some(&sentence("Misaotra ! 😀")), "{told:?}");
    }

    #[test]
    fn a_long_sentence_is_halved_where_it_breathes() {
        assert_eq!(halves("iray roa telo, efatra dimy enina"), Some(("iray roa telo,", "efatra dimy enina")));
        assert_eq!(halves("iray roa telo efatra"), Some(("iray roa", "telo efatra")));
        assert_eq!(halves("abcdéfgh").map(|(left, right)| format!("{left}|{right}")), Some("abcd|éfgh".into()));
        assert_eq!(halves("a"), None);
    }
}
