//! What a call of ours says of who calls: From, and the header fields beside it.

use std::sync::Arc;

use milo_media::Codec;

use super::{
    header::NameAddr,
    headers::Name,
    identity::{ANONYMOUS, ANONYMOUS_HOST},
    lexer::is_token,
    uri::{Uri, escape_user},
};

/// Header fields of one's own that a call may have.
pub const OWN_FIELDS: usize = 10;
/// As long as the name of one may be, and its value, in bytes: an INVITE is to fit into a datagram.
const LONGEST_NAME: usize = 64;
const LONGEST_VALUE: usize = 255;

/// How a call of ours introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Who calls: a SIP URI, or the user part of one at our own address.
    pub from: String,
    /// From names nobody (RFC 3323 section 4.1), whatever `from` is.
    pub is_anonymous: bool,
    /// Further header fields of the INVITE.
    pub fields: Vec<(Name, String)>,
    /// The proxies that it goes by, the first of them first, each with `;lr` (RFC 3261 section 8.1.2, RFC 3608).
    pub routes: Vec<Uri>,
    /// What the call speaks, preferred first; `None`: what the endpoint does with whoever is called.
    pub codecs: Option<Arc<[&'static Codec]>>,
}

impl From<&str> for Introduction {
    fn from(from: &str) -> Self {
        Self { from: from.to_owned(), ..Self::default() }
    }
}

impl From<&String> for Introduction {
    fn from(from: &String) -> Self {
        from.as_str().into()
    }
}

impl From<&Introduction> for Introduction {
    fn from(introduction: &Introduction) -> Self {
        introduction.clone()
    }
}

impl Introduction {
    /// From without its tag; `us` is our own address.
    pub(super) fn name(&self, us: &str) -> Result<NameAddr, String> {
        if self.is_anonymous {
            let uri = format!("sip:{ANONYMOUS}@{ANONYMOUS_HOST}").parse::<Uri>().map_err(|error| error.to_string())?;
            return Ok(NameAddr { display: Some("Anonymous".to_owned()), ..NameAddr::new(uri) });
        }
        let from = &self.from;
        let uri = from.parse::<Uri>().or_else(|_| format!("sip:{}@{us}", escape_user(from)).parse());
        uri.map(NameAddr::new).map_err(|error| format!("{from:?} cannot be its caller: {error}"))
    }
}

/// A header field of one's own for an INVITE: one that this side of the call does not write itself.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn own_field(name: &str, value: &str) -> Result<(Name, String), String> {
    if !is_token(name) || name.len() > LONGEST_NAME {
        return Err(format!("{name:?} is no name of a header field; one looks like X-Order"));
    }
    let known = Name::from(name);
    // A single letter is the short form of some name (RFC 3261 section 7.3.3).
    let is_short = name.len() == 1;
    let is_of_body = name.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("content-"));
    let is_ours = (known.is_known() && known != Name::SUBJECT) || OURS.iter().any(|ours| known == Name::from(*ours));
    if is_short || is_of_body || is_ours {
        return Err(format!("{name} is a header field that Milo writes itself, or not at all"));
    }
    let value = value.trim();
    if value.len() > LONGEST_VALUE {
        return Err(format!("the value of {name} is longer than {LONGEST_VALUE} bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("the value of {name} holds a line end or another control character"));
    }
    Ok((known, value.to_owned()))
}

/// What Milo does not write and nobody else may: they say who calls, or how the request is to be read.
const OURS: &[&str] = &[
    "Encryption",
    "Error-Info",
    "Identity",
    "In-Reply-To",
    "Join",
    "MIME-Version",
    "P-Preferred-Identity",
    "Proxy-Authentication-Info",
    "Refer-Events-At",
    "Remote-Party-ID",
    "Request-Disposition",
    "SIP-ETag",
    "SIP-If-Match",
    "Security-Client",
    "Security-Verify",
    "Target-Dialog",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_field_is_no_field_of_the_stack_and_one_line() {
        for (name, value) in [("X-Order", " 4711; a=\"é\" "), ("Subject", "hello"), ("User-to-User", "00;encoding=hex")]
        {
            assert_eq!(own_field(name, value), Ok((Name::from(name), value.trim().to_owned())));
        }
        for name in [
            "Via",
            "FROM",
            "f",
            "To",
            "call-id",
            "CSeq",
            "Contact",
            "Route",
            "Record-Route",
            "Content-Type",
            "content-x",
            "P-Asserted-Identity",
            "Privacy",
            "Diversion",
            "Remote-Party-ID",
            "Max-Forwards",
            "y",
            "",
            "X Order",
            "X:",
            "é",
        ] {
            assert!(own_field(name, "1").is_err(), "{name}");
        }
        for value in ["a\r\nVia: x", "a\nb", "\0", "a\u{85}b"] {
            assert!(own_field("X-Order", value).is_err(), "{value:?}");
        }
        assert!(own_field("X-Order", &"a".repeat(256)).is_err() && own_field(&"X".repeat(65), "").is_err());
    }
}
