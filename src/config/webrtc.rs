//! `[webrtc]`: calls from browsers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Faults, Secret, address::PortRange};

/// How browsers call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct WebRtc {
    /// Whether they may.
    pub enabled: bool,
    /// The address of the UDP sockets; 0.0.0.0 or `[::]`: every interface but loopback. Unset: that of `[http] listen`.
    pub address: Option<IpAddr>,
    /// The UDP ports, one a call: `"20001-21000"`, or 0 to let the system choose.
    pub udp_ports: PortRange,
    /// What `address` is called outside, behind a NAT that leaves ports as they are. Unset: `[sip] public_address`.
    pub public_address: Option<IpAddr>,
    /// STUN servers, like `"stun:stun.example:3478"`: for browsers, and for Milo where it has no public address.
    pub stun: Vec<String>,
    /// TURN servers, like `"turn:turn.example:3478?transport=udp"` or `"turns:turn.example:5349?transport=tcp"`; with `turn_secret`.
    pub turn: Vec<String>,
    /// The `static-auth-secret` of those TURN servers (coturn's `use-auth-secret`): credentials are made from it that end.
    pub turn_secret: Option<Secret>,
    /// For how many seconds such a credential holds: longer than a call.
    pub turn_ttl_s: u64,
    /// Offers that may wait for their callers at a time; more are refused with 503.
    pub waiting: usize,
    /// For how many seconds an answered offer waits for its caller.
    pub set_up_s: u64,
    /// After so many seconds without a sign of the browser its call is ended.
    pub gone_s: u64,
}

impl Default for WebRtc {
    fn default() -> Self {
        Self {
            enabled: true,
            address: None,
            udp_ports: PortRange::new(20_001, 21_000),
            public_address: None,
            stun: Vec::new(),
            turn: Vec::new(),
            turn_secret: None,
            turn_ttl_s: 21_600,
            waiting: 32,
            set_up_s: 15,
            gone_s: 10,
        }
    }
}

impl WebRtc {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        for (key, urls, schemes) in
            [("webrtc.stun", &self.stun, &["stun:"][..]), ("webrtc.turn", &self.turn, &["turn:", "turns:"][..])]
        {
            for url in urls.iter().filter(|url| !is_server(url, schemes)) {
                let scheme = schemes[0];
                faults
                    .add(key, format!("has {url:?}, which is no such server: write {scheme}host or {scheme}host:port"));
            }
        }
        if !self.turn.is_empty() && self.turn_secret.is_none() {
            faults.add("webrtc.turn", "needs webrtc.turn_secret beside it, coturn's static-auth-secret".into());
        }
        if self.public_address.is_some_and(|address| address.is_unspecified()) {
            faults
                .add("webrtc.public_address", "is the address that browsers reach Milo at, and 0.0.0.0 is none".into());
        }
        faults.within("webrtc.turn_ttl_s", self.turn_ttl_s, 60..=604_800);
        faults.within("webrtc.waiting", self.waiting as u64, 1..=10_000);
        faults.within("webrtc.set_up_s", self.set_up_s, 1..=120);
        faults.within("webrtc.gone_s", self.gone_s, 5..=120);
    }
}

/// A URI of RFC 7064 or RFC 7065, without spaces and quotes: it travels in a header field.
fn is_server(url: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]?=".contains(&b);
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_as_the_rfcs_write_them() {
        for (url, schemes) in [
            ("stun:stun.example", &["stun:"][..]),
            ("stun:192.0.2.1:3478", &["stun:"]),
            ("turn:[2001:db8::1]:3478?transport=udp", &["turn:", "turns:"]),
            ("turns:turn.example?transport=tcp", &["turn:", "turns:"]),
        ] {
            assert!(is_server(url, schemes), "{url}");
        }
        for (url, schemes) in [
            ("stun.example", &["stun:"][..]),
            ("stun://stun.example", &["stun:"]),
            ("turn:turn.example", &["stun:"]),
            ("stun:", &["stun:"]),
            ("turn:a>; rel=x", &["turn:", "turns:"]),
        ] {
            assert!(!is_server(url, schemes), "{url}");
        }
    }
}
