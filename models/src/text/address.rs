//! Web and mail addresses as they are dictated: "contact arobase milo point m g".

use super::{fr, mg};
use crate::engine::Language;

/// An address longer than this is no address but a wall of letters.
const LONGEST: usize = 300;
/// A path longer than this is not dictated; the host alone is said.
const LONGEST_PATH: usize = 40;
/// Endings by which a bare host is known.
pub(super) const ENDINGS: [&str; 12] = ["com", "org", "net", "mg", "fr", "io", "info", "eu", "gov", "edu", "app", "re"];

/// Those by which a host is known that was dictated without "www": the others are words too ("c'est un point net").
pub(super) const DICTATED: [&str; 4] = ["com", "mg", "fr", "org"];

/// The address at the start of `rest`, in words, and its bytes.
pub(super) fn at(before: &str, rest: &str, language: Language) -> Option<(String, usize)> {
    let starts = before
        .chars()
        .next_back()
        .is_none_or(|letter| letter.is_whitespace() || matches!(letter, '(' | '"' | '«' | ':'));
    if !starts || !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        return None;
    }
    let length = rest.bytes().take(LONGEST + 1).position(|letter| letter.is_ascii_whitespace()).unwrap_or(rest.len());
    if length > LONGEST {
        return None;
    }
    let token = rest[..length].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '»', '"', '\'', '>', '/']);
    let words = if token.contains('@') { mail(token, language)? } else { web(token, language)? };
    let slash = usize::from(rest[token.len()..].starts_with('/'));
    Some((words, token.len() + slash))
}

fn mail(token: &str, language: Language) -> Option<String> {
    let (name, host) = token.split_once('@')?;
    let named =
        !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"._+-".contains(&letter));
    let at = match language {
        Language::Mg => mg::AT,
        Language::Fr => fr::AT,
    };
    (named && is_host(host)).then(|| format!("{} {at} {}", dictated(name, language), dictated(host, language)))
}

fn web(token: &str, language: Language) -> Option<String> {
    let bare = token.strip_prefix("https://").or_else(|| token.strip_prefix("http://"));
    let known = bare.is_some() || token.starts_with("www.");
    let address = bare.unwrap_or(token);
    let address = address.strip_prefix("www.").unwrap_or(address);
    let address = address.split(['?', '#']).next().unwrap_or(address).trim_end_matches('/');
    let host = address.split('/').next().unwrap_or(address);
    let ending = host.rsplit('.').next().unwrap_or(host);
    let said = if address.len() - host.len() > LONGEST_PATH { host } else { address };
    (is_host(host) && (known || ENDINGS.contains(&ending))).then(|| dictated(said, language))
}

/// Two labels or more, of letters, digits and hyphens.
fn is_host(host: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
    host.contains('.') && host.split('.').all(label)
}

/// Signs by name, digits one by one, short labels letter by letter, the rest as words.
fn dictated(text: &str, language: Language) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = |letter: char| (letter.is_ascii_digit(), letter.is_alphabetic());
        let run = if first.is_alphanumeric() {
            rest.find(|letter| kind(letter) != kind(first)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (piece, left) = rest.split_at(run);
        rest = left;
        words.extend(match (language, first) {
            (Language::Mg, '.') => Some(mg::DOT.into()),
            (Language::Fr, '.') => Some(fr::DOT.into()),
            (Language::Mg, '/') => Some(mg::SLASH.into()),
            (Language::Fr, '/') => Some(fr::SLASH.into()),
            (Language::Mg, '-') => Some(mg::HYPHEN.into()),
            (Language::Fr, '-') => Some(fr::HYPHEN.into()),
            (Language::Mg, '_') => Some(mg::UNDERSCORE.into()),
            (Language::Fr, '_') => Some(fr::UNDERSCORE.into()),
            (_, '+') => Some("plus".into()),
            (Language::Mg, '0'..='9') => Some(mg::spelled(piece)),
            (Language::Fr, '0'..='9') => Some(fr::spelled(piece)),
            _ if !first.is_alphanumeric() => None,
            _ if piece.len() < 3 || !piece.contains(['a', 'e', 'i', 'o', 'u', 'y', 'A', 'E', 'I', 'O', 'U', 'Y']) => {
                Some(piece.chars().map(String::from).collect::<Vec<_>>().join(" "))
            }
            _ => Some(piece.to_owned()),
        });
    }
    words.join(" ")
}
