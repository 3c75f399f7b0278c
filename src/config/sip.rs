//! `[sip]`: where telephones reach Milo.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use milo_signaling::{CertificateFiles, SessionTimers, SignalingError, Trust, sip::session_timer::LEAST_S};
use serde::{Deserialize, Serialize};

use super::{AccountLimits, Faults, Trunk, TrunkNames, address::Addresses};

/// SIP listeners and trunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Sip {
    /// UDP: an address or a list. Port 0 lets the system choose.
    pub udp: Addresses,
    /// TCP: an address or a list.
    pub tcp: Addresses,
    /// TLS: an address or a list.
    pub tls: Addresses,
    /// WebSocket: an address or a list.
    pub ws: Addresses,
    /// Secure WebSocket: an address or a list.
    pub wss: Addresses,
    /// The PEM file with the certificate that TLS and secure WebSocket show, and those between it and its root.
    pub tls_cert: Option<PathBuf>,
    /// The PEM file with its private key.
    pub tls_key: Option<PathBuf>,
    /// The PEM file with the authorities that are believed when Milo calls over TLS, instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Whether the certificates of those whom Milo calls over TLS are verified at all.
    pub tls_verify: bool,
    /// The origins of the web pages that may connect by WebSocket; empty: those of the host that they connect to.
    pub ws_origins: Vec<String>,
    /// The DNS servers that are asked where calls go: an address or a list; empty: those of the system.
    pub dns: Addresses,
    /// Seconds after which a silent connection is closed that no call needs.
    pub idle_s: u64,
    /// How often ways through NATs are kept open, in seconds: those to registrars, and those to telephones that are registered here
    /// over UDP; 0: never.
    pub keep_alive_s: u64,
    /// The address that telephones are told to send to, where it differs from the one listened on (NAT, 0.0.0.0).
    pub public_address: Option<IpAddr>,
    /// The STUN server, `host:port`, that is asked for that address where it is not known beforehand.
    pub stun: Option<String>,
    /// The session timer that is asked for, and the longest that is taken, in seconds (RFC 4028).
    pub session_expires_s: u32,
    /// The shortest session timer that is taken, in seconds.
    pub min_se_s: u32,
    /// The file with the accounts of our own people's telephones, which may then register; unset: none may.
    pub accounts: Option<PathBuf>,
    /// What they may call, and how much of it.
    pub account_limits: Vec<AccountLimits>,
    /// The realm of these accounts.
    pub realm: String,
    /// How they may prove who they are: `SHA-256`, `MD5`.
    pub digest: Vec<String>,
    /// For how many seconds a telephone may be registered at least.
    pub register_min_s: u32,
    /// And at most.
    pub register_max_s: u32,
    /// For how many seconds an address is shut out that guesses passwords or scans; 0: none is.
    pub ban_s: u64,
    /// After so many wrong answers to challenges within ten minutes.
    pub ban_wrong_answers: u32,
    /// After so many requests of a stranger within ten minutes.
    pub ban_requests: u32,
    /// Of how many calls that are over the SIP messages stay readable; 0: none are kept, also of calls that are up.
    pub ladders: usize,
    /// For how many days texts (SIP MESSAGE) are kept; 0: for ever.
    pub message_days: u64,
    /// Numbers for emergencies, as they are dialled.
    pub emergency: Vec<String>,
    /// What happens when one of them is to be called.
    pub emergency_calls: EmergencyCalls,
    /// The trunks that they are called over, the first first.
    pub emergency_trunk: Option<TrunkNames>,
    /// The sound file that a caller hears in place of them.
    pub emergency_announcement: Option<PathBuf>,
    /// Who else than this machine may call.
    pub trunks: Vec<Trunk>,
}

/// What happens when an emergency number is to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmergencyCalls {
    /// It is not called.
    #[default]
    Refuse,
    /// It is called, over the emergency trunk.
    Pass,
    /// It is not called, and the caller hears why.
    Announce,
}

impl Default for Sip {
    fn default() -> Self {
        let loopback = Addresses::one((Ipv4Addr::LOCALHOST, 5060).into());
        let SessionTimers { session_expires_s, min_se_s } = SessionTimers::default();
        Self {
            udp: loopback.clone(),
            tcp: loopback,
            tls: Addresses::none(),
            ws: Addresses::none(),
            wss: Addresses::none(),
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            tls_verify: true,
            ws_origins: Vec::new(),
            dns: Addresses::none(),
            idle_s: 3600,
            keep_alive_s: 25,
            public_address: None,
            stun: None,
            session_expires_s,
            min_se_s,
            accounts: None,
            account_limits: Vec::new(),
            realm: "milo".into(),
            digest: vec!["SHA-256".into(), "MD5".into()],
            register_min_s: 60,
            register_max_s: 3600,
            ban_s: 3600,
            ban_wrong_answers: 5,
            ban_requests: 50,
            ladders: 200,
            message_days: 90,
            emergency: Vec::new(),
            emergency_calls: EmergencyCalls::Refuse,
            emergency_trunk: None,
            emergency_announcement: None,
            trunks: Vec::new(),
        }
    }
}

impl Sip {
    /// Where audio is received: at the listeners' address when they have one, else at every address, also of IPv6 as soon as
    /// one of them is.
    pub fn media_address(&self) -> IpAddr {
        let mut listeners = self.listeners().map(|(_, address)| address.ip());
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

    /// Every listening address, with the key that names it.
    pub fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + Clone {
        let all = [("udp", &self.udp), ("tcp", &self.tcp), ("tls", &self.tls), ("ws", &self.ws), ("wss", &self.wss)];
        all.into_iter().flat_map(|(key, addresses)| addresses.as_slice().iter().map(move |address| (key, *address)))
    }

    /// The files of the certificate, when there is one.
    pub fn certificate(&self) -> Option<CertificateFiles> {
        let (chain, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(CertificateFiles { chain, key })
    }

    /// Whose certificates are believed when Milo calls over TLS; none: those of the system's authorities.
    ///
    /// # Errors
    /// The file of `tls_ca` holds no authorities.
    pub fn trust(&self) -> Result<Option<Trust>, SignalingError> {
        match &self.tls_ca {
            _ if !self.tls_verify => Ok(Some(Trust::anybody())),
            Some(file) => Trust::authorities(file).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if self.listeners().next().is_none() {
            faults
                .add("sip.udp", "and the other listeners of [sip] are all empty: no telephone could reach Milo".into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            faults.add("sip.tls_cert", "and sip.tls_key go together: a certificate and its key".into());
        } else if self.tls_cert.is_none() {
            for (key, listeners) in [("sip.tls", &self.tls), ("sip.wss", &self.wss)] {
                if !listeners.as_slice().is_empty() {
                    faults.add(key, "needs a certificate: name its files with tls_cert and tls_key".into());
                }
            }
        }
        if self.tls_ca.is_some() && !self.tls_verify {
            faults.add("sip.tls_ca", "has no meaning while tls_verify is false".into());
        }
        faults.within("sip.idle_s", self.idle_s, 60..=86_400);
        if self.keep_alive_s > 0 {
            faults.within("sip.keep_alive_s", self.keep_alive_s, 1..=3_600);
        }
        if self.public_address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
            faults.add("sip.public_address", "is not an address that a telephone can send to".into());
        }
        if let Some(server) = &self.stun {
            if self.public_address.is_some() {
                faults.add("sip.stun", "has no meaning beside public_address: choose one".into());
            } else if !server
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            {
                faults.add("sip.stun", format!("{server:?} is not a host and a port, like stun.example.com:3478"));
            }
        }
        faults.within("sip.session_expires_s", self.session_expires_s, LEAST_S..=86_400);
        faults.within("sip.min_se_s", self.min_se_s, LEAST_S..=self.session_expires_s.max(LEAST_S));
        if self.realm.is_empty()
            || self.realm.len() > 64
            || self.realm.chars().any(|c| c.is_control() || "\"\\:".contains(c))
        {
            faults.add("sip.realm", "is empty, longer than 64 characters, or holds what no realm may: \" \\ :".into());
        }
        if self.digest.is_empty() || self.digest.iter().any(|one| !["SHA-256", "MD5"].contains(&one.as_str())) {
            faults.add("sip.digest", "is a list of \"SHA-256\", \"MD5\" or both".into());
        }
        faults.within("sip.register_min_s", self.register_min_s, 1..=86_400);
        faults.within("sip.register_max_s", self.register_max_s, self.register_min_s.max(1)..=604_800);
        if self.ban_s > 0 {
            faults.within("sip.ban_s", self.ban_s, 10..=604_800);
        }
        faults.within("sip.ban_wrong_answers", self.ban_wrong_answers, 1..=1_000);
        faults.within("sip.ban_requests", self.ban_requests, 5..=100_000);
        faults.within("sip.ladders", self.ladders, 0..=10_000);
        faults.within("sip.message_days", self.message_days, 0..=36_500);
        self.check_emergencies(faults);
        for (n, limits) in self.account_limits.iter().enumerate() {
            let key = format!("sip.account_limits[{n}]");
            limits.check(&key, faults);
            if self.account_limits.iter().take(n).any(|other| other.account == limits.account) {
                faults.add(&format!("{key}.account"), format!("{:?} has limits already", limits.account));
            }
        }
        for (n, trunk) in self.trunks.iter().enumerate() {
            let key = format!("sip.trunks[{n}]");
            trunk.check(&key, faults);
            if self.trunks.iter().take(n).any(|other| other.name == trunk.name) {
                faults.add(&format!("{key}.name"), format!("{:?} is the name of another trunk", trunk.name));
            }
            let login = |trunk: &Trunk| {
                let name = trunk.inbound_username.clone()?;
                Some((trunk.inbound_realm(self).to_ascii_lowercase(), name))
            };
            if login(trunk).is_some() && self.trunks.iter().take(n).any(|other| login(other) == login(trunk)) {
                let says = "is that of another trunk of the same domain: nobody could tell their calls apart";
                faults.add(&format!("{key}.inbound_username"), says.into());
            }
        }
    }
}

impl Sip {
    fn check_emergencies(&self, faults: &mut Faults<'_>) {
        let dialled = |c: char| c.is_ascii_alphanumeric() || "-_.+*#".contains(c);
        if let Some(number) = self.emergency.iter().find(|number| number.is_empty() || !number.chars().all(dialled)) {
            faults.add("sip.emergency", format!("= {number:?} is no number; one looks like 117"));
        }
        match (self.emergency_calls, &self.emergency_trunk) {
            (EmergencyCalls::Pass, None) => {
                faults.add("sip.emergency_calls", "= \"pass\" needs an emergency_trunk to call over".into());
            }
            (_, Some(names)) => {
                let is_known = |name: &String| self.trunks.iter().any(|trunk| trunk.name == *name);
                if let Some(name) = names.names().iter().find(|name| !is_known(name)) {
                    faults.add("sip.emergency_trunk", format!("= {name:?} is not the name of one of [[sip.trunks]]"));
                }
                if let Some(fault) = names.fault() {
                    faults.add("sip.emergency_trunk", fault);
                }
            }
            _ => {}
        }
        if self.emergency_calls == EmergencyCalls::Announce && self.emergency_announcement.is_none() {
            faults.add("sip.emergency_calls", "= \"announce\" needs an emergency_announcement, a sound file".into());
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
