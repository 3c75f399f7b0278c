//! Session descriptions (RFC 8866): what a telephone sends and what may come from anybody.
//!
//! Lines that Milo does not use are kept and printed back in the order of the grammar; lines of an unknown type are
//! dropped. What a telephone leaves out (`s=`, `t=`) is filled in rather than refused.

use std::{fmt, net::IpAddr};

/// The largest number of `m=` lines; more are refused.
pub const MAX_MEDIA: usize = 32;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    /// `o=`
    pub origin: Origin,
    /// `s=`, `-` when it is nothing.
    pub name: String,
    /// `c=` for every stream that has none of its own.
    pub connection: Option<Connection>,
    /// Lines that are only kept, `t=` among them.
    pub other: Vec<(char, String)>,
    /// `a=` for the whole session.
    pub attributes: Vec<Attribute>,
    /// The streams, in order.
    pub media: Vec<Media>,
}

/// `o=<username> <sess-id> <sess-version> IN <addrtype> <address>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The user, `-` when it is nobody.
    pub username: String,
    /// Digits by the grammar; kept as text because peers exceed 64 bits.
    pub session_id: String,
    /// Digits by the grammar; one more each time the description changes (RFC 3264 section 8).
    pub version: String,
    /// The machine that made the session.
    pub address: Connection,
}

/// `IN IP4 192.0.2.1`: an address or a host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `IP4` or `IP6`, as written.
    pub kind: String,
    /// The address, without brackets; `/ttl` and `/count` of a multicast address stay with it.
    pub address: String,
}

impl Connection {
    /// The connection of this address.
    pub fn new(ip: IpAddr) -> Connection {
        let kind = if ip.is_ipv4() { "IP4" } else { "IP6" };
        Connection { kind: kind.to_owned(), address: ip.to_string() }
    }

    /// The address without ttl, when it is one (and no host name); IPv4-mapped IPv6 (RFC 5118 section 4.9) is IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.split('/').next()?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    fn parse(text: &str) -> Option<Connection> {
        let mut words = text.split_whitespace();
        let (net, kind, address) = (words.next()?, words.next()?, words.next()?);
        let is_internet = net.eq_ignore_ascii_case("IN") && ["IP4", "IP6"].iter().any(|k| k.eq_ignore_ascii_case(kind));
        let holds = is_internet && words.next().is_none();
        holds.then(|| Connection { kind: kind.to_owned(), address: address.to_owned() })
    }
}

/// `a=name` or `a=name:value`
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: String,
    /// What stands behind it.
    pub value: Option<String>,
}

impl fmt::Debug for Attribute {
    /// Keys (RFC 4568) are for the peer alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(_) if self.name.eq_ignore_ascii_case("crypto") => write!(f, "a={}:***", self.name),
            Some(value) => write!(f, "a={}:{value}", self.name),
            None => write!(f, "a={}", self.name),
        }
    }
}

impl Attribute {
    /// `a=name:value`
    pub fn new(name: &str, value: impl Into<String>) -> Attribute {
        Attribute { name: name.to_owned(), value: Some(value.into()) }
    }

    /// `a=name`
    pub fn flag(name: &str) -> Attribute {
        Attribute { name: name.to_owned(), value: None }
    }
}

/// One stream: `m=<kind> <port> <protocol> <formats>` and the lines that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, ….
    pub kind: String,
    /// The port; 0 refuses or ends the stream.
    pub port: u16,
    /// `/n` behind the port: how many ports in a row.
    pub ports: Option<u16>,
    /// `RTP/AVP` and the like.
    pub protocol: String,
    /// Payload types, when the protocol is RTP.
    pub formats: Vec<String>,
    /// `c=` of this stream.
    pub connection: Option<Connection>,
    /// Lines that are only kept.
    pub other: Vec<(char, String)>,
    /// `a=` of this stream.
    pub attributes: Vec<Attribute>,
}

/// `a=rtpmap:<payload type> <encoding>/<clock rate>[/<channels>]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// The encoding name as written.
    pub encoding: String,
    /// Hz.
    pub clock_rate: u32,
    /// 1 when none is named.
    pub channels: u32,
}

impl Media {
    /// The value of the first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        value_of(&self.attributes, name)
    }

    /// What `a=rtpmap` says of a payload type.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap> {
        let mut parts = self.format_attribute("rtpmap", payload_type)?.split('/');
        let encoding = parts.next()?.trim().to_owned();
        let clock_rate = parts.next()?.trim().parse().ok()?;
        let channels = parts.next().map_or(Some(1), |channels| channels.trim().parse().ok())?;
        Some(RtpMap { encoding, clock_rate, channels })
    }

    /// What `a=fmtp` says of a payload type.
    pub fn fmtp(&self, payload_type: u8) -> Option<&str> {
        self.format_attribute("fmtp", payload_type)
    }

    /// The payload types in order of preference. Formats that are no number below 128 are left out, and so is what
    /// stands behind the 128th: it can only repeat.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|format| format.parse().ok()).filter(|number| *number < 128).take(128)
    }

    /// `a=ptime`, milliseconds.
    pub fn ptime_ms(&self) -> Option<u32> {
        self.attribute("ptime")?.trim().parse().ok()
    }

    /// `a=maxptime`, milliseconds.
    pub fn maxptime_ms(&self) -> Option<u32> {
        self.attribute("maxptime")?.trim().parse().ok()
    }

    /// `a=rtcp`: the port for RTCP where it is not the next one, and its address where that differs (RFC 3605).
    pub fn rtcp(&self) -> Option<(u16, Option<IpAddr>)> {
        let (port, address) = self.attribute("rtcp").map(|value| value.split_once(' ').unwrap_or((value, "")))?;
        Some((port.trim().parse().ok()?, Connection::parse(address).and_then(|address| address.ip())))
    }

    /// `a=rtcp-mux`: RTCP may come to the port of RTP (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        Sdp::has_flag(&self.attributes, "rtcp-mux")
    }

    /// `b=RS:0` and `b=RR:0`: no RTCP at all (RFC 3556).
    pub fn forbids_rtcp(&self) -> bool {
        let says = |line: &str| self.other.iter().any(|(kind, value)| *kind == 'b' && value.trim() == line);
        says("RS:0") && says("RR:0")
    }

    fn format_attribute(&self, name: &str, payload_type: u8) -> Option<&str> {
        let attributes = self.attributes.iter().filter(|attribute| attribute.name.eq_ignore_ascii_case(name));
        attributes
            .filter_map(|attribute| attribute.value.as_deref()?.trim().split_once(' '))
            .find_map(|(number, value)| (number.parse() == Ok(payload_type)).then_some(value.trim()))
    }
}

/// A body that is no session description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The first line is not `v=0`.
    #[error("the description does not begin with v=0")]
    Version,
    /// A line that Milo must understand and cannot.
    #[error("line {line} ({kind}=) is malformed")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// The letter before the equals sign.
        kind: char,
    },
    /// There is no `o=` line.
    #[error("the description has no o= line")]
    NoOrigin,
    /// More than [`MAX_MEDIA`] streams.
    #[error("too many m= lines")]
    TooManyMedia,
}

impl Sdp {
    /// Reads a body. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// See [`SdpError`]; the sender deserves 400 (in a response: the call cannot go on).
    pub fn parse(body: &[u8]) -> Result<Sdp, SdpError> {
        let text = String::from_utf8_lossy(body);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
        if lines.next().map(|(_, line)| line.trim_end()) != Some("v=0") {
            return Err(SdpError::Version);
        }
        let mut origin = None;
        let mut sdp = Sdp {
            origin: Origin::unknown(),
            name: "-".to_owned(),
            connection: None,
            other: Vec::new(),
            attributes: Vec::new(),
            media: Vec::new(),
        };
        for (number, line) in lines {
            let mut chars = line.chars();
            let (Some(kind), Some('=')) = (chars.next(), chars.next()) else { continue };
            let value = chars.as_str();
            let malformed = SdpError::Malformed { line: number + 1, kind };
            let is_full = sdp.media.len() == MAX_MEDIA;
            let stream = sdp.media.last_mut();
            match (kind, stream) {
                ('m', _) if is_full => return Err(SdpError::TooManyMedia),
                ('m', _) => sdp.media.push(Media::parse(value).ok_or(malformed)?),
                ('o', None) => origin = Some(Origin::parse(value).ok_or(malformed)?),
                ('s', None) if value.trim().is_empty() => {}
                ('s', None) => sdp.name = value.to_owned(),
                ('c', None) => sdp.connection = Some(Connection::parse(value).ok_or(malformed)?),
                ('c', Some(media)) => media.connection = Some(Connection::parse(value).ok_or(malformed)?),
                ('a', None) => sdp.attributes.push(attribute(value)),
                ('a', Some(media)) => media.attributes.push(attribute(value)),
                (_, None) if ORDER.contains(kind) => sdp.other.push((kind, value.to_owned())),
                (_, Some(media)) if "ibk".contains(kind) => media.other.push((kind, value.to_owned())),
                _ => {}
            }
        }
        sdp.origin = origin.ok_or(SdpError::NoOrigin)?;
        if !sdp.other.iter().any(|(kind, _)| *kind == 't') {
            sdp.other.push(('t', "0 0".to_owned()));
        }
        sdp.other.sort_by_key(|(kind, _)| ORDER.find(*kind));
        for media in &mut sdp.media {
            media.other.sort_by_key(|(kind, _)| ORDER.find(*kind));
        }
        Ok(sdp)
    }

    /// The value of the first attribute of this name that holds for a stream: its own, else the session's.
    pub fn attribute_of<'a>(&'a self, media: &'a Media, name: &str) -> Option<&'a str> {
        media.attribute(name).or_else(|| value_of(&self.attributes, name))
    }

    /// The mids of the streams that go one way (`a=group:BUNDLE`, RFC 9143).
    pub fn bundled(&self) -> impl Iterator<Item = &str> {
        let group = value_of(&self.attributes, "group").and_then(|value| value.trim().strip_prefix("BUNDLE"));
        group.unwrap_or_default().split_whitespace()
    }

    /// Whether a flag (`a=sendonly`) stands at a stream.
    pub(crate) fn has_flag(attributes: &[Attribute], name: &str) -> bool {
        attributes.iter().any(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }
}

impl Origin {
    fn unknown() -> Origin {
        let address = Connection { kind: "IP4".to_owned(), address: "0.0.0.0".to_owned() };
        Origin { username: "-".to_owned(), session_id: "0".to_owned(), version: "0".to_owned(), address }
    }

    fn parse(text: &str) -> Option<Origin> {
        // Counted from the right, since some user names hold spaces.
        let words: Vec<_> = text.split_whitespace().collect();
        let (username, rest) = words.split_at_checked(words.len().checked_sub(5)?)?;
        let [session_id, version, net, kind, address] = rest else { return None };
        let address = Connection::parse(&format!("{net} {kind} {address}"))?;
        let (session_id, version) = ((*session_id).to_owned(), (*version).to_owned());
        (!username.is_empty()).then(|| Origin { username: username.join(" "), session_id, version, address })
    }
}

impl Media {
    fn parse(text: &str) -> Option<Media> {
        let mut words = text.split_whitespace();
        let (kind, port, protocol) = (words.next()?, words.next()?, words.next()?);
        let (port, ports) = match port.split_once('/') {
            Some((port, ports)) => (port, Some(ports.parse().ok()?)),
            None => (port, None),
        };
        Some(Media {
            kind: kind.to_owned(),
            port: port.parse().ok()?,
            ports,
            protocol: protocol.to_owned(),
            formats: words.map(str::to_owned).collect(),
            connection: None,
            other: Vec::new(),
            attributes: Vec::new(),
        })
    }
}

/// The kept lines in the order in which they are printed; `c=` stands before `b=`.
const ORDER: &str = "iuepbtrzk";

fn attribute(text: &str) -> Attribute {
    match text.split_once(':') {
        Some((name, value)) => Attribute::new(name, value),
        None => Attribute::flag(text.trim_end()),
    }
}

fn value_of<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))?.value.as_deref()
}

impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { username, session_id, version, address } = &self.origin;
        write!(f, "v=0\r\no={username} {session_id} {version} {address}\r\ns={}\r\n", self.name)?;
        lines(f, &self.connection, &self.other, &self.attributes)?;
        for media in &self.media {
            write!(f, "m={} {}", media.kind, media.port)?;
            if let Some(ports) = media.ports {
                write!(f, "/{ports}")?;
            }
            write!(f, " {}", media.protocol)?;
            for format in &media.formats {
                write!(f, " {format}")?;
            }
            f.write_str("\r\n")?;
            lines(f, &media.connection, &media.other, &media.attributes)?;
        }
        Ok(())
    }
}

fn lines(
    f: &mut fmt::Formatter<'_>,
    connection: &Option<Connection>,
    other: &[(char, String)],
    attributes: &[Attribute],
) -> fmt::Result {
    let before_connection = other.iter().take_while(|(kind, _)| "iuep".contains(*kind)).count();
    for (kind, value) in other.iter().take(before_connection) {
        write!(f, "{kind}={value}\r\n")?;
    }
    if let Some(connection) = connection {
        write!(f, "c={connection}\r\n")?;
    }
    for (kind, value) in other.iter().skip(before_connection) {
        write!(f, "{kind}={value}\r\n")?;
    }
    for Attribute { name, value } in attributes {
        match value {
            Some(value) => write!(f, "a={name}:{value}\r\n")?,
            None => write!(f, "a={name}\r\n")?,
        }
    }
    Ok(())
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IN {} {}", self.kind, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "v=0\r\no=- 3724394400 3724394405 IN IP4 192.0.2.9\r\ns=call\r\ni=info\r\nc=IN IP4 192.0.2.9\r\n\
        b=AS:84\r\nt=0 0\r\na=tool:phone\r\nm=audio 4000/2 RTP/AVP 98 0 8 101\r\nc=IN IP6 2001:db8::9\r\nb=AS:64\r\n\
        a=rtcp:4007 IN IP4 192.0.2.9\r\na=rtpmap:98 speex/16000\r\na=rtpmap:101 telephone-event/8000/1\r\n\
        a=fmtp:101 0-16\r\na=ptime:30\r\na=maxptime:60\r\na=sendrecv\r\nm=video 0 RTP/AVP 31\r\n";

    #[test]
    fn every_part_is_found() {
        let sdp = Sdp::parse(PHONE.as_bytes()).unwrap();
        assert_eq!(sdp.origin.version, "3724394405");
        assert_eq!(sdp.connection.as_ref().unwrap().ip(), Some("192.0.2.9".parse().unwrap()));
        let audio = &sdp.media[0];
        assert_eq!((audio.port, audio.ports), (4000, Some(2)));
        assert_eq!(audio.rtcp(), Some((4007, Some("192.0.2.9".parse().unwrap()))));
        assert!(!audio.rtcp_mux() && !audio.forbids_rtcp());
        assert_eq!(audio.connection.as_ref().unwrap().ip(), Some("2001:db8::9".parse().unwrap()));
        assert_eq!(audio.payload_types().collect::<Vec<_>>(), [98, 0, 8, 101]);
        assert_eq!(audio.rtpmap(101).unwrap().encoding, "telephone-event");
        assert_eq!(audio.rtpmap(98).unwrap().clock_rate, 16_000);
        assert_eq!(audio.rtpmap(0), None);
        assert_eq!((audio.fmtp(101), audio.ptime_ms(), audio.maxptime_ms()), (Some("0-16"), Some(30), Some(60)));
        assert_eq!(sdp.media[1].port, 0);
        assert_eq!(sdp.attribute_of(audio, "tool"), Some("phone"));
    }

    #[test]
    fn printed_as_it_was_read() {
        assert_eq!(Sdp::parse(PHONE.as_bytes()).unwrap().to_string(), PHONE);
    }

    #[test]
    fn sloppy_descriptions_are_completed() {
        let sloppy = "v=0\no=A Phone x 1 IN IP4 host.example.com\ns=\nX=ignored\nm=audio 9 RTP/AVP 0\n\nc=IN IP4 ::ffff:192.0.2.2";
        let sdp = Sdp::parse(sloppy.as_bytes()).unwrap();
        assert_eq!((sdp.origin.username.as_str(), sdp.origin.address.ip()), ("A Phone", None));
        assert_eq!(sdp.media[0].connection.as_ref().unwrap().ip(), Some("192.0.2.2".parse().unwrap()));
        let printed = sdp.to_string();
        assert!(printed.contains("s=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"), "{printed}");
        assert_eq!(Sdp::parse(printed.as_bytes()), Ok(sdp));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let refused = |from: &str, to: &str| Sdp::parse(PHONE.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(refused("v=0", "v=1"), SdpError::Version);
        assert_eq!(refused("o=- 3724394400 3724394405 IN IP4 192.0.2.9\r\n", ""), SdpError::NoOrigin);
        assert_eq!(refused("audio 4000/2", "audio 70000"), SdpError::Malformed { line: 9, kind: 'm' });
        assert_eq!(refused("c=IN IP6 2001:db8::9", "c=IN IP6"), SdpError::Malformed { line: 10, kind: 'c' });
        assert_eq!(refused("m=video 0 RTP/AVP 31\r\n", &"m=video 0 RTP/AVP 31\r\n".repeat(40)), SdpError::TooManyMedia);
        assert_eq!(Sdp::parse(b""), Err(SdpError::Version));
    }
}
