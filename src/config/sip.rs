//! `[sip]`: where telephones reach Milo.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use milo_signaling::{SessionTimers, sip::session_timer::LEAST_S};
use serde::{Deserialize, Serialize};

use super::{Faults, Trunk, address::Addresses};

/// SIP listeners and trunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Sip {
    /// UDP: an address or a list. Port 0 lets the system choose.
    pub udp: Addresses,
    /// TCP: an address or a list.
    pub tcp: Addresses,
    /// The address that telephones are told to send to, where it differs from the one listened on (NAT, 0.0.0.0).
    pub public_address: Option<IpAddr>,
    /// The session timer that is asked for, and the longest that is taken, in seconds (RFC 4028).
    pub session_expires_s: u32,
    /// The shortest session timer that is taken, in seconds.
    pub min_se_s: u32,
    /// Who else than this machine may call.
    pub trunks: Vec<Trunk>,
}

impl Default for Sip {
    fn default() -> Self {
        let loopback = Addresses::one((Ipv4Addr::LOCALHOST, 5060).into());
        let SessionTimers { session_expires_s, min_se_s } = SessionTimers::default();
        Self {
            udp: loopback.clone(),
            tcp: loopback,
            public_address: None,
            session_expires_s,
            min_se_s,
            trunks: Vec::new(),
        }
    }
}

impl Sip {
    /// Where audio is received: at the listeners' address when they have one, else at every address, also of IPv6 as soon as
    /// one of them is.
    pub fn media_address(&self) -> IpAddr {
        let mut listeners = self.udp.as_slice().iter().chain(self.tcp.as_slice()).map(SocketAddr::ip);
        let any: IpAddr = if listeners.clone().any(|ip| ip.is_ipv6()) {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        listeners.next().filter(|first| listeners.all(|other| other == *first)).unwrap_or(any)
    }

    /// An address that can be dialled for one that is listened on: the public one where that is every address, and where none
    /// is configured this machine's own, from which everybody may call.
    pub fn dialled(&self, listener: SocketAddr) -> SocketAddr {
        let own = match listener.ip() {
            ip if !ip.is_unspecified() => return listener,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let public = self.public_address.filter(|public| public.is_ipv4() || listener.is_ipv6());
        SocketAddr::new(public.unwrap_or(own), listener.port())
    }

    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if self.udp.as_slice().is_empty() && self.tcp.as_slice().is_empty() {
            faults.add("sip.udp", "and sip.tcp are both empty: no telephone could reach Milo".into());
        }
        if self.public_address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
            faults.add("sip.public_address", "is not an address that a telephone can send to".into());
        }
        faults.within("sip.session_expires_s", self.session_expires_s, LEAST_S..=86_400);
        faults.within("sip.min_se_s", self.min_se_s, LEAST_S..=self.session_expires_s.max(LEAST_S));
        for (n, trunk) in self.trunks.iter().enumerate() {
            let key = format!("sip.trunks[{n}]");
            trunk.check(&key, faults);
            if self.trunks.iter().take(n).any(|other| other.name == trunk.name) {
                faults.add(&format!("{key}.name"), format!("{:?} is the name of another trunk", trunk.name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sip(udp: &[&str]) -> Sip {
        let udp = serde_json::from_value(serde_json::json!(udp)).unwrap();
        Sip { udp, tcp: Addresses::one((Ipv4Addr::LOCALHOST, 5060).into()), ..Sip::default() }
    }

    #[test]
    fn audio_is_received_wherever_sip_is() {
        for (udp, media) in [
            (&["127.0.0.1:5070"][..], "127.0.0.1"),
            (&["192.0.2.1:5060"], "0.0.0.0"),
            (&["[::1]:5060"], "::"),
            (&["127.0.0.1:5060", "[::1]:5060"], "::"),
            (&["0.0.0.0:5060", "[::]:5060"], "::"),
            (&[], "127.0.0.1"),
        ] {
            assert_eq!(sip(udp).media_address().to_string(), media, "{udp:?}");
        }
    }

    #[test]
    fn every_address_is_none_that_can_be_dialled() {
        let mut sip = sip(&[]);
        let dialled = |sip: &Sip, listener: &str| sip.dialled(listener.parse().unwrap()).to_string();
        assert_eq!(dialled(&sip, "192.0.2.1:5060"), "192.0.2.1:5060");
        assert_eq!(dialled(&sip, "0.0.0.0:5060"), "127.0.0.1:5060");
        assert_eq!(dialled(&sip, "[::]:5060"), "[::1]:5060");
        sip.public_address = Some([203, 0, 113, 9].into());
        assert_eq!(dialled(&sip, "0.0.0.0:5060"), "203.0.113.9:5060");
        assert_eq!(dialled(&sip, "[::]:5060"), "203.0.113.9:5060");
        assert_eq!(dialled(&sip, "127.0.0.1:5060"), "127.0.0.1:5060");
    }
}
