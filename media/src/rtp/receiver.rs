//! From packets to frames: whatever comes, in whatever order, each pull gives exactly 20 ms.
//!
//! Playout keeps the sender's timeline: a packet that is missing when its turn comes is concealed, for as long as the
//! timestamps say. When nothing waits at all, playout stands still, concealing; what comes next either fills that
//! very place (it was late: from now on there is more delay) or lies behind it (packets were lost: playout jumps). Delay
//! that was not needed for a second is shed again, 20 ms at a time, in a quiet place if there is one.

use std::time::Instant;

use crate::{
    Session,
    codec::{Codec, Decoder},
};

use super::{
    Packet,
    conceal::Concealer,
    delay::{Delay, least_level},
    digits::Digits,
    jitter_buffer::JitterBuffer,
    sequence::{Place, Sequence},
};

/// Comfort noise (RFC 3389), static payload type: the sender is silent on purpose.
const COMFORT_NOISE: u8 = 13;
/// Longest audio packet in milliseconds: what fits an Ethernet frame at 64 kbit/s, which some programs fill.
const LONGEST_MS: usize = 180;
/// A gap of the timeline that is filled; a longer one is a new beginning.
const FILL_MS: i32 = 500;
/// After this much silence the delay is chosen anew, from the target.
const RESTART_MS: usize = 100;
/// Pulls within which a quiet place for shedding must be found; then any place will do.
const PATIENCE: u32 = 25;
/// Root mean square below which a frame is quiet (about -47 dBFS).
const QUIET: i64 = 150;

/// What the receiver has counted; the names are those of [`crate::LegStats`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) concealed: u64,
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
    /// The first packet of a key press.
    Digit(char),
}

/// One pull.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulled {
    /// Arrival of the newest packet that fed it; `None` when none did.
    pub(crate) arrived: Option<Instant>,
    /// Some samples are invented.
    pub(crate) concealed: bool,
}

/// One direction of RTP that we hear.
#[derive(Debug)]
pub(crate) struct Receiver {
    codec: &'static Codec,
    decoder: Box<dyn Decoder>,
    payload_type: u8,
    telephone_event: Option<u8>,
    sequence: Option<Sequence>,
    /// A packet that may be the first of another stream; the next one in order confirms it (RFC 3550 A.1).
    candidate: Option<(u32, u16)>,
    buffer: JitterBuffer,
    delay: Delay,
    digits: Digits,
    concealer: Concealer,
    playout: Playout,
    /// Samples of one packet of the peer.
    packet_samples: usize,
    /// Decoded samples that wait, from `taken` on.
    decoded: Vec<i16>,
    taken: usize,
    /// The timestamp of the next sample to play.
    cursor: u32,
    last_arrived: Option<Instant>,
    /// This pull got samples of a packet.
    fed: bool,
    correction: Correction,
    spare: Vec<i16>,
    quiet: bool,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
enum Playout {
    /// Nothing to play: collects until the target is reached.
    Collecting {
        /// Samples given out in place of audio since playout stands still.
        stood: usize,
        /// Samples given out since the first packet waits.
        waited: usize,
    },
    /// Plays.
    Playing {
        /// Samples still to conceal before the first packet that waits.
        gap: usize,
    },
}

/// A change of the delay that waits for a quiet place.
#[derive(Clone, Copy, Debug)]
enum Correction {
    None,
    Shed { patience: u32 },
    Hold { patience: u32 },
}

impl Receiver {
    pub(crate) fn new(session: &Session) -> Self {
        let codec = session.codec;
        let mut concealer = Concealer::new(codec.sample_rate);
        concealer.fall_silent();
        Self {
            codec,
            decoder: (codec.decoder)(),
            payload_type: session.payload_type,
            telephone_event: session.telephone_event,
            sequence: None,
            candidate: None,
            buffer: JitterBuffer::new(),
            delay: Delay::new(codec),
            digits: Digits::default(),
            concealer,
            playout: Playout::Collecting { stood: 0, waited: 0 },
            packet_samples: codec.samples_per_frame(),
            decoded: Vec::with_capacity(LONGEST_MS * codec.sample_rate as usize / 1000),
            taken: 0,
            cursor: 0,
            last_arrived: None,
            fed: false,
            correction: Correction::None,
            spare: Vec::with_capacity(2 * codec.samples_per_frame()),
            quiet: true,
            counts: Counts::default(),
        }
    }

    /// A new agreement. A stream of the same codec goes on without a gap.
    pub(crate) fn change(&mut self, session: &Session) {
        let counts = self.counts;
        if session.codec != self.codec || session.payload_type != self.payload_type {
            *self = Self::new(session);
            self.counts = counts;
        }
        self.telephone_event = session.telephone_event;
    }

    /// What was counted since the beginning.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Jitter and target of the buffer, in milliseconds.
    pub(crate) fn delay_ms(&self) -> (f32, u32) {
        (self.delay.jitter_ms(), self.delay.target_ms())
    }

    /// Pulls come at a better time from now on: delay that came of the worse one should go soon.
    pub(crate) fn pulled_better(&mut self) {
        self.delay.watch_soon();
    }

    /// The peer does not send any more, by agreement: its next packet begins a new stream.
    pub(crate) fn forget_stream(&mut self) {
        self.sequence = None;
        self.candidate = None;
        self.decoded.clear();
        self.taken = 0;
        self.concealer.fall_silent();
        self.playout = Playout::Collecting { stood: RESTART_MS * self.millisecond(), waited: 0 };
    }

    /// Takes a datagram that came in at `now`.
    pub(crate) fn accept(&mut self, datagram: &[u8], now: Instant) -> Accepted {
        let Some(packet) = Packet::parse(datagram) else {
            self.counts.ignored += 1;
            return Accepted::Ignored;
        };
        let audio = packet.payload_type == self.payload_type;
        let event = Some(packet.payload_type) == self.telephone_event;
        let known = audio || event || packet.payload_type == COMFORT_NOISE;
        if !known || packet.payload.is_empty() || packet.payload.len() > LONGEST_MS * 8 {
            self.counts.ignored += 1;
            return Accepted::Ignored;
        }
        let samples = if audio { self.decoder.samples(packet.payload) } else { Some(0) };
        let Some(samples) = samples else {
            self.counts.ignored += 1;
            return Accepted::Ignored;
        };
        let number = match self.sequence.as_mut().map(|sequence| sequence.place(packet.ssrc, packet.sequence)) {
            Some(Place::New(number)) => number,
            Some(Place::Duplicate) => {
                self.counts.duplicate += 1;
                return Accepted::Packet;
            }
            Some(Place::Elsewhere) if self.candidate != Some((packet.ssrc, packet.sequence)) => {
                self.candidate = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
                // The press of a key is heard at once, even when it is all that another SSRC sends.
                self.counts.received += 1;
                return self.digit(&packet, event);
            }
            None | Some(Place::Elsewhere) => self.start_stream(&packet),
        };
        self.candidate = None;
        self.counts.received += 1;
        if audio {
            self.packet_samples = samples;
            self.delay.arrived(packet.timestamp, now);
        }
        match self.buffer.put(number, &packet, audio, now) {
            Some(given_up) => self.counts.lost += given_up,
            None => {
                self.counts.late += 1;
                if audio && self.delay.late() {
                    self.correction = Correction::Hold { patience: PATIENCE };
                }
            }
        }
        self.digit(&packet, event)
    }

    fn digit(&mut self, packet: &Packet<'_>, event: bool) -> Accepted {
        let digit = if event { self.digits.accept(packet.timestamp, packet.payload) } else { None };
        digit.map_or(Accepted::Packet, Accepted::Digit)
    }

    fn start_stream(&mut self, packet: &Packet<'_>) -> i64 {
        let sequence = Sequence::starting(packet.ssrc, packet.sequence);
        let number = sequence.newest();
        self.sequence = Some(sequence);
        self.buffer.restart(number);
        self.delay.restart();
        self.decoded.clear();
        self.taken = 0;
        self.cursor = packet.timestamp;
        self.correction = Correction::None;
        if let Playout::Playing { .. } = self.playout {
            self.playout = Playout::Collecting { stood: 0, waited: 0 };
        }
        number
    }

    /// Rate of what [`Self::pull`] gives, in Hz.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.codec.sample_rate
    }

    /// Appends the next 20 ms at the codec's rate.
    pub(crate) fn pull(&mut self, out: &mut Vec<i16>) -> Pulled {
        let count = self.codec.samples_per_frame();
        let start = out.len();
        let mut concealed = false;
        self.fed = false;
        if let Playout::Playing { .. } = self.playout {
            let level = self.buffer.span() as usize * self.packet_samples + self.decoded.len() - self.taken;
            if self.delay.too_much(level) {
                self.correction = Correction::Shed { patience: PATIENCE };
            }
            match self.due_correction() {
                Correction::Hold { .. } => concealed |= self.concealer.invent(count, out),
                Correction::Shed { .. } => concealed |= self.shed(count, out),
                Correction::None => concealed |= self.fill(count, out),
            }
        } else {
            concealed |= self.fill(count, out);
        }
        let power: i64 = out[start..].iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
        self.quiet = power < QUIET * QUIET * count as i64;
        self.counts.concealed += u64::from(concealed);
        Pulled { arrived: self.last_arrived.filter(|_| self.fed), concealed }
    }

    /// The correction to make in this pull: in a quiet place, or when patience is at its end.
    fn due_correction(&mut self) -> Correction {
        match &mut self.correction {
            Correction::Shed { patience } | Correction::Hold { patience } if *patience > 0 && !self.quiet => {
                *patience -= 1;
                Correction::None
            }
            Correction::None => Correction::None,
            due => {
                self.delay.watch_anew();
                std::mem::replace(due, Correction::None)
            }
        }
    }

    /// Gives 40 ms in the time of 20, the first fading into the second.
    fn shed(&mut self, count: usize, out: &mut Vec<i16>) -> bool {
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        let mut concealed = self.fill(count, &mut spare);
        concealed |= self.fill(count, &mut spare);
        let (first, second) = spare.split_at(count);
        out.extend(first.iter().zip(second).enumerate().map(|(index, (&first, &second))| {
            let share = index as f32 / count as f32;
            (f32::from(first) * (1.0 - share) + f32::from(second) * share) as i16
        }));
        self.spare = spare;
        concealed
    }

    /// Appends `count` samples, true ones as far as there are any.
    fn fill(&mut self, count: usize, out: &mut Vec<i16>) -> bool {
        let end = out.len() + count;
        let mut concealed = false;
        while out.len() < end {
            let wanted = end - out.len();
            if self.taken < self.decoded.len() {
                let upto = self.decoded.len().min(self.taken + wanted);
                let samples = &mut self.decoded[self.taken..upto];
                self.concealer.hear(samples);
                out.extend_from_slice(samples);
                self.taken = upto;
                self.fed = true;
                continue;
            }
            match &mut self.playout {
                Playout::Playing { gap } if *gap > 0 => {
                    let invented = wanted.min(*gap);
                    *gap -= invented;
                    self.cursor = self.cursor.wrapping_add(self.codec.ticks_of(invented));
                    concealed |= self.concealer.invent(invented, out);
                }
                Playout::Playing { .. } => self.next_packet(0),
                Playout::Collecting { stood, .. } => {
                    let stood = *stood;
                    if self.enough(wanted) {
                        self.next_packet(stood);
                    } else {
                        concealed |= self.concealer.invent(wanted, out);
                    }
                }
            }
        }
        concealed
    }

    /// While collecting: has the target been reached? Otherwise the time goes on.
    fn enough(&mut self, wanted: usize) -> bool {
        let target = (self.delay.target_ms() as usize * self.millisecond())
            .max(least_level(self.packet_samples, self.codec.samples_per_frame()));
        let missing = self.buffer.missing();
        let span = self.buffer.span() as usize * self.packet_samples;
        let Playout::Collecting { stood, waited } = &mut self.playout else { return true };
        let hole = missing.unwrap_or(0) as usize * self.packet_samples;
        if missing.is_some() && (span + hole.saturating_sub(*stood) >= target || *waited >= target) {
            return true;
        }
        *stood += wanted;
        *waited += if missing.is_some() { wanted } else { 0 };
        false
    }

    /// The first packet that waits has its turn; `stood` samples were given out in its place already.
    fn next_packet(&mut self, stood: usize) {
        let (Some(first), Some(missing)) = (self.buffer.first(), self.buffer.missing()) else {
            self.playout = Playout::Collecting { stood: 0, waited: 0 };
            return;
        };
        if first.payload.is_empty() {
            // An event or comfort noise: no audio until the timestamps say so.
            self.counts.lost += missing as u64;
            self.buffer.pass_first();
            self.concealer.fall_silent();
            if let Playout::Playing { .. } = self.playout {
                self.playout = Playout::Collecting { stood: 0, waited: 0 };
            }
            return;
        }
        let gap = self.codec.samples_in(first.timestamp.wrapping_sub(self.cursor) as i32);
        let longest = FILL_MS * self.millisecond() as i32;
        let fresh = stood >= RESTART_MS * self.millisecond();
        if !fresh && (1..=longest).contains(&gap) && gap as usize > stood {
            self.cursor = self.cursor.wrapping_add(self.codec.ticks_of(stood));
            self.playout = Playout::Playing { gap: gap as usize - stood };
            return;
        }
        self.decoded.clear();
        self.taken = 0;
        self.decoder.decode(&first.payload, &mut self.decoded);
        self.cursor = first.timestamp.wrapping_add(self.codec.ticks_of(self.decoded.len()));
        self.last_arrived = self.last_arrived.max(first.arrived);
        self.counts.lost += missing as u64;
        self.buffer.pass_first();
        self.playout = Playout::Playing { gap: 0 };
    }

    fn millisecond(&self) -> usize {
        self.codec.sample_rate as usize / 1000
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
