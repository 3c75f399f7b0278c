//! Header fields: names that know their compact forms, and the ordered list of a message.

use std::{borrow::Cow, fmt};

/// The name of a header field in its full spelling. Names are equal in any case, and a compact form (RFC 3261 section
/// 7.3.3) is equal to its full one: `Name::from("v") == Name::VIA`.
#[derive(Debug, Clone)]
pub struct Name(Cow<'static, str>);

macro_rules! names {
    ($($constant:ident, $spelling:literal, $compact:literal;)*) => {
        impl Name {
            $(#[doc = concat!("`", $spelling, "`")] pub const $constant: Name = Name(Cow::Borrowed($spelling));)*
        }

        /// Full spelling and compact form (empty: none) of every name that Milo reads or writes.
        const KNOWN: &[(&str, &str)] = &[$(($spelling, $compact)),*];
    };
}

names! {
    ACCEPT, "Accept", "";
    ACCEPT_ENCODING, "Accept-Encoding", "";
    ACCEPT_LANGUAGE, "Accept-Language", "";
    ALLOW, "Allow", "";
    ALLOW_EVENTS, "Allow-Events", "u";
    AUTHORIZATION, "Authorization", "";
    CALL_ID, "Call-ID", "i";
    CONTACT, "Contact", "m";
    CONTENT_DISPOSITION, "Content-Disposition", "";
    CONTENT_ENCODING, "Content-Encoding", "e";
    CONTENT_LENGTH, "Content-Length", "l";
    CONTENT_TYPE, "Content-Type", "c";
    CSEQ, "CSeq", "";
    DATE, "Date", "";
    DIVERSION, "Diversion", "";
    EVENT, "Event", "o";
    EXPIRES, "Expires", "";
    FROM, "From", "f";
    HISTORY_INFO, "History-Info", "";
    INFO_PACKAGE, "Info-Package", "";
    MAX_FORWARDS, "Max-Forwards", "";
    MIN_EXPIRES, "Min-Expires", "";
    MIN_SE, "Min-SE", "";
    P_ASSERTED_IDENTITY, "P-Asserted-Identity", "";
    PATH, "Path", "";
    PRIVACY, "Privacy", "";
    PROXY_AUTHENTICATE, "Proxy-Authenticate", "";
    PROXY_AUTHORIZATION, "Proxy-Authorization", "";
    PROXY_REQUIRE, "Proxy-Require", "";
    RACK, "RAck", "";
    REASON, "Reason", "";
    RECV_INFO, "Recv-Info", "";
    RECORD_ROUTE, "Record-Route", "";
    REFER_SUB, "Refer-Sub", "";
    REFER_TO, "Refer-To", "r";
    REFERRED_BY, "Referred-By", "b";
    REPLACES, "Replaces", "";
    REQUIRE, "Require", "";
    RETRY_AFTER, "Retry-After", "";
    ROUTE, "Route", "";
    RSEQ, "RSeq", "";
    SERVER, "Server", "";
    SERVICE_ROUTE, "Service-Route", "";
    SESSION_EXPIRES, "Session-Expires", "x";
    SUBJECT, "Subject", "s";
    SUBSCRIPTION_STATE, "Subscription-State", "";
    SUPPORTED, "Supported", "k";
    TIMESTAMP, "Timestamp", "";
    TO, "To", "t";
    UNSUPPORTED, "Unsupported", "";
    USER_AGENT, "User-Agent", "";
    VIA, "Via", "v";
    WARNING, "Warning", "";
    WWW_AUTHENTICATE, "WWW-Authenticate", "";
}

impl Name {
    /// The full spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Milo reads or writes it.
    pub(crate) fn is_known(&self) -> bool {
        KNOWN.iter().any(|(full, _)| full.eq_ignore_ascii_case(&self.0))
    }

    /// Whether the value is a list of addresses or hops, each of which becomes a header field of its own when parsed.
    pub(crate) fn is_list_of_addresses(&self) -> bool {
        const LISTS: &[Name] = &[
            Name::VIA,
            Name::ROUTE,
            Name::RECORD_ROUTE,
            Name::CONTACT,
            Name::P_ASSERTED_IDENTITY,
            Name::DIVERSION,
            Name::HISTORY_INFO,
            Name::PATH,
            Name::SERVICE_ROUTE,
        ];
        LISTS.contains(self)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        let is_compact = text.len() == 1;
        KNOWN
            .iter()
            .map(|(full, compact)| (*full, if is_compact { *compact } else { *full }))
            .find(|(_, spelling)| spelling.eq_ignore_ascii_case(text))
            .map_or_else(|| Name(Cow::Owned(text.to_owned())), |(full, _)| Name(Cow::Borrowed(full)))
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Name {
        name.clone()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The header fields of a message in the order they came. Values are unfolded; Via, Route, Record-Route, Contact and
/// the like hold one value a field, however many stood on a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Name, String)>);

impl Headers {
    /// No header fields.
    pub const fn new() -> Headers {
        Headers(Vec::new())
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: impl Into<Name>) -> Option<&str> {
        let name = name.into();
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    /// The values of every field of this name, in order.
    pub fn get_all(&self, name: impl Into<Name>) -> impl Iterator<Item = &str> {
        let name = name.into();
        self.0.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: impl Into<Name>) -> bool {
        self.get(name).is_some()
    }

    /// Appends a field.
    pub fn push(&mut self, name: impl Into<Name>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Puts a field before all others (a Via of our own).
    pub fn push_front(&mut self, name: impl Into<Name>, value: impl Into<String>) {
        self.0.insert(0, (name.into(), value.into()));
    }

    /// Gives the first field of this name this value and takes the other ones away; appends when there is none.
    pub fn set(&mut self, name: impl Into<Name>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter().position(|(n, _)| *n == name) {
            Some(first) => {
                let mut at = 0;
                self.0.retain(|(n, _)| {
                    at += 1;
                    at - 1 <= first || *n != name
                });
                if let Some(field) = self.0.get_mut(first) {
                    field.1 = value;
                }
            }
            None => self.0.push((name, value)),
        }
    }

    /// Gives the first field of this name this value and leaves the others as they are (the top Via of several).
    /// Appends when there is none.
    pub fn set_first(&mut self, name: impl Into<Name>, value: impl Into<String>) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(field) => field.1 = value.into(),
            None => self.0.push((name, value.into())),
        }
    }

    /// Takes every field of this name away.
    pub fn remove(&mut self, name: impl Into<Name>) {
        let name = name.into();
        self.0.retain(|(n, _)| *n != name);
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.0.iter().map(|(n, v)| (n, v.as_str()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(headers: &Headers) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn names_are_equal_in_any_case_and_in_their_compact_forms() {
        assert_eq!(Name::from("v"), Name::VIA);
        assert_eq!(Name::from("CALL-id").as_str(), "Call-ID");
        assert_eq!(Name::from("X-Own"), Name::from("x-oWN"));
        assert_ne!(Name::from(""), Name::ACCEPT);
        assert_ne!(Name::from("z"), Name::VIA);
    }

    #[test]
    fn fields_are_set_in_their_place() {
        let mut headers = Headers::new();
        for (name, value) in [("a", "1"), ("v", "2"), ("Via", "3"), ("own", "4"), ("VIA", "5")] {
            headers.push(name, value);
        }
        headers.set_first("via", "6");
        assert_eq!(fields(&headers), ["a: 1", "Via: 6", "Via: 3", "own: 4", "Via: 5"]);
        assert_eq!(headers.get_all(Name::VIA).collect::<Vec<_>>(), ["6", "3", "5"]);
        headers.set("v", "7");
        assert_eq!(fields(&headers), ["a: 1", "Via: 7", "own: 4"]);
        headers.push_front(Name::VIA, "8");
        headers.set("new", "9");
        headers.remove("a");
        assert_eq!(fields(&headers), ["Via: 8", "Via: 7", "own: 4", "new: 9"]);
    }
}
