//! Dates and hours as they are written.

use super::{Written, digits, ends, space};
use crate::{engine::Language, text::calendar};

/// "2025-03-12", "12/03/2025", "12.03.25", "12 martsa 2025", "1er mars".
pub(super) fn date(rest: &str, language: Language) -> Option<(Written, usize)> {
    let (first, count) = small(rest)?;
    let after = &rest[count..];
    if count == 4 {
        let (month, two) = small(after.strip_prefix('-')?)?;
        let (day, end) = small(after[1 + two..].strip_prefix('-')?)?;
        let taken = count + 1 + two + 1 + end;
        return (two == 2 && end == 2 && ends(&rest[taken..]))
            .then(|| calendar_date(day, month, Some(first), None, taken))?;
    }
    if count > 2 {
        return None;
    }
    if let Some(sign @ ('/' | '-' | '.')) = after.chars().next() {
        let (month, two) = small(&after[1..])?;
        let (year, end) = small(after[1 + two..].strip_prefix(sign)?)?;
        let taken = count + 1 + two + 1 + end;
        let year = match end {
            4 => year,
            2 if sign == '/' => 2000 + year,
            _ => return None,
        };
        let whole = two <= 2 && ends(&rest[taken..]) && !rest[taken..].starts_with(['/', '-']);
        return whole.then(|| calendar_date(first, month, Some(year), None, taken))?;
    }
    let after = after.strip_prefix("er").unwrap_or(after);
    let gap = space(after);
    if gap == 0 {
        return None;
    }
    let (month, length, named) = calendar::month_at(&after[gap..], language)?;
    let taken = rest.len() - after.len() + gap + length;
    let year = rest[taken..].strip_prefix(' ').and_then(small).filter(|(year, four)| *four == 4 && *year >= 1000);
    match year {
        Some((year, four)) if ends(&rest[taken + 1 + four..]) => {
            calendar_date(first, month as u64, Some(year), named, taken + 1 + four)
        }
        _ => calendar_date(first, month as u64, None, named, taken),
    }
}

fn calendar_date(
    day: u64,
    month: u64,
    year: Option<u64>,
    named: Option<Language>,
    taken: usize,
) -> Option<(Written, usize)> {
    let valid = (1..=31).contains(&day) && (1..=12).contains(&month);
    valid.then_some((Written::Date { day, month: month as usize, year, named }, taken))
}

/// One to four digits, with how many they are.
fn small(text: &str) -> Option<(u64, usize)> {
    let count = digits(text);
    if !(1..=4).contains(&count) {
        return None;
    }
    Some((text[..count].parse().ok()?, count))
}

/// "10:30", "10 h 30", "10h", "8 H 05 min".
pub(super) fn hour(rest: &str) -> Option<(Written, usize)> {
    let (hour, count) = small(rest).filter(|(hour, count)| *hour <= 24 && *count <= 2)?;
    let after = &rest[count..];
    let two = |text: &str| small(text).filter(|(minute, two)| *minute < 60 && *two == 2).map(|(minute, _)| minute);
    if let Some(minutes) = after.strip_prefix(':') {
        let minute = two(minutes)?;
        let seconds = minutes[2..].strip_prefix(':').and_then(two).map_or(0, |_| 3);
        let taken = count + 3 + seconds;
        return (ends(&rest[taken..]) && !rest[taken..].starts_with(':'))
            .then_some((Written::Hour { hour, minute }, taken));
    }
    let gap = space(after);
    let h = after[gap..].strip_prefix(['h', 'H'])?;
    let taken = count + gap + 1;
    let minutes_gap = space(h);
    if let Some(minute) = two(&h[minutes_gap..]) {
        let end = &h[minutes_gap + 2..];
        let unit = [" min", " mn", "min", "mn"].iter().find(|unit| end.strip_prefix(**unit).is_some_and(ends));
        let end_taken = taken + minutes_gap + 2 + unit.map_or(0, |unit| unit.len());
        if ends(&rest[end_taken..]) {
            return Some((Written::Hour { hour, minute }, end_taken));
        }
    }
    ends(h).then_some((Written::Hour { hour, minute: 0 }, taken))
}
