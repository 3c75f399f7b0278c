//! What a listener says while somebody else speaks, and does not want to be answered.

use super::numerals::words;

/// Said while one listens: yes, I hear, go on.
const LISTENS: &str =
    "eny ie e ee eka ekena marina mazava tsara aha ah oh oui ouais d'accord ok okay voila bien exact exactement tres";
/// What goes with it.
const POLITE: &str = "tompoko ry ary tokoa izany monsieur madame";
/// More words than these are meant for the one who speaks.
const SHORT: usize = 4;

/// Whether these words only show that somebody listens: "eny", "mmm", "oui oui", "d'accord". Of "tsia" and of a question it is not so.
pub fn is_back_channel(text: &str) -> bool {
    let words = words(text);
    let is = |known: &str, word: &str| known.split(' ').any(|known| known == word);
    let listens = |word: &str| is(LISTENS, word) || hums(word);
    (1..=SHORT).contains(&words.len())
        && !text.contains('?')
        && words.iter().all(|word| listens(&word.plain) || is(POLITE, &word.plain))
        && words.iter().any(|word| listens(&word.plain))
}

/// "m", "mmm", "hm", "mhm", "hmm".
fn hums(word: &str) -> bool {
    word.contains('m') && word.chars().all(|letter| matches!(letter, 'm' | 'h'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_shows_that_somebody_listens() {
        for text in [
            "eny",
            "Eny.",
            "ie",
            "mmm",
            "hm",
            "Mhm",
            "oui",
            "oui oui",
            "d'accord",
            "D’accord.",
            "ok",
            "eny tompoko",
            "ah oui",
            "très bien",
            "voilà",
        ] {
            assert!(is_back_channel(text), "{text}");
        }
        for text in [
            "",
            "tsia",
            "non",
            "eny?",
            "eny fa ohatrinona",
            "tompoko",
            "oui mais",
            "andraso",
            "attendez",
            "misaotra",
            "eny eny eny eny eny",
            "h",
            "veloma",
        ] {
            assert!(!is_back_channel(text), "{text}");
        }
    }
}
