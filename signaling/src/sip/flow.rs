//! The path a message came on or goes out on, and where responses go (RFC 3261 section 18.2.2).

use std::{collections::VecDeque, fmt, net::SocketAddr, sync::Arc};

use super::{header::Via, headers::Name, message::Message, transaction::table::TransactionId, uri::Uri};

/// The port of SIP over UDP and TCP when none is named (RFC 3261 section 19.1.2).
pub(crate) const DEFAULT_PORT: u16 = 5060;

/// A request of more bytes is too large for a datagram whose path is not known well (RFC 3261 section 18.1.1).
pub(super) const LARGE: usize = 1300;

/// A transport protocol of SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: unreliable, so the transactions retransmit.
    Udp,
    /// A stream: reliable.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// WebSocket, a message a frame (RFC 7118).
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// The word in a Via: `UDP`, `TCP`, `TLS`, `WS` or `WSS`.
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Whether the transport itself repeats what was lost.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether nobody on the way can read along, as a `sips:` URI demands.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port when none is named (RFC 3261 section 19.1.2, RFC 7118 section 5).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => DEFAULT_PORT,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// The parameter of a URI that names it, with its semicolon; none for UDP, which needs none.
    pub fn uri_parameter(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
            Self::Ws => ";transport=ws",
            Self::Wss => ";transport=wss",
        }
    }

    /// The transport that a request to this URI demands: none when the URI leaves the choice (RFC 3263 section 4.1).
    ///
    /// # Errors
    /// The name of a transport that Milo opens no connection for.
    pub fn of_uri(uri: &Uri) -> Result<Option<Self>, String> {
        let secure = uri.scheme() == "sips";
        Ok(Some(match uri.param("transport").map(str::to_ascii_lowercase).as_deref() {
            None if secure => Self::Tls,
            None => return Ok(None),
            Some("tcp" | "tls") if secure => Self::Tls,
            Some("udp") if !secure => Self::Udp,
            Some("tcp") => Self::Tcp,
            Some("tls") => Self::Tls,
            Some(other) => return Err(other.to_owned()),
        }))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.via_name().to_ascii_lowercase())
    }
}

/// Which of the driver's stream connections; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

/// The path between one of our addresses and one of a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The protocol.
    pub transport: Transport,
    /// Where the peer reaches us: a real address even when the socket is bound to every address, and the listener's
    /// port even on a connection that we opened.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// The stream connection, once there is one.
    pub connection: Option<ConnectionId>,
}

/// A flow, and where else to go when its connection is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The flow to use.
    pub flow: Flow,
    /// For a stream whose connection is gone: the address to open a new one to.
    pub or_connect: Option<SocketAddr>,
}

/// One way to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The path to go.
    pub path: Path,
    /// For datagrams, where the target leaves the choice of transport: the path of a request that is too large for one
    /// (RFC 3261 section 18.1.1).
    pub if_large: Option<Path>,
}

/// The ways to a target, to be gone one after the other until one leads somewhere (RFC 3263 section 4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways(pub VecDeque<Way>);

impl From<Path> for Ways {
    fn from(path: Path) -> Self {
        Self([Way { path, if_large: None }].into())
    }
}

impl Ways {
    /// The path of the next request, if it is small enough for it.
    pub(crate) fn first(&self) -> Option<Path> {
        self.0.front().map(|way| way.path)
    }

    /// The next path for a request of `bytes`; one that is too large for a datagram goes by the stream first, and by the
    /// datagram after all when the stream is refused.
    pub(crate) fn next(&mut self, bytes: usize) -> Option<Path> {
        let mut way = self.0.pop_front()?;
        match way.if_large.take_if(|_| bytes > LARGE) {
            Some(stream) => {
                self.0.push_front(way);
                Some(stream)
            }
            None => Some(way.path),
        }
    }
}

/// Bytes on their way out.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Where to.
    pub path: Path,
    /// One whole message.
    pub bytes: Arc<[u8]>,
    /// The client transaction that wants to know when it cannot be sent.
    pub transaction: Option<TransactionId>,
}

/// Notes in the top Via where the request really came from (RFC 3261 section 18.2.1, RFC 3581 section 4).
pub(crate) fn stamp(request: &mut Message, via: &mut Via, flow: &Flow) {
    let source = flow.remote.ip();
    let asked = via.rport().is_some();
    if asked {
        via.params.set("rport", Some(&flow.remote.port().to_string()));
    }
    if asked || via.host.ip() != Some(source) {
        via.params.set("received", Some(&source.to_string()));
    }
    request.headers.set_first(Name::VIA, via.to_string());
}

/// Where the responses to a request with this top Via go (RFC 3261 section 18.2.2, RFC 3581 section 4): to the address that it came
/// from, and no other. A `maddr` is not followed, which is for groups: over UDP any source can be forged, also a trunk's, and whoever
/// forged it would choose who hears our answers.
pub(crate) fn response_path(via: &Via, flow: &Flow) -> Path {
    let sent_by = via.port.unwrap_or(flow.transport.default_port());
    if matches!(flow.transport, Transport::Ws | Transport::Wss) {
        // Who comes by WebSocket listens nowhere; its sent-by is a name that nobody can resolve (RFC 7118 section 5).
        return Path { flow: *flow, or_connect: None };
    }
    if flow.transport.is_reliable() {
        return Path { flow: *flow, or_connect: Some(SocketAddr::new(flow.remote.ip(), sent_by)) };
    }
    let remote = if via.rport().is_some() { flow.remote } else { SocketAddr::new(flow.remote.ip(), sent_by) };
    Path { flow: Flow { remote, ..*flow }, or_connect: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, remote: &str) -> Flow {
        Flow {
            transport,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
            connection: Some(ConnectionId(1)).filter(|_| transport.is_reliable()),
        }
    }

    fn stamped(via: &str, flow: &Flow) -> (Via, Path) {
        let mut request = Message::request(super::super::method::Method::Options, "sip:a@b".parse().unwrap());
        request.headers.push(Name::VIA, via);
        let mut via: Via = via.parse().unwrap();
        stamp(&mut request, &mut via, flow);
        assert_eq!(request.top_via().unwrap(), via);
        let path = response_path(&via, flow);
        (via, path)
    }

    #[test]
    fn a_large_request_goes_by_the_stream_first_and_by_the_datagram_after_all() {
        let path = |transport, remote| Path { flow: flow(transport, remote), or_connect: None };
        let (udp, tcp) = (path(Transport::Udp, "192.0.2.9:5060"), path(Transport::Tcp, "192.0.2.9:5060"));
        let other = path(Transport::Udp, "192.0.2.10:5060");
        let both = [Way { path: udp, if_large: Some(tcp) }, Way { path: other, if_large: None }];
        let order = |bytes: usize| -> Vec<Path> {
            let mut ways = Ways(both.into());
            std::iter::from_fn(|| ways.next(bytes)).collect()
        };
        assert_eq!(order(1300), [udp, other]);
        assert_eq!(order(1301), [tcp, udp, other]);
    }

    #[test]
    fn rport_sends_the_response_back_to_the_source() {
        let flow = flow(Transport::Udp, "198.51.100.7:40000");
        let (via, path) = stamped("SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bKa", &flow);
        assert_eq!(via.to_string(), "SIP/2.0/UDP 10.0.0.5:5060;rport=40000;branch=z9hG4bKa;received=198.51.100.7");
        assert_eq!(path.flow.remote, "198.51.100.7:40000".parse::<SocketAddr>().unwrap());
    }

    #[test]
    fn without_rport_the_port_is_that_of_sent_by() {
        let flow = flow(Transport::Udp, "198.51.100.7:40000");
        let (via, path) = stamped("SIP/2.0/UDP phone.example:5070;branch=z9hG4bKa", &flow);
        assert_eq!(via.received(), Some(flow.remote.ip()));
        assert_eq!(path.flow.remote, "198.51.100.7:5070".parse::<SocketAddr>().unwrap());
        let (via, path) = stamped("SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa", &flow);
        assert_eq!(via.received(), None, "the sent-by address is the source");
        assert_eq!(path.flow.remote, "198.51.100.7:5060".parse::<SocketAddr>().unwrap());
    }

    #[test]
    fn stream_responses_use_the_connection_and_else_open_one_to_sent_by() {
        let flow = flow(Transport::Tcp, "198.51.100.7:40000");
        let (_, path) = stamped("SIP/2.0/TCP 10.0.0.5:5070;branch=z9hG4bKa", &flow);
        assert_eq!(path, Path { flow, or_connect: Some("198.51.100.7:5070".parse().unwrap()) });
    }

    #[test]
    fn a_browser_is_answered_on_its_connection_and_nowhere_else() {
        let flow = flow(Transport::Wss, "198.51.100.7:40000");
        let (via, path) = stamped("SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bKa", &flow);
        assert_eq!(via.received(), Some(flow.remote.ip()));
        assert_eq!(path, Path { flow, or_connect: None });
    }

    #[test]
    fn tls_responses_go_to_the_port_of_tls_when_the_connection_is_gone() {
        let flow = flow(Transport::Tls, "198.51.100.7:40000");
        let (_, path) = stamped("SIP/2.0/TLS 198.51.100.7;branch=z9hG4bKa", &flow);
        assert_eq!(path.or_connect, Some("198.51.100.7:5061".parse().unwrap()));
    }

    #[test]
    fn a_uri_demands_a_transport_or_leaves_the_choice() {
        let of = |uri: &str| Transport::of_uri(&uri.parse().unwrap());
        assert_eq!(of("sip:a@b"), Ok(None));
        assert_eq!(of("sip:a@b;transport=UDP"), Ok(Some(Transport::Udp)));
        assert_eq!(of("sip:a@b;transport=tls"), Ok(Some(Transport::Tls)));
        assert_eq!(of("sips:a@b"), Ok(Some(Transport::Tls)));
        assert_eq!(of("sips:a@b;transport=tcp"), Ok(Some(Transport::Tls)), "a stream, inside TLS");
        assert_eq!(of("sips:a@b;transport=udp"), Err("udp".to_owned()));
        assert_eq!(of("sip:a@b;transport=ws"), Err("ws".to_owned()));
    }

    #[test]
    fn maddr_is_not_followed() {
        let flow = flow(Transport::Udp, "198.51.100.7:40000");
        let (_, path) = stamped("SIP/2.0/UDP a.example:5070;maddr=203.0.113.4;branch=z9hG4bKa", &flow);
        assert_eq!(path.flow.remote, "198.51.100.7:5070".parse::<SocketAddr>().unwrap());
        let (_, path) = stamped("SIP/2.0/UDP a.example:5070;maddr=224.0.1.75;branch=z9hG4bKa", &flow);
        assert_eq!(path.flow.remote, "198.51.100.7:5070".parse::<SocketAddr>().unwrap());
    }
}
