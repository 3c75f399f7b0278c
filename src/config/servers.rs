//! The servers of a trunk: one SIP URI, or several.

use milo_signaling::{Transport, Uri};
use serde::{Deserialize, Serialize};

/// As many as one trunk may have.
const SERVERS: usize = 8;

/// One server or a list of them, the first first: `"sip:a.example"`, `["sip:a.example", "sip:b.example"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct Servers(Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a server like \"sip:sip.carrier.example\", or a list of them")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Servers {
    fn from(servers: OneOrMore) -> Self {
        match servers {
            OneOrMore::One(server) => Self(vec![server]),
            OneOrMore::More(servers) => Self(servers),
        }
    }
}

impl From<Servers> for OneOrMore {
    fn from(Servers(mut servers): Servers) -> Self {
        if servers.len() == 1 { Self::One(servers.remove(0)) } else { Self::More(servers) }
    }
}

impl Servers {
    /// Those that are servers, in the order given: of a configuration that was checked, all.
    pub fn uris(&self) -> Vec<Uri> {
        self.0.iter().filter_map(|text| sip_server(text).ok()).collect()
    }

    /// What is wrong with them, as the end of a sentence.
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=SERVERS).contains(&self.0.len()) {
            return Some(format!("is a list of {}: 1 to {SERVERS} may be named", self.0.len()));
        }
        let twice = |(n, text): (usize, &String)| self.0.iter().take(n).any(|other| other.eq_ignore_ascii_case(text));
        if let Some((_, text)) = self.0.iter().enumerate().find(|one| twice(*one)) {
            return Some(format!("names {text:?} twice"));
        }
        self.0.iter().find_map(|text| sip_server(text).err())
    }
}

/// A registrar or gateway.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn sip_server(text: &str) -> Result<Uri, String> {
    let uri: Option<Uri> = text.parse().ok();
    uri.filter(|uri| uri.as_sip().is_some() && uri.user().is_empty() && Transport::of_uri(uri).is_ok())
        .ok_or_else(|| format!("= {text:?} is no server; one looks like sip:sip.carrier.example:5060;transport=tcp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_sip_uri_without_a_user() {
        for right in
            ["sip:carrier.example", "sip:192.0.2.7:5080;transport=TCP", "sips:carrier.example", "SIP:[2001:db8::1]"]
        {
            assert!(sip_server(right).is_ok(), "{right}");
        }
        for wrong in
            ["carrier.example", "sip:a@carrier.example", "sips:c;transport=udp", "sip:c;transport=sctp", "tel:1", ""]
        {
            assert!(sip_server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_stands_as_a_text_and_several_as_a_list() {
        let read = |text: &str| serde_json::from_str::<Servers>(text).unwrap();
        for text in ["\"sip:a\"", "[\"sip:a\",\"sip:b;transport=tcp\"]"] {
            let servers = read(text);
            assert_eq!((serde_json::to_string(&servers).unwrap().as_str(), servers.fault()), (text, None));
        }
        assert_eq!(read("[\"sip:a\", \"sip:b\"]").uris().len(), 2);
        for wrong in ["[]", "[\"sip:a\", \"SIP:A\"]", "[\"sip:a\", \"b\"]"] {
            assert!(read(wrong).fault().is_some(), "{wrong}");
        }
    }
}
