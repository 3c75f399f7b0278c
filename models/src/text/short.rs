//! What stands for more than its letters: abbreviations and titles, acronyms, and Malagasy words whose apostrophe was not typed.

use super::{calendar::month_at, fr, is_small, mg, spoken::Spoken};
use crate::engine::Language;

/// How an abbreviation stands with the dot behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dot {
    /// None belongs to it: "Ar".
    No,
    /// One may: "Dr" and "Dr.".
    May,
    /// Without it, it is another word: "av.".
    Must,
    /// With it, and a name after it: "M. Rakoto".
    BeforeName,
    /// With it, and the day of the month or the end of a range after it: "sam. 8 nov.", "mer. au ven."; else it is another word.
    BeforeDay,
    /// With it, which ends the sentence where nothing of that kind follows: "du lun. au ven.".
    Day,
    /// It may end the sentence too: "etc.".
    Ends,
}

/// Acronyms that are spelled although they could be read as a word. Those without a vowel are always spelled, all others are read:
/// JIRAMA, UNICEF, SIDA.
const SPELLED: [&str; 26] = [
    "AI", "API", "BNI", "CEG", "CEO", "CIN", "DAB", "EPP", "FAQ", "GAB", "IA", "ID", "IP", "OMS", "ONG", "OTP", "PIB",
    "PME", "QI", "RIB", "SAV", "UE", "URL", "USA", "USB", "VIP",
];

/// Malagasy words that end in an apostrophe before "ny" and its like, which is often not typed: "amin ny".
const LINKED: [&str; 10] = ["amin", "tamin", "ambin", "an", "nohon", "ivelan", "anatin", "alohan", "afaran", "isan"];
/// What follows them.
const LINKS: [&str; 9] = ["ny", "i", "ity", "io", "izao", "izany", "izay", "ireo", "andro"];

/// Speaks a word: an abbreviation in full, an acronym letter by letter, any other as it is. The bytes of `after` that belong to it.
pub(super) fn word(word: &str, after: &str, language: Language, spoken: &mut Spoken) -> usize {
    let table = match language {
        Language::Mg => mg::ABBREVIATIONS,
        Language::Fr => fr::ABBREVIATIONS,
    };
    let dotted = after.strip_prefix('.');
    let name_follows = dotted.is_some_and(|after| after.trim_start().starts_with(char::is_uppercase));
    let at_end = dotted.is_some_and(|after| after.trim_start().is_empty());
    for (short, dot, full) in table {
        if *short != word {
            continue;
        }
        let taken = match dot {
            Dot::No => Some(0),
            Dot::May => Some(usize::from(dotted.is_some() && !at_end)),
            Dot::Must => dotted.map(|_| usize::from(!at_end)),
            Dot::BeforeName => name_follows.then_some(1),
            Dot::BeforeDay => dotted.filter(|after| day_follows(after)).map(|_| 1),
            Dot::Day => dotted.map(|after| usize::from(day_follows(after))),
            Dot::Ends => Some(usize::from(dotted.is_some() && !at_end && !name_follows)),
        };
        if let Some(taken) = taken {
            spoken.word(full);
            return taken;
        }
    }
    if language == Language::Mg
        && let Some(link) = untyped_apostrophe(word, after)
    {
        spoken.raw(word);
        spoken.letter('\'');
        spoken.raw(&after[1..link]);
        return link;
    }
    let without_vowel =
        (2..=6).contains(&word.len()) && word.bytes().all(|letter| b"BCDFGHJKLMNPQRSTVWXZ".contains(&letter));
    if without_vowel || SPELLED.contains(&word) {
        let letters: Vec<String> = word.chars().map(String::from).collect();
        spoken.word(&letters.join(" "));
    } else {
        spoken.raw(word);
    }
    0
}

/// What follows a day of the week in small letters: "du lun. au ven.", "sam. matin".
const BEHIND_DAYS: [&str; 5] = ["au", "de", "à", "matin", "soir"];

/// Whether what stands behind the dot of a day of the week goes on with it: a day of the month, which counts nothing ("jeu. 3 jours"),
/// a dash to another day, or the like of "au".
fn day_follows(after: &str) -> bool {
    let next = after.strip_prefix([' ', '\u{a0}', '\u{202f}']).unwrap_or(after);
    let figures = next.bytes().take_while(u8::is_ascii_digit).count();
    if figures > 0 {
        let day = figures <= 2 && next[..figures].parse().is_ok_and(|day: u8| (1..=31).contains(&day));
        let behind = next[figures..].trim_start_matches([' ', '\u{a0}', '\u{202f}']);
        let word = word_at(behind);
        return day && (matches!(word, "" | "h") || is_small(word) || month_at(behind, Language::Fr).is_some());
    }
    after.starts_with(['-', '–']) || BEHIND_DAYS.contains(&word_at(next))
}

/// Whether a day of the week whose dot has been read goes on behind a space: by figures or the like of "au". Nothing while that is
/// still being written.
pub(super) fn day_goes_on(next: &str) -> Option<bool> {
    let word = word_at(next);
    if next.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(true);
    }
    let open = word.len() == next.len() && BEHIND_DAYS.iter().any(|behind| behind.starts_with(word));
    (!open).then(|| BEHIND_DAYS.contains(&word))
}

fn word_at(text: &str) -> &str {
    &text[..text.find(|letter: char| !letter.is_alphabetic()).unwrap_or(text.len())]
}

/// Where the linked word ends in `after`, if an apostrophe was meant for the space: "amin ny".
fn untyped_apostrophe(word: &str, after: &str) -> Option<usize> {
    let known = word.len() <= 6 && LINKED.contains(&word.to_lowercase().as_str());
    let next = after.strip_prefix(' ').filter(|_| known)?;
    let length = next.find(|letter: char| !letter.is_alphabetic()).unwrap_or(next.len());
    let link = next[..length].to_lowercase();
    let fits = LINKS.contains(&link.as_str()) && (link != "andro" || word.eq_ignore_ascii_case("isan"));
    fits.then_some(1 + length)
}
