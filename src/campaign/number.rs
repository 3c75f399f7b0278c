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
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !"()".contains(*c)).collect();
    match text.len() {
        0 => Err("it is empty"),
        1..=LONGEST if text.chars().any(char::is_control) => Err("it holds a control character"),
        1..=LONGEST => Ok(text),
        _ => Err("it is longer than 255 bytes"),
    }
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
        assert!(written(" ").is_err() && written(&"1".repeat(256)).is_err() && written("1\u{0}").is_err());
        assert!(is_callable("+261341234567") && is_callable("sip:milo@192.0.2.7"));
        assert!(!is_callable("034/12") && !is_callable("tel:+261341234567") && !is_callable(""));
    }
}
