//! What was understood, as it is read back: texts that [`super::speakable`] makes words of, and the ear can follow.

use jiff::civil::Date;

use super::{
    calendar::{FRENCH, MALAGASY},
    written::grouped,
};
use crate::engine::Language;

/// Monday first.
pub const WEEKDAYS: [(&str, &str); 7] = [
    ("Alatsinainy", "lundi"),
    ("Talata", "mardi"),
    ("Alarobia", "mercredi"),
    ("Alakamisy", "jeudi"),
    ("Zoma", "vendredi"),
    ("Asabotsy", "samedi"),
    ("Alahady", "dimanche"),
];

/// "Alarobia 6 Janoary 2027", "mercredi 6 janvier 2027": the weekday shows soonest that another day was meant.
pub fn day(day: Date, language: Language) -> String {
    let (malagasy, french) = WEEKDAYS[day.weekday().to_monday_zero_offset() as usize];
    let at = day.month() as usize - 1;
    let (weekday, month) = match language {
        Language::Mg => (malagasy, MALAGASY[at]),
        Language::Fr => (french, FRENCH[at]),
    };
    format!("{weekday} {} {month} {}", day.day(), day.year())
}

/// "034 12 345 67" for a number of Madagascar, "+33…" for others.
pub fn telephone(number: &str) -> String {
    match number.strip_prefix("+261") {
        Some(national) => grouped(&format!("0{national}")).join(" "),
        None => number.to_owned(),
    }
}

/// Digits one by one, in groups with a pause between them.
pub fn digits(digits: &str) -> String {
    let one_by_one = |group: String| group.chars().map(|digit| digit.to_string()).collect::<Vec<_>>().join(" ");
    grouped(digits).into_iter().map(one_by_one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::speakable, *};

    #[test]
    fn days_and_numbers_are_read_back_in_words() {
        for (language, text, wanted) in [
            (Language::Mg, day(Date::constant(2027, 1, 6), Language::Mg), "Alarobia enina Janoary taona"),
            (Language::Fr, day(Date::constant(2027, 1, 6), Language::Fr), "mercredi six janvier deux mille vingt-sept"),
            (Language::Mg, telephone("+261341234567"), "aotra telo efatra, iray roa, telo efatra dimy, enina fito"),
            (Language::Mg, telephone("+261202212345"), "aotra roa aotra, roa roa, iray roa telo, efatra dimy"),
            (Language::Mg, digits("0482"), "aotra efatra valo roa"),
        ] {
            let said = speakable(&text, language);
            assert!(said.starts_with(wanted), "{text}: {said}");
        }
        let abroad = speakable(&telephone("+33612345678"), Language::Fr);
        assert!(abroad.starts_with("plus trois") && abroad.ends_with("huit"), "{abroad}");
        assert_eq!(digits("123456"), "1 2 3, 4 5 6");
    }
}
