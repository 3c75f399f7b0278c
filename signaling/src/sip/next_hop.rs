//! Where the requests within a dialog go (RFC 3261 section 12.2.1.1): to the first of its routes, or to the peer's Contact. An address
//! leads there at once. A name is found by DNS first (RFC 3263), and so is the stream for a request that is too large for a datagram
//! (RFC 3261 section 18.1.1). A stream that is there is kept, whatever the URI says: a telephone behind a NAT has no other. Is it no
//! more, another one is opened to the next hop.

use std::net::{IpAddr, SocketAddr};

use super::{
    dialog::Dialog,
    flow::{Flow, LARGE, Path, Transport, Way, Ways},
    uri::Uri,
};

/// What was found for a next hop.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    of: Uri,
    ways: Ways,
}

impl Dialog {
    fn next_hop(&self) -> &Uri {
        self.routes.first().map_or(&self.target, |route| &route.uri)
    }

    /// The next hop that must be found before a request of so many bytes can go; `None`: [`Self::ways`] are known.
    pub(crate) fn unknown(&self, bytes: usize) -> Option<Uri> {
        if !self.is_where_it_says() {
            return None;
        }
        let next = self.next_hop();
        let is_named = next.host().is_some_and(|host| host.ip().is_none());
        let is_wanted = match self.flow.transport {
            Transport::Udp => is_named || (bytes > LARGE && self.may_stream()),
            Transport::Tcp | Transport::Tls => is_named && self.is_cut,
            // A browser listens nowhere.
            Transport::Ws | Transport::Wss => false,
        };
        let is_known = self.found.as_ref().is_some_and(|found| found.of == *next);
        (is_wanted && !is_known).then(|| next.clone())
    }

    /// DNS has said where this next hop is, or that it is nowhere. What has worked so far stays the first.
    pub(crate) fn found(&mut self, of: &Uri, ways: Ways) {
        if of != self.next_hop() {
            return;
        }
        let (transport, source) = (self.flow.transport, self.flow.remote.ip());
        let mut ways = ways;
        ways.0.retain(|way| is_reached_from(source, way.path.flow.remote.ip()));
        let is_new = |flow: &Flow| (flow.remote.ip(), flow.transport) != (source, transport);
        ways.0.make_contiguous().sort_by_key(|way| is_new(&way.path.flow));
        self.found = Some(Found { of: of.clone(), ways });
    }

    /// The ways that a request can go, the best first. The last is the one that the peer's last message came.
    pub(crate) fn ways(&self) -> Ways {
        let own = self.own_path();
        let keeps = match self.flow.transport {
            Transport::Udp => false,
            Transport::Tcp | Transport::Tls => !self.is_cut,
            Transport::Ws | Transport::Wss => true,
        };
        let may_be_found = !keeps && self.is_where_it_says();
        let found = self.found.as_ref().filter(|found| may_be_found && found.of == *self.next_hop());
        let Some(found) = found else { return own.into() };
        let mut ways = found.ways.clone();
        let same = |way: &Way| (way.path.flow.transport, way.path.flow.remote) == (own.flow.transport, own.flow.remote);
        if !ways.0.iter().any(same) {
            ways.0.push_back(Way { path: own, if_large: None });
        }
        ways
    }

    /// The best of them.
    pub(crate) fn path(&self) -> Path {
        self.ways().first().unwrap_or_else(|| self.own_path())
    }

    /// The stream of this dialog is no more.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// A response came on a connection that was opened for a request of ours: the dialog goes on there.
    pub(crate) fn learn_connection(&mut self, flow: &Flow) {
        if self.flow.transport != flow.transport {
            return;
        }
        if std::mem::take(&mut self.is_cut) {
            self.flow = *flow;
        }
        self.flow.connection = flow.connection;
    }

    /// Whether the next hop leaves the choice of transport, and can be connected to.
    fn may_stream(&self) -> bool {
        self.address().is_some() && Transport::of_uri(self.next_hop()) == Ok(None)
    }

    /// The address that the next hop names, where that is one to go to (RFC 3261 section 12.2.1.1). A private address that a peer
    /// behind a NAT gave is none.
    fn address(&self) -> Option<SocketAddr> {
        let next = self.next_hop();
        let port = next.port().unwrap_or(self.flow.transport.default_port());
        let source = self.flow.remote.ip();
        let named = next.host().and_then(|host| host.ip()).map(|ip| SocketAddr::new(ip, port));
        let named = named.filter(|named| named.is_ipv4() == source.is_ipv4());
        let is_there = self.is_where_it_says();
        named.filter(|named| named.ip() == source || is_there && is_reached_from(source, named.ip()))
    }

    /// Whether requests go where the next hop says. A telephone itself is reached where it has just spoken from, since a NAT may have
    /// changed its address (a route is given by a proxy, which knows where it is); and so is whoever has shown nothing yet but an
    /// INVITE, whose source may be forged, and its Contact somebody else's.
    fn is_where_it_says(&self) -> bool {
        self.peer.hears && !(self.peer.is_telephone && self.peer.direct && self.routes.is_empty())
    }

    /// The way without DNS: to an address, and else back to where the peer's last message came from.
    fn own_path(&self) -> Path {
        let wants_stream = self.next_hop().param("transport").is_some_and(|name| name.eq_ignore_ascii_case("tcp"));
        let named = self.address();
        match (self.flow.transport, named) {
            (Transport::Udp, Some(remote)) if wants_stream => {
                let flow = Flow { transport: Transport::Tcp, remote, ..self.flow };
                Path { flow, or_connect: Some(remote) }
            }
            (Transport::Udp, named) => {
                let remote = named.unwrap_or(self.flow.remote);
                Path { flow: Flow { remote, ..self.flow }, or_connect: None }
            }
            (Transport::Tcp | Transport::Tls, named) => Path { flow: self.flow, or_connect: named },
            (Transport::Ws | Transport::Wss, _) => Path { flow: self.flow, or_connect: None },
        }
    }
}

/// Whether an address that a peer at `source` names means anything outside the peer's own network.
pub(super) fn is_reached_from(source: IpAddr, named: IpAddr) -> bool {
    !is_private(named) || is_private(source)
}

/// An address that means nothing outside its own network; also that of a carrier's NAT (RFC 6598).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_shared = matches!(v4.octets(), [100, 64..=127, ..]);
            v4.is_private() || is_shared || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Method, Name, dialog::tests::server};

    fn way(transport: Transport, remote: &str) -> Way {
        let (local, remote) = ("192.0.2.1:5060".parse().unwrap(), remote.parse().unwrap());
        Way {
            path: Path { flow: Flow { transport, local, remote, connection: None }, or_connect: None },
            if_large: None,
        }
    }

    fn goes(dialog: &Dialog) -> Vec<String> {
        let name = |way: &Way| format!("{} {}", way.path.flow.transport, way.path.flow.remote);
        dialog.ways().0.iter().map(name).collect()
    }

    #[test]
    fn contact_behind_a_nat_or_not_known_yet_is_reached_at_the_source() {
        for contact in ["<sip:rasoa@10.0.0.9:5080>", "<sip:rasoa@100.64.7.9>", "<sip:rasoa@phone.example>"] {
            let dialog = server(1, "198.51.100.9:40123", &[(Name::CONTACT, contact)]);
            assert_eq!(goes(&dialog), ["udp 198.51.100.9:40123"], "{contact}");
        }
        let behind_proxy = [(Name::CONTACT, "<sip:rasoa@203.0.113.50>")];
        let dialog = server(2, "198.51.100.9:5060", &behind_proxy);
        assert_eq!(goes(&dialog), ["udp 203.0.113.50:5060"], "a proxy that wants no more");
        // It hides what lies behind it and wants everything to come by it: it is no telephone that does not know its address.
        let route = [(Name::CONTACT, "<sip:a@203.0.113.50>"), (Name::RECORD_ROUTE, "<sip:203.0.113.7;lr>")];
        assert_eq!(goes(&server(1, "198.51.100.9:5060", &route)), ["udp 203.0.113.7:5060"]);
    }

    #[test]
    fn a_carriers_contact_is_followed_and_a_telephones_is_not() {
        for (is_telephone, to) in [(false, "udp 203.0.113.50:5060"), (true, "udp 198.51.100.9:5060")] {
            let dialog = server(1, "198.51.100.9:5060", &[(Name::CONTACT, "<sip:rasoa@203.0.113.50>")]);
            assert_eq!(goes(&dialog.with_telephone(is_telephone)), [to]);
        }
    }

    #[test]
    fn a_name_of_a_telephone_or_of_whoever_has_not_shown_that_it_hears_is_not_asked_for() {
        let contact = [(Name::CONTACT, "<sip:x@victim.example>")];
        let found = |dialog: &mut Dialog| {
            dialog.found(
                &"sip:x@victim.example".parse().unwrap(),
                Ways([way(Transport::Udp, "203.0.113.66:5060")].into()),
            );
        };
        let mut telephone = server(1, "198.51.100.9:5060", &contact).with_telephone(true);
        let mut forged = server(1, "198.51.100.9:5060", &contact);
        forged.peer.hears = false;
        for dialog in [&mut telephone, &mut forged] {
            assert_eq!(dialog.unknown(0), None);
            found(dialog);
            assert_eq!(goes(dialog), ["udp 198.51.100.9:5060"]);
        }
        let mut carrier = server(1, "198.51.100.9:5060", &contact);
        assert!(carrier.unknown(0).is_some());
        found(&mut carrier);
        assert_eq!(goes(&carrier), ["udp 203.0.113.66:5060", "udp 198.51.100.9:5060"]);
    }

    #[test]
    fn a_name_is_to_be_found_and_what_has_worked_stays_the_first() {
        let route = [(Name::CONTACT, "<sip:a@10.0.0.9>"), (Name::RECORD_ROUTE, "<sip:proxy.example;lr>")];
        let mut dialog = server(2, "203.0.113.2:5060", &route);
        let name: Uri = "sip:proxy.example;lr".parse().unwrap();
        assert_eq!(dialog.unknown(0), Some(name.clone()));
        let found = [
            way(Transport::Tcp, "203.0.113.1:5060"),
            way(Transport::Tcp, "203.0.113.2:5060"),
            way(Transport::Udp, "10.0.0.9:5060"),
            way(Transport::Udp, "203.0.113.2:5062"),
        ];
        dialog.found(&"sip:other.example;lr".parse().unwrap(), Ways(found.into()));
        assert_eq!(dialog.unknown(0), Some(name.clone()), "what was found is another's");
        dialog.found(&name, Ways(found.into()));
        assert_eq!(dialog.unknown(5_000), None);
        let ways = ["udp 203.0.113.2:5062", "tcp 203.0.113.1:5060", "tcp 203.0.113.2:5060", "udp 203.0.113.2:5060"];
        assert_eq!(goes(&dialog), ways, "and the source comes last, should nobody be there");
        dialog.found(&name, Ways::default());
        assert_eq!(goes(&dialog), ["udp 203.0.113.2:5060"]);
    }

    #[test]
    fn a_large_request_asks_for_a_stream_unless_the_peer_is_behind_a_nat_or_wants_none() {
        let asks = |contact: &str| {
            let dialog = server(1, "198.51.100.9:5060", &[(Name::CONTACT, contact)]);
            assert_eq!(dialog.unknown(LARGE), None);
            dialog.unknown(LARGE + 1).is_some()
        };
        assert!(asks("<sip:rasoa@198.51.100.9>"));
        assert!(!asks("<sip:rasoa@10.0.0.9>"));
        assert!(!asks("<sip:rasoa@198.51.100.9;transport=udp>"));
    }

    #[test]
    fn contact_that_asks_for_a_stream_gets_one_and_a_stream_is_kept() {
        let contact = [(Name::CONTACT, "<sip:rasoa@198.51.100.9:5070;transport=TCP>")];
        let named = "198.51.100.9:5070".parse().unwrap();
        let path = server(1, "198.51.100.9:5060", &contact).path();
        assert_eq!((path.flow.transport, path.flow.remote), (Transport::Tcp, named));
        let mut streamed = server(1, "198.51.100.9:40123", &[(Name::CONTACT, "<sip:rasoa@198.51.100.9:5070>")]);
        streamed.flow.transport = Transport::Tcp;
        assert_eq!(streamed.path(), Path { flow: streamed.flow, or_connect: Some(named) });
    }

    #[test]
    fn a_stream_that_is_cut_is_opened_again_to_the_name() {
        let mut dialog = server(1, "198.51.100.9:40123", &[(Name::CONTACT, "<sip:rasoa@pbx.example;transport=tcp>")]);
        dialog.flow.transport = Transport::Tcp;
        assert_eq!(dialog.unknown(0), None, "the stream is there");
        dialog.cut();
        let name = dialog.unknown(0).unwrap();
        dialog.found(&name, Ways([way(Transport::Tcp, "198.51.100.9:5060")].into()));
        assert_eq!(goes(&dialog), ["tcp 198.51.100.9:5060", "tcp 198.51.100.9:40123"]);
        let opened = way(Transport::Tcp, "198.51.100.9:5060").path.flow;
        dialog.learn_connection(&opened);
        assert_eq!(goes(&dialog), ["tcp 198.51.100.9:5060"]);
        drop(dialog.request(Method::Bye));
    }
}
