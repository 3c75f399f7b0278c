//! `[sip]`: where telephones reach Milo, and which of them may.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Faults, address, address::Addresses};

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
    /// Who else than this machine may call.
    pub trunks: Vec<Trunk>,
}

/// A carrier or PBX that may call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trunk {
    /// How it is called in logs.
    pub name: String,
    /// Its IP address, or the network its calls come from.
    #[serde(deserialize_with = "address::network")]
    pub address: IpNet,
}

impl Default for Sip {
    fn default() -> Self {
        let loopback = Addresses::one((Ipv4Addr::LOCALHOST, 5060).into());
        Self { udp: loopback.clone(), tcp: loopback, public_address: None, trunks: Vec::new() }
    }
}

impl Sip {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if self.udp.as_slice().is_empty() && self.tcp.as_slice().is_empty() {
            faults.add("sip.udp", "and sip.tcp are both empty: no telephone could reach Milo".into());
        }
        if self.public_address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
            faults.add("sip.public_address", "is not an address that a telephone can send to".into());
        }
        for (n, trunk) in self.trunks.iter().enumerate() {
            if trunk.name.trim().is_empty() {
                faults.add(&format!("sip.trunks[{n}].name"), "is empty".into());
            }
            if trunk.address.prefix_len() == 0 {
                faults.add(
                    &format!("sip.trunks[{n}].address"),
                    format!("{} is everybody: name the networks of your carrier", trunk.address),
                );
            }
        }
    }
}
