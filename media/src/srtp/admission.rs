//! Whose DTLS is read before there are keys. The certificate says who the peer is; until then, what an open port can be made
//! to do is bounded, and those from whom the peer's packets likelier come have room that others cannot take.
//!
//! | from | at a time |
//! |---|---|
//! | the address of the SDP | always |
//! | its host, and the host that the signalling comes from | 4 |
//! | anywhere else | 4 |

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::rtp::Nearness;

/// Sources of a kind that may try at the same time.
const PLACES: usize = 4;
/// Datagrams of one source; a handshake has about six, some of them in fragments, some again.
const DATAGRAMS: u32 = 64;
/// A source of which nothing was read for this long gives its place to another.
const QUIET: Duration = Duration::from_secs(3);

/// A source that tries.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    from: SocketAddr,
    kind: Nearness,
    datagrams: u32,
    read: Instant,
}

/// Who tries.
#[derive(Debug)]
pub(super) struct Admission {
    advertised: SocketAddr,
    signalling: Option<IpAddr>,
    attempts: Vec<Attempt>,
}

/// What is done with a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) is_read: bool,
    /// Whose attempt is over, because another has its place.
    pub(super) outdone: Option<SocketAddr>,
}

impl Admitted {
    const NO: Self = Self { is_read: false, outdone: None };
    const YES: Self = Self { is_read: true, outdone: None };
}

impl Admission {
    pub(super) fn new(advertised: SocketAddr, signalling: Option<IpAddr>) -> Self {
        Self { advertised, signalling, attempts: Vec::new() }
    }

    /// The address that the SDP names.
    pub(super) fn advertised(&self) -> SocketAddr {
        self.advertised
    }

    /// Is the peer still said to be there?
    pub(super) fn is_for(&self, advertised: SocketAddr, signalling: Option<IpAddr>) -> bool {
        (self.advertised, self.signalling) == (advertised, signalling)
    }

    /// A datagram came from there. `may_open`: it is one that begins an attempt.
    pub(super) fn admit(&mut self, from: SocketAddr, may_open: bool, now: Instant) -> Admitted {
        let kind = self.kind(from);
        if let Some(known) = self.attempts.iter_mut().find(|attempt| attempt.from == from) {
            let is_spent = kind != Nearness::Advertised && known.datagrams >= DATAGRAMS;
            if is_spent && may_open && now.saturating_duration_since(known.read) >= QUIET {
                known.datagrams = 0;
            } else if is_spent {
                return Admitted::NO;
            }
            known.datagrams += 1;
            known.read = now;
            return Admitted::YES;
        }
        if !may_open {
            return Admitted::NO;
        }
        let fresh = Attempt { from, kind, datagrams: 1, read: now };
        let among: Vec<usize> = (0..self.attempts.len()).filter(|&at| self.attempts[at].kind == kind).collect();
        if kind == Nearness::Advertised || among.len() < PLACES {
            self.attempts.push(fresh);
            return Admitted::YES;
        }
        let quietest = among.into_iter().min_by_key(|&at| self.attempts[at].read);
        match quietest.map(|at| &mut self.attempts[at]) {
            Some(place) if now.saturating_duration_since(place.read) >= QUIET => {
                let outdone = Some(place.from);
                *place = fresh;
                Admitted { is_read: true, outdone }
            }
            _ => Admitted::NO,
        }
    }

    /// All that try.
    pub(super) fn remotes(&self) -> Vec<SocketAddr> {
        self.attempts.iter().map(|attempt| attempt.from).collect()
    }

    /// The attempt of this one is over. Unless it is the SDP's, it has spent what it had, until it has been quiet for a while:
    /// who fails again and again costs no more than who stays.
    pub(super) fn dismiss(&mut self, from: SocketAddr) {
        self.attempts.retain(|attempt| attempt.from != from || attempt.kind != Nearness::Advertised);
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.from == from) {
            attempt.datagrams = DATAGRAMS;
        }
    }

    /// All attempts are over; returns whose there were.
    pub(super) fn close(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.attempts).into_iter().map(|attempt| attempt.from).collect()
    }

    fn kind(&self, from: SocketAddr) -> Nearness {
        Nearness::of(from, self.advertised, self.signalling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::now;

    const SDP: ([u8; 4], u16) = ([192, 168, 1, 7], 4000);
    const PUBLIC: [u8; 4] = [203, 0, 113, 9];

    fn stranger(n: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, n], 7000))
    }

    fn admission() -> Admission {
        Admission::new(SDP.into(), Some(PUBLIC.into()))
    }

    #[test]
    fn each_kind_has_places_of_its_own_and_a_hello_takes_one() {
        let (mut admission, start) = (admission(), now());
        assert_eq!(admission.admit(stranger(1), false, start), Admitted::NO, "no hello");
        for n in 0..100 {
            assert_eq!(admission.admit(stranger(n), true, start).is_read, n < 4, "{n}");
        }
        for port in 0..100 {
            let kin = SocketAddr::from((PUBLIC, 50_000 + port));
            assert_eq!(admission.admit(kin, true, start).is_read, port < 4, "{port}");
        }
        assert_eq!(admission.admit(SDP.into(), true, start), Admitted::YES);
        assert_eq!(admission.remotes().len(), 9);
    }

    #[test]
    fn each_source_is_counted_for_itself_and_the_sdps_is_not() {
        let (mut admission, start) = (admission(), now());
        for n in 0..1_000 {
            assert_eq!(admission.admit(stranger(1), true, start).is_read, n < DATAGRAMS, "{n}");
            assert!(admission.admit(SDP.into(), true, start).is_read);
        }
        assert_eq!(admission.admit(SocketAddr::from((PUBLIC, 61_000)), true, start), Admitted::YES);
    }

    #[test]
    fn who_has_failed_waits_before_it_tries_again() {
        let (mut admission, start) = (admission(), now());
        assert_eq!(admission.admit(stranger(1), true, start), Admitted::YES);
        assert_eq!(admission.admit(SDP.into(), true, start), Admitted::YES);
        admission.dismiss(stranger(1));
        admission.dismiss(SDP.into());
        assert_eq!(admission.admit(SDP.into(), true, start), Admitted::YES);
        assert_eq!(admission.admit(stranger(1), true, start + QUIET / 2), Admitted::NO);
        assert_eq!(admission.admit(stranger(1), false, start + QUIET), Admitted::NO, "no hello");
        assert_eq!(admission.admit(stranger(1), true, start + QUIET), Admitted::YES);
        assert_eq!(admission.admit(stranger(1), false, start + QUIET), Admitted::YES);
    }

    #[test]
    fn a_quiet_source_gives_its_place_to_another_and_a_busy_one_does_not() {
        let (mut admission, start) = (admission(), now());
        for n in 0..4 {
            admission.admit(stranger(n), true, start);
        }
        let later = start + QUIET;
        for n in 1..4 {
            admission.admit(stranger(n), false, later);
        }
        let outdone = Some(stranger(0));
        assert_eq!(admission.admit(stranger(9), true, later), Admitted { is_read: true, outdone });
        assert_eq!(admission.admit(stranger(8), true, later), Admitted::NO);
    }
}
