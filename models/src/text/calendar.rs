//! The names of the months in both languages, as people write them. Malagasy: CLDR `mg`; French: CLDR `fr`.

use crate::engine::Language;

/// Malagasy, January first.
pub(super) const MALAGASY: [&str; 12] = [
    "Janoary",
    "Febroary",
    "Martsa",
    "Aprily",
    "Mey",
    "Jona",
    "Jolay",
    "Aogositra",
    "Septambra",
    "Oktobra",
    "Novambra",
    "Desambra",
];

/// French, January first.
pub(super) const FRENCH: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];

/// CLDR's abbreviated months: Malagasy has three letters, French a dot; November's is the same in both.
const SHORT: [(&str, usize, Option<Language>); 20] = [
    ("jan", 0, Some(Language::Mg)),
    ("feb", 1, Some(Language::Mg)),
    ("mar", 2, Some(Language::Mg)),
    ("apr", 3, Some(Language::Mg)),
    ("jon", 5, Some(Language::Mg)),
    ("jol", 6, Some(Language::Mg)),
    ("aog", 7, Some(Language::Mg)),
    ("sep", 8, Some(Language::Mg)),
    ("okt", 9, Some(Language::Mg)),
    ("nov", 10, None),
    ("des", 11, Some(Language::Mg)),
    ("janv", 0, Some(Language::Fr)),
    ("févr", 1, Some(Language::Fr)),
    ("fév", 1, Some(Language::Fr)),
    ("avr", 3, Some(Language::Fr)),
    ("juil", 6, Some(Language::Fr)),
    ("sept", 8, Some(Language::Fr)),
    ("oct", 9, Some(Language::Fr)),
    ("déc", 11, Some(Language::Fr)),
    ("dec", 11, Some(Language::Fr)),
];

/// The month (1 to 12) whose name, in either language and any case, begins `text` as a whole word, its bytes (with the dot
/// of an abbreviation) and the language, where the name shows it. "des" is no month in a French text.
pub(super) fn month_at(text: &str, language: Language) -> Option<(usize, usize, Option<Language>)> {
    let length = text.find(|letter: char| !letter.is_alphabetic()).unwrap_or(text.len());
    if length > 12 {
        return None;
    }
    let word = text[..length].to_lowercase();
    let among = |names: &[&str; 12]| names.iter().position(|name| name.to_lowercase() == word);
    let unaccented = match word.as_str() {
        "fevrier" => Some(1),
        "aout" => Some(7),
        "decembre" => Some(11),
        _ => None,
    };
    let whole = |index: usize, language| (index + 1, length, Some(language));
    among(&MALAGASY)
        .map(|index| whole(index, Language::Mg))
        .or_else(|| among(&FRENCH).or(unaccented).map(|index| whole(index, Language::Fr)))
        .or_else(|| {
            let (_, index, named) = SHORT.iter().find(|(short, ..)| *short == word)?;
            if word == "des" && language == Language::Fr {
                return None;
            }
            let dot = text[length..].starts_with('.');
            // "12 mar" may be a name; a dot or a year shows the month.
            let year = text[length..]
                .strip_prefix(' ')
                .is_some_and(|next| next.bytes().take_while(u8::is_ascii_digit).count() == 4);
            (dot || year).then_some((index + 1, length + usize::from(dot), *named))
        })
}
