//! Whether an address that somebody wants called is a trunk's gateway, however it is written: by another name, by the address itself,
//! or by a name whose records lead there. Whoever calls there calls over the trunk, under its rules.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use milo_signaling::{Caller, Destination, SignalingError, Uri};
use tokio::{task::JoinSet, time::timeout};

use super::{Trunk, Trunks};

/// How long DNS may take to say where the trunks are; what it said before holds beyond that.
const PATIENCE: Duration = Duration::from_secs(2);
/// As many places of one trunk are remembered.
const PLACES: usize = 64;

/// How an address is called.
#[derive(Clone, Debug)]
pub enum Way<'t> {
    /// It is at a trunk: its number over that one, under the trunk's rules, whatever else is named.
    Over(&'t Trunk),
    /// At these places.
    Direct(Destination),
}

impl<'t> Way<'t> {
    /// The trunk.
    pub fn trunk(&self) -> Option<&'t Trunk> {
        match self {
            Self::Over(trunk) => Some(trunk),
            Self::Direct(_) => None,
        }
    }
}

impl Trunks {
    /// The trunk whose gateway this address is at, as it is written.
    pub fn written_at(&self, address: &Uri) -> Option<&Trunk> {
        let servers = |trunk: &Trunk| trunk.servers().any(|server| is_one_server(&server, address));
        self.all.iter().find(|trunk| servers(trunk))
    }

    /// How this address is called from here. DNS is asked once: what was found to be no trunk is what is called.
    ///
    /// # Errors
    /// [`SignalingError::Target`]: it cannot be called, or leads nowhere.
    pub async fn way_to(&self, address: &Uri, caller: &Caller) -> Result<Way<'_>, SignalingError> {
        if let Some(trunk) = self.written_at(address) {
            return Ok(Way::Over(trunk));
        }
        let there = caller.destination(address).await?;
        if !self.all.is_empty() {
            self.look_where_they_are(caller).await;
        }
        let found = self.all.iter().find(|trunk| there.places().any(|place| trunk.has(place)));
        Ok(found.map_or(Way::Direct(there), Way::Over))
    }

    /// The trunk that a machine there is one of, by the network that its calls come from: it may trust ours, whoever has it called.
    pub fn around(&self, ip: IpAddr) -> Option<&Trunk> {
        let is_in =
            |trunk: &&Trunk| trunk.settings.address.is_some_and(|network| is_within(network, ip.to_canonical()));
        self.all.iter().find(is_in)
    }

    /// The trunk whose calls may come from there, whatever they name.
    pub fn heard_from(&self, ip: IpAddr) -> Option<&Trunk> {
        self.all.iter().find(|trunk| trunk.is_at(ip.to_canonical()))
    }

    /// Asks DNS anew where the servers of all trunks are.
    async fn look_where_they_are(&self, caller: &Caller) {
        let mut asking = JoinSet::new();
        for (at, trunk) in self.all.iter().enumerate() {
            for server in trunk.servers() {
                let caller = caller.clone();
                asking.spawn(async move { (at, caller.places(&server).await) });
            }
        }
        let telling = async {
            while let Some(told) = asking.join_next().await {
                let Ok((at, found)) = told else { continue };
                let Some(trunk) = self.all.get(at) else { continue };
                trunk.places.send_if_modified(|known| {
                    let news: Vec<_> = found.into_iter().filter(|place| !known.contains(place)).collect();
                    known.extend(&news);
                    // The oldest go first.
                    known.drain(..known.len().saturating_sub(PLACES));
                    !news.is_empty()
                });
            }
        };
        // What is not told in time is asked again at the next call.
        timeout(PATIENCE, telling).await.ok();
    }
}

impl Trunk {
    /// Whether this place is of its servers.
    fn has(&self, place: SocketAddr) -> bool {
        let registered = self.registrars.iter().filter_map(|registrar| registrar.address());
        self.places.borrow().iter().copied().chain(registered).any(|known| is_one_place(known, place))
    }
}

/// Whether two addresses are of one server, as they are written.
pub(super) fn is_one_server(one: &Uri, other: &Uri) -> bool {
    let at = |uri: &Uri| {
        let sip = uri.as_sip()?;
        let usual = if sip.scheme.eq_ignore_ascii_case("sips") { 5061 } else { 5060 };
        // A name may end in the dot of the root.
        let host = sip.host.to_string().to_ascii_lowercase();
        Some((host.trim_end_matches('.').to_owned(), sip.port.unwrap_or(usual)))
    };
    at(one).is_some() && at(one) == at(other)
}

/// Whether an address is within a trunk's network. On this machine many programs are, and are somebody else.
fn is_within(network: IpNet, ip: IpAddr) -> bool {
    !ip.is_loopback() && network.contains(&ip)
}

/// Whether two places are of one machine: a gateway takes calls at more ports than one. On this machine many programs share the
/// address, and only the same port is the same one.
fn is_one_place(one: SocketAddr, other: SocketAddr) -> bool {
    let (here, there) = (one.ip().to_canonical(), other.ip().to_canonical());
    here == there && (!here.is_loopback() || one.port() == other.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_one_whatever_the_port_and_programs_on_this_machine_are_several() {
        let is_one = |one: &str, other: &str| is_one_place(one.parse().unwrap(), other.parse().unwrap());
        assert!(is_one("192.0.2.7:5060", "192.0.2.7:5070"));
        assert!(is_one("192.0.2.7:5060", "[::ffff:192.0.2.7]:5061"));
        assert!(!is_one("192.0.2.7:5060", "192.0.2.8:5060"));
        assert!(is_one("127.0.0.1:5060", "127.0.0.1:5060"));
        assert!(!is_one("127.0.0.1:5060", "127.0.0.1:5070"));
    }

    #[test]
    fn a_trunks_network_is_the_trunks_but_for_this_machine() {
        let is_in = |network: &str, ip: &str| is_within(network.parse().unwrap(), ip.parse().unwrap());
        assert!(is_in("192.0.2.0/24", "192.0.2.9"));
        assert!(!is_in("192.0.2.0/24", "198.51.100.9"));
        assert!(!is_in("127.0.0.0/8", "127.0.0.1"));
    }

    #[test]
    fn one_server_is_known_as_it_is_written() {
        let is_one = |one: &str, other: &str| is_one_server(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(is_one("sip:carrier.example", "sip:034@Carrier.Example.:5060"));
        assert!(!is_one("sip:carrier.example", "sip:034@carrier.example:5070"));
    }
}
