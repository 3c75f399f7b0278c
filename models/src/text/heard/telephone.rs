//! Telephone numbers as callers say and press them, as E.164 has them.
//!
//! Of Madagascar's plan (ARTEC) there are mobile numbers, 032, 033, 034, 037 and 038, and the landlines of 020; each has nine digits
//! behind the country's 261, or behind the 0 with which they are called from within. Numbers of other countries are said or pressed
//! with their +, or 00.

use super::{digits, numbers, numerals};

const COUNTRY: &str = "261";
/// Digits behind the country's.
const NATIONAL: usize = 9;
const AREAS: [&str; 6] = ["32", "33", "34", "37", "38", "20"];

/// The telephone number that was said: "zéro trente-quatre douze…", "aotra telo efatra…", "plus trente-trois…". `None`: there is none.
pub fn telephone(text: &str) -> Option<String> {
    let words = numerals::words(text);
    let numbers = numbers(&words);
    let (_, first) = numbers.first()?;
    let before = words[..first.start].last().map_or("", |word| &word.plain);
    let is_whole = before == "plus" || text[..words[first.start].place.start].trim_end().ends_with('+');
    normal(&digits(text)?, is_whole)
}

/// The one that was pressed; `00` stands for the +.
pub fn pressed_telephone(keys: &str) -> Option<String> {
    keys.bytes().all(|key| key.is_ascii_digit()).then(|| normal(keys, false))?
}

/// As E.164 has it, "+261341234567"; `is_whole`: with its country's digits, whatever these are.
fn normal(digits: &str, is_whole: bool) -> Option<String> {
    let abroad = if is_whole { Some(digits) } else { digits.strip_prefix("00") };
    let malagasy = |national: &str| {
        let is_known = national.len() == NATIONAL && AREAS.iter().any(|area| national.starts_with(area));
        is_known.then(|| format!("+{COUNTRY}{national}"))
    };
    let Some(abroad) = abroad else {
        let national = digits.strip_prefix('0').or_else(|| digits.strip_prefix(COUNTRY)).unwrap_or(digits);
        return malagasy(national);
    };
    match abroad.strip_prefix(COUNTRY) {
        Some(national) => malagasy(national),
        // E.164: fifteen digits at most; no country's begin with 0.
        None => ((8..=15).contains(&abroad.len()) && !abroad.starts_with('0')).then(|| format!("+{abroad}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_groups_or_one_by_one_and_become_e_164() {
        for (said, wanted) in [
            ("zéro trente-quatre douze trois cent quarante-cinq soixante-sept", "+261341234567"),
            ("aotra telo efatra iray roa telo efatra dimy enina fito", "+261341234567"),
            ("ny laharako dia zéro trente-deux, zéro sept, cent vingt-trois, quarante-cinq", "+261320712345"),
            ("034 12 345 67", "+261341234567"),
            ("34 12 345 67", "+261341234567"),
            ("C'est le 038.12.345.67.", "+261381234567"),
            ("+261 34 12 345 67", "+261341234567"),
            (
                "plus deux cent soixante et un trente-quatre douze trois cent quarante-cinq soixante-sept",
                "+261341234567",
            ),
            ("zéro vingt vingt-deux cent vingt-trois quarante-cinq", "+261202212345"),
            ("00 33 6 12 34 56 78", "+33612345678"),
            ("+33 6 12 34 56 78", "+33612345678"),
        ] {
            assert_eq!(telephone(said).as_deref(), Some(wanted), "{said}");
        }
    }

    #[test]
    fn what_no_plan_has_is_no_number() {
        for said in [
            "",
            "salama",
            "034 12 345 6",
            "034 12 345 678",
            "039 12 345 67",
            "031 12 345 67",
            "+261 39 12 345 67",
            "06 12 34 56 78",
            "+33 6",
            "+0123456789",
            "+1234567890123456",
        ] {
            assert_eq!(telephone(said), None, "{said}");
        }
    }

    #[test]
    fn numbers_are_pressed() {
        for (keys, wanted) in [
            ("0341234567", Some("+261341234567")),
            ("261341234567", Some("+261341234567")),
            ("00261341234567", Some("+261341234567")),
            ("0033612345678", Some("+33612345678")),
            ("0391234567", None),
            ("03412*4567", None),
            ("", None),
        ] {
            assert_eq!(pressed_telephone(keys).as_deref(), wanted, "{keys}");
        }
    }
}
