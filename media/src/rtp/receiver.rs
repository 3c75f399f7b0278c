//! Which packets are the stream's, and what they are: whatever comes, in whatever order. [`Playout`] plays them.

use std::time::Instant;

use crate::{LegStats, Session, codec::Codec};

use super::{
    Packet,
    digits::{Digits, Keys},
    jitter_buffer::Kind,
    playout::{Playout, Pulled},
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

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// No RTP, or RTP that nobody negotiated.
    Ignored,
    /// Valid RTP.
    Packet,
    /// The first packet of these key presses.
    Digits(Keys),
}

/// One direction of RTP that we hear.
#[derive(Debug)]
pub(crate) struct Receiver {
    codec: &'static Codec,
    payload_type: u8,
    telephone_event: Option<u8>,
    comfort_noise: Option<u8>,
    ceiling_ms: u32,
    sequence: Option<Sequence>,
    /// A packet that may be the first of another stream; the next one in order confirms it (RFC 3550 A.1).
    candidate: Option<(u32, u16)>,
    digits: Digits,
    event_clock: u32,
    playout: Playout,
    received: u64,
    duplicate: u64,
    ignored: u64,
}

impl Receiver {
    /// For what was agreed; late packets make the jitter buffer hold `ceiling_ms` at most.
    pub(crate) fn new(session: &Session, ceiling_ms: u32) -> Self {
        Self {
            codec: session.codec,
            payload_type: session.payload_type,
            telephone_event: session.telephone_event,
            comfort_noise: session.comfort_noise,
            ceiling_ms,
            sequence: None,
            candidate: None,
            digits: Digits::new(session.telephone_event_clock),
            event_clock: session.telephone_event_clock,
            playout: Playout::new(session.codec, ceiling_ms),
            received: 0,
            duplicate: 0,
            ignored: 0,
        }
    }

    /// A new agreement. A stream of the same codec goes on without a gap.
    pub(crate) fn change(&mut self, session: &Session) {
        if session.codec != self.codec || session.payload_type != self.payload_type {
            let before = self.counts();
            *self = Self::new(session, self.ceiling_ms);
            (self.received, self.duplicate, self.ignored) = (before.received, before.duplicate, before.ignored);
            self.playout.counts = before;
        }
        if session.telephone_event_clock != self.event_clock {
            self.event_clock = session.telephone_event_clock;
            self.digits = Digits::new(self.event_clock);
        }
        self.telephone_event = session.telephone_event;
        self.comfort_noise = session.comfort_noise;
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
    pub(crate) fn pass_over(&mut self) {
        self.playout.pass_over();
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

    /// The packet that a datagram is, and whether it is audio; `None` when it is nothing that was agreed on.
    pub(crate) fn packet<'a>(&self, datagram: &'a [u8]) -> Option<(Packet<'a>, bool)> {
        self.read(datagram).map(|(packet, kind, _)| (packet, kind == Kind::Audio))
    }

    /// Takes a datagram that came in at `now`.
    pub(crate) fn accept(&mut self, datagram: &[u8], now: Instant) -> Accepted {
        let Some((packet, kind, samples)) = self.read(datagram) else {
            self.ignored += 1;
            return Accepted::Ignored;
        };
        let number = match self.sequence.as_mut().map(|sequence| sequence.place(packet.ssrc, packet.sequence)) {
            Some(Place::New(number)) => number,
            Some(Place::Duplicate) => {
                self.duplicate += 1;
                return Accepted::Packet;
            }
            Some(Place::Elsewhere) if self.candidate != Some((packet.ssrc, packet.sequence)) => {
                self.candidate = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
                // The press of a key is heard at once, even when it is all that another SSRC sends.
                self.received += 1;
                return self.digits(&packet, kind, now);
            }
            None | Some(Place::Elsewhere) => {
                let sequence = Sequence::starting(packet.ssrc, packet.sequence);
                let number = sequence.newest();
                self.sequence = Some(sequence);
                self.playout.restart(number, packet.timestamp);
                number
            }
        };
        self.candidate = None;
        self.received += 1;
        self.playout.put(number, kind, packet.timestamp, packet.payload, samples, now);
        self.digits(&packet, kind, now)
    }

    /// What a datagram is, and how many samples it holds; `None` when it is nothing that was agreed on, or malformed.
    fn read<'a>(&self, datagram: &'a [u8]) -> Option<(Packet<'a>, Kind, usize)> {
        let packet = Packet::parse(datagram).filter(|packet| !packet.payload.is_empty())?;
        if packet.payload_type == self.payload_type {
            let longest = LONGEST_MS * self.codec.sample_rate as usize / 1000;
            let samples = self.playout.samples(packet.payload).filter(|samples| (1..=longest).contains(samples))?;
            return Some((packet, Kind::Audio, samples));
        }
        if Some(packet.payload_type) == self.telephone_event {
            return Some((packet, Kind::Event, 0));
        }
        let noise = packet.payload_type == COMFORT_NOISE || Some(packet.payload_type) == self.comfort_noise;
        noise.then_some((packet, Kind::Noise, 0))
    }

    fn digits(&mut self, packet: &Packet<'_>, kind: Kind, now: Instant) -> Accepted {
        let event = kind == Kind::Event;
        let keys = if event { self.digits.accept(packet.timestamp, packet.payload, now) } else { Keys::default() };
        if keys.is_empty() { Accepted::Packet } else { Accepted::Digits(keys) }
    }

    /// Appends the next 20 ms at the codec's rate; they are played from `now` on.
    pub(crate) fn pull(&mut self, now: Instant, out: &mut Vec<i16>) -> Pulled {
        self.playout.pull(now, out)
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
