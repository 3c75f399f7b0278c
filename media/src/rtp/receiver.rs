//! Which packets are the stream's, and what they are: whatever comes, in whatever order. [`Playout`] plays them.

use std::time::Instant;

use crate::{LegStats, PayloadTypes, Session, codec::Codec};

use super::{
    Packet,
    digits::{Digits, Keys},
    jitter_buffer::Kind,
    passage::Ordinal,
    playout::{PassedOver, Playout, Pulled},
    sequence::{Place, Sequence},
};

/// Comfort noise (RFC 3389), static payload type: the sender is silent on purpose.
const COMFORT_NOISE: u8 = 13;
/// Longest audio packet in milliseconds: what fits an Ethernet frame at 64 kbit/s, which some programs fill.
const LONGEST_MS: usize = 180;

/// What the receiver has counted; the names are those of [`crate::LegStats`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) concealed: u64,
    pub(crate) recovered: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
    pub(crate) ignored: u64,
}

/// A packet that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) kind: Kind,
    /// Which one it is; `None` when it came before, and when it may be the first of another stream, which the next one in
    /// order has to confirm.
    pub(crate) ordinal: Option<Ordinal>,
    /// The key presses of which it is the first packet.
    pub(crate) keys: Keys,
}

/// One direction of RTP that we hear.
#[derive(Debug)]
pub(crate) struct Receiver {
    codec: &'static Codec,
    /// What the peer should send, and what we do.
    incoming: PayloadTypes,
    outgoing: PayloadTypes,
    ceiling_ms: u32,
    sequence: Option<Sequence>,
    /// Counts the streams there have been.
    stream: u32,
    /// A packet that may be the first of another stream; the next one in order confirms it (RFC 3550 A.1).
    candidate: Option<(u32, u16)>,
    digits: Digits,
    event_clock: u32,
    playout: Playout,
    /// The newest packet was comfort noise.
    rests: bool,
    received: u64,
    duplicate: u64,
    ignored: u64,
}

impl Receiver {
    /// For what was agreed; late packets make the jitter buffer hold `ceiling_ms` at most.
    pub(crate) fn new(session: &Session, ceiling_ms: u32) -> Self {
        Self {
            codec: session.codec,
            incoming: session.incoming.unwrap_or(session.outgoing()),
            outgoing: session.outgoing(),
            ceiling_ms,
            sequence: None,
            stream: 0,
            candidate: None,
            digits: Digits::new(session.telephone_event_clock),
            event_clock: session.telephone_event_clock,
            playout: Playout::new(session.codec, ceiling_ms),
            rests: false,
            received: 0,
            duplicate: 0,
            ignored: 0,
        }
    }

    /// A new agreement. A stream of the same codec goes on without a gap.
    pub(crate) fn change(&mut self, session: &Session) {
        let before = self.incoming.audio;
        self.outgoing = session.outgoing();
        self.incoming = session.incoming.unwrap_or(self.outgoing);
        if session.codec != self.codec || self.incoming.audio != before {
            let before = self.counts();
            *self = Self { stream: self.stream, ..Self::new(session, self.ceiling_ms) };
            (self.received, self.duplicate, self.ignored) = (before.received, before.duplicate, before.ignored);
            self.playout.counts = before;
        }
        if session.telephone_event_clock != self.event_clock {
            self.event_clock = session.telephone_event_clock;
            self.digits = Digits::new(self.event_clock);
        }
    }

    /// What was counted since the beginning.
    fn counts(&self) -> Counts {
        Counts { received: self.received, duplicate: self.duplicate, ignored: self.ignored, ..self.playout.counts }
    }

    /// Adds what was counted, and how packets come and wait.
    pub(crate) fn tell(&self, stats: &mut LegStats) {
        let counts = self.counts();
        stats.received = counts.received;
        stats.lost = counts.lost;
        stats.concealed = counts.concealed;
        stats.recovered = counts.recovered;
        stats.late = counts.late;
        stats.duplicate = counts.duplicate;
        stats.ignored += counts.ignored;
        stats.jitter_ms = self.playout.delay().jitter_ms().round() as u64;
        stats.target_ms = u64::from(self.playout.delay().target_ms());
    }

    /// Rate of what [`Self::pull`] gives, in Hz.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.codec.sample_rate
    }

    /// Pulls come at a better time from now on: delay that came of the worse one should go soon.
    pub(crate) fn pulled_better(&mut self) {
        self.playout.pulled_otherwise();
    }

    /// 20 ms have passed of which nobody wants to hear anything: what waits is over, and what is missing in it is lost.
    pub(crate) fn pass_over(&mut self) -> PassedOver {
        self.playout.pass_over()
    }

    /// The peer does not send any more, by agreement: its next packet begins a new stream.
    pub(crate) fn forget_stream(&mut self) {
        self.sequence = None;
        self.candidate = None;
        self.playout.stop();
    }

    /// Has any packet been taken?
    pub(crate) fn has_heard(&self) -> bool {
        self.received > 0
    }

    /// Is the peer silent, and said so with comfort noise?
    pub(crate) fn rests(&self) -> bool {
        self.rests
    }

    /// The packet that a datagram is, and whether it is audio; `None` when it is nothing that was agreed on.
    pub(crate) fn packet<'a>(&self, datagram: &'a [u8]) -> Option<(Packet<'a>, bool)> {
        self.read(datagram).map(|(packet, kind, _)| (packet, kind == Kind::Audio))
    }

    /// Takes a datagram that came in at `now`; `None` for what is no RTP, or RTP that nobody negotiated.
    pub(crate) fn accept(&mut self, datagram: &[u8], now: Instant) -> Option<Taken> {
        let Some((packet, kind, samples)) = self.read(datagram) else {
            self.ignored += 1;
            return None;
        };
        let number = match self.sequence.as_mut().map(|sequence| sequence.place(packet.ssrc, packet.sequence)) {
            Some(Place::New(number)) => number,
            Some(Place::Duplicate) => {
                self.duplicate += 1;
                return Some(Taken { kind, ordinal: None, keys: Keys::default() });
            }
            Some(Place::Elsewhere) if self.candidate != Some((packet.ssrc, packet.sequence)) => {
                self.candidate = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
                // The press of a key is heard at once, even when it is all that another SSRC sends.
                self.received += 1;
                return Some(Taken { kind, ordinal: None, keys: self.digits(&packet, kind, now) });
            }
            None | Some(Place::Elsewhere) => {
                let sequence = Sequence::starting(packet.ssrc, packet.sequence);
                let number = sequence.newest();
                self.sequence = Some(sequence);
                self.stream = self.stream.wrapping_add(1);
                self.playout.restart(number, packet.timestamp);
                number
            }
        };
        self.candidate = None;
        self.received += 1;
        if self.sequence.as_ref().is_some_and(|sequence| sequence.newest() == number) {
            self.rests = kind == Kind::Noise;
        }
        self.playout.put(number, kind, packet.timestamp, packet.payload, samples, now);
        let ordinal = Some(Ordinal { stream: self.stream, number });
        Some(Taken { kind, ordinal, keys: self.digits(&packet, kind, now) })
    }

    /// What a datagram is, and how many samples it holds; `None` when it is nothing that was agreed on, or malformed.
    fn read<'a>(&self, datagram: &'a [u8]) -> Option<(Packet<'a>, Kind, usize)> {
        let packet = Packet::parse(datagram).filter(|packet| !packet.payload.is_empty())?;
        let kind = self.kind(packet.payload_type)?;
        if kind != Kind::Audio {
            return Some((packet, kind, 0));
        }
        let longest = LONGEST_MS * self.codec.sample_rate as usize / 1000;
        let samples = self.playout.samples(packet.payload).filter(|samples| (1..=longest).contains(samples))?;
        Some((packet, kind, samples))
    }

    /// What a payload type stands for in what the peer sends. Some send their own number for what we gave another one: where
    /// ours means nothing else, that is understood.
    fn kind(&self, payload_type: u8) -> Option<Kind> {
        [self.incoming, self.outgoing].iter().find_map(|numbers| {
            if payload_type == numbers.audio {
                Some(Kind::Audio)
            } else if Some(payload_type) == numbers.telephone_event {
                Some(Kind::Event)
            } else {
                let noise = payload_type == COMFORT_NOISE || Some(payload_type) == numbers.comfort_noise;
                noise.then_some(Kind::Noise)
            }
        })
    }

    fn digits(&mut self, packet: &Packet<'_>, kind: Kind, now: Instant) -> Keys {
        if kind == Kind::Event { self.digits.accept(packet.timestamp, packet.payload, now) } else { Keys::default() }
    }

    /// Appends the next 20 ms at the codec's rate; they are played from `now` on.
    pub(crate) fn pull(&mut self, now: Instant, out: &mut Vec<i16>) -> Pulled {
        self.playout.pull(now, out)
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
