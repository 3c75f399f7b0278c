//! The path a message came on or goes out on, and where responses go (RFC 3261 section 18.2.2).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{header::Via, headers::Name, message::Message, transaction::table::TransactionId};

/// The port of SIP when none is named (RFC 3261 section 19.1.2).
pub(crate) const DEFAULT_PORT: u16 = 5060;

/// A transport protocol of SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: unreliable, so the transactions retransmit.
    Udp,
    /// A stream: reliable.
    Tcp,
}

impl Transport {
    /// The word in a Via: `UDP` or `TCP`.
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Whether the transport itself repeats what was lost.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
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

/// Where the responses to a request with this top Via go (RFC 3261 section 18.2.2, RFC 3581 section 4).
pub(crate) fn response_path(via: &Via, flow: &Flow) -> Path {
    let sent_by = via.port.unwrap_or(DEFAULT_PORT);
    if flow.transport.is_reliable() {
        return Path { flow: *flow, or_connect: Some(SocketAddr::new(flow.remote.ip(), sent_by)) };
    }
    let maddr = via.params.get("maddr").and_then(|maddr| maddr.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    let remote = match maddr {
        Some(maddr) if !maddr.is_multicast() && maddr.is_ipv4() == flow.remote.is_ipv4() => {
            SocketAddr::new(maddr, sent_by)
        }
        _ if via.rport().is_some() => flow.remote,
        _ => SocketAddr::new(flow.remote.ip(), sent_by),
    };
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
    fn maddr_is_followed_unless_it_is_a_group() {
        let flow = flow(Transport::Udp, "198.51.100.7:40000");
        let (_, path) = stamped("SIP/2.0/UDP a.example:5070;maddr=203.0.113.4;branch=z9hG4bKa", &flow);
        assert_eq!(path.flow.remote, "203.0.113.4:5070".parse::<SocketAddr>().unwrap());
        let (_, path) = stamped("SIP/2.0/UDP a.example:5070;maddr=224.0.1.75;branch=z9hG4bKa", &flow);
        assert_eq!(path.flow.remote, "198.51.100.7:5070".parse::<SocketAddr>().unwrap());
    }
}
