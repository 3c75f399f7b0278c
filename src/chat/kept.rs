//! What a translation leaves as it is: placeholders, which a program fills in later, and numbers that are written in figures. Where a model
//! loses one, the words around them are translated by themselves, and they stay where they are.

use super::translation::keeps_figures;

/// Words that stand between so many that are kept, at most: each is a translation of its own.
const MOST: usize = 32;
/// A placeholder is no longer, in bytes: a brace that is closed much later is none.
const LONGEST: usize = 64;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// To be translated, with the blanks around it.
    Words(&'t str),
    /// To stay: a placeholder, a number, or what lies between two of them without a word.
    Kept(&'t str),
}

/// Whether a translation has the placeholders of its text, and its numbers of two figures and more. Hours are told by twelve in one language
/// and by twenty-four in the other.
pub(super) fn keeps(text: &str, translation: &str) -> bool {
    let figures_of = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let theirs = figures_of(translation);
    spans(text).all(|kept| match kept.starts_with(['{', '%']) {
        true => translation.matches(kept).count() >= text.matches(kept).count(),
        false => theirs.contains(&figures_of(kept)) || keeps_figures(text, translation),
    })
}

/// The parts of a text, in their order; none where it has too many.
pub(super) fn parts(text: &str) -> Option<Vec<Part<'_>>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    for kept in spans(text) {
        // Of the same text: where it begins is how far it is from there.
        let from = kept.as_ptr() as usize - text.as_ptr() as usize;
        parts.extend((from > at).then(|| between(&text[at..from])));
        parts.push(Part::Kept(kept));
        at = from + kept.len();
    }
    parts.extend((at < text.len()).then(|| between(&text[at..])));
    (parts.iter().filter(|part| matches!(part, Part::Words(_))).count() <= MOST).then_some(parts)
}

/// What stands between what is kept.
fn between(text: &str) -> Part<'_> {
    if text.chars().any(char::is_alphabetic) { Part::Words(text) } else { Part::Kept(text) }
}

/// The placeholders of a text and its numbers, in their order.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let rest = &text[at..];
            if let Some(length) = placeholder(rest).or_else(|| number(rest)) {
                at += length;
                return Some(&rest[..length]);
            }
            // Digits that are no such number are passed over with it, and not looked at from their middle.
            let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
            at += digits.max(rest.chars().next().map_or(1, char::len_utf8));
        }
        None
    })
}

/// How long the placeholder is that begins here: `{name}`, `{{name}}`, `%s`, `%2$d`, `%.2f`, `%(name)s`.
fn placeholder(text: &str) -> Option<usize> {
    if text.starts_with('{') {
        let end = if text.starts_with("{{") { text.find("}}")? + 2 } else { text.find('}')? + 1 };
        return (end <= LONGEST && !text[..end].contains('\n')).then_some(end);
    }
    let rest = text.strip_prefix('%')?;
    let rest = match rest.strip_prefix('(') {
        Some(named) => named.split_once(')').filter(|(name, _)| name.len() <= LONGEST)?.1,
        None => rest,
    };
    let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || ".$+-#".contains(letter));
    let after = rest.strip_prefix(['s', 'd', 'i', 'u', 'f', '@'])?;
    // A word behind a percent sign is a word.
    (!after.starts_with(char::is_alphanumeric)).then(|| text.len() - after.len())
}

/// How long the number is that begins here, with what stands between its figures: two figures at least.
fn number(text: &str) -> Option<usize> {
    let (mut end, mut figures, mut is_apart) = (0, 0, false);
    for (at, letter) in text.char_indices() {
        if letter.is_ascii_digit() {
            (end, figures, is_apart) = (at + 1, figures + 1, false);
        } else if figures > 0 && !is_apart && " .,:/-\u{a0}\u{202f}".contains(letter) {
            is_apart = true;
        } else {
            break;
        }
    }
    (figures >= 2).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Vec<&str> {
        spans(text).collect()
    }

    #[test]
    fn placeholders_and_numbers_are_found_and_words_are_not() {
        for (text, found) in [
            ("Salama {name}, antsoy ny 034 12 345 67.", vec!["{name}", "034 12 345 67"]),
            ("{{ville}} : %s et %2$d, %(jour)s, %.2f", vec!["{{ville}}", "%s", "%2$d", "%(jour)s", "%.2f"]),
            ("le 12/04/2026 à 8 h", vec!["12/04/2026"]),
            ("50 % des livres, 100%sûr", vec!["50", "100"]),
            ("8 ora, 3 boky", vec![]),
            ("une { qui ne se ferme pas", vec![]),
            ("1 500 000 ariary", vec!["1 500 000"]),
        ] {
            assert_eq!(kept(text), found, "{text}");
        }
    }

    #[test]
    fn what_is_lost_or_changed_is_seen() {
        for (text, translation, is_kept) in [
            ("Salama {name}", "Bonjour {name}", true),
            ("Salama {name}", "Bonjour {anarana}", false),
            ("%s sy %s", "%s et %s", true),
            ("%s sy %s", "%s", false),
            ("antsoy ny 034 12 345 67", "appelez le 0341234567", true),
            ("antsoy ny 034 12 345 67", "appelez le 034 12 345 6", false),
            ("1 500 000 ariary", "1.500.000 ariary", true),
            ("amin'ny 15 ora", "à 3 heures", true),
            ("telo boky", "trois livres", true),
        ] {
            assert_eq!(keeps(text, translation), is_kept, "{text} / {translation}");
        }
    }

    #[test]
    fn a_text_is_cut_around_what_is_kept_and_nothing_of_it_is_lost() {
        let text = "Salama {name}, antsoy ny 034 12 345 67 (%s) rahampitso.";
        let parts = parts(text).expect("few");
        let expected = [
            Part::Words("Salama "),
            Part::Kept("{name}"),
            Part::Words(", antsoy ny "),
            Part::Kept("034 12 345 67"),
            Part::Kept(" ("),
            Part::Kept("%s"),
            Part::Words(") rahampitso."),
        ];
        assert_eq!(parts, expected);
        let whole: String = parts
            .iter()
            .map(|part| match part {
                Part::Words(text) | Part::Kept(text) => *text,
            })
            .collect();
        assert_eq!(whole, text);
        assert!(super::parts(&"eny {x} ".repeat(MOST + 1)).is_none());
    }
}
