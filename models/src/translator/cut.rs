//! A text in parts: such models know sentences, and were taught no longer texts.

use super::Part;
use crate::text::clauses::Clauses;

/// Sentences, and what stands between them: line breaks, spaces, and what holds neither letter nor digit. `by_clause` cuts at commas too,
/// between clauses of two words or more.
pub(super) fn parts(text: &str, by_clause: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, line) in text.trim().lines().enumerate() {
        if at > 0 {
            parts.push(Part::Between("\n".into()));
        }
        let mut cutter = Clauses::of_sentences();
        let mut sentences = cutter.push(line);
        sentences.extend(cutter.finish());
        for (at, sentence) in sentences.into_iter().enumerate() {
            if at > 0 {
                parts.push(Part::Between(" ".into()));
            }
            let clauses = if by_clause { clauses(&sentence) } else { vec![sentence.as_str()] };
            for (at, clause) in clauses.into_iter().enumerate() {
                if at > 0 {
                    parts.push(Part::Between(", ".into()));
                }
                let has_words = clause.chars().any(char::is_alphanumeric);
                parts.push(if has_words { Part::Sentence(clause.into()) } else { Part::Between(clause.into()) });
            }
        }
    }
    parts
}

/// The clauses of a sentence: cut at commas that have two words or more on either side.
fn clauses(sentence: &str) -> Vec<&str> {
    let (mut clauses, mut rest) = (Vec::new(), sentence);
    let is_clause = |text: &str| text.split_whitespace().count() >= 2;
    let mut from = 0;
    while let Some(at) = rest[from..].find(", ").map(|at| from + at) {
        let (left, right) = (&rest[..at], &rest[at + 2..]);
        if is_clause(left) && is_clause(right) {
            clauses.push(left);
            rest = right.trim_start();
            from = 0;
        } else {
            from = at + 2;
        }
    }
    clauses.push(rest);
    clauses
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

    fn sentence(text: &str) -> Part {
        Part::Sentence(text.into())
    }

    fn between(text: &str) -> Part {
        Part::Between(text.into())
    }

    #[test]
    fn lines_stay_and_sentences_are_parts_of_their_own() {
        let text = " Salama, M. Rakoto. Inona ny vaovao?\r\n\n---\nMisaotra ! 😀";
        let expected = [
            sentence("Salama, M. Rakoto."),
            between(" "),
            sentence("Inona ny vaovao?"),
            between("\n"),
            between("\n"),
            between("---"),
            between("\n"),
            sentence("Misaotra !"),
            between(" "),
            between("😀"),
        ];
        assert_eq!(parts(text, false), expected);
    }

    #[test]
    fn clauses_are_parts_for_a_model_that_knows_no_longer_ones() {
        let text = "Inona ny vidin'ny mofo, aiza ny birao, azafady?";
        assert_eq!(parts(text, false), [sentence(text)]);
        assert_eq!(
            parts(text, true),
            [sentence("Inona ny vidin'ny mofo"), between(", "), sentence("aiza ny birao, azafady?")]
        );
        assert_eq!(parts("eny, aiza ny birao?", true), [sentence("eny, aiza ny birao?")]);
    }

    #[test]
    fn a_long_sentence_is_halved_where_it_breathes() {
        assert_eq!(halves("iray roa telo, efatra dimy enina"), Some(("iray roa telo,", "efatra dimy enina")));
        assert_eq!(halves("iray roa telo efatra"), Some(("iray roa", "telo efatra")));
        assert_eq!(halves("abcdéfgh").map(|(left, right)| format!("{left}|{right}")), Some("abcd|éfgh".into()));
        assert_eq!(halves("a"), None);
    }
}
