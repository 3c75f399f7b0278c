//! Listening sockets: opening them, reading datagrams, accepting connections, and which of our addresses a peer faces.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
};
use tracing::{debug, warn};

use super::{
    flow::{Flow, Transport},
    stun,
    transport::Inbound,
};

/// The largest datagram.
const DATAGRAM: usize = 65_535;
/// What the kernel holds for us while we are busy, in bytes.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Peers whose facing address is remembered; when one more comes the one goes that was heard first.
const FACES: usize = 1024;

/// Whether another socket of the list has this IPv6 socket's port on IPv4.
pub(super) fn shares_port(address: SocketAddr, all: &[SocketAddr]) -> bool {
    all.iter().any(|other| other.is_ipv4() && other.port() == address.port())
}

pub(super) fn open(address: SocketAddr, transport: Transport, only_v6: bool) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    if transport.is_reliable() {
        // A restart need not wait for the old connections to time out.
        socket.set_reuse_address(true)?;
    } else if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!(%error, "the receive buffer stays as it is");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Whether a socket bound there can send to this address.
pub(super) fn reaches(bound: SocketAddr, remote: SocketAddr) -> bool {
    let same_version = bound.is_ipv4() == remote.is_ipv4();
    match bound.ip() {
        IpAddr::V6(any) if any.is_unspecified() => true,
        ip if ip.is_unspecified() => same_version,
        ip => same_version && ip.is_loopback() == remote.ip().is_loopback(),
    }
}

/// Which of our addresses faces this peer, for a socket bound to `bound`. Connecting a UDP socket sends nothing; it
/// asks the routing table.
pub(super) fn faced(bound: IpAddr, remote: SocketAddr) -> Option<IpAddr> {
    if !bound.is_unspecified() {
        return Some(bound);
    }
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = std::net::UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    probe.connect(remote).ok()?;
    probe.local_addr().ok().map(|address| address.ip())
}

/// Which of our addresses the peers of datagrams face, for those that were heard last. To ask costs a socket each time.
#[derive(Debug, Default)]
pub(super) struct Faces {
    of: HashMap<(IpAddr, IpAddr), IpAddr>,
    order: VecDeque<(IpAddr, IpAddr)>,
}

impl Faces {
    /// The flow of a datagram that came to a socket which may be bound to every address.
    pub(super) fn faced(&mut self, flow: Flow) -> Flow {
        let face = self.get(flow.local.ip(), flow.remote.ip(), || faced(flow.local.ip(), flow.remote));
        Flow { local: SocketAddr::new(face, flow.local.port()), ..flow }
    }

    fn get(&mut self, bound: IpAddr, peer: IpAddr, ask: impl FnOnce() -> Option<IpAddr>) -> IpAddr {
        if !bound.is_unspecified() {
            return bound;
        }
        if let Some(face) = self.of.get(&(bound, peer)) {
            return *face;
        }
        let Some(face) = ask() else { return bound };
        self.of.insert((bound, peer), face);
        self.order.push_back((bound, peer));
        if self.of.len() > FACES
            && let Some(first) = self.order.pop_front()
        {
            self.of.remove(&first);
        }
        face
    }
}

pub(super) async fn read_datagrams(socket: Arc<UdpSocket>, bound: SocketAddr, inbox: mpsc::Sender<Inbound>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, remote) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error of an earlier send, or memory is short.
                debug!(%error, "receiving failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        // Which of our addresses it faces is asked for once it is let in.
        let flow = Flow { transport: Transport::Udp, local: bound, remote, connection: None };
        // Full: the kernel's buffer fills, and datagrams are lost there, as datagrams may be.
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        if inbox.send(Inbound::Datagram(flow, datagram)).await.is_err() {
            return;
        }
    }
}

pub(super) async fn accept(listener: TcpListener, transport: Transport, inbox: mpsc::Sender<Inbound>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if inbox.send(Inbound::Accepted(transport, stream, remote)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of file descriptors, most often: wait until some are free.
                warn!(%error, "a SIP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Looks up a STUN server, `host:port`, again and again: each time it may be asked.
pub(super) async fn follow_stun_server(server: String, inbox: mpsc::Sender<Inbound>) {
    let (mut lost, mut wait) = (false, stun::FIRST);
    loop {
        match tokio::net::lookup_host(&server).await {
            Ok(found) => {
                lost = false;
                // IPv4 first: behind a NAT it is what is wanted.
                if let Some(address) = found.min_by_key(SocketAddr::is_ipv6)
                    && inbox.send(Inbound::StunServer(address)).await.is_err()
                {
                    return;
                }
            }
            Err(error) if !lost => {
                warn!(%server, %error, "the STUN server is not found");
                lost = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        // The first questions may be lost, as datagrams may be (RFC 8489 section 6.2.1).
        wait = (wait * 2).min(stun::EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_asked_for_once_and_of_too_many_one_is_forgotten() {
        let (any, ours) = (IpAddr::from([0, 0, 0, 0]), IpAddr::from([192, 0, 2, 1]));
        let peer = |at: usize| IpAddr::from((0x2000_0000 + u32::try_from(at).unwrap()).to_be_bytes());
        let mut faces = Faces::default();
        let mut asked = 0;
        let mut get = |bound, at| {
            let face = faces.get(bound, peer(at), || {
                asked += 1;
                Some(ours)
            });
            assert_eq!(face, ours);
            asked
        };
        assert_eq!(get(ours, 0), 0, "bound to one address");
        for at in 0..FACES {
            assert_eq!((get(any, at), get(any, at)), (at + 1, at + 1));
        }
        assert_eq!(get(any, FACES), FACES + 1);
        assert_eq!(get(any, FACES - 1), FACES + 1, "the others are remembered");
        assert_eq!(get(any, 0), FACES + 2);
    }
}
