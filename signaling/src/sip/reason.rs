//! Why a request was sent (RFC 3326): read on BYE and CANCEL, and on refusals (RFC 6432); written on ours.

use std::fmt;

use super::{
    headers::Name,
    lexer::{Cursor, Params, quote, split_outside, unquote},
    message::Message,
};

/// Reasons that are read of one message.
const REASONS: usize = 4;
/// As long as one's text is, in characters.
const LONGEST_TEXT: usize = 120;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Whose causes these are: `SIP`, `Q.850`, ….
    pub protocol: String,
    /// A SIP status, or a cause of Q.850.
    pub cause: Option<u16>,
    /// In words.
    pub text: Option<String>,
}

impl Reason {
    /// Somebody else has answered: no telephone has missed a call (RFC 3326 section 3.1).
    pub(crate) fn elsewhere() -> Self {
        Self::new("SIP", 200, "Call completed elsewhere")
    }

    /// Somebody has hung up.
    pub(crate) fn normal() -> Self {
        Self::new("Q.850", 16, "Normal call clearing")
    }

    /// Nothing was heard for too long.
    pub(crate) fn expired() -> Self {
        Self::new("Q.850", 102, "Recovery on timer expiry")
    }

    /// What the two can speak with each other does not fit.
    pub(crate) fn incompatible() -> Self {
        Self::new("Q.850", 88, "Incompatible destination")
    }

    /// A cause of Q.850 (RFC 3326 section 2): 1 to 127.
    pub fn q850(cause: u8) -> Self {
        Self { protocol: "Q.850".to_owned(), cause: Some(u16::from(cause)), text: None }
    }

    fn new(protocol: &str, cause: u16, text: &str) -> Self {
        Self { protocol: protocol.to_owned(), cause: Some(cause), text: Some(text.to_owned()) }
    }

    /// The reasons of a message. What cannot be read is left out.
    pub fn of(message: &Message) -> Vec<Self> {
        let values = message.headers.get_all(Name::REASON).flat_map(|line| split_outside(line, ','));
        values.filter_map(read).take(REASONS).collect()
    }

    /// Whether it says no more than that somebody has hung up.
    pub fn is_normal(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("Q.850") && self.cause == Some(16)
    }

    /// As words for a person: `Q.850 cause 17, User busy`.
    pub fn said(&self) -> String {
        let cause = self.cause.map(|cause| format!(" cause {cause}")).unwrap_or_default();
        let text = self.text.as_ref().map(|text| format!(", {text}")).unwrap_or_default();
        format!("{}{cause}{text}", self.protocol)
    }
}

fn read(value: &str) -> Option<Reason> {
    let mut cursor = Cursor::new(value);
    let protocol = cursor.token()?.to_owned();
    let params = Params::parse(&mut cursor)?;
    let text = params.get("text").map(unquote).filter(|text| !text.is_empty());
    let text = text.map(|text| text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect());
    Some(Reason { protocol, cause: params.get("cause").and_then(|cause| cause.parse().ok()), text })
}

impl fmt::Display for Reason {
    /// As it stands in the header field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ";text={}", quote(text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse;

    #[test]
    fn reasons_are_read_as_they_are_written() {
        let text = "BYE sip:a@b SIP/2.0\r\nReason: Q.850 ;cause=17 ;text=\"User, \\\"busy\\\"\", SIP;cause=x\r\n\
                    Reason: =;cause=1\r\nReason: preemption\r\nContent-Length: 0\r\n\r\n";
        let read = Reason::of(&parse(text.as_bytes()).unwrap());
        let written: Vec<_> = read.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["Q.850;cause=17;text=\"User, \\\"busy\\\"\"", "SIP", "preemption"]);
        assert_eq!(read[0].said(), "Q.850 cause 17, User, \"busy\"");
        assert!(Reason::normal().is_normal() && !Reason::elsewhere().is_normal());
    }
}
