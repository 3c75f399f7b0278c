//! Where a REFER comes from, and so which addresses it may lead to. Nobody elsewhere has Milo call Milo itself, whose own calls are
//! trusted, another program on this machine, or a machine in a network that is not theirs: those trust Milo, and not whoever asks.

use std::{
    io::ErrorKind,
    net::{IpAddr, UdpSocket},
};

use milo_signaling::Referral;

/// Where a REFER comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    source: Option<IpAddr>,
    ours: Vec<IpAddr>,
}

impl Origin {
    pub(super) fn of(referral: &Referral) -> Self {
        Self { source: referral.source, ours: referral.ours.clone() }
    }

    /// Whether this address is Milo's own, as somebody elsewhere names it.
    pub(super) fn is_milo(&self, place: IpAddr) -> bool {
        let place = place.to_canonical();
        let is_elsewhere = self.source.is_some_and(|source| !source.is_loopback());
        is_elsewhere && !place.is_loopback() && (self.ours.contains(&place) || is_of_this_machine(place))
    }

    /// Whether it may lead to this address.
    pub(super) fn may_reach(&self, place: IpAddr) -> bool {
        let place = place.to_canonical();
        let Some(source) = self.source else { return false };
        if source.is_loopback() {
            // Programs here call here by themselves.
            return true;
        }
        let is_here = place.is_unspecified() || self.ours.contains(&place) || is_of_this_machine(place);
        !is_here && (!is_private(place) || is_private(source))
    }
}

/// Whether a socket here may have this address; where that cannot be found out, it may.
fn is_of_this_machine(place: IpAddr) -> bool {
    let bound = UdpSocket::bind((place, 0));
    place.is_loopback() || !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

/// Whether an address is of a network that is somebody's own, also of that behind a carrier's NAT (RFC 1918, RFC 4193, RFC 6598).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || matches!(ip.octets(), [100, 64..=127, ..]),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elsewhere_has_this_machine_or_a_network_called_that_is_not_theirs() {
        let from = |source: &str| Origin {
            source: Some(source.parse().unwrap()),
            ours: vec!["198.51.100.1".parse().unwrap()],
        };
        let leads = |source: &str, place: &str| from(source).may_reach(place.parse().unwrap());
        for source in ["192.0.2.7", "10.0.0.7", "2001:db8::7"] {
            for place in
                ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "::ffff:0.0.0.0", "198.51.100.1"]
            {
                assert!(!leads(source, place), "{source} {place}");
            }
            assert!(leads(source, "192.0.2.8"), "{source}");
        }
        for place in ["10.0.0.8", "172.16.0.8", "192.168.1.8", "169.254.1.8", "100.64.0.8", "::ffff:10.0.0.8"] {
            assert!(!leads("192.0.2.7", place), "{place}");
            assert!(leads("10.0.0.7", place), "{place}");
        }
        assert!(!leads("192.0.2.7", "fd00::8") && !leads("192.0.2.7", "fe80::8"));
        assert!(leads("127.0.0.1", "127.0.0.1") && leads("127.0.0.1", "10.0.0.8"));
        for (source, place, is_milo) in [
            ("192.0.2.7", "198.51.100.1", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.7", "127.0.0.1", false),
            ("127.0.0.1", "198.51.100.1", false),
        ] {
            assert_eq!(from(source).is_milo(place.parse().unwrap()), is_milo, "{source} {place}");
        }
        let nowhere = Origin { source: None, ours: Vec::new() };
        assert!(!nowhere.may_reach("192.0.2.8".parse().unwrap()));
    }
}
