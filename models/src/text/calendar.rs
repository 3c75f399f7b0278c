//! The names of the months in both languages, as people write them. Malagasy: CLDR `mg`; French: CLDR `fr`.

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

/// The month (1 to 12) whose name, in either language and any case, begins `text` as a whole word, and its bytes.
pub(super) fn month_at(text: &str) -> Option<(usize, usize)> {
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
    among(&MALAGASY).or_else(|| among(&FRENCH)).or(unaccented).map(|index| (index + 1, length))
}
