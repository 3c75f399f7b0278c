//! What people write with figures and signs, recognised once for both languages: numbers, money, dates, hours, telephone
//! numbers. The language files ([`super::mg`], [`super::fr`]) say how each is read.
//!
//! Where a figure can mean two things, this is what is taken:
//! - "15 000", "15.000", "1 234 567" are thousands. "25,000" is thousands when the group ends in "00" or ariary follow
//!   (ariary have no decimals); otherwise a comma begins decimals, as French and Malagasy write them.
//! - "12/03/2025" is day, month, year. "3/4" is a fraction.
//! - Figures that begin with 0 (telephone numbers, codes) and figures above 10¹² are read digit by digit.

mod moment;
mod telephone;

use crate::engine::Language;
use moment::{date, hour};
pub(super) use telephone::grouped;
use telephone::telephone;

/// Something written with figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    Number(Number),
    Percent(Number),
    Money(Number, Currency),
    Measure(Number, Unit),
    Date {
        day: u64,
        month: usize,
        year: Option<u64>,
        /// The language of the month's name, where it was written in letters.
        named: Option<Language>,
    },
    Hour {
        hour: u64,
        minute: u64,
    },
    /// Numerator and denominator.
    Fraction(u64, u64),
    /// First, second, …; feminine where the writing tells ("1re").
    Ordinal {
        value: u64,
        feminine: bool,
    },
    /// Read digit by digit, with a short pause between groups; "+" in front of the first is said.
    Digits {
        plus: bool,
        groups: Vec<String>,
    },
}

/// A number as it was written, without its thousands signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) negative: bool,
    /// At most 10¹².
    pub(super) integer: u64,
    /// The decimals, digit by digit; empty when there are none.
    pub(super) decimals: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Currency {
    Ariary,
    Euro,
    Dollar,
    Pound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Kilometre,
    KilometreAnHour,
    Metre,
    SquareMetre,
    CubicMetre,
    Centimetre,
    Millimetre,
    Hectare,
    Tonne,
    Kilogram,
    Gram,
    Milligram,
    Litre,
    Centilitre,
    Millilitre,
    Degree,
    Gigabyte,
    Megabyte,
    Kilowatt,
    KilowattHour,
    Watt,
    Volt,
    Day,
    Minute,
    Second,
}

/// The largest number that is read as one; above, digit by digit.
const LARGEST: u64 = 1_000_000_000_000;

const CURRENCIES: &[(&str, Currency)] = &[
    ("Ar", Currency::Ariary),
    ("AR", Currency::Ariary),
    ("ar", Currency::Ariary),
    ("MGA", Currency::Ariary),
    ("ariary", Currency::Ariary),
    ("Ariary", Currency::Ariary),
    ("€", Currency::Euro),
    ("EUR", Currency::Euro),
    ("euros", Currency::Euro),
    ("euro", Currency::Euro),
    ("eoro", Currency::Euro),
    ("$", Currency::Dollar),
    ("USD", Currency::Dollar),
    ("£", Currency::Pound),
    ("GBP", Currency::Pound),
];

/// Longer writings before those that they begin with.
const UNITS: &[(&str, Unit)] = &[
    ("km/h", Unit::KilometreAnHour),
    ("km", Unit::Kilometre),
    ("m²", Unit::SquareMetre),
    ("m2", Unit::SquareMetre),
    ("m³", Unit::CubicMetre),
    ("m3", Unit::CubicMetre),
    ("m", Unit::Metre),
    ("cm", Unit::Centimetre),
    ("mm", Unit::Millimetre),
    ("ha", Unit::Hectare),
    ("t", Unit::Tonne),
    ("kg", Unit::Kilogram),
    ("Kg", Unit::Kilogram),
    ("g", Unit::Gram),
    ("mg", Unit::Milligram),
    ("l", Unit::Litre),
    ("L", Unit::Litre),
    ("cl", Unit::Centilitre),
    ("ml", Unit::Millilitre),
    ("mL", Unit::Millilitre),
    ("°C", Unit::Degree),
    ("°", Unit::Degree),
    ("Go", Unit::Gigabyte),
    ("GB", Unit::Gigabyte),
    ("Mo", Unit::Megabyte),
    ("MB", Unit::Megabyte),
    ("kWh", Unit::KilowattHour),
    ("kW", Unit::Kilowatt),
    ("W", Unit::Watt),
    ("V", Unit::Volt),
    ("min", Unit::Minute),
    ("mn", Unit::Minute),
    ("s", Unit::Second),
    ("j", Unit::Day),
];

/// Recognises what stands at the start of `rest`; `before` is the text already passed. With the bytes it takes.
pub(super) fn at(before: &str, rest: &str, language: Language) -> Option<(Written, usize)> {
    let previous = before.chars().next_back();
    let first = rest.chars().next()?;
    if previous.is_some_and(char::is_alphabetic) {
        // A figure inside a word ("A4"): the plain number, nothing cleverer.
        let count = digits(rest);
        return if count > 0 { Some((plain(&rest[..count]), count)) } else { None };
    }
    if first.is_ascii_digit() {
        if let Some(code) = code(before, rest) {
            return Some(code);
        }
        return date(rest, language)
            .or_else(|| hour(rest))
            .or_else(|| telephone(rest))
            .or_else(|| figure(before, rest));
    }
    let alone =
        previous.is_none_or(|letter| letter.is_whitespace() || matches!(letter, '(' | '«' | '"' | '\'' | '’' | ':'));
    match first {
        '+' => telephone(rest),
        '-' | '−' | '–' if alone => {
            let sign = first.len_utf8();
            let (written, taken) = figure(before, &rest[sign..])?;
            Some((negative(written)?, sign + taken))
        }
        'f' | 'F' => malagasy_ordinal(rest),
        _ if alone || previous.is_some_and(|letter| letter.is_ascii_punctuation()) => money_in_front(before, rest),
        _ => None,
    }
}

/// Words after which a figure is a code, however it begins: "kaody 1234", "mon code est 4821".
const CODES: [&str; 12] = [
    "code",
    "kaody",
    "kaodin",
    "kaodinao",
    "kaodiko",
    "pin",
    "otp",
    "référence",
    "réf",
    "ref",
    "matricule",
    "tenimiafina",
];

/// Three digits or more behind a word for a code, with at most one small word between.
fn code(before: &str, rest: &str) -> Option<(Written, usize)> {
    let count = digits(rest);
    if count < 3 || !ends(&rest[count..]) {
        return None;
    }
    let near = before.char_indices().rev().take(24).last().map_or(before, |(at, _)| &before[at..]);
    let mut words =
        near.rsplit(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase);
    let last = words.next()?;
    let word = if matches!(last.as_str(), "est" | "dia" | "no" | "ny") { words.next()? } else { last };
    CODES.contains(&word.as_str()).then(|| (Written::Digits { plus: false, groups: grouped(&rest[..count]) }, count))
}

fn negative(written: Written) -> Option<Written> {
    let negative = |number: Number| Number { negative: true, ..number };
    Some(match written {
        Written::Number(number) => Written::Number(negative(number)),
        Written::Percent(number) => Written::Percent(negative(number)),
        Written::Money(number, currency) => Written::Money(negative(number), currency),
        Written::Measure(number, unit) => Written::Measure(negative(number), unit),
        _ => return None,
    })
}

/// How many ASCII digits `text` begins with.
pub(super) fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The space characters that stand inside figures: space, no-break space, narrow no-break space, thin space.
fn space(text: &str) -> usize {
    match text.chars().next() {
        Some(letter @ (' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')) => letter.len_utf8(),
        _ => 0,
    }
}

/// Whether a figure or sign may end before `rest`.
fn ends(rest: &str) -> bool {
    !rest.chars().next().is_some_and(char::is_alphanumeric)
}

/// A run of digits as a number, or digit by digit when it is a code or too large.
fn plain(run: &str) -> Written {
    match run.parse::<u64>() {
        Ok(integer) if integer <= LARGEST && (run.len() == 1 || !run.starts_with('0')) => {
            Written::Number(Number { negative: false, integer, decimals: String::new() })
        }
        _ => Written::Digits { plus: false, groups: grouped(run) },
    }
}

/// A number and what follows it: per cent, money, measure, fraction, ordinal.
fn figure(before: &str, rest: &str) -> Option<(Written, usize)> {
    let (number, taken) = match number(before, rest)? {
        (Written::Number(number), taken) => (number, taken),
        other => return Some(other),
    };
    let after = &rest[taken..];
    let gap = space(after);
    let sign = &after[gap..];
    if sign.starts_with('%') {
        return Some((Written::Percent(number), taken + gap + 1));
    }
    for (name, currency) in CURRENCIES {
        if sign.strip_prefix(name).is_some_and(|left| ends(left) || !name.ends_with(char::is_alphabetic)) {
            let number = if *currency == Currency::Ariary { without_decimals(number) } else { number };
            return Some((Written::Money(number, *currency), taken + gap + name.len()));
        }
    }
    for (name, unit) in UNITS {
        // A letter that touches nothing else: "5 m" but not "5 mangues".
        if sign.strip_prefix(name).is_some_and(|left| ends(left) && !left.starts_with(['\'', '’'])) {
            return Some((Written::Measure(number, *unit), taken + gap + name.len()));
        }
    }
    if number.decimals.is_empty() {
        let value = number.integer;
        for suffix in ["ère", "ere", "er", "re", "ème", "eme", "e", "nde", "nd", "°"] {
            if after.strip_prefix(suffix).is_some_and(ends) && value > 0 {
                let feminine = matches!(suffix, "ère" | "ere" | "re" | "nde");
                return Some((Written::Ordinal { value, feminine }, taken + suffix.len()));
            }
        }
        if let Some(below) = after.strip_prefix('/')
            && !before.ends_with('/')
        {
            let count = digits(below);
            if (1..=3).contains(&count) && ends(&below[count..]) && !below[count..].starts_with('/') {
                let denominator = below[..count].parse().unwrap_or(0);
                if denominator > 1 {
                    return Some((Written::Fraction(value, denominator), taken + 1 + count));
                }
            }
        }
    }
    Some((Written::Number(number), taken))
}

/// "12,500 Ar": three decimals of an ariary are thousands.
fn without_decimals(number: Number) -> Number {
    if number.decimals.len() != 3 {
        return number;
    }
    let decimals: u64 = number.decimals.parse().unwrap_or(0);
    match number.integer.checked_mul(1000).map(|thousands| thousands + decimals) {
        Some(integer) if integer <= LARGEST => Number { integer, decimals: String::new(), ..number },
        _ => number,
    }
}

/// A number with its thousands and decimals, without a sign.
fn number(before: &str, rest: &str) -> Option<(Written, usize)> {
    let first = digits(rest);
    if first == 0 {
        return None;
    }
    let mut run = rest[..first].to_owned();
    let mut taken = first;
    // The second half of "1,2,3" or "10.30.2" begins neither thousands nor decimals.
    let mut tail = before.chars().rev();
    let listed = matches!(tail.next(), Some(',' | '.')) && tail.next().is_some_and(|letter| letter.is_ascii_digit());
    if listed {
        return Some((plain(&run), taken));
    }
    let mut separator = None;
    if first <= 3 && !run.starts_with('0') {
        for sign in [' ', '\u{a0}', '\u{202f}', '\u{2009}', '.', ',', '\'', '’'] {
            let mut end = first;
            let mut groups = 0;
            while let Some(next) = rest[end..].strip_prefix(sign)
                && digits(next) == 3
            {
                end += sign.len_utf8() + 3;
                groups += 1;
            }
            // "192.168.1.10" goes on: no thousands.
            let goes_on =
                matches!(sign, '.' | ',') && rest[end..].strip_prefix(sign).is_some_and(|next| digits(next) > 0);
            let thousands = groups > 0 && !goes_on && (sign != ',' || groups > 1 || rest[..end].ends_with("00"));
            if thousands {
                run = rest[..end].chars().filter(char::is_ascii_digit).collect();
                taken = end;
                separator = Some(sign);
                break;
            }
        }
    }
    let mut decimals = String::new();
    for sign in [',', '.'] {
        if separator != Some(sign)
            && let Some(next) = rest[taken..].strip_prefix(sign)
        {
            let count = digits(next);
            let after = &next[count..];
            let list = after.strip_prefix([',', '.']).is_some_and(|more| digits(more) > 0);
            if count > 0 && !list {
                decimals = next[..count].to_owned();
                taken += 1 + count;
            }
            break;
        }
    }
    match plain(&run) {
        Written::Number(number) => Some((Written::Number(Number { decimals, ..number }), taken)),
        code => Some((code, if decimals.is_empty() { taken } else { taken - decimals.len() - 1 })),
    }
}

/// "Ar 5 000", "MGA 5000", "€5".
fn money_in_front(before: &str, rest: &str) -> Option<(Written, usize)> {
    for (name, currency) in CURRENCIES {
        let Some(after) = rest.strip_prefix(name) else { continue };
        let dot =
            usize::from(after.starts_with('.') && !after[1..].starts_with(|letter: char| letter.is_ascii_digit()));
        let gap = dot + space(&after[dot..]);
        if digits(&after[gap..]) > 0
            && (gap > 0 || !name.ends_with("ariary"))
            && !matches!(*name, "ariary" | "Ariary" | "euro" | "euros")
            && let Some((Written::Number(number), taken)) = number(before, &after[gap..])
        {
            let number = if *currency == Currency::Ariary { without_decimals(number) } else { number };
            return Some((Written::Money(number, *currency), name.len() + gap + taken));
        }
    }
    None
}

/// "faha-3", "faha 12": the figure after the Malagasy ordinal prefix.
fn malagasy_ordinal(rest: &str) -> Option<(Written, usize)> {
    let after = rest.strip_prefix("faha").or_else(|| rest.strip_prefix("Faha"))?;
    let gap = usize::from(after.starts_with(['-', ' ']));
    let count = digits(&after[gap..]);
    let value = after[gap..gap + count].parse().ok().filter(|value| (1..=LARGEST).contains(value))?;
    ends(&after[gap + count..]).then_some((Written::Ordinal { value, feminine: false }, 4 + gap + count))
}

impl Written {
    /// Whether "this – that" is a range: two of a kind, or a bare number before what carries the unit.
    pub(super) fn ranges_to(&self, to: &Self) -> bool {
        match (self, to) {
            // "Article 12-3" is no range.
            (Self::Number(from), Self::Number(to) | Self::Money(to, _) | Self::Percent(to) | Self::Measure(to, _))
            | (Self::Percent(from), Self::Percent(to)) => from.integer <= to.integer,
            (Self::Number(from), Self::Hour { hour, .. }) => from.integer <= *hour,
            (Self::Hour { .. }, Self::Hour { .. }) => true,
            (Self::Money(_, from), Self::Money(_, to)) => from == to,
            _ => false,
        }
    }
}
