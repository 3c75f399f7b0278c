//! Symmetric RTP (RFC 4961): send to where the SDP says until a valid packet comes, then to where packets come from.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A learned source that was silent this long may be replaced by another that sends valid packets.
const SILENT: Duration = Duration::from_secs(1);

/// The other end of a leg's RTP.
#[derive(Debug)]
pub(crate) struct Peer {
    advertised: SocketAddr,
    learned: Option<(SocketAddr, Instant)>,
}

impl Peer {
    pub(crate) fn new(advertised: SocketAddr) -> Self {
        Self { advertised, learned: None }
    }

    /// What the newest SDP says. Another address than before forgets the learned one: the peer has moved.
    pub(crate) fn advertise(&mut self, advertised: SocketAddr) {
        if advertised != self.advertised {
            *self = Self::new(advertised);
        }
    }

    /// May packets from here be heard? The first source that sends something valid is latched.
    pub(crate) fn may_speak(&self, from: SocketAddr, now: Instant) -> bool {
        self.learned.is_none_or(|(source, heard)| source == from || now.saturating_duration_since(heard) > SILENT)
    }

    /// A valid packet came from here.
    pub(crate) fn heard(&mut self, from: SocketAddr, now: Instant) {
        self.learned = Some((from, now));
    }

    /// Where to send; `None` for the unspecified address and port 0, with which an SDP says "not yet" (RFC 3264 8.4).
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        let destination = self.learned.map_or(self.advertised, |(source, _)| source);
        (!destination.ip().is_unspecified() && destination.port() != 0).then_some(destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::now;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn goes_where_packets_come_from_and_stays() {
        let start = now();
        let mut peer = Peer::new(at(4000));
        assert_eq!(peer.destination(), Some(at(4000)));
        assert!(peer.may_speak(at(5000), start));
        peer.heard(at(5000), start);
        assert_eq!(peer.destination(), Some(at(5000)));
        assert!(!peer.may_speak(at(6000), start + Duration::from_millis(900)));
        assert!(peer.may_speak(at(6000), start + Duration::from_millis(1001)));
    }

    #[test]
    fn a_new_address_in_the_sdp_forgets_the_learned_one_and_the_same_does_not() {
        let mut peer = Peer::new(at(4000));
        peer.heard(at(5000), now());
        peer.advertise(at(4000));
        assert_eq!(peer.destination(), Some(at(5000)));
        peer.advertise(at(4002));
        assert_eq!(peer.destination(), Some(at(4002)));
    }

    #[test]
    fn nothing_goes_to_the_unspecified_address() {
        assert_eq!(Peer::new(SocketAddr::from(([0, 0, 0, 0], 9))).destination(), None);
    }
}
