//! Moments to come as callers say them, in Malagasy and in French side by side: when somebody is to call back.
//!
//! ```text
//! "rahampitso maraina", "mardi soir"                        a part of a day begins at an hour of its own
//! "rahampitso amin'ny 10 ora", "demain à 10 h 30"           a day and an hour
//! "2026-12-01 10:30", "amin'ny telo ora tolakandro"         an hour alone is the next one to come
//! "afaka roa ora", "dans une demi-heure"                    counted from now
//! ```
//! What may be two moments is none: "entre 10 h et 11 h", "mardi ou mercredi à midi". So is one that is over.

use std::ops::Range;

use jiff::{
    ToSpan,
    civil::{DateTime, Time, time},
};

use super::{
    day,
    numerals::{self, Word, words},
};

/// When a day begins on which somebody is called, where no more is said than the day.
const BEGINS: Time = time(8, 0, 0, 0);
/// What may stand around an hour of no day. Anything else may be what was meant.
const AROUND: [&str; 24] = [
    "amin'ny", "ny", "any", "a", "vers", "de", "du", "l'apres", "le", "la", "ce", "cet", "cette", "dans", "environ",
    "tokony", "ho", "ity", "io", "izao", "azafady", "tompoko", "svp", "merci",
];
/// What hours are called.
const HOURS: [&str; 4] = ["ora", "h", "heure", "heures"];
/// As many minutes ahead as are counted: a day.
const FARTHEST: u64 = 24 * 60;

/// A part of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Morning,
    Noon,
    Afternoon,
    Evening,
}

impl Part {
    /// That which a word names, after this one.
    fn named(before: &str, word: &str) -> Option<Self> {
        Some(match word {
            "maraina" | "matin" | "matinee" => Self::Morning,
            "antoandro" | "atoandro" => Self::Noon,
            "tolakandro" | "folakandro" => Self::Afternoon,
            "midi" if matches!(before, "apres" | "l'apres") => Self::Afternoon,
            "hariva" | "takariva" | "soir" | "soiree" => Self::Evening,
            _ => return None,
        })
    }

    /// When somebody is called who says no more, and when it is too late.
    fn hours(self) -> (Time, Time) {
        match self {
            Self::Morning => (BEGINS, time(12, 0, 0, 0)),
            Self::Noon => (time(12, 0, 0, 0), time(14, 0, 0, 0)),
            Self::Afternoon => (time(14, 0, 0, 0), time(18, 0, 0, 0)),
            Self::Evening => (time(17, 0, 0, 0), time(20, 0, 0, 0)),
        }
    }

    /// The hour of the day that is the `hour`th of this part.
    fn hour(self, hour: i8) -> Option<i8> {
        let within = match self {
            Self::Morning => 4..=11,
            Self::Noon => 10..=14,
            Self::Afternoon => 12..=18,
            Self::Evening => 16..=23,
        };
        [hour, hour + 12].into_iter().find(|hour| within.contains(hour))
    }
}

/// An hour that was said, and its words.
struct Clock {
    hour: i8,
    minute: i8,
    /// Written with all of its digits: three in the morning is no afternoon.
    is_exact: bool,
    words: Range<usize>,
}

/// The one moment to come that was said, by a clock that shows `now`. `None`: there is none, more than one, or it is over.
pub fn moment(text: &str, now: DateTime) -> Option<DateTime> {
    let text = &spaced(text);
    let words = words(text);
    if let Some(ahead) = ahead(&words) {
        return now.checked_add(ahead?.minutes()).ok();
    }
    let (mut clock, mut part, mut at) = (None::<Clock>, None::<Part>, 0);
    while at < words.len() {
        if let Some(found) = clock_at(&words, at, text) {
            at = found.words.end;
            if clock.replace(found).is_some() {
                return None;
            }
            continue;
        }
        if let Some(named) = Part::named(before(&words, at), &words[at].plain)
            && part.replace(named).is_some_and(|known| known != named)
        {
            return None;
        }
        at += 1;
    }
    let rest = without(text, &words, clock.as_ref().map(|clock| clock.words.clone()));
    let today = now.date();
    let found = day(&rest, today);
    let hour = match &clock {
        Some(clock) => Some(clock.time(part)?),
        None => None,
    };
    let beside = words.iter().enumerate().filter(|(at, _)| !clock.as_ref().is_some_and(|it| it.words.contains(at)));
    for (at, Word { plain, .. }) in beside {
        let is_known =
            AROUND.contains(&plain.as_str()) || Part::named(before(&words, at), plain).is_some() || plain == "apres";
        // An hour that no clock shows, or words of no day that may be what was meant.
        if HOURS.contains(&plain.as_str()) || found.is_none() && !is_known {
            return None;
        }
    }
    match (found, hour, part) {
        (Some(day), Some(hour), _) => Some(day.to_datetime(hour)).filter(|moment| *moment > now),
        (None, Some(hour), _) => coming(now, hour, hour),
        (Some(day), None, part) => {
            let (begins, ends) = part.map_or((BEGINS, Part::Evening.hours().1), Part::hours);
            (day.to_datetime(ends) > now).then(|| day.to_datetime(begins).max(now))
        }
        (None, None, Some(part)) => {
            let (begins, ends) = part.hours();
            coming(now, begins, ends)
        }
        (None, None, None) => None,
    }
}

/// Today, where that is not over by then, else tomorrow.
fn coming(now: DateTime, begins: Time, ends: Time) -> Option<DateTime> {
    if now.time() < ends {
        return Some(now.date().to_datetime(begins).max(now));
    }
    Some(now.date().tomorrow().ok()?.to_datetime(begins))
}

impl Clock {
    fn time(&self, part: Option<Part>) -> Option<Time> {
        let hour = match part {
            Some(part) => part.hour(self.hour)?,
            // Nobody wants to be called at three in the morning.
            None if !self.is_exact && (1..=6).contains(&self.hour) => self.hour + 12,
            None => self.hour,
        };
        Time::new(hour, self.minute, 0, 0).ok()
    }
}

fn at(words: &[Word], place: usize) -> &str {
    words.get(place).map_or("", |word| &word.plain)
}

fn before(words: &[Word], place: usize) -> &str {
    place.checked_sub(1).map_or("", |before| at(words, before))
}

/// A number of two digits at most, or in words.
fn figure(words: &[Word], place: usize) -> Option<(u64, usize)> {
    let word = at(words, place);
    if (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some((word.parse().ok()?, place + 1));
    }
    if word == "une" {
        return Some((1, place + 1));
    }
    numerals::number(words, place).map(|(value, end, _)| (value, end))
}

/// "afaka roa ora", "afaka adiny iray", "dans vingt minutes", "dans une demi-heure": minutes; of which there may be too many.
fn ahead(words: &[Word]) -> Option<Option<i64>> {
    let from = words.iter().position(|word| matches!(word.plain.as_str(), "afaka" | "dans"))? + 1;
    let bounded = |count: u64, each: u64| {
        count.checked_mul(each).filter(|all| (1..=FARTHEST).contains(all)).and_then(|all| i64::try_from(all).ok())
    };
    if matches!((at(words, from), at(words, from + 1)), ("adiny", _)) {
        return Some(figure(words, from + 1).and_then(|(count, _)| bounded(count, 60)));
    }
    if at(words, from) == "une" && matches!(at(words, from + 1), "demi" | "demie") {
        return Some(Some(30));
    }
    let (count, end) = figure(words, from)?;
    match at(words, end) {
        "ora" | "heure" | "heures" => Some(bounded(count, 60)),
        "minitra" | "minute" | "minutes" => Some(bounded(count, 1)),
        _ => None,
    }
}

/// The hour that begins at this word.
fn clock_at(words: &[Word], place: usize, text: &str) -> Option<Clock> {
    let word = at(words, place);
    let clock = |hour: u64, minute: u64, is_exact: bool, end: usize| {
        let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
        ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(Clock {
            hour,
            minute,
            is_exact,
            words: place..end,
        })
    };
    let digits = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<u64>().ok()).flatten()
    };
    if word == "midi" && !matches!(before(words, place), "apres" | "l'apres") {
        let (minute, end) = french(words, place + 1).unwrap_or((0, place + 1));
        return clock(12, u64::try_from(minute).ok()?, true, end);
    }
    // "10h", "10h30".
    if let Some((hour, minute)) = word.split_once('h')
        && let Some(hour) = digits(hour, 2)
    {
        if minute.is_empty() {
            let (minute, end) = french(words, place + 1).unwrap_or((0, place + 1));
            return shifted(hour, minute).and_then(|(hour, minute)| clock(hour, minute, false, end));
        }
        return clock(hour, digits(minute, 2).filter(|_| minute.len() == 2)?, false, place + 1);
    }
    let (hour, end) = figure(words, place)?;
    let next = words.get(end);
    let gap = next.map_or("", |next| &text[words[end - 1].place.end..next.place.start]);
    if gap == ":"
        && let Some(minute) = next.and_then(|next| digits(&next.plain, 2).filter(|_| next.plain.len() == 2))
    {
        let seconds = words.get(end + 1).is_some_and(|third| {
            &text[words[end].place.end..third.place.start] == ":" && digits(&third.plain, 2).is_some()
        });
        return clock(hour, minute, word.len() == 2, end + 1 + usize::from(seconds));
    }
    let (minute, end) = match at(words, end) {
        "ora" => malagasy(words, end + 1).unwrap_or((0, end + 1)),
        "h" | "heure" | "heures" => french(words, end + 1).unwrap_or((0, end + 1)),
        _ => return None,
    };
    shifted(hour, minute).and_then(|(hour, minute)| clock(hour, minute, false, end))
}

/// Minutes before an hour are of the one before.
fn shifted(hour: u64, minute: i64) -> Option<(u64, u64)> {
    match u64::try_from(minute) {
        Ok(minute) => Some((hour, minute)),
        Err(_) => Some((hour.checked_sub(1)?, u64::try_from(60 + minute).ok()?)),
    }
}

/// "sy sasany", "sy dimy minitra", "latsaka fahefany".
fn malagasy(words: &[Word], from: usize) -> Option<(i64, usize)> {
    let sign = match at(words, from) {
        "sy" | "mahery" => 1,
        "latsaka" => -1,
        _ => return None,
    };
    let (minutes, end) = match at(words, from + 1) {
        "sasany" | "sasary" => (30, from + 2),
        "fahefany" | "fahefatra" => (15, from + 2),
        _ => {
            let (minutes, end) = figure(words, from + 1).filter(|(minutes, _)| (1..60).contains(minutes))?;
            (minutes, end + usize::from(at(words, end) == "minitra"))
        }
    };
    Some((sign * i64::try_from(minutes).ok()?, end))
}

/// "et demie", "et quart", "moins le quart", "moins dix", "30".
fn french(words: &[Word], from: usize) -> Option<(i64, usize)> {
    match (at(words, from), at(words, from + 1), at(words, from + 2)) {
        ("et", "demie" | "demi", _) => Some((30, from + 2)),
        ("et", "quart", _) => Some((15, from + 2)),
        ("moins", "le", "quart") => Some((-15, from + 3)),
        ("moins", ..) => {
            let (minutes, end) = figure(words, from + 1).filter(|(minutes, _)| (1..60).contains(minutes))?;
            Some((-i64::try_from(minutes).ok()?, end))
        }
        _ => {
            let (minutes, end) = figure(words, from).filter(|(minutes, _)| (0..60).contains(minutes))?;
            let named = usize::from(matches!(at(words, end), "minute" | "minutes" | "mn" | "min"));
            Some((i64::try_from(minutes).ok()?, end + named))
        }
    }
}

/// ISO 8601's `2026-12-01T10:30` in two words.
fn spaced(text: &str) -> String {
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    let at = |(place, letter): (usize, char)| {
        let between = letter == 'T' && is_digit(text[..place].chars().next_back());
        if between && is_digit(text[place + 1..].chars().next()) { ' ' } else { letter }
    };
    text.char_indices().map(at).collect()
}

/// The text with a comma in place of these words: what an hour counts is no day.
fn without(text: &str, words: &[Word], gone: Option<Range<usize>>) -> String {
    let Some(gone) = gone.filter(|gone| !gone.is_empty()) else { return text.to_owned() };
    let (begin, end) = (words[gone.start].place.start, words[gone.end - 1].place.end);
    format!("{}, {}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday, shortly after ten.
    fn said(text: &str) -> Option<String> {
        moment(text, DateTime::constant(2026, 11, 30, 10, 5, 0, 0))
            .map(|moment| moment.strftime("%F %H:%M").to_string())
    }

    #[test]
    fn a_day_with_its_hour_or_a_part_of_it_is_a_moment() {
        for (text, wanted) in [
            ("rahampitso maraina", "2026-12-01 08:00"),
            ("2026-12-01 maraina", "2026-12-01 08:00"),
            ("rahampitso amin'ny 10 ora maraina", "2026-12-01 10:00"),
            ("ny talata amin'ny telo ora sy sasany tolakandro", "2026-12-01 15:30"),
            ("rahampitso amin'ny efatra ora latsaka fahefany", "2026-12-01 15:45"),
            ("demain à 10 h", "2026-12-01 10:00"),
            ("demain à 10h30", "2026-12-01 10:30"),
            ("demain, dix heures et demie", "2026-12-01 10:30"),
            ("mercredi à trois heures moins le quart", "2026-12-02 14:45"),
            ("demain à midi", "2026-12-01 12:00"),
            ("demain après-midi", "2026-12-01 14:00"),
            ("demain soir à huit heures", "2026-12-01 20:00"),
            ("le 5 janvier à 15 h 20", "2027-01-05 15:20"),
            ("2026-12-01 10:30", "2026-12-01 10:30"),
            ("2026-12-01T10:30:00", "2026-12-01 10:30"),
            ("2026-12-01 03:00", "2026-12-01 03:00"),
            ("2026-12-01", "2026-12-01 08:00"),
            ("anio hariva", "2026-11-30 17:00"),
            ("anio maraina", "2026-11-30 10:05"),
        ] {
            assert_eq!(said(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn an_hour_alone_is_the_next_one_to_come_and_what_is_counted_is_counted_from_now() {
        for (text, wanted) in [
            ("amin'ny 11 ora", "2026-11-30 11:00"),
            ("à neuf heures", "2026-12-01 09:00"),
            ("amin'ny 10:30", "2026-11-30 10:30"),
            ("vers 3 h", "2026-11-30 15:00"),
            ("hariva", "2026-11-30 17:00"),
            ("afaka roa ora", "2026-11-30 12:05"),
            ("afaka adiny iray", "2026-11-30 11:05"),
            ("dans une minute", "2026-11-30 10:06"),
            ("dans une demi-heure", "2026-11-30 10:35"),
        ] {
            assert_eq!(said(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_over_or_may_be_two_moments_is_none() {
        for text in [
            "",
            "rehefa afaka ianao",
            "dès que possible",
            "omaly maraina",
            "anio amin'ny 9 ora",
            "entre 10 h et 11 h",
            "demain matin ou demain soir",
            "mardi ou mercredi à midi",
            "quand Rina sera là, à 11 h",
            "demain à 25 h",
            "demain matin à 20 h",
            "dans 40000 heures",
            "2026-11-29 10:30",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
        assert_eq!(said(&"à 10 h ".repeat(5_000)), None);
    }
}
