//! `Replaces` (RFC 3891): the name of a dialog that another is to take the place of, in an INVITE or in a Refer-To.

use std::{fmt, str::FromStr};

use super::{
    lexer::{Cursor, Params, is_word_char, trim},
    uri::{Uri, unescape},
};

/// A dialog as the one who receives the field knows it (section 6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: String,
    /// The receiver's tag.
    pub to_tag: String,
    /// The other side's tag.
    pub from_tag: String,
    /// Only while it is not answered.
    pub early_only: bool,
}

impl FromStr for Replaces {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut cursor = Cursor::new(trim(text));
        let call_id = trim(cursor.take_while(|c| c != ';')).to_owned();
        let params = Params::parse(&mut cursor).filter(|params| !params.has_duplicates()).ok_or(())?;
        let holds = !call_id.is_empty() && call_id.chars().all(|c| is_word_char(c) || c == '@');
        let (Some(to_tag), Some(from_tag), true) = (params.get("to-tag"), params.get("from-tag"), holds) else {
            return Err(());
        };
        let early_only = params.has("early-only");
        Ok(Self { call_id, to_tag: to_tag.to_owned(), from_tag: from_tag.to_owned(), early_only })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

impl Replaces {
    /// The one that a URI carries among its header fields (section 6.1: `?Replaces=…`, escaped).
    ///
    /// # Errors
    /// It carries one that cannot be read.
    pub(crate) fn of_uri(uri: &Uri) -> Result<Option<Self>, ()> {
        let headers = uri.as_sip().and_then(|sip| sip.headers.as_deref()).unwrap_or_default();
        let mut fields = headers.split('&').filter_map(|field| field.split_once('='));
        let found = fields.find(|(name, _)| unescape(name).eq_ignore_ascii_case("Replaces"));
        found.map(|(_, value)| unescape(value).parse()).transpose()
    }

    /// This URI with it among its header fields, for a Refer-To.
    pub fn in_uri(&self, mut uri: Uri) -> Uri {
        if let Uri::Sip(sip) = &mut uri {
            sip.headers = Some(format!("Replaces={}", escape(&self.to_string())));
        }
        uri
    }
}

/// Everything but letters, digits and marks as percent escapes (RFC 3261 section 19.1.1, `hvalue`).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let text = "98732@sip.example.com ;from-tag=r33th4x0r;to-tag=ff87ff";
        let read: Replaces = text.parse().unwrap();
        assert_eq!((read.call_id.as_str(), read.to_tag.as_str()), ("98732@sip.example.com", "ff87ff"));
        assert!(!read.early_only);
        let early: Replaces = "12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only".parse().unwrap();
        assert!(early.early_only);
        assert_eq!(early.to_string().parse(), Ok(early.clone()));
        let uri = early.in_uri("sip:b@192.0.2.4;transport=tcp".parse().unwrap());
        assert_eq!(Replaces::of_uri(&uri.to_string().parse().unwrap()), Ok(Some(early)));
        assert_eq!(Replaces::of_uri(&"sip:b@192.0.2.4?Subject=x".parse().unwrap()), Ok(None));
    }

    #[test]
    fn what_is_no_name_of_a_dialog_is_refused() {
        for text in ["", "a", "a;to-tag=1", "a;from-tag=1", ";to-tag=1;from-tag=2", "a b;to-tag=1;from-tag=2"] {
            assert!(text.parse::<Replaces>().is_err(), "{text}");
        }
        assert!("a;to-tag=1;to-tag=3;from-tag=2".parse::<Replaces>().is_err());
        assert!(Replaces::of_uri(&"sip:b@192.0.2.4?Replaces=x".parse().unwrap()).is_err());
    }
}
