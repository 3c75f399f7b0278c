//! Mail and web addresses that were dictated: "contact arobase milo point m g".

use super::{Shown, at as word};
use crate::text::{
    address::{DICTATED, ENDINGS},
    heard::numerals::{Word, digit},
};

/// Words of one address.
const MOST: usize = 40;

/// An address that begins at this word: a name, "arobase" and a host, or a host with a known ending.
pub(super) fn at(words: &[Word], from: usize, text: &str) -> Shown {
    let (name, place) = chain(words, from, text)?;
    if matches!(word(words, place), "arobase" | "arobaz" | "arobazy" | "arobas") {
        let (host, end) = chain(words, place + 1, text).filter(|(host, _)| host.contains('.'))?;
        return Some((format!("{name}@{host}").to_lowercase(), end));
    }
    let ending = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let endings = if name.to_lowercase().starts_with("www.") { &ENDINGS[..] } else { &DICTATED[..] };
    let is_host = name.contains('.') && endings.contains(&ending.as_str());
    is_host.then(|| (name.to_lowercase(), place))
}

/// Labels with the signs between them.
fn chain(words: &[Word], from: usize, text: &str) -> Option<(String, usize)> {
    let (mut out, mut place) = label(words, from, text)?;
    while place < from + MOST {
        let (sign, behind) = match (word(words, place), word(words, place + 1)) {
            ("point" | "teboka", _) => (".", place + 1),
            ("tiret", "bas") | ("tsipika", "ambany") => ("_", place + 2),
            ("tiret" | "tsipika", _) => ("-", place + 1),
            _ => break,
        };
        let Some((label, end)) = label(words, behind, text) else { break };
        out = out + sign + &label;
        place = end;
    }
    Some((out, place))
}

/// One word and the digits behind it, or letters one by one.
fn label(words: &[Word], from: usize, text: &str) -> Option<(String, usize)> {
    let mut place = from;
    let mut out = String::new();
    while let Some(word) = words.get(place).filter(|word| place == from || word.follows && place < from + MOST) {
        let letters = &text[word.place.clone()];
        let single = letters.chars().count() == 1;
        match digit(&word.plain) {
            Some(digit) if place > from => out.push_str(&digit.to_string()),
            _ if place == from || single && out.chars().count() == place - from => out.push_str(letters),
            _ => break,
        }
        place += 1;
    }
    let fits = out.chars().all(|letter| letter.is_ascii_alphanumeric()) && !out.is_empty();
    fits.then_some((out, place))
}
