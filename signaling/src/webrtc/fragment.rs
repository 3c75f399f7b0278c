//! What a PATCH of WHIP carries (RFC 9725 section 4.3, RFC 8840): candidates that come one by one, and new credentials where ICE
//! begins anew.

use std::net::IpAddr;

use crate::sdp::Sdp;

/// The most candidates of one description or fragment; a browser with many interfaces has a dozen or two.
const MOST: usize = 64;

/// An `application/trickle-ice-sdpfrag` body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// `a=ice-ufrag` and `a=ice-pwd` (RFC 8839 section 5.4), where they are named.
    pub credentials: Option<Credentials>,
    /// The values of `a=candidate` (RFC 8839 section 5.1), each beginning with `candidate:`.
    pub candidates: Vec<String>,
}

/// What one side of ICE proves itself by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The username fragment.
    pub ufrag: String,
    /// The password.
    pub pwd: String,
}

impl std::fmt::Debug for Credentials {
    /// The password is for the peer alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:***", self.ufrag)
    }
}

/// Why a fragment is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// A line that is neither an attribute nor a stream.
    #[error("line {0} of the fragment is no attribute (`a=…`) and no stream (`m=…`)")]
    Line(usize),
    /// Only one of the two.
    #[error("a=ice-ufrag and a=ice-pwd go together: the fragment has only one of them")]
    HalfCredentials,
    /// Credentials outside of the grammar.
    #[error(
        "a=ice-ufrag has 4 to 256 characters and a=ice-pwd 22 to 256, of letters, digits, + and / (RFC 8839 section 5.4)"
    )]
    BadCredentials,
    /// More candidates than anybody has.
    #[error("the fragment has more than {MOST} candidates")]
    TooMany,
    /// Nothing that could be done.
    #[error("the fragment has no candidate, no end of candidates and no credentials")]
    Empty,
}

impl Fragment {
    /// Reads a body.
    ///
    /// # Errors
    /// [`FragmentError`].
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        let (mut ufrag, mut pwd, mut candidates, mut ends) = (None, None, Vec::new(), false);
        for (at, line) in text.lines().map(str::trim_end).enumerate().filter(|(_, line)| !line.is_empty()) {
            let Some(attribute) = line.strip_prefix("a=") else {
                // The stream that a candidate is for: all go with the one (BUNDLE).
                if line.starts_with("m=") {
                    continue;
                }
                return Err(FragmentError::Line(at + 1));
            };
            match attribute.split_once(':') {
                Some(("ice-ufrag", value)) => ufrag = Some(value.trim().to_owned()),
                Some(("ice-pwd", value)) => pwd = Some(value.trim().to_owned()),
                Some(("candidate", _)) if candidates.len() == MOST => return Err(FragmentError::TooMany),
                Some(("candidate", _)) => candidates.push(attribute.to_owned()),
                _ => ends |= attribute == "end-of-candidates",
            }
        }
        let credentials = match (ufrag, pwd) {
            (Some(ufrag), Some(pwd)) => Some(Credentials { ufrag, pwd }),
            (None, None) => None,
            _ => return Err(FragmentError::HalfCredentials),
        };
        if credentials.as_ref().is_some_and(|credentials| !credentials.are_valid()) {
            return Err(FragmentError::BadCredentials);
        }
        if credentials.is_none() && candidates.is_empty() && !ends {
            return Err(FragmentError::Empty);
        }
        Ok(Self { credentials, candidates })
    }

    /// What a description says of ICE.
    pub(super) fn of(description: &Sdp) -> Self {
        let stream = description.media.iter().find(|media| media.attribute("ice-ufrag").is_some());
        let named = |name: &str| match stream {
            Some(media) => description.attribute_of(media, name).map(str::to_owned),
            None => description.attributes.iter().find(|one| one.name == name).and_then(|one| one.value.clone()),
        };
        let credentials = named("ice-ufrag").zip(named("ice-pwd")).map(|(ufrag, pwd)| Credentials { ufrag, pwd });
        let attributes = description.media.iter().flat_map(|media| &media.attributes);
        let mut candidates = Vec::new();
        for value in attributes.filter(|one| one.name == "candidate").filter_map(|one| one.value.as_deref()) {
            let candidate = format!("candidate:{value}");
            if candidates.len() < MOST && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        Self { credentials, candidates }
    }

    /// The body that says it, for the stream of this `mid`.
    pub fn to_text(&self, mid: &str) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push_str("\r\n");
        };
        if let Some(Credentials { ufrag, pwd }) = &self.credentials {
            line(format!("a=ice-ufrag:{ufrag}"));
            line(format!("a=ice-pwd:{pwd}"));
        }
        line("m=audio 9 UDP/TLS/RTP/SAVPF 0".into());
        line(format!("a=mid:{mid}"));
        self.candidates.iter().for_each(|candidate| line(format!("a={candidate}")));
        line("a=end-of-candidates".into());
        text
    }
}

impl Credentials {
    pub(super) fn are_valid(&self) -> bool {
        let ice_chars = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
        (4..=256).contains(&self.ufrag.len())
            && (22..=256).contains(&self.pwd.len())
            && ice_chars(&self.ufrag)
            && ice_chars(&self.pwd)
    }
}

/// Whether a candidate of the peer's may be tried: UDP, at an address that is one. Names are not looked up: those of mDNS mean
/// nothing here, and the browser's own checks come from the right address anyway. Nobody elsewhere has this machine send to itself.
pub(super) fn may_try(candidate: &str, is_bound_here: bool) -> bool {
    let mut words = candidate.split_whitespace();
    let (transport, address) = (words.nth(2), words.nth(1));
    let ip = address.and_then(|address| address.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
    let is_udp = transport.is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
    let is_place = |ip: IpAddr| {
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast && (is_bound_here || !ip.is_loopback())
    };
    is_udp && ip.is_some_and(is_place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str =
        "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1";

    #[test]
    fn the_fragment_of_the_rfc_is_read() {
        // RFC 9725, figure 4.
        let text = format!(
            "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
             a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na={HOST}\r\na=end-of-candidates\r\n"
        );
        let fragment = Fragment::parse(&text).expect("a fragment");
        assert_eq!(fragment.candidates, [HOST]);
        let credentials = fragment.credentials.clone().expect("both");
        assert_eq!((&*credentials.ufrag, &*credentials.pwd), ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"));
        assert!(!format!("{credentials:?}").contains("P2uY"));
        assert_eq!(Fragment::parse(&fragment.to_text("0")), Ok(fragment));
    }

    #[test]
    fn what_is_wrong_with_a_fragment_is_said() {
        let wrong = |text: &str| Fragment::parse(text).expect_err(text);
        assert_eq!(wrong(""), FragmentError::Empty);
        assert_eq!(wrong("m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"), FragmentError::Empty);
        assert_eq!(wrong("a=ice-ufrag:abcd\r\n"), FragmentError::HalfCredentials);
        assert_eq!(wrong("a=mid:0\r\n{\"candidate\":1}\r\n"), FragmentError::Line(2));
        assert_eq!(wrong("a=ice-ufrag:ab\r\na=ice-pwd:short\r\n"), FragmentError::BadCredentials);
        assert_eq!(wrong(&format!("a={HOST}\r\n").repeat(65)), FragmentError::TooMany);
        assert_eq!(Fragment::parse("a=end-of-candidates\n"), Ok(Fragment::default()));
    }

    #[test]
    fn only_places_that_may_be_a_peers_are_tried() {
        let at =
            |transport: &str, address: &str| format!("candidate:1 1 {transport} 2122260223 {address} 61764 typ host");
        assert!(may_try(HOST, false) && may_try(&at("UDP", "2001:db8::1"), false));
        assert!(may_try(&at("udp", "127.0.0.1"), true));
        for (transport, address) in [
            ("udp", "127.0.0.1"),
            ("udp", "::ffff:127.0.0.1"),
            ("udp", "0.0.0.0"),
            ("udp", "239.0.0.1"),
            ("udp", "255.255.255.255"),
            ("udp", "0fd1b5a2-1c9e.local"),
            ("tcp", "192.0.2.1"),
        ] {
            assert!(!may_try(&at(transport, address), false), "{transport} {address}");
        }
        assert!(!may_try("candidate:1", true) && !may_try("", true));
    }
}
