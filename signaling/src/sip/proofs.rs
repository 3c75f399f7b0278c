//! Who has proved lately who it is, and from where: a telephone, or a trunk with credentials. Its answer to a nonce that was sent
//! to its very address cannot have been forged; so what others send in the name of its neighbours is not held against it.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Addresses that are remembered at once; when one more comes the one goes that has been quiet longest.
const ADDRESSES: usize = 4096;
/// Names that are remembered of each: an office has many telephones behind one address.
const NAMES: usize = 256;
/// How long.
const LATELY: Duration = Duration::from_secs(24 * 3600);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    of: HashMap<IpAddr, Proof>,
}

#[derive(Debug)]
struct Proof {
    last: Instant,
    /// Hashed.
    names: VecDeque<u64>,
}

impl Proofs {
    /// This name has been proved from this address.
    pub(super) fn note(&mut self, now: Instant, address: IpAddr, name: u64) {
        if self.of.len() >= ADDRESSES && !self.of.contains_key(&address) {
            let quietest = self.of.iter().min_by_key(|(_, proof)| proof.last).map(|(address, _)| *address);
            quietest.map(|address| self.of.remove(&address));
        }
        let proof = self.of.entry(address).or_insert_with(|| Proof { last: now, names: VecDeque::new() });
        proof.last = now;
        if !proof.names.contains(&name) {
            proof.names.push_back(name);
            if proof.names.len() > NAMES {
                proof.names.pop_front();
            }
        }
    }

    /// Whether anybody has, from this address.
    pub(super) fn has(&self, now: Instant, address: IpAddr) -> bool {
        self.of.get(&address).is_some_and(|proof| now.saturating_duration_since(proof.last) <= LATELY)
    }

    /// Whether this name was, from this address.
    pub(super) fn has_name(&self, now: Instant, address: IpAddr, name: u64) -> bool {
        self.has(now, address) && self.of.get(&address).is_some_and(|proof| proof.names.contains(&name))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    #[test]
    fn the_last_who_proved_themselves_are_remembered_for_a_day() {
        let start = Instant::now();
        let address = |at: u32| IpAddr::from((0x2000_0000 + at).to_be_bytes());
        let mut proofs = Proofs::default();
        for at in 0..=4096 {
            proofs.note(start + Duration::from_millis(at.into()), address(at), 1);
        }
        let now = start + Duration::from_secs(5);
        assert_eq!(
            (proofs.has(now, address(0)), proofs.has(now, address(1)), proofs.of.len()),
            (false, true, ADDRESSES)
        );
        assert!(proofs.has_name(now, address(1), 1) && !proofs.has_name(now, address(1), 2));
        assert!(!proofs.has(start + LATELY + Duration::from_secs(5), address(1)));
        (0..1_000).for_each(|name| proofs.note(now, address(1), name));
        assert_eq!(proofs.of[&address(1)].names.len(), NAMES);
    }
}
