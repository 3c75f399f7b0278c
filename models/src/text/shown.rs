//! What the transcript shows: figures for the words that were heard, the other way round from [`super::speakable`].
//!
//! ```text
//! "efatra amby roapolo jona, amin'ny folo ora sy sasany, dimy arivo ariary" -> "24 jona, amin'ny 10:30, 5 000 Ar"
//! ```
//! Word by word, by the rules of the language that a number was said in, whatever the sentence around it is. Small counts stay words
//! ("roa sy telo", "deux personnes"), as good style has it; with money, units, hours and dates they become figures too. Digits that were
//! said one by one stand in groups: by the pauses that were heard (commas), else as the country writes them. Everything else stays
//! as it was.

mod address;
mod figure;
mod moment;

use super::heard::numerals::{Word, words};

/// From here on, a number that stands alone is shown in figures.
const SHOWN_FROM: u64 = 10;

/// What is shown in place of some words, and the word behind them.
type Shown = Option<(String, usize)>;

/// The text with figures for numbers in words. Takes time in proportion to it, and never fails.
pub fn shown(text: &str) -> String {
    let words = words(text);
    let mut out = String::with_capacity(text.len());
    let (mut at, mut written) = (0, 0);
    while at < words.len() {
        let found = address::at(&words, at, text)
            .or_else(|| figure::spelled(&words, at))
            .or_else(|| figure::with_sign(&words, at))
            .or_else(|| moment::at(&words, at, text))
            .or_else(|| figure::ordinal(&words, at))
            .or_else(|| figure::fraction(&words, at))
            .or_else(|| figure::counted(&words, at));
        let Some((figures, end)) = found else {
            at += 1;
            continue;
        };
        out.push_str(&text[written..words[at].place.start]);
        out.push_str(&figures);
        written = words[end - 1].place.end;
        at = end;
    }
    out.push_str(&text[written..]);
    out
}

/// The word at a place, or nothing.
fn at(words: &[Word], place: usize) -> &str {
    words.get(place).map_or("", |word| &word.plain)
}

/// A number with a space between its thousands.
fn spaced(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A number that stands alone: a year has no space.
fn alone(value: u64) -> String {
    if value < 10_000 { value.to_string() } else { spaced(value) }
}
