//! Which address of ours peers are told: in Contact, Via and SDP. The public one, where one is configured, to all but those in our
//! own network, whom the router would not lead back to us. Where none is configured it is learnt from the `received` and `rport`
//! of their responses (RFC 3261 section 18.2.1, RFC 3581): behind a NAT it is none that a socket of ours is bound to.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{
    core::Core,
    flow::{Flow, Transport},
    header::Via,
    uri::{Uri, escape_user},
};

/// How many peers' views are kept; when one more comes the oldest goes of those that are strangers.
const PEERS: usize = 256;

/// How we look from outside. What a peer says is believed towards that peer only: a lie harms nobody else.
#[derive(Debug, Default)]
pub(super) struct SeenAs {
    by_peer: HashMap<IpAddr, SocketAddr>,
    /// Those peers, the one first that was heard first.
    order: VecDeque<IpAddr>,
}

impl SeenAs {
    /// A response to a request of ours came, with this top Via. Those who are `trusted`, trunks and registrars, are not forgotten for
    /// others.
    pub(super) fn learn(&mut self, via: &Via, flow: &Flow, is_trusted: impl Fn(IpAddr) -> bool) {
        let peer = flow.remote.ip();
        let Some(seen) = via.received().filter(|seen| seen.is_ipv4() == peer.is_ipv4() && !seen.is_unspecified())
        else {
            return;
        };
        // Of a stream the port is that of one connection, where nobody listens.
        let port = via.rport().flatten().filter(|port| flow.transport == Transport::Udp && *port != 0);
        let seen = SocketAddr::new(seen, port.unwrap_or(flow.local.port()));
        if peer.is_loopback() || seen == flow.local {
            self.forget(peer);
        } else if self.by_peer.insert(peer, seen).is_none() {
            self.order.push_back(peer);
            if self.by_peer.len() > PEERS {
                let oldest = self.order.iter().find(|peer| !is_trusted(**peer)).or(self.order.front()).copied();
                oldest.into_iter().for_each(|peer| self.forget(peer));
            }
        }
    }

    fn forget(&mut self, peer: IpAddr) {
        if self.by_peer.remove(&peer).is_some() {
            self.order.retain(|other| *other != peer);
        }
    }

    /// How this peer sees us, when it is otherwise than we see ourselves.
    pub(super) fn by(&self, flow: &Flow) -> Option<SocketAddr> {
        let seen = self.by_peer.get(&flow.remote.ip().to_canonical())?;
        let port = if flow.transport == Transport::Udp { seen.port() } else { flow.local.port() };
        Some(SocketAddr::new(seen.ip(), port))
    }
}

impl Core {
    /// The address that this peer reaches us at.
    pub(super) fn advertised(&self, flow: &Flow) -> SocketAddr {
        let remote = flow.remote.ip().to_canonical();
        let own = SocketAddr::new(flow.local.ip().to_canonical(), flow.local.port());
        match self.config.public_address {
            Some(public) if !are_neighbours(own.ip(), remote) && public.is_ipv4() == remote.is_ipv4() => {
                SocketAddr::new(public, flow.local.port())
            }
            // Behind a NAT the peer itself has said how it sees us.
            None => self.seen_as.by(flow).unwrap_or(own),
            Some(_) => own,
        }
    }

    /// Our Contact towards this peer.
    pub(super) fn contact(&self, flow: &Flow) -> String {
        self.contact_as("milo", flow)
    }

    /// The same for a user of our own.
    pub(super) fn contact_as(&self, user: &str, flow: &Flow) -> String {
        let address = sent_by(self.advertised(flow));
        let transport = match flow.transport {
            // Both kinds of WebSocket have one name in URIs (RFC 7118 section 5.2).
            Transport::Wss => Transport::Ws,
            other => other,
        };
        format!("<sip:{}@{address}{}>", escape_user(user), transport.uri_parameter())
    }

    /// Our Contact in a dialog whose INVITE went to `uri`: a `sips:` URI wants one back (RFC 3261 sections 8.1.1.8 and
    /// 12.1.1).
    pub(super) fn contact_for(&self, flow: &Flow, uri: Option<&Uri>) -> String {
        if uri.is_some_and(|uri| uri.scheme() == "sips") {
            let web = if flow.transport == Transport::Wss { ";transport=ws" } else { "" };
            return format!("<sips:milo@{}{web}>", sent_by(self.advertised(flow)));
        }
        self.contact(flow)
    }

    /// The address of our RTP socket as this peer must be told.
    pub(super) fn media_address(&self, flow: &Flow, rtp: SocketAddr) -> SocketAddr {
        let advertised = self.advertised(flow).ip();
        let is_public = self.config.public_address == Some(advertised) || self.seen_as.by(flow).is_some();
        let stands = !rtp.ip().is_unspecified() && !is_public;
        SocketAddr::new(if stands { rtp.ip() } else { advertised }, rtp.port())
    }

    /// Whether a call or a registration needs the connection of this flow.
    pub fn uses(&self, flow: &Flow) -> bool {
        let is_it = |other: &Flow| other.connection == flow.connection;
        let mut calls = self.calls.values();
        let mut registrars = self.registrations.values().filter_map(|registration| registration.path);
        self.registrar.as_ref().is_some_and(|registrar| registrar.uses(flow.connection))
            || calls.any(|call| is_it(&call.flow) || call.dialog.as_ref().is_some_and(|dialog| is_it(&dialog.flow)))
            || registrars.any(|path| path.flow.transport == flow.transport && path.flow.remote == flow.remote)
    }
}

/// Whether no NAT lies between two addresses: both are of this machine, or of one block that is private (RFC 1918, RFC 4193) or
/// of one link.
fn are_neighbours(ours: IpAddr, theirs: IpAddr) -> bool {
    if theirs.is_loopback() {
        return true;
    }
    match (ours, theirs) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
            let block = |address: Ipv4Addr| match address.octets() {
                _ if address.is_link_local() => Some(0),
                [first, ..] if address.is_private() => Some(first),
                _ => None,
            };
            block(ours).is_some() && block(ours) == block(theirs)
        }
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
            ours.is_unique_local() && theirs.is_unique_local()
                || ours.is_unicast_link_local() && theirs.is_unicast_link_local()
        }
        _ => false,
    }
}

/// `address:port` for a Via or a URI; no port when a stream has no listener that the peer could be told of.
pub(super) fn sent_by(address: SocketAddr) -> String {
    match (address.port(), address.ip()) {
        (0, IpAddr::V4(ip)) => ip.to_string(),
        (0, IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, remote: &str) -> Flow {
        let (local, remote) = ("10.0.0.5:5060".parse().unwrap(), remote.parse().unwrap());
        Flow { transport, local, remote, connection: None }
    }

    fn seen(said: &str, flow: &Flow) -> Option<SocketAddr> {
        let mut seen_as = SeenAs::default();
        let via = format!("SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKa{said}").parse().unwrap();
        seen_as.learn(&via, flow, |_| false);
        seen_as.by(flow)
    }

    #[test]
    fn no_nat_lies_between_neighbours() {
        let are = |ours: &str, theirs: &str| are_neighbours(ours.parse().unwrap(), theirs.parse().unwrap());
        assert!(are("10.0.0.5", "10.9.0.1") && are("192.168.1.2", "192.168.7.9") && are("172.17.0.2", "172.16.0.1"));
        assert!(are("0.0.0.0", "127.0.0.1") && are("fd00::1", "fd00::2") && are("169.254.0.1", "169.254.9.9"));
        // A container whose host passes packets on from its own network has a NAT before it.
        assert!(
            !are("172.17.0.2", "192.168.1.9") && !are("10.0.0.5", "203.0.113.9") && !are("203.0.113.9", "10.0.0.5")
        );
        assert!(!are("203.0.113.8", "203.0.113.9") && !are("fd00::1", "2001:db8::1") && !are("fd00::1", "10.0.0.1"));
    }

    const PEER: &str = "198.51.100.7:5060";

    #[test]
    fn a_peer_tells_how_it_sees_us() {
        let udp = flow(Transport::Udp, PEER);
        assert_eq!(seen(";rport=40001;received=203.0.113.9", &udp), Some("203.0.113.9:40001".parse().unwrap()));
        assert_eq!(seen(";received=203.0.113.9", &udp), Some("203.0.113.9:5060".parse().unwrap()));
        let tcp = flow(Transport::Tcp, PEER);
        assert_eq!(seen(";rport=40001;received=203.0.113.9", &tcp), Some("203.0.113.9:5060".parse().unwrap()));
        assert_eq!(seen(";rport", &udp), None);
        assert_eq!(seen(";rport=5060;received=10.0.0.5", &udp), None, "no NAT between");
        assert_eq!(seen(";received=2001:db8::1", &udp), None);
        assert_eq!(seen(";received=203.0.113.9", &flow(Transport::Udp, "127.0.0.1:5060")), None);
    }

    #[test]
    fn what_one_says_is_told_to_no_other_and_is_forgotten_when_it_changes() {
        let (one, other) = (flow(Transport::Udp, PEER), flow(Transport::Udp, "198.51.100.8:5060"));
        let mut seen_as = SeenAs::default();
        let via = |said: &str| format!("SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKa;received={said}").parse().unwrap();
        seen_as.learn(&via("203.0.113.9"), &one, |_| false);
        assert_eq!(seen_as.by(&other), None);
        seen_as.learn(&via("203.0.113.10"), &one, |_| false);
        assert_eq!(seen_as.by(&one).unwrap().ip(), IpAddr::from([203, 0, 113, 10]));
        seen_as.learn(&via("10.0.0.5"), &one, |_| false);
        assert_eq!(seen_as.by(&one), None);
        // Of very many the last are kept, and a trunk however long ago it was.
        seen_as.learn(&via("203.0.113.9"), &other, |_| true);
        let stranger = |peer: u16| {
            let [high, low] = peer.to_be_bytes();
            flow(Transport::Udp, &format!("192.0.{high}.{low}:5060"))
        };
        for peer in 0..=u16::MAX {
            seen_as.learn(&via("203.0.113.9"), &stranger(peer), |peer| peer == other.remote.ip());
        }
        assert_eq!((seen_as.by_peer.len(), seen_as.order.len()), (PEERS, PEERS));
        assert!(seen_as.by(&other).is_some() && seen_as.by(&stranger(u16::MAX)).is_some());
        assert_eq!(seen_as.by(&stranger(0)), None);
    }
}
