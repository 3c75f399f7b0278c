//! What stands between a leg and the wire: nothing on a plain line, SRTP on a secured one.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{
    Security,
    context::{Protect, Unprotect},
    dtls::{Handshake, Progress},
};

/// Why a datagram is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is neither RTP nor RTCP.
    NoMedia,
    /// Its tag is wrong: another key, or bits that changed on the way.
    Unauthentic,
    /// It came before, or is so old that nobody knows.
    Replayed,
    /// There are no keys yet.
    TooEarly,
}

/// What a datagram of a handshake has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshaken {
    /// Nothing yet.
    NotYet,
    /// The keys: the peer is there.
    With(SocketAddr),
    /// It is somebody else's, and was not looked at, or ended an attempt that was not the peer's.
    Stranger,
}

/// A line's security.
#[derive(Debug)]
pub(crate) struct Shield {
    state: State,
    /// The packet that is being sent.
    sealed: Vec<u8>,
    /// Why there will be no keys.
    failed: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Plain RTP.
    Open,
    Sdes(Box<Contexts>),
    Dtls(Box<Handshake>, Option<Box<Contexts>>),
}

#[derive(Debug)]
struct Contexts {
    protect: Protect,
    unprotect: Unprotect,
}

impl Shield {
    /// A shield for this agreement with the peer at this address, whose signalling comes from that host.
    pub(crate) fn new(security: &Security, advertised: SocketAddr, signalling: Option<IpAddr>) -> Self {
        let mut shield = Self { state: State::Open, sealed: Vec::new(), failed: None };
        shield.change(security, advertised, signalling);
        shield
    }

    /// Takes over a new agreement. Keys that stay go on counting, so that no packet is encrypted or heard twice.
    pub(crate) fn change(&mut self, security: &Security, advertised: SocketAddr, signalling: Option<IpAddr>) {
        match (security, &mut self.state) {
            (Security::None, state) => *state = State::Open,
            (Security::Sdes { ours, theirs }, State::Sdes(contexts)) => {
                if !contexts.protect.is_for(ours) {
                    contexts.protect = Protect::new(ours);
                }
                if !contexts.unprotect.is_for(theirs) {
                    contexts.unprotect = Unprotect::new(theirs, Some(&contexts.unprotect));
                }
            }
            (Security::Sdes { ours, theirs }, state) => {
                let (protect, unprotect) = (Protect::new(ours), Unprotect::new(theirs, None));
                *state = State::Sdes(Box::new(Contexts { protect, unprotect }));
            }
            (Security::Dtls { identity, fingerprints, .. }, State::Dtls(handshake, _))
                if handshake.is_for(identity, fingerprints) =>
            {
                handshake.advertise(advertised, signalling);
            }
            (Security::Dtls { identity, role, fingerprints }, state) => {
                let handshake = Handshake::new(identity, *role, fingerprints, advertised, signalling);
                *state = State::Dtls(Box::new(handshake), None);
            }
        }
    }

    /// Does the shield tell the peer's packets from others?
    pub(crate) fn is_secure(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// May media be sent?
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(self.state, State::Dtls(_, None))
    }

    /// Whether this datagram is DTLS by its first byte (RFC 7983 section 7) and this line has use for it.
    pub(crate) fn is_handshake(&self, datagram: &[u8]) -> bool {
        matches!(self.state, State::Dtls(..)) && matches!(datagram.first(), Some(20..=63))
    }

    /// Takes a DTLS datagram. The peer's proved address, once the keys are there.
    pub(crate) fn handshake(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) -> Handshaken {
        let State::Dtls(handshake, contexts) = &mut self.state else { return Handshaken::NotYet };
        match handshake.receive(datagram, from, now) {
            Progress::Keys { ours, theirs, at } => {
                let (protect, unprotect) = (Protect::new(&ours), Unprotect::new(&theirs, None));
                *contexts = Some(Box::new(Contexts { protect, unprotect }));
                return Handshaken::With(at);
            }
            Progress::Stranger => return Handshaken::Stranger,
            Progress::Failed(why) => self.failed = Some(why),
            Progress::Underway => {}
        }
        Handshaken::NotYet
    }

    /// 20 ms have passed. The sentence, when there will be no keys.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), String> {
        if let Some(why) = self.failed.take() {
            return Err(why);
        }
        match &mut self.state {
            State::Dtls(handshake, _) => match handshake.tick(now) {
                Progress::Failed(why) => Err(why),
                _ => Ok(()),
            },
            State::Open | State::Sdes(_) => Ok(()),
        }
    }

    /// The handshake's datagrams that are due.
    pub(crate) fn outgoing(&mut self, send: impl FnMut(&[u8], SocketAddr)) {
        if let State::Dtls(handshake, _) = &mut self.state {
            handshake.outgoing(send);
        }
    }

    /// The plain packet of a datagram, RTP or RTCP.
    pub(crate) fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Result<&'a [u8], Refused> {
        let Some(contexts) = self.contexts()? else { return Ok(datagram) };
        let length =
            if is_rtcp(datagram) { contexts.unprotect.rtcp(datagram)? } else { contexts.unprotect.rtp(datagram)? };
        Ok(&datagram[..length])
    }

    /// The datagram of a plain packet, RTP or RTCP; `None` when it must not be sent.
    pub(crate) fn seal<'a>(&'a mut self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let Self { state, sealed, .. } = self;
        let contexts = match state {
            State::Open => return Some(packet),
            State::Sdes(contexts) | State::Dtls(_, Some(contexts)) => contexts,
            State::Dtls(_, None) => return None,
        };
        sealed.clear();
        sealed.extend_from_slice(packet);
        let may = if is_rtcp(packet) { contexts.protect.rtcp(sealed) } else { contexts.protect.rtp(sealed) };
        may.then_some(&*sealed)
    }

    fn contexts(&mut self) -> Result<Option<&mut Contexts>, Refused> {
        match &mut self.state {
            State::Open => Ok(None),
            State::Sdes(contexts) | State::Dtls(_, Some(contexts)) => Ok(Some(contexts)),
            State::Dtls(_, None) => Err(Refused::TooEarly),
        }
    }
}

/// RFC 5761 section 4: the packet types of RTCP are no payload types of RTP.
fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| (192..=223).contains(second))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        leg::now,
        srtp::{Identity, MasterKey, Role, Suite},
    };

    const PACKET: &[u8] = &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0x55, 0x55, 0x55];
    const REPORT: &[u8] = &[0x80, 201, 0, 1, 0, 0, 0, 7];

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn numbered(sequence: u8) -> Vec<u8> {
        let mut packet = PACKET.to_vec();
        packet[3] = sequence;
        packet
    }

    #[test]
    fn a_plain_line_changes_nothing() {
        let mut shield = Shield::new(&Security::None, at(1), None);
        assert_eq!(shield.seal(PACKET), Some(PACKET));
        assert_eq!(shield.open(&mut PACKET.to_vec()), Ok(PACKET));
        assert!(!shield.is_handshake(&[22; 40]) && shield.is_ready() && !shield.is_secure());
    }

    #[test]
    fn a_rekeyed_line_reads_the_new_key_only_and_one_that_stays_goes_on() {
        let [ours, theirs, newer] = [(); 3].map(|()| MasterKey::random(Suite::AesCm128HmacSha1_80));
        let sdes = |ours: &MasterKey, theirs: &MasterKey| Security::Sdes { ours: ours.clone(), theirs: theirs.clone() };
        let mut here = Shield::new(&sdes(&ours, &theirs), at(1), None);
        let mut there = Shield::new(&sdes(&theirs, &ours), at(1), None);
        for packet in [PACKET, REPORT] {
            let mut sent = there.seal(packet).unwrap().to_vec();
            assert_eq!(here.open(&mut sent.clone()), Ok(packet));
            here.change(&sdes(&ours, &theirs), at(2), None);
            assert_eq!(here.open(&mut sent), Err(Refused::Replayed), "a hold does not forget what was heard");
        }
        assert_eq!(here.seal(PACKET).map(<[u8]>::len), Some(PACKET.len() + 10));
        here.change(&sdes(&ours, &newer), at(1), None);
        assert_eq!(here.seal(PACKET), None, "our key stays, and so does what was sent with it");
        assert_eq!(here.open(&mut there.seal(&numbered(2)).unwrap().to_vec()), Err(Refused::Unauthentic));
        there.change(&sdes(&newer, &ours), at(1), None);
        assert_eq!(here.open(&mut there.seal(&numbered(3)).unwrap().to_vec()), Ok(&numbered(3)[..]));
    }

    #[test]
    #[ignore = "it measures: cargo test --release -p milo-media -- --ignored --nocapture srtp_costs"]
    fn srtp_costs_so_much_a_packet() {
        const PACKETS: u32 = 60_000;
        for suite in Suite::ALL {
            let [ours, theirs] = [(); 2].map(|()| MasterKey::random(suite));
            let here = Security::Sdes { ours: ours.clone(), theirs: theirs.clone() };
            let mut here = Shield::new(&here, at(1), None);
            let mut there = Shield::new(&Security::Sdes { ours: theirs, theirs: ours.clone() }, at(1), None);
            let mut packet = PACKET.to_vec();
            packet.resize(172, 0x55);
            let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
            for sequence in 0..PACKETS {
                packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
                let begun = now();
                let sealed = here.seal(&packet);
                sealing += begun.elapsed();
                let mut datagram = sealed.expect("sealed").to_vec();
                let begun = now();
                there.open(&mut datagram).expect("opened");
                opening += begun.elapsed();
            }
            let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(PACKETS);
            let (out, back) = (micros(sealing), micros(opening));
            let share = (out + back) * 50.0 * 100.0 / 1e4;
            println!("{}: {out:.2} µs out, {back:.2} µs in; {share:.2} % of a core a 100 calls", suite.name());
        }
    }

    #[test]
    fn nothing_is_heard_or_sent_before_the_handshake() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let dtls = |ours: &std::sync::Arc<Identity>, theirs: &Identity, role| Security::Dtls {
            identity: ours.clone(),
            role,
            fingerprints: vec![theirs.fingerprint().clone()],
        };
        let mut here = Shield::new(&dtls(&one, &other, Role::Passive), at(2), None);
        let mut there = Shield::new(&dtls(&other, &one, Role::Active), at(1), None);
        assert!(!here.is_ready());
        assert_eq!(here.open(&mut PACKET.to_vec()), Err(Refused::TooEarly));
        assert_eq!(here.seal(PACKET), None);
        let start = now();
        for tick in 0..5 {
            let now = start + tick * Duration::from_millis(20);
            for (sender, receiver, from) in [(1, 0, 2), (0, 1, 1), (1, 0, 2), (0, 1, 1)] {
                let shields = [&mut here, &mut there];
                shields[sender].tick(now).unwrap();
                let mut datagrams = Vec::new();
                shields[sender].outgoing(|bytes, _| datagrams.push(bytes.to_vec()));
                for datagram in datagrams {
                    assert!(shields[receiver].is_handshake(&datagram));
                    shields[receiver].handshake(&datagram, at(from), now);
                }
            }
        }
        assert!(here.is_ready() && there.is_ready());
        let sent = here.seal(PACKET).unwrap().to_vec();
        assert_eq!(there.open(&mut sent.clone()), Ok(PACKET));
        assert!(here.open(&mut sent.clone()).is_err(), "our own packet, sent back");
        // A re-INVITE with the same fingerprint keeps the association, whatever role it names.
        there.change(&dtls(&other, &one, Role::Passive), at(1), None);
        assert_eq!(there.open(&mut sent.clone()), Err(Refused::Replayed));
        there.change(&dtls(&other, &other, Role::Passive), at(1), None);
        assert!(!there.is_ready());
    }
}
