//! Typed views of header values: Via, addresses with a name, CSeq (RFC 3261 section 20), and the accessors of
//! [`Message`] that give them.

use std::{fmt, net::IpAddr, str::FromStr};

use super::{
    headers::Name,
    host::Host,
    lexer::{Cursor, Params, is_word_char, quote, split_outside, trim, unquote},
    message::Message,
    method::Method,
    octets,
    uri::Uri,
};

/// A header field that is missing or does not follow its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A mandatory field is not there.
    #[error("{0} is missing")]
    Missing(Name),
    /// The value cannot be read.
    #[error("{0} is malformed")]
    Malformed(Name),
    /// A field that may stand once stands more often.
    #[error("{0} occurs more than once")]
    Repeated(Name),
}

/// `From`, `To`, `Contact`, `Route` and the like: `"Display" <uri>;params`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name without quotes and escapes; `None` when there is none or an empty one.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the header field, not of the URI.
    pub params: Params,
}

impl NameAddr {
    /// An address without a name.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: None, uri, params: Params::new() }
    }

    /// The `tag` parameter (RFC 3261 section 19.3).
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// The same with this tag.
    pub fn with_tag(mut self, tag: &str) -> NameAddr {
        self.params.set("tag", Some(tag));
        self
    }
}

impl FromStr for NameAddr {
    type Err = ();

    fn from_str(text: &str) -> Result<NameAddr, ()> {
        name_addr(text).ok_or(())
    }
}

fn name_addr(text: &str) -> Option<NameAddr> {
    let mut cursor = Cursor::new(trim(text));
    let display = match cursor.peek()? {
        '"' => Some(unquote(cursor.quoted()?)),
        _ => {
            let before = cursor;
            // Tokens by the grammar; peers leave the quotes away around anything, so only separators are refused.
            let words = trim(cursor.take_while(|c| c != '<'));
            if cursor.is_at_end() {
                cursor = before;
                return bare_address(cursor);
            }
            if words.chars().any(|c| c.is_ascii_control() && c != '\t' || ",;\"\\>".contains(c)) {
                return None;
            }
            Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    };
    cursor.skip_space();
    if !cursor.eat('<') {
        return None;
    }
    let uri = cursor.take_while(|c| c != '>').parse().ok()?;
    if !cursor.eat('>') {
        return None;
    }
    let params = Params::parse(&mut cursor)?;
    let display = display.filter(|name| !name.is_empty()).map(|name| octets::readable(&name));
    Some(NameAddr { display, uri, params })
}

/// An `addr-spec` without brackets: its semicolons begin parameters of the header field, and a comma or question mark
/// in it is an error (RFC 3261 section 20.10).
fn bare_address(mut cursor: Cursor<'_>) -> Option<NameAddr> {
    let address = trim(cursor.take_while(|c| c != ';'));
    if address.contains([',', '?']) {
        return None;
    }
    let uri = address.parse().ok()?;
    let params = Params::parse(&mut cursor)?;
    Some(NameAddr { display: None, uri, params })
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// One hop (RFC 3261 section 20.42): `SIP/2.0/UDP host:port;branch=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `SIP/2.0`, as it came but for white space.
    pub protocol: String,
    /// `UDP`, `TCP`, `TLS`, `WS`, … in capitals.
    pub transport: String,
    /// The host of `sent-by`.
    pub host: Host,
    /// The port of `sent-by`, when one is named.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport` and the like.
    pub params: Params,
}

impl Via {
    /// The Via of a request of our own; it asks for `rport` (RFC 3581).
    pub fn new(transport: &str, host: impl Into<Host>, port: u16, branch: &str) -> Via {
        let mut params = Params::new();
        params.set("rport", None);
        params.set("branch", Some(branch));
        let protocol = "SIP/2.0".to_owned();
        Via { protocol, transport: transport.to_owned(), host: host.into(), port: Some(port), params }
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// The `received` parameter; IPv6 with or without brackets (RFC 5118 section 4.5).
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received")?.trim_matches(['[', ']']).parse().ok()
    }

    /// `Some(None)` for the `;rport` of a request, `Some(Some(port))` once filled in (RFC 3581).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.has("rport").then(|| self.params.get("rport").and_then(|port| port.parse().ok()))
    }
}

impl FromStr for Via {
    type Err = ();

    fn from_str(text: &str) -> Result<Via, ()> {
        let mut cursor = Cursor::new(trim(text));
        let via = via(&mut cursor).ok_or(())?;
        cursor.skip_space();
        if cursor.is_at_end() { Ok(via) } else { Err(()) }
    }
}

/// A Via and as many of its parameters as follow the grammar.
fn via(cursor: &mut Cursor<'_>) -> Option<Via> {
    let name = cursor.token()?;
    let version = cursor.eat_spaced('/').then(|| cursor.token())??;
    let protocol = format!("{name}/{version}");
    let transport = cursor.eat_spaced('/').then(|| cursor.token())??.to_ascii_uppercase();
    let gap = cursor.rest();
    cursor.skip_space();
    if cursor.rest().len() == gap.len() {
        return None;
    }
    let host = Host::parse(cursor)?;
    let port =
        if cursor.eat_spaced(':') { Some(cursor.take_while(|c| c.is_ascii_digit()).parse().ok()?) } else { None };
    Some(Via { protocol, transport, host, port, params: Params::parse_front(cursor) })
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.protocol, self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

impl Message {
    /// Every Via, the newest hop first.
    pub fn via(&self) -> Result<Vec<Via>, HeaderError> {
        self.typed(Name::VIA)
    }

    /// The newest Via: of a request the hop that it came from, of a response our own. Behind transport and host it is
    /// read as far as it can be, so that a request with a broken parameter can still be answered with 400.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let value = self.required(Name::VIA)?;
        via(&mut Cursor::new(trim(value))).ok_or(HeaderError::Malformed(Name::VIA))
    }

    /// The `From` field.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.single_address(Name::FROM)
    }

    /// The `To` field.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.single_address(Name::TO)
    }

    /// The `Call-ID` field.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        let id = self.once(Name::CALL_ID)?;
        let holds = !id.is_empty() && id.chars().all(|c| is_word_char(c) || c == '@');
        holds.then_some(id).ok_or(HeaderError::Malformed(Name::CALL_ID))
    }

    /// The `CSeq` field. The number is below 2³¹ (RFC 3261 section 8.1.1.5).
    pub fn cseq(&self) -> Result<(u32, Method), HeaderError> {
        let mut cursor = Cursor::new(self.once(Name::CSEQ)?);
        let number = cursor.take_while(|c| c.is_ascii_digit()).parse().ok().filter(|number| *number < 1 << 31);
        cursor.skip_space();
        let method = cursor.token().filter(|_| cursor.is_at_end()).map(Method::from_token);
        number.zip(method).ok_or(HeaderError::Malformed(Name::CSEQ))
    }

    /// The first `Contact`, or `None` when there is no such field. The `*` of a REGISTER is malformed here.
    pub fn contact(&self) -> Result<Option<NameAddr>, HeaderError> {
        let first = self.headers.get(Name::CONTACT);
        first.map(|value| value.parse().map_err(|()| HeaderError::Malformed(Name::CONTACT))).transpose()
    }

    /// `Max-Forwards`, or `None` when it is absent.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.number(Name::MAX_FORWARDS)
    }

    /// The `Route` fields in order.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.typed(Name::ROUTE)
    }

    /// The `Record-Route` fields in order.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.typed(Name::RECORD_ROUTE)
    }

    /// The option tags of `Require`.
    pub fn require(&self) -> Vec<String> {
        self.tokens(Name::REQUIRE)
    }

    /// The elements of every field of this name, split at commas: `Supported`, `Allow`, `Accept`, ….
    pub fn tokens(&self, name: Name) -> Vec<String> {
        let lines = self.headers.get_all(name);
        lines.flat_map(|line| split_outside(line, ',')).filter(|t| !t.is_empty()).map(str::to_owned).collect()
    }

    fn typed<T: FromStr>(&self, name: Name) -> Result<Vec<T>, HeaderError> {
        let values = self.headers.get_all(name.clone());
        values.map(|value| value.parse().map_err(|_| HeaderError::Malformed(name.clone()))).collect()
    }

    fn single_address(&self, name: Name) -> Result<NameAddr, HeaderError> {
        let value = self.once(name.clone())?;
        let address: NameAddr = value.parse().map_err(|()| HeaderError::Malformed(name.clone()))?;
        if address.params.has_duplicates() { Err(HeaderError::Malformed(name)) } else { Ok(address) }
    }

    fn number<T: FromStr>(&self, name: Name) -> Result<Option<T>, HeaderError> {
        if !self.headers.has(name.clone()) {
            return Ok(None);
        }
        let value = self.once(name.clone())?;
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| value.parse().ok()).flatten().map(Some).ok_or(HeaderError::Malformed(name))
    }

    /// The value of a field that must be there.
    fn required(&self, name: Name) -> Result<&str, HeaderError> {
        self.headers.get(name.clone()).ok_or(HeaderError::Missing(name))
    }

    /// The value of a field that must be there, once.
    fn once(&self, name: Name) -> Result<&str, HeaderError> {
        if self.headers.get_all(name.clone()).nth(1).is_some() {
            return Err(HeaderError::Repeated(name));
        }
        self.required(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse;

    fn address(text: &str) -> Option<NameAddr> {
        text.parse().ok()
    }

    /// An OPTIONS with these header lines and nothing else.
    fn message(lines: &[u8]) -> Message {
        let mut bytes = b"OPTIONS sip:milo@localhost SIP/2.0\r\n".to_vec();
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(b"\r\n\r\n");
        parse(&bytes).unwrap()
    }

    #[test]
    fn brackets_tell_whose_a_parameter_is() {
        let bare = address("sip:a@b;tag=1").unwrap();
        assert_eq!((bare.uri.to_string().as_str(), bare.tag()), ("sip:a@b", Some("1")));
        assert_eq!(address("<sip:a@b>;tag=YQ==/x@h").unwrap().tag(), Some("YQ==/x@h"));
        let bracketed = address("<sip:a@b;tag=2>;TAG=1").unwrap();
        assert_eq!((bracketed.uri.param("tag"), bracketed.tag()), (Some("2"), Some("1")));
        assert_eq!(bracketed.with_tag("3").to_string(), "<sip:a@b;tag=2>;TAG=3");
    }

    #[test]
    fn display_names() {
        let display = |text| address(text).and_then(|address| address.display);
        assert_eq!(display(r#""Rakoto, \"Solo\" \\" <sip:a@b>"#).as_deref(), Some(r#"Rakoto, "Solo" \"#));
        assert_eq!(display("Rakoto   Solo<sip:a@b>").as_deref(), Some("Rakoto Solo"));
        assert_eq!(display("1000@pbx (work) <sip:a@b>").as_deref(), Some("1000@pbx (work)"));
        assert_eq!(display("J. R. Rakoto <sip:a@b>").as_deref(), Some("J. R. Rakoto"));
        assert_eq!(display(r#""" <sip:a@b>"#), None);
        let latin_1 = message(b"From: \"Andr\xe9\" <sip:a@b>;tag=1");
        assert_eq!(latin_1.from().unwrap().display.as_deref(), Some("André"));
        let printed = latin_1.to_bytes();
        assert!(printed.windows(6).any(|bytes| bytes == b"Andr\xe9\""), "the byte itself goes back");
    }

    #[test]
    fn malformed_addresses() {
        for text in [
            "",
            "<>",
            "sip:a@b>",
            "<sip:a@b",
            "\"open <sip:a@b>",
            "a, b <sip:a@b>",
            "<sip:a@b>x",
            "< sip:a@b >",
            "sip:a@b?c=d",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
        assert_eq!(message(b"From: <sip:a@b>;tag=1;tag=2").from(), Err(HeaderError::Malformed(Name::FROM)));
        assert_eq!(message(b"From: <sip:a@b>\r\nf: <sip:c@d>").from(), Err(HeaderError::Repeated(Name::FROM)));
        assert_eq!(message(b"Subject: x").to(), Err(HeaderError::Missing(Name::TO)));
        assert_eq!(message(b"m: *").contact(), Err(HeaderError::Malformed(Name::CONTACT)));
    }

    #[test]
    fn a_line_may_hold_several_hops() {
        let message = message(b"v: SIP/2.0/UDP a;branch=z9hG4bK1;rport , SIP / 2.0 / TCP [::1] : 5070;received=[::2]\r\nVia: SIP/2.0/WS b.invalid");
        let hops = message.via().unwrap();
        let hosts: Vec<_> = hops.iter().map(|via| (via.transport.as_str(), via.host.as_str(), via.port)).collect();
        assert_eq!(hosts, [("UDP", "a", None), ("TCP", "[::1]", Some(5070)), ("WS", "b.invalid", None)]);
        assert_eq!((hops[0].branch(), hops[0].rport(), hops[1].rport()), (Some("z9hG4bK1"), Some(None), None));
        assert_eq!(hops[1].received(), Some("::2".parse().unwrap()));
        assert_eq!(message.top_via().unwrap(), hops[0]);
    }

    #[test]
    fn a_broken_parameter_leaves_the_way_back() {
        let message = message(b"Via: SIP/2.0/UDP a:5070;branch=z9hG4bK1;;x");
        assert!(message.via().is_err());
        assert_eq!(message.top_via().unwrap().to_string(), "SIP/2.0/UDP a:5070;branch=z9hG4bK1");
    }

    #[test]
    fn numbers_have_their_bounds() {
        let cseq = |value: &str| message(format!("CSeq: {value}").as_bytes()).cseq().ok();
        assert_eq!(cseq("2147483647  INVITE"), Some((2_147_483_647, Method::Invite)));
        assert_eq!(cseq("1 invite"), Some((1, Method::Other("invite".to_owned()))));
        assert_eq!([cseq("2147483648 BYE"), cseq("-1 BYE"), cseq("1"), cseq("1 BYE x")], [None, None, None, None]);
        let hops = |value: &str| message(format!("Max-Forwards: {value}").as_bytes()).max_forwards().ok();
        assert_eq!([hops("0070"), hops("256"), hops("+1"), hops("")], [Some(Some(70)), None, None, None]);
        assert_eq!(message(b"a: b").max_forwards(), Ok(None));
    }

    #[test]
    fn lists_of_tokens() {
        let message = message(b"k: 100rel, timer,,\r\nSupported: gruu\r\nRequire:");
        assert_eq!(message.tokens(Name::SUPPORTED), ["100rel", "timer", "gruu"]);
        assert!(message.require().is_empty());
    }
}
