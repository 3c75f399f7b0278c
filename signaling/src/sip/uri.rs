//! URIs: `sip:` and `sips:` taken apart (RFC 3261 section 19.1), `tel:` read (RFC 3966), every other scheme kept whole.

use std::{fmt, str::FromStr};

use super::{
    host::Host,
    lexer::{Cursor, Params, is_token_char},
};

/// A URI as it stands in a request line or between angle brackets. It prints exactly as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// `tel:`: the number with its `+` and visual separators, and its parameters.
    Tel {
        /// The scheme as it was spelt.
        scheme: String,
        /// The telephone number as written.
        number: String,
        /// `;phone-context=…` and the like, with the leading semicolon; empty when there are none.
        params: String,
    },
    /// Any other scheme; nothing is known of what follows the colon.
    Other {
        /// The scheme as it was spelt.
        scheme: String,
        /// All that follows the colon.
        opaque: String,
    },
}

/// The parts of a SIP or SIPS URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SipUri {
    /// `sip` or `sips`, as it was spelt.
    pub scheme: String,
    /// The user part with its percent escapes; [`Uri::user`] gives it without.
    pub user: Option<String>,
    /// The password (its use is discouraged, RFC 3261 section 19.1.1).
    pub password: Option<String>,
    /// The host.
    pub host: Host,
    /// The port, when one is named.
    pub port: Option<u16>,
    /// `;transport=tcp` and the like.
    pub params: Params,
    /// `?name=value&…` without the question mark.
    pub headers: Option<String>,
}

/// The text is not a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a URI: {0}")]
pub struct UriError(pub &'static str);

impl Uri {
    /// `sip:user@host:port`, for our own Contact and From.
    pub fn sip(user: Option<&str>, host: impl Into<Host>, port: Option<u16>) -> Uri {
        Uri::Sip(SipUri {
            scheme: "sip".to_owned(),
            user: user.filter(|user| !user.is_empty()).map(escape_user),
            password: None,
            host: host.into(),
            port,
            params: Params::new(),
            headers: None,
        })
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> String {
        match self {
            Uri::Sip(uri) => uri.scheme.to_ascii_lowercase(),
            Uri::Tel { scheme, .. } | Uri::Other { scheme, .. } => scheme.to_ascii_lowercase(),
        }
    }

    /// The parts of a SIP or SIPS URI.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            _ => None,
        }
    }

    /// The user part without percent escapes, or the number of a `tel:` URI; empty when there is none. Escapes that
    /// are no UTF-8 are read as Latin-1.
    pub fn user(&self) -> String {
        match self {
            Uri::Sip(uri) => uri.user.as_deref().map(unescape).unwrap_or_default(),
            Uri::Tel { number, .. } => number.clone(),
            Uri::Other { .. } => String::new(),
        }
    }

    /// The host of a SIP URI.
    pub fn host(&self) -> Option<&Host> {
        self.as_sip().map(|uri| &uri.host)
    }

    /// The port of a SIP URI, when it names one.
    pub fn port(&self) -> Option<u16> {
        self.as_sip()?.port
    }

    /// The value of a parameter of a SIP URI.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.as_sip()?.params.get(name)
    }

    /// Whether a SIP URI has this parameter, with or without a value (`;lr`).
    pub fn has_param(&self, name: &str) -> bool {
        self.as_sip().is_some_and(|uri| uri.params.has(name))
    }

    /// Whether both name the same resource by RFC 3261 section 19.1.4 (users and passwords exactly, hosts in any case,
    /// `user`, `ttl`, `method`, `maddr` and `transport` in both or neither, other parameters equal where both have
    /// them). URIs of other schemes are equal as text.
    pub fn is_equivalent(&self, other: &Uri) -> bool {
        let (Uri::Sip(a), Uri::Sip(b)) = (self, other) else {
            return self.to_string() == other.to_string();
        };
        let plain = |part: &Option<String>| part.as_deref().map(unescape);
        a.scheme.eq_ignore_ascii_case(&b.scheme)
            && plain(&a.user) == plain(&b.user)
            && plain(&a.password) == plain(&b.password)
            && a.host.as_str().eq_ignore_ascii_case(b.host.as_str())
            && a.port == b.port
            && params_match(&a.params, &b.params)
            && params_match(&b.params, &a.params)
            && a.headers == b.headers
    }
}

/// Whether every parameter of `a` is compatible with `b`.
fn params_match(a: &Params, b: &Params) -> bool {
    const IN_BOTH_OR_NEITHER: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    a.iter().all(|(name, value)| match b.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
        Some((_, other)) => unescape(value.unwrap_or("")).eq_ignore_ascii_case(&unescape(other.unwrap_or(""))),
        None => !IN_BOTH_OR_NEITHER.iter().any(|must| must.eq_ignore_ascii_case(name)),
    })
}

impl FromStr for Uri {
    type Err = UriError;

    /// Reads a whole URI (`addr-spec` or `absoluteURI`).
    fn from_str(text: &str) -> Result<Uri, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError("no scheme"))?;
        if !is_scheme(scheme) {
            return Err(UriError("the scheme is malformed"));
        }
        if text.chars().any(|c| c.is_ascii_control() || c == ' ' || "<>\"".contains(c)) {
            return Err(UriError("a character that no URI may hold"));
        }
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return sip_uri(scheme, rest).map(Uri::Sip);
        }
        let scheme = scheme.to_owned();
        if scheme.eq_ignore_ascii_case("tel") {
            let end = rest.find(';').unwrap_or(rest.len());
            let (number, params) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let is_number = !number.is_empty()
                && number
                    .chars()
                    .enumerate()
                    .all(|(at, c)| c.is_ascii_hexdigit() || "*#-.()".contains(c) || (at == 0 && c == '+'));
            if !is_number {
                return Err(UriError("the telephone number is malformed"));
            }
            return Ok(Uri::Tel { scheme, number: number.to_owned(), params: params.to_owned() });
        }
        if rest.is_empty() {
            return Err(UriError("nothing behind the scheme"));
        }
        Ok(Uri::Other { scheme, opaque: rest.to_owned() })
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn sip_uri(scheme: &str, rest: &str) -> Result<SipUri, UriError> {
    // A userinfo may hold `;` and `?` but no second `@`, and parameters and headers hold `@` only escaped.
    let (userinfo, rest) = match rest.split_once('@') {
        Some((userinfo, rest)) => (Some(userinfo), rest),
        None => (None, rest),
    };
    let (user, password) = match userinfo.map(|u| u.split_once(':').map_or((u, None), |(u, p)| (u, Some(p)))) {
        Some((user, password)) => (Some(user), password),
        None => (None, None),
    };
    if user.is_some_and(|user| !escapes_hold(user, is_user_char)) {
        return Err(UriError("the user part is malformed"));
    }
    if password.is_some_and(|password| !escapes_hold(password, is_password_char)) && password != Some("") {
        return Err(UriError("the password is malformed"));
    }
    let mut cursor = Cursor::new(rest);
    let host = Host::parse(&mut cursor).ok_or(UriError("the host is malformed"))?;
    let port = port(&mut cursor).ok_or(UriError("the port is malformed"))?;
    let mut params = Params::new();
    while cursor.eat(';') {
        let name = cursor.take_while(is_param_char);
        let value = cursor.eat('=').then(|| cursor.take_while(is_param_char));
        if !escapes_hold(name, is_param_char) || value.is_some_and(|v| !escapes_hold(v, is_param_char)) {
            return Err(UriError("a parameter is malformed"));
        }
        if !params.push(name, value) {
            return Err(UriError("too many parameters"));
        }
    }
    let headers = if cursor.eat('?') { Some(cursor.take_while(is_header_char)) } else { None };
    if headers.is_some_and(|headers| !escapes_hold(headers, is_header_char)) || !cursor.is_at_end() {
        return Err(UriError("something unreadable behind the host"));
    }
    Ok(SipUri {
        scheme: scheme.to_owned(),
        user: user.map(str::to_owned),
        password: password.map(str::to_owned),
        host,
        port,
        params,
        headers: headers.map(str::to_owned),
    })
}

/// `[ ":" port ]`: outer `None` when it is malformed.
fn port(cursor: &mut Cursor<'_>) -> Option<Option<u16>> {
    if !cursor.eat(':') {
        return Some(None);
    }
    cursor.take_while(|c| c.is_ascii_digit()).parse().ok().map(Some)
}

fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.!~*'()".contains(c)
}

/// Octets past ASCII must be escaped by the grammar; they are let through, since peers send them and they harm nobody.
fn is_user_char(c: char) -> bool {
    is_unreserved(c) || "&=+$,;?/%#".contains(c) || !c.is_ascii()
}

fn is_password_char(c: char) -> bool {
    is_unreserved(c) || "&=+$,%".contains(c) || !c.is_ascii()
}

fn is_param_char(c: char) -> bool {
    is_unreserved(c) || is_token_char(c) || "[]/:&+$%".contains(c)
}

fn is_header_char(c: char) -> bool {
    is_unreserved(c) || "[]/?:+$&=%;,@".contains(c)
}

/// Not empty, made of `allowed` characters, and every `%` stands before two hexadecimal digits.
fn escapes_hold(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let whole = c != '%' || (0..2).all(|_| chars.next().is_some_and(|c| c.is_ascii_hexdigit()));
        if !whole || !allowed(c) {
            return false;
        }
    }
    !text.is_empty()
}

/// Percent escapes made characters.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
        match (byte, digits) {
            (b'%', (Some(high), Some(low))) => {
                bytes.push(high << 4 | low);
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(crate) fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for c in user.chars() {
        if c.is_ascii() && is_user_char(c) && c != '%' && c != '#' {
            escaped.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    escaped
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Sip(uri) => uri.fmt(f),
            Uri::Tel { scheme, number, params } => write!(f, "{scheme}:{number}{params}"),
            Uri::Other { scheme, opaque } => write!(f, "{scheme}:{opaque}"),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn uri(text: &str) -> Uri {
        let uri: Uri = text.parse().unwrap();
        assert_eq!(uri.to_string(), text, "printed as it was read");
        uri
    }

    #[test]
    fn a_sip_uri_is_taken_apart() {
        let uri = uri("sips:alice;day=tuesday:pa$s@[2001:db8::1]:5061;transport=tcp;lr?Subject=a%20b&x=");
        let sip = uri.as_sip().unwrap();
        assert_eq!((uri.user().as_str(), sip.password.as_deref()), ("alice;day=tuesday", Some("pa$s")));
        assert_eq!(uri.host().unwrap().ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!((uri.port(), uri.param("Transport"), uri.has_param("lr")), (Some(5061), Some("tcp"), true));
        assert_eq!(sip.headers.as_deref(), Some("Subject=a%20b&x="));
    }

    #[test]
    fn numbers_and_names_are_users() {
        assert_eq!(uri("tel:+261-34-12-345-67;phone-context=mg").user(), "+261-34-12-345-67");
        assert_eq!(uri("TEL:117").scheme(), "tel");
        assert_eq!(uri("sip:+261341234567@host;user=phone").user(), "+261341234567");
        assert_eq!(uri("sip:Andr%C3%A9@host").user(), "André");
        assert_eq!(uri("sip:Andr%E9@host").user(), "André");
        assert_eq!(uri("sip:host").user(), "");
        assert_eq!(uri("urn:service:sos").user(), "");
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            ":",
            "sip:",
            "sip",
            "1sip:a@b",
            "sip:a@",
            "sip:@b",
            "sip:a@b@c",
            "sip:a@b:port",
            "sip:a@b:70000",
            "sip:a@[::1",
            "sip:a@[host]",
            "sip:a%4@b",
            "sip:a b@c",
            "<sip:a@b>",
            "sip:a@b;",
            "sip:a@b;=x",
            "sip:a@b>",
            "tel:",
            "tel:x",
            "sip:a@b..c",
            "sip:2001:db8::10",
            "urn:",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
        let many = format!("sip:a@b{}", ";x".repeat(65));
        assert!(many.parse::<Uri>().is_err());
    }

    /// The examples of RFC 3261 section 19.1.4.
    #[test]
    fn equivalence() {
        let equivalent = |a: &str, b: &str| {
            let (a, b) = (uri(a), uri(b));
            assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
            a.is_equivalent(&b)
        };
        assert!(equivalent("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
        assert!(equivalent("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(equivalent("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"));
        assert!(!equivalent("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"));
        assert!(!equivalent("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!equivalent("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
        assert!(!equivalent("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
        assert!(!equivalent("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"));
    }

    #[test]
    fn our_own_are_escaped() {
        let ours = Uri::sip(Some("milo bé@%"), "::1".parse::<IpAddr>().unwrap(), Some(5060));
        assert_eq!(ours.to_string(), "sip:milo%20b%C3%A9%40%25@[::1]:5060");
        assert_eq!(ours.user(), "milo bé@%");
        assert_eq!(ours.to_string().parse(), Ok(ours));
    }
}
