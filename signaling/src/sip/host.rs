//! Hosts of URIs and Via: names, IPv4 addresses, bracketed IPv6 addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::lexer::Cursor;

/// A host name, an IPv4 address or a bracketed IPv6 address, checked when read and printed as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// The text, IPv6 addresses with their brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.strip_prefix('[') {
            Some(rest) => ipv6(rest.strip_suffix(']')?).map(IpAddr::V6),
            None => self.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// Reads a host from the front of a text and leaves the cursor behind it.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Option<Host> {
        if cursor.peek() == Some('[') {
            let mut text = cursor.take_while(|c| c != ']').to_owned();
            if !cursor.eat(']') {
                return None;
            }
            text.push(']');
            let host = Host(text);
            return host.ip().is_some().then_some(host);
        }
        let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        let labels_hold = name.trim_end_matches('.').split('.').all(|label| !label.is_empty());
        labels_hold.then(|| Host(name.to_owned()))
    }
}

/// An IPv6 address. RFC 5118 section 4.10: peers built on the faulty ABNF of RFC 3261 write a third colon before an
/// embedded IPv4 address; it is read as two.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| text.contains('.').then(|| text.replacen(":::", "::", 1).parse().ok()).flatten())
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Host {
        match ip {
            IpAddr::V4(ip) => Host(ip.to_string()),
            IpAddr::V6(ip) => Host(format!("[{ip}]")),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<Host> {
        let mut cursor = Cursor::new(text);
        Host::parse(&mut cursor).filter(|_| cursor.is_at_end())
    }

    #[test]
    fn names_and_addresses() {
        let ip = |text: &str| host(text).unwrap().ip().map(|ip| ip.to_string());
        assert_eq!(ip("pbx_1.example.com."), None);
        assert_eq!(ip("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(ip("[2001:DB8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(ip("[2001:db8:::192.0.2.1]").as_deref(), Some("2001:db8::c000:201"));
        assert_eq!(host("[2001:DB8::1]").unwrap().to_string(), "[2001:DB8::1]");
        assert_eq!(Host::from("::1".parse::<IpAddr>().unwrap()).as_str(), "[::1]");
    }

    #[test]
    fn what_is_no_host() {
        for text in ["", ".", "a..b", "[", "[]", "[::1", "[1.2.3.4]", "2001:db8::1", "[::1]x", "a b", "é"] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
