//! When two numbers are one: a list may have `+261 34 12 345 67` and the do-not-call list `0341234567`.

use milo_signaling::{Uri, sip::dialled::bare};

use crate::trunk::{dialled, is_number};

/// As long as a number or address may be, in bytes.
const LONGEST: usize = 255;

/// How numbers are compared. A national number (`0…`) is the one with the country's code before it.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// The country's code, digits; empty: national numbers are numbers of no country.
    country: String,
}

impl Numbers {
    pub(super) fn new(country: &str) -> Self {
        Self { country: country.to_owned() }
    }

    /// The form in which a number, or an address, is compared. Of an address whose user part is a telephone number it is that
    /// number, wherever it leads; of another one its user, host and port.
    pub(super) fn target(&self, called: &str) -> String {
        if is_number(called) {
            return self.number(called);
        }
        let Ok(uri) = called.parse::<Uri>() else { return called.to_lowercase() };
        if let Some(number) = dialled(&uri) {
            return self.number(&number);
        }
        let host = uri.host().map(|host| host.as_str().to_ascii_lowercase()).unwrap_or_default();
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}@{host}{port}", uri.user())
    }

    fn number(&self, number: &str) -> String {
        let bare = bare(number);
        let is_telephone = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let international = bare.strip_prefix('+').or_else(|| bare.strip_prefix("00"));
        match (international, bare.strip_prefix('0')) {
            (Some(whole), _) if is_telephone(whole) => whole.to_owned(),
            (None, Some(national)) if is_telephone(national) && !self.country.is_empty() => {
                format!("{}{national}", self.country)
            }
            // A name, or a number of a house.
            _ if bare.is_empty() => number.to_ascii_lowercase(),
            _ => bare.to_ascii_lowercase(),
        }
    }
}

/// Whether this is a number, or a SIP address.
pub(super) fn is_callable(text: &str) -> bool {
    is_number(text) || text.parse::<Uri>().is_ok_and(|uri| uri.as_sip().is_some())
}

/// A number or address as it stands in a list, without what people write between its digits.
///
/// # Errors
/// What is wrong with it.
pub(super) fn written(text: &str) -> Result<String, &'static str> {
    let mut text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let begins = text.trim_start_matches('(');
    // `+261 (0)34`: the 0 is dialled only where the country's code is not.
    if begins.starts_with('+') || begins.starts_with("00") {
        text = text.replacen("(0)", "", 1);
    }
    text.retain(|c| !"()".contains(c));
    match text.len() {
        0 => Err("it is empty"),
        1..=LONGEST if text.chars().any(char::is_control) => Err("it holds a control character"),
        1..=LONGEST => Ok(text),
        _ => Err("it is longer than 255 bytes"),
    }
}

/// The same of a list, whose numbers a spreadsheet may have taken for sums: `2.61341E+11`, `341234567.0`. Called as it
/// stands there, such a one would be somebody else's.
///
/// # Errors
/// What is wrong with it.
pub(super) fn listed(text: &str) -> Result<String, &'static str> {
    let begins = text.trim().trim_start_matches('(');
    if begins.starts_with(|c: char| c == '+' || c.is_ascii_digit()) {
        let number = begins.strip_prefix('+').unwrap_or(begins);
        let fits = |c: char| c.is_ascii_digit() || c.is_whitespace() || "-.()*#".contains(c);
        if !number.chars().all(fits) || number.ends_with(".0") {
            return Err("it begins as a number and holds more than digits, spaces and - . ( ) * #, or ends in .0; a \
                        spreadsheet may have changed it");
        }
    }
    written(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_written_in_two_ways_is_one() {
        let numbers = Numbers::new("261");
        for same in [
            "0341234567",
            "+261341234567",
            "00261341234567",
            "034-12-345-67",
            "*31#0341234567",
            "sip:0341234567@192.0.2.7:5060",
            "sip:+261341234567@carrier.example",
        ] {
            assert_eq!(numbers.target(same), "261341234567", "{same}");
        }
        for (other, target) in [
            ("117", "117"),
            ("Listening", "listening"),
            ("sip:milo@127.0.0.1:5062", "milo@127.0.0.1:5062"),
            ("sip:milo@HOST.example", "milo@host.example"),
            ("0", "0"),
            ("+33123456789", "33123456789"),
        ] {
            assert_eq!(numbers.target(other), target);
        }
        assert_eq!(Numbers::new("").target("0341234567"), "0341234567");
    }

    #[test]
    fn what_people_write_between_digits_is_not_dialled() {
        assert_eq!(written(" 034 12\u{a0}345 (67) ").unwrap(), "0341234567");
        for international in ["+261 (0)34 12 345 67", "+261 ( 0 ) 341234567", "(+261) (0)341234567"] {
            assert_eq!(written(international).unwrap(), "+261341234567", "{international}");
        }
        assert_eq!(written("00261(0)341234567").unwrap(), "00261341234567");
        assert_eq!(written("(0)341234567").unwrap(), "0341234567", "no country's code is before it");
        assert!(written(" ").is_err() && written(&"1".repeat(256)).is_err() && written("1\u{0}").is_err());
        assert!(is_callable("+261341234567") && is_callable("sip:milo@192.0.2.7"));
        assert!(!is_callable("034/12") && !is_callable("tel:+261341234567") && !is_callable(""));
    }

    #[test]
    fn what_a_spreadsheet_made_of_a_number_is_none() {
        for changed in ["2.61341E+11", "341234567.0", "+261341234567.0", "034x", "034/12", "034,5", "+261+34", "(034)e"]
        {
            assert!(listed(changed).unwrap_err().contains("a spreadsheet"), "{changed}");
        }
        for (kept, number) in [
            (" +261 (0)34-12.345.67 ", "+26134-12.345.67"),
            ("(034) 12 345 60", "0341234560"),
            ("*31#0341234567", "*31#0341234567"),
            ("listening", "listening"),
            ("sip:milo@192.0.2.0", "sip:milo@192.0.2.0"),
        ] {
            assert_eq!(listed(kept).unwrap(), number, "{kept}");
        }
        assert_eq!(listed(" ").unwrap_err(), "it is empty");
    }
}
