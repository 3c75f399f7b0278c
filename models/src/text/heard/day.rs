//! Days as callers say and press them, in Malagasy and in French side by side.
//!
//! ```text
//! "rahampitso", "après-demain", "afaka telo andro"          counted from today
//! "alarobia", "lundi prochain", "mardi en huit"             the next one to come, never today
//! "ny 5 janoary", "le premier mai 2027", "05/01/2027"       the next one to come, where no year is said
//! "ny faha-5", "le quinze"                                  of this month or of one that follows
//! ```
//! A weekday beside another way of saying it must be that day's: "alarobia 6 janoary" of a Thursday is no day.

use jiff::{
    ToSpan,
    civil::{Date, Weekday},
};

use super::numerals::{self, Word, words};
use crate::{engine::Language, text::calendar};

/// Monday first, as they are said.
const WEEKDAYS: [&[&str]; 7] = [
    &["alatsinainy", "latsinainy", "lundi"],
    &["talata", "mardi"],
    &["alarobia", "larobia", "mercredi"],
    &["alakamisy", "lakamisy", "jeudi"],
    &["zoma", "vendredi"],
    &["asabotsy", "sabotsy", "samedi"],
    &["alahady", "dimanche"],
];
/// What may stand between a day and its month: "5 ny volana janoary", "le cinq du mois de mai".
const BETWEEN: [&str; 7] = ["ny", "n'ny", "amin'ny", "volana", "mois", "de", "du"];
/// What may stand behind the day of a month that nobody names; anything else would be counted: "amin'ny sivy ora".
const BEHIND: [&str; 15] = [
    "ity", "io", "izao", "azafady", "tompoko", "a", "amin'ny", "ny", "s'il", "svp", "merci", "de", "prochain", "na",
    "ou",
];
/// As many days, weeks or months ahead as are counted.
const FARTHEST: u64 = 1_000;
/// In so many years each day comes at least once: 29 February, over a century that has none.
const YEARS: i16 = 8;

/// The one day that was said. `None`: there is none, more than one, or one that no calendar has.
pub fn day(text: &str, today: Date) -> Option<Date> {
    let words = words(text);
    let said = Said { words: &words, text, today };
    let (mut found, mut named, mut at) = (None::<Date>, None::<(Weekday, usize)>, 0);
    while at < words.len() {
        if let Some((day, end)) = said.figures(at).or_else(|| said.of_a_month(at)).or_else(|| said.counted(at)) {
            let day = day?;
            if found.replace(day).is_some_and(|known| known != day) {
                return None;
            }
            at = end;
            continue;
        }
        if let Some(weekday) = weekday(said.word(at)) {
            if named.is_some_and(|(known, _)| known != weekday) {
                return None;
            }
            named.get_or_insert((weekday, at));
        }
        at += 1;
    }
    match (found, named) {
        (Some(day), Some((weekday, _))) => Some(day).filter(|day| day.weekday() == weekday),
        (Some(day), None) => Some(day),
        (None, Some((weekday, at))) => said.on_a(weekday, at),
        (None, None) => said.alone(),
    }
}

/// The day that was pressed: `DDMMYYYY`, or `DDMM` for the next one to come.
pub fn pressed_day(keys: &str, today: Date) -> Option<Date> {
    if !keys.bytes().all(|key| key.is_ascii_digit()) || !matches!(keys.len(), 4 | 8) {
        return None;
    }
    let (day, month) = (keys[..2].parse().ok()?, keys[2..4].parse().ok()?);
    if keys.len() == 4 { coming(day, month, today) } else { Date::new(keys[4..].parse().ok()?, month, day).ok() }
}

/// Which days are right.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Whether one that is over is.
    pub past: bool,
    /// How many days away it may be.
    pub within: Option<u16>,
}

impl Reach {
    /// Whether this one is.
    pub fn holds(self, day: Date, today: Date) -> bool {
        let away = (day - today).get_days();
        (self.past || away >= 0) && self.within.is_none_or(|most| away.unsigned_abs() <= u32::from(most))
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    let at = WEEKDAYS.iter().position(|names| names.contains(&word))?;
    Weekday::from_monday_zero_offset(at as i8).ok()
}

/// The next such day, from today on.
fn coming(day: i8, month: i8, today: Date) -> Option<Date> {
    (0..=YEARS).filter_map(|more| Date::new(today.year() + more, month, day).ok()).find(|day| *day >= today)
}

/// The last such day before today.
fn gone(day: i8, month: i8, today: Date) -> Option<Date> {
    (0..=YEARS).filter_map(|less| Date::new(today.year() - less, month, day).ok()).find(|day| *day < today)
}

/// A day that was said, and the word behind it; it may be one that no calendar has.
type Found = Option<(Option<Date>, usize)>;

/// What was said, and when.
struct Said<'a> {
    words: &'a [Word],
    text: &'a str,
    today: Date,
}

impl Said<'_> {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &word.plain)
    }

    fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |at| self.word(at))
    }

    fn any(&self, word: &str) -> bool {
        self.words.iter().any(|said| said.plain == word)
    }

    /// "05/01/2027", "5.1.2027", "2027-01-05", "05/01".
    fn figures(&self, at: usize) -> Found {
        let figure = |at: usize| {
            let word = self.word(at);
            let is_figure = (1..=4).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
            is_figure.then(|| Some((word.parse::<i16>().ok()?, word.len())))?
        };
        let ((first, digits), (second, two)) = (figure(at)?, figure(at + 1)?);
        let slash = |at: usize| &self.text[self.words[at].place.end..self.words[at + 1].place.start] == "/";
        let of = |year: i16, month: i16, day: i16| Date::new(year, month as i8, day as i8).ok();
        match figure(at + 2) {
            Some((third, 1..=2)) if digits == 4 && two <= 2 => Some((of(first, second, third), at + 3)),
            Some((third, 4)) if digits <= 2 && two <= 2 => Some((of(third, second, first), at + 3)),
            Some((third, 2)) if digits <= 2 && two <= 2 && slash(at) && slash(at + 1) => {
                Some((of(2_000 + third, second, first), at + 3))
            }
            _ if digits <= 2 && two <= 2 && slash(at) => Some((coming(first as i8, second as i8, self.today), at + 2)),
            _ => None,
        }
    }

    /// "ny faha-5 janoary", "dimy ny volana janoary taona 2027", "le premier mai", "le cinq du mois prochain".
    fn of_a_month(&self, at: usize) -> Found {
        let (day, end) = self.number_of_a_day(at)?;
        let mut place = end;
        while place < end + 3 && BETWEEN.contains(&self.word(place)) {
            place += 1;
        }
        if let Some(behind) = self.next_month(place) {
            let month = self.today.first_of_month().checked_add(1.month()).ok()?;
            return Some((Date::new(month.year(), month.month(), day).ok(), behind));
        }
        let name = self.word(place).trim_start_matches("d'");
        let (month, length, _) = calendar::month_at(name, Language::Mg)?;
        let month = Some(month as i8).filter(|_| length == name.len())?;
        let year = place + 1 + usize::from(self.word(place + 1) == "taona");
        if let Some((year, end)) = self.figure(year).filter(|(year, _)| (1_900..2_200).contains(year)) {
            return Some((Date::new(year as i16, month, day).ok(), end));
        }
        let is_over = self.before(at) == "tamin'ny";
        Some((if is_over { gone(day, month, self.today) } else { coming(day, month, self.today) }, place + 1))
    }

    /// The word behind "volana ambony", "mois prochain", if these end before or at a place.
    fn next_month(&self, place: usize) -> Option<usize> {
        match (self.before(place), self.word(place), self.word(place + 1)) {
            ("volana", "ambony" | "manaraka", _) | ("mois", "prochain" | "suivant", _) => Some(place + 1),
            ("volana", "ho", "avy") => Some(place + 2),
            _ => None,
        }
    }

    /// A number, in figures or in words.
    fn figure(&self, at: usize) -> Option<(u64, usize)> {
        let word = self.word(at);
        if !word.is_empty() && word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some((word.parse().ok()?, at + 1));
        }
        if word == "une" {
            return Some((1, at + 1));
        }
        numerals::number(self.words, at).map(|(value, end, _)| (value, end))
    }

    /// "5", "dimy", "faha-5", "fahadimy", "voalohany", "premier", "1er".
    fn number_of_a_day(&self, at: usize) -> Option<(i8, usize)> {
        let word = self.word(at);
        if matches!(word, "voalohany" | "premier" | "1er") {
            return Some((1, at + 1));
        }
        let (value, end) = match word.strip_prefix("fah") {
            Some("a") => self.figure(at + 1)?,
            Some(rest) => {
                let alone = |stem: &str| {
                    let place = self.words[at].place.clone();
                    let (value, ..) = numerals::number(&[Word { plain: stem.into(), place, follows: false }], 0)?;
                    Some((value, at + 1))
                };
                rest.strip_prefix('a').and_then(alone).or_else(|| alone(rest))?
            }
            None => self.figure(at)?,
        };
        // Ninety-nine is no day either, and the calendar says so.
        (1..100).contains(&value).then_some((value as i8, end))
    }

    /// "rahampitso", "avant-hier", "afaka telo andro", "dans une semaine".
    fn counted(&self, at: usize) -> Found {
        let days = |days: i64, words: usize| Some((self.today.checked_add(days.days()).ok(), at + words));
        match (self.word(at), self.word(at + 1)) {
            ("anio" | "androany" | "aujourd'hui", _) => days(0, 1),
            ("apres", "demain") | ("rahafak" | "afak", "ampitso") => days(2, 2),
            ("rahafakampitso" | "rahafak'ampitso" | "afakampitso" | "afak'ampitso", _) => days(2, 1),
            ("rahampitso" | "ampitso" | "demain", _) => days(1, 1),
            ("avant", "hier") | ("afak", "omaly") => days(-2, 2),
            ("afakomaly" | "afak'omaly", _) => days(-2, 1),
            ("omaly" | "hier", _) => days(-1, 1),
            ("afaka", "herinandro") => days(7, 2),
            ("afaka" | "dans", _) => self.ahead(at + 1),
            _ => None,
        }
    }

    /// "telo andro", "quinze jours", "iray volana", from today.
    fn ahead(&self, at: usize) -> Found {
        let (count, end) = self.figure(at).filter(|(count, _)| *count <= FARTHEST)?;
        let count = count as i64;
        let span = match (self.word(end), count) {
            // As French has it: a week, and two.
            ("jours", 8) => 7.days(),
            ("jours", 15) => 14.days(),
            ("andro" | "jour" | "jours", _) => count.days(),
            ("herinandro" | "semaine" | "semaines", _) => count.weeks(),
            ("volana" | "mois", _) => count.months(),
            _ => return None,
        };
        Some((self.today.checked_add(span).ok(), end + 1))
    }

    /// A weekday that stands at a place, and what is said about which: none is the next one to come.
    fn on_a(&self, weekday: Weekday, at: usize) -> Option<Date> {
        let (before, next, after) = (self.before(at), self.word(at + 1), self.word(at + 2));
        let nth = |nth: i32| self.today.nth_weekday(nth, weekday).ok();
        if before == "tamin'ny" || matches!(next, "lasa" | "teo" | "dernier" | "passe") {
            return nth(-1);
        }
        let is_this = matches!(before, "ce" | "ity" | "io") || matches!(next, "ity" | "io" | "izao");
        let next_week = self.any("semaine") && self.any("prochaine")
            || self.any("herinandro") && !self.any("ity") && !self.any("io");
        match (next, after) {
            ("en", "huit") => nth(2),
            ("en", "quinze") => nth(3),
            _ if next_week => {
                let monday = self.today.nth_weekday(1, Weekday::Monday).ok()?;
                monday.checked_add(i64::from(weekday.to_monday_zero_offset()).days()).ok()
            }
            _ if is_this && self.today.weekday() == weekday => Some(self.today),
            _ => nth(1),
        }
    }

    /// "ny faha-5", "le quinze": the only number that may be a day's, of this month or of the next that has it.
    fn alone(&self) -> Option<Date> {
        let fits = |at: usize| {
            let (day, end) = self.number_of_a_day(at)?;
            let behind = self.words.get(end).filter(|word| word.follows).map_or("", |word| &word.plain);
            let is_named = matches!(self.before(at), "ny" | "le" | "amin'ny") || self.word(at).starts_with("fah");
            (is_named && (behind.is_empty() || BEHIND.contains(&behind))).then_some(day)
        };
        let mut days = (0..self.words.len()).filter_map(fits);
        let day = days.next()?;
        if days.any(|other| other != day) {
            return None;
        }
        let first = self.today.first_of_month();
        let months = (0..12).filter_map(|more: i64| first.checked_add(more.months()).ok());
        months.filter_map(|month| Date::new(month.year(), month.month(), day).ok()).find(|day| *day >= self.today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday.
    fn today() -> Date {
        Date::constant(2026, 11, 30)
    }

    fn said(text: &str) -> Option<String> {
        day(text, today()).map(|day| day.to_string())
    }

    #[test]
    fn days_are_counted_from_today() {
        for (text, wanted) in [
            ("anio", "2026-11-30"),
            ("aujourd'hui", "2026-11-30"),
            ("Rahampitso, azafady", "2026-12-01"),
            ("demain matin", "2026-12-01"),
            ("rahafakampitso", "2026-12-02"),
            ("rahafak'ampitso", "2026-12-02"),
            ("après-demain", "2026-12-02"),
            ("omaly", "2026-11-29"),
            ("avant-hier", "2026-11-28"),
            ("afaka telo andro", "2026-12-03"),
            ("dans trois jours", "2026-12-03"),
            ("dans quinze jours", "2026-12-14"),
            ("dans une semaine", "2026-12-07"),
            ("afaka roa herinandro", "2026-12-14"),
            ("afaka iray volana", "2026-12-30"),
        ] {
            assert_eq!(said(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn a_weekday_is_the_next_one_to_come_and_what_is_said_about_it_counts() {
        for (text, wanted) in [
            ("alarobia", "2026-12-02"),
            ("ny alarobia ho avy io", "2026-12-02"),
            ("mercredi prochain", "2026-12-02"),
            ("mila maka fotoana aho ny talata amin'ny sivy ora maraina", "2026-12-01"),
            ("alatsinainy", "2026-12-07"),
            ("lundi", "2026-12-07"),
            ("ce lundi", "2026-11-30"),
            ("lundi en huit", "2026-12-14"),
            ("ny alakamisy amin'ny herinandro", "2026-12-10"),
            ("jeudi de la semaine prochaine", "2026-12-10"),
            ("dimanche dernier", "2026-11-29"),
            ("tamin'ny zoma", "2026-11-27"),
            ("anio alatsinainy", "2026-11-30"),
            ("rahampitso talata", "2026-12-01"),
        ] {
            assert_eq!(said(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn days_of_the_calendar_come_in_words_and_in_figures() {
        for (text, wanted) in [
            ("ny 5 janoary", "2027-01-05"),
            ("ny faha-5 janoary", "2027-01-05"),
            ("fahadimy janoary", "2027-01-05"),
            ("dimy ambin'ny folo ny volana desambra", "2026-12-15"),
            ("ny voalohany janoary", "2027-01-01"),
            ("le premier mai", "2027-05-01"),
            ("le 1er mai", "2027-05-01"),
            ("le cinq janvier à neuf heures", "2027-01-05"),
            ("vingt-cinq décembre deux mille vingt-sept", "2027-12-25"),
            ("roa amby roapolo jona taona roa arivo sy fito amby roapolo", "2027-06-22"),
            ("le cinq du mois prochain", "2026-12-05"),
            ("ny 5 amin'ny volana ambony", "2026-12-05"),
            ("mardi cinq janvier", "2027-01-05"),
            ("le vingt-neuf février", "2028-02-29"),
            ("tamin'ny 5 janoary", "2026-01-05"),
            ("05/01/2027", "2027-01-05"),
            ("le 5/1", "2027-01-05"),
            ("05/01/27", "2027-01-05"),
            ("2027-01-05", "2027-01-05"),
            ("le quinze", "2026-12-15"),
            ("ny faha-3 azafady", "2026-12-03"),
            ("30 novembre", "2026-11-30"),
        ] {
            assert_eq!(said(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_day_or_several_is_none() {
        for text in [
            "",
            "salama",
            "mardi ou mercredi",
            "demain ou le cinq janvier",
            "le trente et un février",
            "le trente-cinq janvier",
            "31/02/2027",
            "mercredi cinq janvier",
            "amin'ny sivy ora",
            "034 12 345 67",
            "le cinq ou le six",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
        assert_eq!(said(&"dans trois jours et ".repeat(5_000)).as_deref(), Some("2026-12-03"));
    }

    #[test]
    fn days_are_pressed_with_or_without_their_year() {
        let pressed = |keys| pressed_day(keys, today()).map(|day| day.to_string());
        assert_eq!(pressed("05012028").as_deref(), Some("2028-01-05"));
        assert_eq!(pressed("0501").as_deref(), Some("2027-01-05"));
        for keys in ["", "5", "3102", "31022027", "0513", "050127", "05*1", "é01"] {
            assert_eq!(pressed(keys), None, "{keys}");
        }
    }

    #[test]
    fn a_day_may_be_over_or_far_away_only_where_it_is_allowed() {
        let (near, open) = (Reach { past: false, within: Some(7) }, Reach { past: true, within: None });
        let day = |days: i64| today().checked_add(days.days()).expect("a day");
        for (days, is_near) in [(0, true), (7, true), (8, false), (-1, false)] {
            assert_eq!(near.holds(day(days), today()), is_near, "{days}");
            assert!(open.holds(day(days), today()));
        }
    }
}
