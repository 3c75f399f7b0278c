//! Roman numerals, where they are numbers: "Louis XIV", "le XXe siècle", "Radama II", "Lot II".
//!
//! Capitals alone may be an acronym (CD, MM), so only I, V and X make a number by themselves, up to 39, and two of them at least; the
//! other letters, and a single one, need a word beside them that is counted (siècle, taonjato, chapitre, toko), or a name before
//! an "I": "Radama I". "I Rakoto" is the Malagasy article.

use super::{fr, mg};
use crate::engine::Language;

/// Words that a numeral follows.
const COUNTED: [&str; 16] = [
    "siècle",
    "taonjato",
    "chapitre",
    "toko",
    "tome",
    "acte",
    "lot",
    "niveau",
    "type",
    "phase",
    "titre",
    "louis",
    "henri",
    "radama",
    "ranavalona",
    "papa",
];

/// Words that an ordinal numeral stands before.
const NUMBERED: [&str; 6] = ["siècle", "République", "arrondissement", "étage", "édition", "congrès"];

/// The numeral at the start of `rest`, in words, and its bytes.
pub(super) fn at(before: &str, rest: &str, language: Language) -> Option<(String, usize)> {
    if let Some(after) = rest.strip_prefix("faha").or_else(|| rest.strip_prefix("Faha"))
        && let Some(numeral) = after.strip_prefix(['-', ' '])
        && !before.ends_with(char::is_alphanumeric)
    {
        let length = numerals(numeral);
        let ends = !numeral[length..].starts_with(char::is_alphanumeric);
        return value(&numeral[..length]).filter(|_| ends).map(|value| (mg::ordinal(value), 5 + length));
    }
    let length = numerals(rest);
    if length == 0 || before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '\'') {
        return None;
    }
    let (numeral, after) = rest.split_at(length);
    let value = value(numeral)?;
    let ending = ["ères", "ère", "ers", "er", "èmes", "ème", "eme", "es", "e"]
        .iter()
        .find(|ending| after.strip_prefix(**ending).is_some_and(|left| !left.starts_with(char::is_alphanumeric)));
    let small = length >= 2 && numeral.bytes().all(|letter| b"IVX".contains(&letter));
    if let Some(ending) = ending.filter(|ending| (value == 1) == ending.contains('r')) {
        let taken = length + ending.len();
        let counts = NUMBERED.iter().any(|word| rest[taken..].trim_start().starts_with(word));
        return (small || counts || value == 1).then(|| (ordinal(value, ending.contains("ère"), language), taken));
    }
    if after.starts_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '\'' | '’')) {
        return None;
    }
    let last = last_word(before);
    let counted = COUNTED.contains(&last.to_lowercase().as_str());
    let after_name = last.starts_with(char::is_uppercase) && last.chars().any(char::is_lowercase);
    if !(counted || small || after_name && numeral == "I") {
        return None;
    }
    Some(match language {
        // Radama II is "Radama faharoa"; a lot or a level is counted by cardinals.
        Language::Mg if after_name && !COUNTED[2..11].contains(&last.to_lowercase().as_str()) => {
            (mg::ordinal(value), length)
        }
        Language::Mg => (mg::cardinal(value), length),
        Language::Fr if after_name && value == 1 => (fr::ordinal(1), length),
        Language::Fr => (fr::cardinal(value), length),
    })
}

fn ordinal(value: u64, feminine: bool, language: Language) -> String {
    match language {
        Language::Mg => mg::ordinal(value),
        Language::Fr if value == 1 && feminine => "première".into(),
        Language::Fr => fr::ordinal(value),
    }
}

/// The last word of a text, without the space behind it.
fn last_word(before: &str) -> &str {
    let trimmed = before.trim_end_matches([' ', '\u{a0}', '-']);
    let start = trimmed.char_indices().rev().take(24).take_while(|(_, letter)| letter.is_alphabetic()).last();
    start.map_or("", |(at, _)| &trimmed[at..])
}

/// How many letters of a numeral `text` begins with.
fn numerals(text: &str) -> usize {
    text.bytes().take(16).take_while(|letter| b"IVXLCDM".contains(letter)).count()
}

/// What a numeral is worth, if it is written in the one usual way: 1 to 3,999.
fn value(numeral: &str) -> Option<u64> {
    const STEPS: [(&str, u64); 13] = [
        ("M", 1_000),
        ("CM", 900),
        ("D", 500),
        ("CD", 400),
        ("C", 100),
        ("XC", 90),
        ("L", 50),
        ("XL", 40),
        ("X", 10),
        ("IX", 9),
        ("V", 5),
        ("IV", 4),
        ("I", 1),
    ];
    let (mut rest, mut value) = (numeral, 0);
    for (sign, step) in STEPS {
        while let Some(left) = rest.strip_prefix(sign) {
            (rest, value) = (left, value + step);
        }
    }
    let (mut usual, mut left) = (String::new(), value);
    for (sign, step) in STEPS {
        while left >= step {
            (usual, left) = (usual + sign, left - step);
        }
    }
    (rest.is_empty() && value > 0 && value < 4_000 && usual == numeral).then_some(value)
}
