//! Dates and hours.

use super::{Shown, at as word};
use crate::{
    engine::Language,
    text::{
        calendar,
        heard::numerals::{Word, number},
        tongue,
    },
};

/// A date or an hour that begins at this word.
pub(super) fn at(words: &[Word], from: usize, text: &str) -> Shown {
    date(words, from, text).or_else(|| hour(words, from))
}

/// "roa ambin'ny folo martsa taona …", "le premier mai deux mille vingt-six": day, month as it was said, and year.
fn date(words: &[Word], from: usize, text: &str) -> Shown {
    let (day, end) = match (word(words, from), number(words, from)) {
        ("voalohany", _) => ("1".to_owned(), from + 1),
        ("premier", _) => ("1er".to_owned(), from + 1),
        (_, Some((day @ 1..=31, end, _))) => (day.to_string(), end),
        _ => return None,
    };
    let month = words.get(end).filter(|word| word.follows)?;
    let name = &text[month.place.clone()];
    // A whole name stands here, no abbreviation that the language decides on.
    calendar::month_at(name, Language::Mg).filter(|(_, length, _)| *length == name.len())?;
    let behind = end + 1;
    let year = behind + usize::from(word(words, behind) == "taona");
    match number(words, year) {
        Some((value @ 1_000..=2_999, end, _)) if words[year].follows => Some((format!("{day} {name} {value}"), end)),
        _ => Some((format!("{day} {name}"), behind)),
    }
}

fn hour(words: &[Word], from: usize) -> Shown {
    let (hour, end) = match number(words, from) {
        Some((hour @ 0..=24, end, _)) => (hour, end),
        None if word(words, from) == "une" => (1, from + 1),
        _ => return None,
    };
    match word(words, end) {
        "ora" => Some(malagasy(words, hour, end + 1)),
        "heure" | "heures" => french(words, hour, end + 1),
        _ => None,
    }
}

/// "folo ora sy sasany" is 10:30; without minutes and part of the day it may be a duration, and stays "10 ora".
fn malagasy(words: &[Word], hour: u64, from: usize) -> (String, usize) {
    let part = |place: usize| {
        matches!(word(words, place), "maraina" | "antoandro" | "atoandro" | "tolakandro" | "hariva" | "alina")
    };
    let clock = |hour: u64, minute: u64| format!("{hour}:{minute:02}");
    let minutes = |place: usize| match word(words, place) {
        "sasany" | "sasary" => Some((30, place + 1)),
        "fahefany" | "fahefatra" => Some((15, place + 1)),
        "fahatelony" => Some((20, place + 1)),
        _ => {
            let (minute, end, _) = number(words, place).filter(|(minute, ..)| *minute < 60)?;
            let named = word(words, end) == "minitra";
            // "folo ora sy dimy ariary" is no time.
            (named || words.get(end).is_none_or(|word| !word.follows) || part(end))
                .then_some((minute, end + usize::from(named)))
        }
    };
    match word(words, from) {
        "sy" | "mahery" => {
            if let Some((minute, end)) = minutes(from + 1) {
                return (clock(hour, minute), end);
            }
        }
        "latsaka" => {
            if let Some((minute, end)) = minutes(from + 1).filter(|(minute, _)| *minute > 0 && hour > 0) {
                return (clock(before(hour), 60 - minute), end);
            }
        }
        _ if part(from) => return (clock(hour, 0), from),
        _ => {}
    }
    (format!("{hour} ora"), from)
}

/// What may follow the minutes of a French hour, beside small words: they tell when, and are not counted.
const WHEN: [&str; 18] = [
    "demain",
    "aujourd'hui",
    "hier",
    "apres",
    "avant",
    "precises",
    "pile",
    "environ",
    "matin",
    "soir",
    "midi",
    "lundi",
    "mardi",
    "mercredi",
    "jeudi",
    "vendredi",
    "samedi",
    "dimanche",
];

/// "dix heures trente" is 10 h 30. "Une heure" alone is as often a while.
fn french(words: &[Word], hour: u64, from: usize) -> Shown {
    let clock = |hour: u64, minute: u64| format!("{hour} h {minute:02}");
    // "dix heures deux personnes", "trois heures dix euros" are no times: only what counts nothing may follow.
    let minutes = |place: usize| {
        let (minute, end) = match number(words, place) {
            Some((minute @ 0..60, end, _)) => (minute, end),
            None if word(words, place) == "une" => (1, place + 1),
            _ => return None,
        };
        let named = usize::from(matches!(word(words, end), "minute" | "minutes"));
        let counts = named == 0
            && words.get(end).is_some_and(|word| word.follows)
            && !WHEN.contains(&word(words, end))
            && !tongue::is_small(word(words, end));
        (!counts && words[place].follows).then_some((minute, end + named))
    };
    match (word(words, from), word(words, from + 1)) {
        ("et", "demie" | "demi") => return Some((clock(hour, 30), from + 2)),
        ("et", "quart") => return Some((clock(hour, 15), from + 2)),
        ("moins", "le") if word(words, from + 2) == "quart" => return Some((clock(before(hour), 45), from + 3)),
        ("moins", _) => {
            if let Some((minute, end)) = minutes(from + 1).filter(|(minute, _)| *minute > 0) {
                return Some((clock(before(hour), 60 - minute), end));
            }
        }
        _ => {}
    }
    match minutes(from) {
        Some((minute, end)) => Some((clock(hour, minute), end)),
        None => (hour != 1).then(|| (format!("{hour} h"), from)),
    }
}

/// The hour before; "une heure moins le quart" is said of noon rather than of night.
fn before(hour: u64) -> u64 {
    match hour {
        0 => 23,
        1 => 12,
        hour => hour - 1,
    }
}
