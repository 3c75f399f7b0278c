//! Whose packets are heard, and where ours go: symmetric RTP (RFC 4961), learned strictly.
//!
//! The SDP names an address, and telephones behind a NAT send from another. Whoever sends to an open port could be the
//! caller, so a source is judged by where it is and by what it does:
//!
//! | kind | where | is heard |
//! |---|---|---|
//! | `Advertised` | the very address of the SDP | from its first packet on |
//! | `Kin` | another port of that host, or the host that the signalling came from | after 5 packets in a row at their own pace, 60 ms at least |
//! | `Elsewhere` | anywhere else | never; under [`LearnFrom::Anywhere`] after 15 in a row, half a second at least, when no kin is on its way |
//!
//! An SDP with a private address, or one of a carrier's own NAT (RFC 6598), thus means the host of the signalling; one with
//! the address of a media gateway means the gateway. Whoever waits at an open port before the caller has spoken is neither.
//!
//! "At their own pace" means that the timestamps do not run ahead of the clock: 500 packets a second of 20 ms each are no
//! telephone. Once a source is learned, packets from everywhere else are neither heard nor answered, with two ways out.
//! A source of a better kind may take its place by the same rules (the advertised address then needs 5 in a row, too). And
//! once the learned source has been silent for a second, whoever goes on with its SSRC and its sequence numbers has them
//! from the caller: a NAT has given it another port. A new address in the SDP begins anew.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::Packet;

/// A learned source that was silent this long may have moved.
const SILENT: Duration = Duration::from_secs(1);
/// Sources that are watched at a time.
const CANDIDATES: usize = 8;
/// A candidate that has not sent for this long gives its place to another.
const STALE: Duration = Duration::from_millis(150);
/// Packets that may be lost between two that still count as a row.
const SKIPPED: u16 = 2;
/// Packets in a row that make a source of a kind, and the least time that they take.
const KIN: (u32, Duration) = (5, Duration::from_millis(60));
const ELSEWHERE: (u32, Duration) = (15, Duration::from_millis(500));
/// A source that has moved shows so many packets of its row.
const MOVED: u32 = 2;
/// The shortest packet that a silence is counted in, when a row goes on from elsewhere.
const SHORTEST: Duration = Duration::from_millis(10);

/// From where a peer may be learned that sends from elsewhere than its SDP says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LearnFrom {
    /// From the host that the SDP names and the one that the signalling comes from.
    #[default]
    Host,
    /// From anywhere. Whoever sends to an open port before the caller does is taken for the caller.
    Anywhere,
}

/// How likely a source is the peer, the likelier the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    Elsewhere,
    /// Another port of the host of the SDP, or the host of the signalling.
    Kin,
    /// The address of the SDP.
    Advertised,
}

impl Nearness {
    pub(crate) fn of(from: SocketAddr, advertised: SocketAddr, signalling: Option<IpAddr>) -> Self {
        if from == advertised {
            Self::Advertised
        } else if from.ip() == advertised.ip() || Some(from.ip()) == signalling {
            Self::Kin
        } else {
            Self::Elsewhere
        }
    }
}

/// The source that is heard.
#[derive(Clone, Copy, Debug)]
struct Learned {
    from: SocketAddr,
    kind: Nearness,
    heard: Instant,
    ssrc: u32,
    sequence: u16,
}

/// A source that may become it.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    kind: Nearness,
    ssrc: u32,
    sequence: u16,
    /// Packets in a row, and with which moment and timestamp the row began.
    row: u32,
    began: Instant,
    timestamp: u32,
    heard: Instant,
}

/// The other end of a leg's RTP.
#[derive(Debug)]
pub(crate) struct Peer {
    advertised: SocketAddr,
    /// The host that the peer's signalling comes from.
    signalling: Option<IpAddr>,
    clock_rate: u32,
    learn_from: LearnFrom,
    learned: Option<Learned>,
    candidates: Vec<Candidate>,
}

impl Peer {
    /// A peer as its SDP and the source of its signalling describe it. `clock_rate` is that of the timestamps.
    pub(crate) fn new(
        advertised: SocketAddr,
        signalling: Option<IpAddr>,
        clock_rate: u32,
        learn_from: LearnFrom,
    ) -> Self {
        Self { advertised, signalling, clock_rate, learn_from, learned: None, candidates: Vec::new() }
    }

    /// What the newest SDP says. Another address than before forgets the learned one: the peer has moved.
    pub(crate) fn advertise(&mut self, advertised: SocketAddr, signalling: Option<IpAddr>, clock_rate: u32) {
        if advertised != self.advertised {
            *self = Self::new(advertised, signalling, clock_rate, self.learn_from);
        }
        (self.signalling, self.clock_rate) = (signalling, clock_rate);
    }

    /// Is this the source that is heard? The question for each datagram, before it is looked at.
    pub(crate) fn is_learned(&self, from: SocketAddr) -> bool {
        self.learned.is_some_and(|learned| learned.from == from)
    }

    /// Has any source been learned?
    pub(crate) fn has_learned(&self) -> bool {
        self.learned.is_some()
    }

    /// A valid packet of the learned source.
    pub(crate) fn heard(&mut self, ssrc: u32, sequence: u16, now: Instant) {
        if let Some(learned) = &mut self.learned {
            (learned.heard, learned.ssrc, learned.sequence) = (now, ssrc, sequence);
        }
    }

    /// This address has shown that it has the peer's key: it is the learned one, whatever came before.
    pub(crate) fn prove(&mut self, from: SocketAddr, now: Instant) {
        self.learned = Some(Learned { from, kind: Nearness::Advertised, heard: now, ssrc: 0, sequence: 0 });
        self.candidates = Vec::new();
    }

    /// A valid packet of another source. Says whether it is heard, because its source is the learned one from now on.
    pub(crate) fn judge(&mut self, from: SocketAddr, packet: &Packet<'_>, now: Instant) -> bool {
        let kind = self.kind(from);
        if self.learned.is_none() && kind == Nearness::Advertised {
            return self.learn(from, packet, now);
        }
        let has_moved = self.continues(packet, now);
        let better = self.learned.is_none_or(|learned| kind > learned.kind);
        let may_replace = self.may_replace(from, now);
        let may_come = kind != Nearness::Elsewhere || self.learn_from == LearnFrom::Anywhere;
        if !(better && may_come || has_moved || may_replace) {
            return false;
        }
        let Some(candidate) = self.watch(from, kind, packet, now) else { return false };
        let passed = now.saturating_duration_since(candidate.began);
        let (row, least) = if kind == Nearness::Elsewhere { ELSEWHERE } else { KIN };
        let sound = u64::from(packet.timestamp.wrapping_sub(candidate.timestamp)) * 1000 / u64::from(self.clock_rate);
        // A quarter ahead of the clock is the jitter of a good line.
        let is_paced = passed >= least && sound <= 4_000_000 && passed >= Duration::from_millis(sound) * 3 / 4;
        let is_row = candidate.row >= row && is_paced;
        let outdone =
            kind == Nearness::Elsewhere && self.candidates.iter().any(|other| other.kind > kind && other.row > 1);
        if has_moved && candidate.row >= MOVED || is_row && !outdone {
            return self.learn(from, packet, now);
        }
        false
    }

    /// Where to send; `None` for the unspecified address and port 0, with which an SDP says "not yet" (RFC 3264 8.4).
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        let destination = self.learned.map_or(self.advertised, |learned| learned.from);
        (!destination.ip().is_unspecified() && destination.port() != 0).then_some(destination)
    }

    fn learn(&mut self, from: SocketAddr, packet: &Packet<'_>, now: Instant) -> bool {
        let (kind, ssrc, sequence) = (self.kind(from), packet.ssrc, packet.sequence);
        self.learned = Some(Learned { from, kind, heard: now, ssrc, sequence });
        self.candidates = Vec::new();
        true
    }

    fn kind(&self, from: SocketAddr) -> Nearness {
        Nearness::of(from, self.advertised, self.signalling)
    }

    /// Has the learned source been silent, and does this packet go on where it stopped? No further ahead than the silence
    /// was long.
    fn continues(&self, packet: &Packet<'_>, now: Instant) -> bool {
        self.learned.is_some_and(|learned| {
            let silent = now.saturating_duration_since(learned.heard);
            let most = 100 + (silent.as_millis() / SHORTEST.as_millis()).min(30_000);
            let ahead = u128::from(packet.sequence.wrapping_sub(learned.sequence));
            silent >= SILENT && packet.ssrc == learned.ssrc && (1..=most).contains(&ahead)
        })
    }

    /// A source that fell silent may go on from another port of its host, as a new stream.
    fn may_replace(&self, from: SocketAddr, now: Instant) -> bool {
        self.learned.is_some_and(|learned| {
            learned.from.ip() == from.ip() && now.saturating_duration_since(learned.heard) >= SILENT
        })
    }

    /// Enters the packet into its source's row. `None` when there is no place to watch this source.
    fn watch(&mut self, from: SocketAddr, kind: Nearness, packet: &Packet<'_>, now: Instant) -> Option<Candidate> {
        let Packet { ssrc, sequence, timestamp, .. } = *packet;
        let fresh = Candidate { from, kind, ssrc, sequence, row: 1, began: now, timestamp, heard: now };
        if let Some(known) = self.candidates.iter_mut().find(|candidate| candidate.from == from) {
            let ahead = sequence.wrapping_sub(known.sequence);
            let is_next = (1..=1 + SKIPPED).contains(&ahead) && ssrc == known.ssrc;
            *known = if is_next { Candidate { sequence, heard: now, row: known.row + 1, ..*known } } else { fresh };
            return Some(*known);
        }
        if self.candidates.len() < CANDIDATES {
            self.candidates.push(fresh);
            return Some(fresh);
        }
        // A place is for the better kind; among equals, for those that still send.
        let place = self.candidates.iter_mut().min_by_key(|candidate| (candidate.kind, candidate.heard))?;
        let is_stale = now.saturating_duration_since(place.heard) > STALE;
        if place.kind > kind || place.kind == kind && !is_stale {
            return None;
        }
        *place = fresh;
        Some(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::now;

    const PACKET: Duration = Duration::from_millis(20);

    fn at(ip: [u8; 4], port: u16) -> SocketAddr {
        SocketAddr::from((ip, port))
    }

    /// What the SDP says: an address behind a NAT; what the signalling and, for a good caller, the audio come from.
    const ADVERTISED: [u8; 4] = [192, 168, 1, 7];
    const PUBLIC: [u8; 4] = [203, 0, 113, 9];
    const STRANGER: [u8; 4] = [198, 51, 100, 66];

    struct Line {
        peer: Peer,
        now: Instant,
        heard: Vec<SocketAddr>,
    }

    /// A stream: from where, SSRC, how often, how much audio in each packet.
    #[derive(Clone, Copy)]
    struct Stream {
        from: SocketAddr,
        ssrc: u32,
        every: Duration,
        samples: u32,
        sent: u32,
    }

    impl Stream {
        fn telephone(from: SocketAddr, ssrc: u32) -> Self {
            Self { from, ssrc, every: PACKET, samples: 160, sent: 0 }
        }

        fn flood(from: SocketAddr, ssrc: u32) -> Self {
            Self { every: Duration::from_millis(2), ..Self::telephone(from, ssrc) }
        }
    }

    impl Line {
        fn new() -> Self {
            Self::learning(LearnFrom::Host)
        }

        fn learning(from: LearnFrom) -> Self {
            let peer = Peer::new(at(ADVERTISED, 4000), Some(IpAddr::from(PUBLIC)), 8000, from);
            Self { peer, now: now(), heard: Vec::new() }
        }

        fn packet(&mut self, stream: &mut Stream) -> bool {
            let packet = Packet {
                marker: false,
                payload_type: 0,
                sequence: stream.sent as u16,
                timestamp: stream.sent.wrapping_mul(stream.samples),
                ssrc: stream.ssrc,
                payload: b"audio",
            };
            stream.sent += 1;
            let heard = if self.peer.is_learned(stream.from) {
                self.peer.heard(packet.ssrc, packet.sequence, self.now);
                true
            } else {
                self.peer.judge(stream.from, &packet, self.now)
            };
            if heard {
                self.heard.push(stream.from);
            }
            heard
        }

        /// These streams send side by side for so long. Says how many packets of each were heard.
        fn run<const N: usize>(&mut self, long: Duration, streams: [&mut Stream; N]) -> [usize; N] {
            self.heard.clear();
            let start = self.now;
            let froms = streams.each_ref().map(|stream| stream.from);
            let mut next = [Duration::ZERO; N];
            let mut streams = streams;
            for milli in 0..long.as_millis() as u64 {
                self.now = start + Duration::from_millis(milli);
                for (stream, next) in streams.iter_mut().zip(&mut next) {
                    while *next <= Duration::from_millis(milli) {
                        *next += stream.every;
                        self.packet(stream);
                    }
                }
            }
            froms.map(|from| self.heard.iter().filter(|heard| **heard == from).count())
        }
    }

    #[test]
    fn the_advertised_address_is_heard_at_once() {
        let mut line = Line::new();
        assert_eq!(line.peer.destination(), Some(at(ADVERTISED, 4000)));
        assert!(line.packet(&mut Stream::telephone(at(ADVERTISED, 4000), 1)));
        assert_eq!(line.peer.destination(), Some(at(ADVERTISED, 4000)));
    }

    #[test]
    fn behind_a_nat_the_host_of_the_signalling_is_heard_within_a_tenth_of_a_second() {
        let mut line = Line::new();
        let mut caller = Stream::telephone(at(PUBLIC, 61_000), 1);
        let [heard] = line.run(Duration::from_secs(1), [&mut caller]);
        assert_eq!((heard, line.peer.destination()), (46, Some(at(PUBLIC, 61_000))));
    }

    #[test]
    fn audio_from_another_host_altogether_is_heard_after_a_while_where_that_is_wanted() {
        let mut line = Line::learning(LearnFrom::Anywhere);
        let mut gateway = Stream::telephone(at([203, 0, 113, 77], 20_000), 1);
        let [heard] = line.run(Duration::from_secs(1), [&mut gateway]);
        assert_eq!((heard, line.peer.destination()), (25, Some(at([203, 0, 113, 77], 20_000))));
    }

    #[test]
    fn a_stranger_that_sounds_like_a_telephone_before_the_caller_does_is_not_learned() {
        let mut line = Line::new();
        let mut stranger = Stream::telephone(at(STRANGER, 7000), 66);
        assert_eq!(line.run(Duration::from_secs(10), [&mut stranger]), [0]);
        assert_eq!(line.peer.destination(), Some(at(ADVERTISED, 4000)), "nor does it hear the greeting");
        let mut caller = Stream::telephone(at(PUBLIC, 61_000), 1);
        assert_eq!(line.run(Duration::from_secs(1), [&mut stranger, &mut caller]), [0, 46]);
        assert_eq!(line.peer.destination(), Some(at(PUBLIC, 61_000)));
    }

    #[test]
    fn a_gateway_that_the_sdp_names_is_the_peer_and_the_proxy_that_signals_is_not_heard_instead() {
        let (gateway, proxy) = ([203, 0, 113, 20], [203, 0, 113, 10]);
        let peer = Peer::new(at(gateway, 20_000), Some(IpAddr::from(proxy)), 8000, LearnFrom::Host);
        let mut line = Line { peer, ..Line::new() };
        let mut stranger = Stream::telephone(at(STRANGER, 7000), 66);
        let mut media = Stream::telephone(at(gateway, 20_044), 1);
        assert_eq!(line.run(Duration::from_secs(1), [&mut stranger, &mut media]), [0, 46]);
        assert_eq!(line.peer.destination(), Some(at(gateway, 20_044)));
    }

    #[test]
    fn a_flood_is_never_learned_whatever_it_looks_like() {
        let mut line = Line::learning(LearnFrom::Anywhere);
        // One perfect row at ten times its pace; random rows from one place; one packet each from many places.
        let mut row = Stream::flood(at(STRANGER, 7000), 66);
        assert_eq!(line.run(Duration::from_secs(10), [&mut row]), [0]);
        for ssrc in 0..5000u32 {
            line.now += Duration::from_millis(2);
            let mut random = Stream { sent: ssrc * 7, ..Stream::flood(at(STRANGER, 7001), ssrc / 3) };
            assert!(!line.packet(&mut random));
            let mut many = Stream { sent: ssrc, ..Stream::flood(at(STRANGER, 10_000 + ssrc as u16), 9) };
            assert!(!line.packet(&mut many));
        }
        assert_eq!(line.peer.destination(), Some(at(ADVERTISED, 4000)), "nothing of ours goes to it");
    }

    #[test]
    fn a_caller_behind_a_nat_is_learned_under_a_flood() {
        let mut line = Line::new();
        let mut caller = Stream::telephone(at(PUBLIC, 61_000), 1);
        let mut floods: Vec<_> = (0..40).map(|port| Stream::flood(at(STRANGER, 7000 + port), 66)).collect();
        for _ in 0..50 {
            for flood in &mut floods {
                line.now += Duration::from_micros(500);
                line.packet(flood);
            }
            line.packet(&mut caller);
        }
        assert_eq!(line.peer.destination(), Some(at(PUBLIC, 61_000)));
        assert!(line.heard.iter().all(|from| *from == at(PUBLIC, 61_000)));
        assert_eq!(line.heard.len(), 46);
    }

    #[test]
    fn once_learned_nobody_else_is_heard_or_answered() {
        let mut line = Line::new();
        let mut caller = Stream::telephone(at(ADVERTISED, 4000), 1);
        line.run(Duration::from_secs(1), [&mut caller]);
        // The same SSRC and the same numbers do not help while the caller speaks; nor does a telephone's pace.
        let mut copy = Stream { from: at(STRANGER, 7000), ..caller };
        let mut patient = Stream::telephone(at(PUBLIC, 5000), 5);
        let heard = line.run(Duration::from_secs(20), [&mut caller, &mut copy, &mut patient]);
        assert_eq!(heard, [1000, 0, 0]);
        assert_eq!(line.peer.destination(), Some(at(ADVERTISED, 4000)));
    }

    #[test]
    fn a_caller_that_falls_silent_is_not_replaced_by_a_stranger() {
        let mut line = Line::new();
        let mut caller = Stream::telephone(at(PUBLIC, 61_000), 0x1234_5678);
        line.run(Duration::from_secs(1), [&mut caller]);
        let mut stranger = Stream::telephone(at(STRANGER, 7000), 5);
        assert_eq!(line.run(Duration::from_secs(60), [&mut stranger]), [0]);
        let mut guess = Stream { sent: caller.sent, ..Stream::flood(at(STRANGER, 7001), 0x1234_5679) };
        assert_eq!(line.run(Duration::from_secs(5), [&mut guess]), [0]);
        assert_eq!(line.peer.destination(), Some(at(PUBLIC, 61_000)));
    }

    #[test]
    fn a_nat_that_gives_another_port_is_followed() {
        let mut line = Line::new();
        let mut caller = Stream::telephone(at(PUBLIC, 61_000), 7);
        line.run(Duration::from_secs(2), [&mut caller]);
        // Another port, even another address of a pool, and the very same row of packets.
        let mut moved = Stream { from: at([203, 0, 113, 200], 50_000), ..caller };
        let [heard] = line.run(Duration::from_secs(3), [&mut moved]);
        assert!((95..=101).contains(&heard), "{heard}");
        assert_eq!(line.peer.destination(), Some(moved.from));
        // Numbers that run ahead of the silence are not the caller's.
        let mut line = Line::new();
        line.run(Duration::from_secs(2), [&mut caller]);
        let mut ahead = Stream { from: at(STRANGER, 50_000), sent: caller.sent + 9_000, ..caller };
        assert_eq!(line.run(Duration::from_secs(3), [&mut ahead]), [0]);
    }

    #[test]
    fn a_better_kind_takes_over_and_a_worse_one_does_not() {
        let mut line = Line::learning(LearnFrom::Anywhere);
        let mut elsewhere = Stream::telephone(at(STRANGER, 7000), 66);
        assert!(line.run(Duration::from_secs(2), [&mut elsewhere])[0] > 0);
        let mut kin = Stream::telephone(at(PUBLIC, 61_000), 1);
        let heard = line.run(Duration::from_secs(2), [&mut elsewhere, &mut kin]);
        assert!(heard[0] < 6 && heard[1] > 90, "{heard:?}");
        let mut advertised = Stream::telephone(at(ADVERTISED, 4000), 2);
        let heard = line.run(Duration::from_secs(2), [&mut elsewhere, &mut kin, &mut advertised]);
        assert!(heard[0] == 0 && heard[1] < 6 && heard[2] > 90, "{heard:?}");
        assert_eq!(line.run(Duration::from_secs(2), [&mut elsewhere, &mut kin]), [0, 0]);
    }

    #[test]
    fn a_new_address_in_the_sdp_forgets_the_learned_one_and_the_same_does_not() {
        let mut line = Line::new();
        line.run(Duration::from_secs(1), [&mut Stream::telephone(at(PUBLIC, 61_000), 1)]);
        line.peer.advertise(at(ADVERTISED, 4000), Some(IpAddr::from(PUBLIC)), 8000);
        assert_eq!(line.peer.destination(), Some(at(PUBLIC, 61_000)));
        line.peer.advertise(at(ADVERTISED, 4002), Some(IpAddr::from(PUBLIC)), 8000);
        assert_eq!(line.peer.destination(), Some(at(ADVERTISED, 4002)));
    }

    #[test]
    fn lost_packets_do_not_keep_a_caller_from_being_learned() {
        let mut line = Line::new();
        let mut caller = Stream::telephone(at(PUBLIC, 61_000), 1);
        for index in 0..100 {
            line.now += PACKET;
            // A fifth is lost.
            if [1, 4].contains(&(index % 10)) {
                caller.sent += 1;
            } else {
                line.packet(&mut caller);
            }
        }
        assert_eq!(line.peer.destination(), Some(at(PUBLIC, 61_000)));
        assert!(line.heard.len() >= 70, "{}", line.heard.len());
    }

    #[test]
    fn nothing_goes_to_the_unspecified_address() {
        assert_eq!(Peer::new(SocketAddr::from(([0, 0, 0, 0], 9)), None, 8000, LearnFrom::Host).destination(), None);
    }
}
