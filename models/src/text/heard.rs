//! What a caller's words mean: the other way round from the rest of this folder. Malagasy and French are understood side by
//! side, because callers mix them: a telephone number is said in French in the middle of a Malagasy sentence.
//! `numerals` knows which words are numbers.

mod back_channel;
mod day;
mod moment;
pub(crate) mod numerals;
mod over;
mod telephone;

use std::ops::Range;

pub use back_channel::is_back_channel;
pub use day::{Reach, day, pressed_day};
pub use moment::moment;
use numerals::{NOUGHT, Word};
pub use over::is_over;
pub use telephone::{pressed_telephone, telephone};

const YES: [&str; 12] =
    ["eny", "eka", "ekena", "marina", "ie", "oui", "ouais", "d'accord", "exact", "exactement", "ok", "volontiers"];
const NO: [&str; 4] = ["tsia", "non", "tsy", "pas"];

/// The words alone: small, without accents and marks.
pub fn words(text: &str) -> Vec<String> {
    numerals::words(text).into_iter().map(|word| word.plain).collect()
}

/// The numbers among these words, in their order: each as it is written in digits ("0" and "034" stay what they are), and its words.
fn numbers(words: &[Word]) -> Vec<(String, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(Word { plain, .. }) = words.get(at) {
        let (digits, end) = if plain.bytes().all(|byte| byte.is_ascii_digit()) {
            (plain.clone(), at + 1)
        } else if NOUGHT.contains(&plain.as_str()) {
            ("0".into(), at + 1)
        } else if plain == "isa" {
            ("1".into(), at + 1)
        } else if let Some((value, end, _)) = numerals::number(words, at) {
            (value.to_string(), end)
        } else {
            at += 1;
            continue;
        };
        found.push((digits, at..end));
        at = end;
    }
    found
}

/// The numbers in a text, in their order.
fn figures(text: &str) -> impl Iterator<Item = String> {
    numbers(&numerals::words(text)).into_iter().map(|(digits, _)| digits)
}

/// The digits that were said: one by one ("aotra telo efatra"), or in numbers that stand one after the other ("zéro
/// trente-quatre"). Other words between them are passed over. `None`: there are none.
pub fn digits(text: &str) -> Option<String> {
    let digits: String = figures(text).collect();
    (!digits.is_empty()).then_some(digits)
}

/// The one number that was said. `None`: there is none, or more than one.
pub fn number(text: &str) -> Option<u64> {
    let mut figures = figures(text);
    let only = figures.next()?;
    if figures.next().is_some() { None } else { only.parse().ok() }
}

/// Whether it was yes. `None`: it was neither yes nor no, or both. What is denied is no: "tsy ekena", "pas d'accord".
pub fn yes(text: &str) -> Option<bool> {
    let words = words(text);
    let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    match (any(&YES), any(&NO)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (true, true) => any(&["tsy", "pas"]).then_some(false),
        (false, false) => None,
    }
}

/// Words of a turn that is no more than a yes.
const AGREES: usize = 4;
/// What makes more of a turn than a yes: it goes on, or asks.
const BUT: [&str; 14] = [
    "fa",
    "kanefa",
    "nefa",
    "mais",
    "inona",
    "ohatrinona",
    "firy",
    "aiza",
    "rahoviana",
    "iza",
    "ve",
    "combien",
    "quel",
    "quelle",
];

/// Whether it was a yes and nothing else: "eny azafady", and not "eny fa ny talata". For what cannot be taken back.
pub fn agrees(text: &str) -> bool {
    let words = words(text);
    let is_more = words.len() > AGREES || text.contains('?') || words.iter().any(|word| BUT.contains(&word.as_str()));
    !is_more && yes(text) == Some(true)
}

/// The one of these choices, by its place, whose words were said one after the other. `None`: none, or several.
pub fn choice<'c>(text: &str, choices: impl IntoIterator<Item = &'c str>) -> Option<usize> {
    let said = words(text);
    let fits = |choice: &str| {
        let wanted = words(choice);
        !wanted.is_empty() && said.windows(wanted.len()).any(|part| part == wanted)
    };
    let mut found = choices.into_iter().enumerate().filter(|(_, choice)| fits(choice));
    let (place, _) = found.next()?;
    found.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn every_number_that_is_written_out_is_understood() {
        let some = (0..3_000).chain((3_000..1_000_000).step_by(97)).chain([1_000_000, 5_000_000, 2_000_000_000]);
        for n in some {
            assert_eq!(number(&mg::cardinal(n)), Some(n), "{}", mg::cardinal(n));
            assert_eq!(number(&fr::cardinal(n)), Some(n), "{}", fr::cardinal(n));
        }
    }

    #[test]
    fn numbers_stand_in_sentences() {
        for (said, wanted) in [
            ("mila maka fotoana aho ny talata amin'ny sivy ora maraina", Some(9)),
            ("Dimy ambin'ny folo, azafady.", Some(15)),
            ("Il y en a vingt et une", Some(21)),
            ("je suis né en mille neuf cent quatre-vingt-dix-sept", Some(1997)),
            ("quarante-deux personnes", Some(42)),
            ("42", Some(42)),
            ("roa sy telo", None),
            ("amin'ny alina", None),
            ("bonjour", None),
            ("", None),
        ] {
            assert_eq!(number(said), wanted, "{said}");
        }
    }

    #[test]
    fn digits_come_one_by_one_or_in_pairs() {
        for (said, wanted) in [
            ("aotra telo efatra roa", "0342"),
            ("ny laharako dia iray roa telo, efatra", "1234"),
            ("Zéro trente-quatre douze quarante-cinq soixante-sept", "034124567"),
            ("zéro trente quatre quatre-vingts", "03480"),
            ("six deux quatre", "624"),
            ("034 12 345 67", "0341234567"),
            ("roa ambin'ny folo dimy", "125"),
        ] {
            assert_eq!(digits(said).as_deref(), Some(wanted), "{said}");
        }
        assert_eq!(digits("veloma"), None);
    }

    #[test]
    fn yes_is_yes_and_what_is_denied_is_no() {
        for (said, wanted) in [
            ("Eny tompoko", Some(true)),
            ("oui, d'accord", Some(true)),
            ("D’accord !", Some(true)),
            ("Tsia", Some(false)),
            ("tsy ekena", Some(false)),
            ("pas d'accord", Some(false)),
            ("oui… non", None),
            ("salama", None),
        ] {
            assert_eq!(yes(said), wanted, "{said}");
        }
    }

    #[test]
    fn only_a_yes_and_nothing_else_agrees() {
        for said in ["Eny", "eny azafady", "oui c'est bien ça", "Marina izany tompoko.", "d'accord"] {
            assert!(agrees(said), "{said}");
        }
        for said in
            ["eny fa ny talata", "inona ny vidiny marina", "oui mais plutôt mardi", "marina?", "tsia", "", "veloma"]
        {
            assert!(!agrees(said), "{said}");
        }
        assert!(!agrees("eny te haka fotoana amin'ny talata aho"), "it says more");
    }

    #[test]
    fn a_choice_is_said_word_for_word_and_alone() {
        let days = ["talata", "alarobia", "sabata maraina"];
        assert_eq!(choice("ny Talata amin'ny sivy ora", days), Some(0));
        assert_eq!(choice("Sabata maraina!", days), Some(2));
        assert_eq!(choice("sabata", days), None);
        assert_eq!(choice("talata na alarobia", days), None);
        assert_eq!(choice("réclamation", ["reclamation"]), Some(0));
    }

    #[test]
    fn no_text_is_too_much() {
        let long = "roa sy telopolo amby ".repeat(20_000);
        assert!(digits(&long).is_some());
        assert_eq!(number(&"lavitrisa ".repeat(100)), None);
        assert_eq!(number(&format!("iray {}", "lavitrisa lavitrisa ".repeat(50))), Some(1_000_000_000));
    }
}
