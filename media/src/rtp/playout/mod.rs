//! From packets that wait to frames: each pull gives exactly 20 ms, on the sender's timeline.
//!
//! ```text
//!  Delay ─► nothing, longer, shorter
//!                     │
//!  JitterBuffer ─► decode ──► Stretch ─► ComfortNoise ─► 20 ms
//!                  recover       its packet is lost, but the next one repeats it
//!                  conceal       it is lost: by the codec if it can, else by the Concealer
//!                  nothing       the sender left time out on purpose
//! ```
//! A packet that is missing when its turn comes is concealed, for as long as the timestamps say. When nothing waits at
//! all, playout stands still, concealing; what comes next either fills that very place (it was late: from now on there is
//! more delay), or lies behind it (packets were lost: playout jumps), or follows without a hole in the sequence (nothing
//! was sent: silence on purpose, which is no loss).

mod timeline;

use std::time::Instant;

use crate::codec::{Codec, Decoder};

use super::{
    comfort_noise::ComfortNoise,
    conceal::Concealer,
    delay::{Change, Delay, Pace},
    jitter_buffer::{JitterBuffer, Kind},
    receiver::Counts,
    stretch::{Splice, Stretch},
};

/// After this much silence the delay is chosen anew.
const RESTART_MS: usize = 100;
/// Bytes of comfort noise that are kept: a level and its colour.
const NOISE_BYTES: usize = 16;
/// Pulls between two changes of the delay that do not press.
const REST: u32 = 3;
/// Packets that the share of lost ones is told from.
const LOSS_WINDOW: f32 = 128.0;
/// The share of lost packets from which on it is worth the delay to wait for the packet after, and below which no more.
const WORTH_WAITING: (f32, f32) = (0.02, 0.005);
/// Packets after which a sender that repeated nothing is not believed to repeat anything.
const REPEATS: u32 = 250;

/// One pull.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulled {
    /// Arrival of the newest packet that fed it; `None` when none did.
    pub(crate) arrived: Option<Instant>,
    /// Some samples are invented.
    pub(crate) concealed: bool,
}

/// 20 ms that nobody wanted to hear.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver {
    /// Packets had come.
    pub(crate) came: bool,
    /// The length of those that were missing among them.
    pub(crate) lost_ms: u64,
}

/// What plays one stream.
#[derive(Debug)]
pub(super) struct Playout {
    codec: &'static Codec,
    decoder: Box<dyn Decoder>,
    buffer: JitterBuffer,
    delay: Delay,
    concealer: Concealer,
    noise: ComfortNoise,
    stretch: Stretch,
    /// The most that waits because packets are late, in samples.
    ceiling: usize,
    state: State,
    /// The timestamp of the last packet, and the ticks it lies after the first.
    clock: (u32, i64),
    /// Samples of one packet of the peer.
    packet: usize,
    /// Samples that wait, from `taken` on, and what they are.
    decoded: Vec<i16>,
    taken: usize,
    origin: Origin,
    /// The place of the next sample to play.
    cursor: i64,
    /// Packets before this number were given up and concealed.
    filled: i64,
    /// The share of packets that are lost; for how many packets more the sender is believed to repeat the one before;
    /// and whether playout waits for that.
    losing: f32,
    repeats: u32,
    waits: bool,
    last_arrived: Option<Instant>,
    /// This pull got samples of a packet.
    fed: bool,
    /// Pulls since the delay was changed, and those in which a place to do so was looked for in vain.
    rested: u32,
    searched: u32,
    /// Concealed frames that are none if it turns out that the sender was silent on purpose.
    unsure: u64,
    /// What is counted here: lost, late, concealed, recovered.
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing to play: collects until there is enough.
    Collecting {
        /// Samples given out in place of audio since playout stands still.
        stood: usize,
        /// Samples given out since the first packet waits.
        waited: usize,
    },
    Playing,
}

/// What samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A packet.
    Packet,
    /// A lost packet, as the next one repeats it.
    Recovered,
    /// The codec's invention, for packets that are lost.
    Gap,
    /// The codec's invention, for time that the sender left out.
    Pause,
    /// The codec's invention, while nothing waits.
    Stand,
}

/// How much of a pull is invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Invented {
    Nothing,
    /// Something, but perhaps nothing is lost.
    Unsure,
    /// Something, for a packet that is lost.
    Lost,
}

impl Playout {
    /// For streams of this codec; late packets make it hold `ceiling_ms` at most.
    pub(super) fn new(codec: &'static Codec, ceiling_ms: u32) -> Self {
        let millisecond = codec.sample_rate as usize / 1000;
        Self {
            codec,
            decoder: (codec.decoder)(),
            buffer: JitterBuffer::new(),
            delay: Delay::new(codec, ceiling_ms),
            concealer: Concealer::new(codec.sample_rate),
            noise: ComfortNoise::new(codec.sample_rate),
            stretch: Stretch::new(codec.sample_rate),
            ceiling: ceiling_ms as usize * millisecond,
            state: State::Collecting { stood: 0, waited: 0 },
            clock: (0, 0),
            packet: codec.samples_per_frame(),
            decoded: Vec::with_capacity(codec.samples_per_frame()),
            taken: 0,
            origin: Origin::Packet,
            cursor: 0,
            filled: 0,
            losing: 0.0,
            repeats: 0,
            waits: false,
            last_arrived: None,
            fed: false,
            rested: 0,
            searched: 0,
            unsure: 0,
            counts: Counts::default(),
        }
    }

    /// Samples of this payload; `None` when the codec says that it is malformed.
    pub(super) fn samples(&self, payload: &[u8]) -> Option<usize> {
        self.decoder.samples(payload)
    }

    /// How packets come, and how much of them should wait.
    pub(super) fn delay(&self) -> &Delay {
        &self.delay
    }

    /// Samples that wait, with the holes between them.
    pub(super) fn level(&self) -> usize {
        self.buffer.span() as usize * self.packet + self.decoded.len() - self.taken
    }

    /// Pulls come at another time from now on.
    pub(super) fn pulled_otherwise(&mut self) {
        self.delay.watch_anew();
    }

    /// Another stream begins with this number and timestamp.
    pub(super) fn restart(&mut self, number: i64, timestamp: u32) {
        self.decoder = (self.codec.decoder)();
        self.buffer.restart(number);
        self.delay.restart();
        self.decoded.clear();
        self.taken = 0;
        self.clock = (timestamp, 0);
        self.cursor = 0;
        self.filled = 0;
        if let State::Playing = self.state {
            self.state = State::Collecting { stood: 0, waited: 0 };
        }
    }

    /// The stream is over, by agreement.
    pub(super) fn stop(&mut self) {
        self.decoded.clear();
        self.taken = 0;
        self.concealer.fall_silent();
        self.noise.ebb();
        self.unsure = 0;
        self.state = State::Collecting { stood: RESTART_MS * self.millisecond(), waited: 0 };
    }

    /// 20 ms of which nobody wants to hear anything.
    pub(super) fn pass_over(&mut self) -> PassedOver {
        let mut over = PassedOver::default();
        while let Some(missing) = self.buffer.missing() {
            self.counts.lost += missing as u64;
            over.came = true;
            over.lost_ms += missing as u64 * (self.packet / self.millisecond()) as u64;
            self.buffer.pass_first();
        }
        self.stop();
        over
    }

    /// A packet came. `samples` is what audio holds.
    pub(super) fn put(
        &mut self,
        number: i64,
        kind: Kind,
        timestamp: u32,
        payload: &[u8],
        samples: usize,
        now: Instant,
    ) {
        let (last, ticks) = self.clock;
        let ticks = ticks + i64::from(timestamp.wrapping_sub(last) as i32);
        let place =
            ticks.saturating_mul(i64::from(self.codec.sample_rate)).div_euclid(i64::from(self.codec.clock_rate));
        let kept = match kind {
            Kind::Audio => {
                self.clock = (timestamp, ticks);
                self.packet = samples;
                self.delay.arrived(place, now);
                self.wait_for_repetition(payload);
                payload
            }
            Kind::Noise => &payload[..payload.len().min(NOISE_BYTES)],
            Kind::Event => &[],
        };
        match self.buffer.put(number, kind, place, kept, now) {
            Some(given_up) => self.counts.lost += given_up,
            None => {
                self.counts.late += 1;
                if kind == Kind::Audio {
                    self.delay.late();
                }
            }
        }
    }

    /// Where packets are lost and each repeats the one before, it is worth holding one packet more.
    fn wait_for_repetition(&mut self, payload: &[u8]) {
        self.repeats = if self.decoder.repeats(payload) { REPEATS } else { self.repeats.saturating_sub(1) };
        let least = if self.waits { WORTH_WAITING.1 } else { WORTH_WAITING.0 };
        let waits = self.repeats > 0 && self.losing > least;
        if waits || self.waits {
            self.waits = waits;
            self.delay.hold_besides(if waits { self.packet / self.millisecond() } else { 0 } as u32);
        }
    }

    /// Appends the next 20 ms.
    pub(super) fn pull(&mut self, now: Instant, out: &mut Vec<i16>) -> Pulled {
        let start = out.len();
        self.fed = false;
        self.rested += 1;
        let invented = match self.change(now) {
            Change::None => {
                self.searched = 0;
                self.fill(self.codec.samples_per_frame(), now, out)
            }
            Change::Longer { pressing } => self.lengthen(pressing, now, out),
            Change::Shorter { most, pressing } => self.shorten(most, pressing, now, out),
        };
        self.noise.add(&mut out[start..]);
        match invented {
            Invented::Nothing => {}
            Invented::Unsure => self.unsure += 1,
            Invented::Lost => self.counts.concealed += 1,
        }
        Pulled { arrived: self.last_arrived.filter(|_| self.fed), concealed: invented != Invented::Nothing }
    }

    /// What is to be done to the delay in this pull, and can be.
    fn change(&mut self, now: Instant) -> Change {
        let State::Playing = self.state else { return Change::None };
        let left = self.decoded.len() - self.taken;
        let level = self.level();
        let change = self.delay.change(self.cursor, Pace { packet: self.packet, left }, now);
        // Timestamps that do not say the truth neither fill the buffer nor keep it full.
        let full = self.ceiling + 2 * self.packet;
        let change = match change {
            Change::Longer { .. } if level > full => Change::None,
            Change::None if level > full + self.ceiling => Change::Shorter { most: self.packet, pressing: true },
            change => change,
        };
        let (wanted, pressing) = match change {
            Change::None => return change,
            Change::Longer { pressing } => (self.codec.samples_per_frame(), pressing),
            Change::Shorter { pressing, .. } => (self.codec.samples_per_frame() + self.stretch.longest, pressing),
        };
        let packets = wanted.saturating_sub(left).div_ceil(self.packet.max(1));
        let possible = self.origin == Origin::Packet && self.buffer.is_whole(packets as i64);
        if possible && (pressing || self.rested > REST) { change } else { Change::None }
    }

    /// 20 ms of which a piece is heard twice, where it will not be noticed.
    fn lengthen(&mut self, pressing: bool, now: Instant, out: &mut Vec<i16>) -> Invented {
        let (frame, start) = (self.codec.samples_per_frame(), out.len());
        let mut invented = self.fill(self.stretch.overlap, now, out);
        let recent = self.concealer.recent(frame);
        let least = if pressing { 0.6 - 0.1 * self.searched as f32 } else { 0.85 - 0.05 * self.searched as f32 };
        if let Some(splice) = self.stretch.repetition(recent).filter(|splice| splice.likeness >= least) {
            self.stretch.repeat(splice.lag, recent, out);
            self.changed();
        } else {
            self.searched += 1;
        }
        let rest = frame - (out.len() - start);
        invented = invented.max(self.fill(rest, now, out));
        invented
    }

    /// 20 ms of more, a piece of which is left out where it will not be noticed.
    fn shorten(&mut self, most: usize, pressing: bool, now: Instant, out: &mut Vec<i16>) -> Invented {
        let start = out.len();
        let mut invented = self.fill(self.codec.samples_per_frame(), now, out);
        let least = if pressing { 0.6 - 0.05 * self.searched as f32 } else { 0.9 - 0.01 * self.searched as f32 };
        let splice = self.stretch.omission(&out[start..], most).filter(|splice| splice.likeness >= least);
        if let Some(Splice { lag, .. }) = splice {
            invented = invented.max(self.fill(lag, now, out));
            self.stretch.leave_out(lag, out, start);
            self.changed();
        } else {
            self.searched += 1;
        }
        invented
    }

    fn changed(&mut self) {
        self.delay.watch_anew();
        (self.rested, self.searched) = (0, 0);
    }

    fn millisecond(&self) -> usize {
        self.codec.sample_rate as usize / 1000
    }
}
