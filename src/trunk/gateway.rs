//! Whether an address that somebody wants called is a trunk's gateway, however it is written: by another name, by the address itself,
//! or by a name whose records lead there. Whoever calls there calls over the trunk, under its rules.

use std::{net::SocketAddr, time::Duration};

use milo_signaling::{Caller, Uri};
use tokio::{task::JoinSet, time::timeout};

use super::{Trunk, Trunks};

/// How long DNS may take to say where the trunks are; what it said before holds beyond that.
const PATIENCE: Duration = Duration::from_secs(2);
/// As many places of one trunk are remembered.
const PLACES: usize = 64;

impl Trunks {
    /// The trunk whose gateway this address is at, as it is written.
    pub fn written_at(&self, address: &Uri) -> Option<&Trunk> {
        let servers = |trunk: &Trunk| trunk.servers().any(|server| is_one_server(server, address));
        self.all.iter().find(|trunk| servers(trunk))
    }

    /// The trunk whose gateway a call to this address would come to: who calls there calls over the trunk, whatever they name.
    pub async fn at(&self, address: &Uri) -> Option<&Trunk> {
        let written = self.written_at(address);
        let (None, Some(caller)) = (written, &self.caller) else { return written };
        if self.all.is_empty() {
            return None;
        }
        let there = caller.places(address).await;
        if there.is_empty() {
            // It cannot be called either.
            return None;
        }
        self.look_where_they_are(caller).await;
        let is_there = |trunk: &Trunk| {
            let known = trunk.places.borrow();
            let registered = trunk.registrars.iter().filter_map(|registrar| registrar.address());
            let mut all = known.iter().copied().chain(registered);
            all.any(|place| there.iter().any(|one| is_one_place(*one, place)))
        };
        self.all.iter().find(|trunk| is_there(trunk))
    }

    /// Asks DNS anew where the servers of all trunks are.
    async fn look_where_they_are(&self, caller: &Caller) {
        let mut asking = JoinSet::new();
        for (at, trunk) in self.all.iter().enumerate() {
            let servers: Vec<Uri> = trunk.servers().cloned().collect();
            for server in servers {
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
    fn one_server_is_known_as_it_is_written() {
        let is_one = |one: &str, other: &str| is_one_server(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(is_one("sip:carrier.example", "sip:034@Carrier.Example.:5060"));
        assert!(!is_one("sip:carrier.example", "sip:034@carrier.example:5070"));
    }
}
