//! How long to hold packets back: as long as nearly all of the last ones needed, and not longer.
//!
//! Every packet has an offset: when it came, less what its timestamp says. On a perfect line all offsets are the same; on a
//! real one the smallest stands for the quickest way and the others for detours. What is played has an offset too: when it
//! is played, less its timestamp. Every packet whose offset is less comes in time. So the offset of what is played should
//! lie just above nearly all of the last offsets, and where it does not, time is stretched until it does. A clock of the
//! sender that is slow or fast moves all offsets of packets and none of what is played: the same rule corrects it.
//!
//! Audio is taken 20 ms at a time, packets hold what they like: a packet must be there when the *first* of its samples is
//! taken, with all that is taken at the same time. What that costs is the waste, see [`Pace`].

use std::time::{Duration, Instant};

use crate::codec::Codec;

use super::stretch::Stretch;

/// The least it aims at, in milliseconds: one frame.
const FLOOR_MS: i64 = 20;
/// Offsets remembered: five seconds of packets of 20 ms.
const WINDOW: usize = 250;
/// Packets between two looks at them.
const LOOK: u32 = 10;
/// Offsets that say enough; with fewer, what was known of the stream before counts too.
const ENOUGH: usize = 50;
/// So many of a hundred offsets may lie above what is held; a packet that is late for it raises it at once.
const LATE_PERCENT: usize = 5;
/// Microseconds that a packet should come before its turn: with less, time is stretched until there is ample spare.
const SPARE: i64 = 2_000;
const AMPLE: i64 = 6_000;
/// Pulls over which more than needed must be held before something is left out; and when it is far more than needed.
const WATCH: u32 = 10;
const WATCH_SOON: u32 = 2;
/// Microseconds too many that are far more than needed, and where a timeline has nothing to do with the other.
const FAR: i64 = 60_000;
const NOWHERE: i64 = 5_000_000;

/// The delay of one stream.
#[derive(Debug)]
pub(super) struct Delay {
    codec: &'static Codec,
    /// The most that is held because packets are late, in microseconds.
    ceiling: i64,
    /// Interarrival jitter of RFC 3550 section 6.4.1, in milliseconds.
    jitter_ms: f32,
    /// Arrival, and place on the sender's timeline, of the last packet, in microseconds.
    last: Option<(i64, i64)>,
    origin: Option<Instant>,
    /// Offsets of the last packets, in microseconds, the next to be overwritten at `at`.
    offsets: Vec<i64>,
    at: usize,
    until_look: u32,
    /// The least of the offsets, and what nearly all of them keep below.
    least: i64,
    most: i64,
    /// What was held above the least before this timeline began.
    known: i64,
    /// What is held besides, in microseconds.
    extra: i64,
    /// The offset of a packet that was late, and for how many packets more it counts.
    late: Option<(i64, usize)>,
    /// Time is being stretched until there is ample spare.
    growing: bool,
    /// The least that was too much in this watch, and the pulls it lasts.
    too_much: i64,
    pulls: u32,
}

/// How packets and pulls fit together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Samples of a packet of the peer.
    pub(super) packet: usize,
    /// Samples already decoded before a pull.
    pub(super) left: usize,
}

/// What to do to the next 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Repeat something. Pressing: packets are late already.
    Longer { pressing: bool },
    /// Leave out something, at most so many samples. Pressing: it is far more than needed.
    Shorter { most: usize, pressing: bool },
}

impl Delay {
    /// For a stream of this codec; late packets make it hold `ceiling_ms` at most.
    pub(super) fn new(codec: &'static Codec, ceiling_ms: u32) -> Self {
        Self {
            codec,
            ceiling: (i64::from(ceiling_ms) - FLOOR_MS).max(0) * 1000,
            jitter_ms: 0.0,
            last: None,
            origin: None,
            offsets: Vec::with_capacity(WINDOW),
            at: 0,
            until_look: 0,
            least: 0,
            most: 0,
            known: 0,
            extra: 0,
            late: None,
            growing: false,
            too_much: i64::MAX,
            pulls: 0,
        }
    }

    /// Another timeline begins: what was learned about the path stays.
    pub(super) fn restart(&mut self) {
        self.known = self.held();
        self.last = None;
        self.offsets.clear();
        (self.at, self.until_look) = (0, 0);
        self.late = None;
        self.watch_anew();
    }

    /// An audio packet came. `place` is where its first sample lies on the timeline.
    pub(super) fn arrived(&mut self, place: i64, now: Instant) {
        let (came, sent) = (self.time(now), self.microseconds(place));
        if let Some((before, last)) = self.last {
            let moved = (came - before) - (sent - last);
            if moved.abs() > 1_000_000 {
                // A jump of the timestamp, or of somebody's clock, is no jitter.
                self.restart();
            } else if came - before < 1_000_000 {
                self.jitter_ms += (moved.abs() as f32 / 1000.0 - self.jitter_ms) / 16.0;
            }
        }
        self.last = Some((came, sent));
        let offset = came - sent;
        if self.offsets.len() < WINDOW {
            self.offsets.push(offset);
        } else {
            self.offsets[self.at] = offset;
            self.at = (self.at + 1) % WINDOW;
        }
        self.late = self.late.and_then(|(late, left)| left.checked_sub(1).map(|left| (late, left)));
        self.least = self.least.min(offset);
        self.until_look = self.until_look.saturating_sub(1);
        if self.until_look == 0 || self.offsets.len() < ENOUGH {
            self.look();
        }
    }

    /// The packet that came last came after its turn: from now on no later one shall. One that no delay that is allowed
    /// could have saved teaches nothing.
    pub(super) fn late(&mut self) {
        let Some((came, sent)) = self.last else { return };
        let offset = came - sent;
        if offset - self.least <= self.ceiling && self.late.is_none_or(|(late, _)| late <= offset) {
            self.late = Some((offset, WINDOW));
            self.look();
        }
    }

    fn look(&mut self) {
        self.until_look = LOOK;
        let mut sorted = [0; WINDOW];
        let sorted = &mut sorted[..self.offsets.len()];
        sorted.copy_from_slice(&self.offsets);
        self.least = sorted.iter().copied().min().unwrap_or(0);
        let few = sorted.len() * LATE_PERCENT / 100;
        let nearly_last = (sorted.len() - few).saturating_sub(1);
        self.most = if sorted.is_empty() { 0 } else { *sorted.select_nth_unstable(nearly_last).1 };
        if let Some((late, _)) = self.late {
            self.most = self.most.max(late);
        }
        if sorted.len() < ENOUGH {
            self.most = self.most.max(self.least + self.known);
        }
    }

    /// Holds so much more than late packets ask for, for another reason.
    pub(super) fn hold_besides(&mut self, milliseconds: u32) {
        self.extra = i64::from(milliseconds) * 1000;
    }

    /// What is held above the quickest way, in microseconds.
    fn held(&self) -> i64 {
        ((self.most - self.least).max(0) + self.extra).min(self.ceiling)
    }

    /// Interarrival jitter in milliseconds.
    pub(super) fn jitter_ms(&self) -> f32 {
        self.jitter_ms
    }

    /// What should wait, the frame that is about to be played among it, in milliseconds.
    pub(super) fn target_ms(&self) -> u32 {
        (FLOOR_MS + (self.held() + 500) / 1000) as u32
    }

    /// May a timeline that stands still at this place go on now?
    pub(super) fn ready(&self, place: i64, pace: Pace, now: Instant) -> bool {
        let waste = self.microseconds(self.waste(Pace { left: 0, ..pace }) as i64);
        self.time_of(now) - self.microseconds(place) >= self.least + self.held() + waste
    }

    /// Called before each pull, with the place of the next sample.
    pub(super) fn change(&mut self, place: i64, pace: Pace, now: Instant) -> Change {
        let waste = self.microseconds(self.waste(pace) as i64);
        let spare = self.time_of(now) - self.microseconds(place) - self.least - self.held() - waste;
        if self.offsets.len() < ENOUGH / 2 && self.late.is_none() || spare.abs() > NOWHERE {
            return Change::None;
        }
        if spare < SPARE || self.growing {
            self.growing = spare < AMPLE;
            self.watch_anew();
            return if self.growing { Change::Longer { pressing: spare < 0 } } else { Change::None };
        }
        self.too_much = self.too_much.min(spare - AMPLE);
        self.pulls += 1;
        if self.pulls < if self.too_much > FAR { WATCH_SOON } else { WATCH } {
            return Change::None;
        }
        // Whole steps in which packets and pulls fit, and what lies beyond the last step, are of no use.
        let step = self.step(pace.packet);
        let needless = i64::from(self.codec.sample_rate) * self.too_much.max(0) / 1_000_000;
        let most = needless as usize / step * step + pace.left % step;
        if most < Stretch::new(self.codec.sample_rate).shortest {
            self.watch_anew();
            return Change::None;
        }
        Change::Shorter { most, pressing: self.too_much > FAR }
    }

    /// What is held has changed.
    pub(super) fn watch_anew(&mut self) {
        (self.too_much, self.pulls) = (i64::MAX, 0);
    }

    /// Packets and pulls of 20 ms fit together in steps of so many samples.
    fn step(&self, packet: usize) -> usize {
        let (mut divisor, mut rest) = (packet.max(1), self.codec.samples_per_frame());
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        divisor
    }

    /// Samples that wait longer than the delay says, because a pull takes 20 ms at once.
    fn waste(&self, pace: Pace) -> usize {
        let step = self.step(pace.packet);
        self.codec.samples_per_frame() - step + pace.left % step
    }

    fn microseconds(&self, samples: i64) -> i64 {
        samples.saturating_mul(1_000_000) / i64::from(self.codec.sample_rate)
    }

    /// Microseconds since the first packet.
    fn time(&mut self, now: Instant) -> i64 {
        self.origin.get_or_insert(now);
        self.time_of(now)
    }

    fn time_of(&self, now: Instant) -> i64 {
        let since = |origin: Instant| match now.checked_duration_since(origin) {
            Some(since) => since.as_micros() as i64,
            None => -(Duration::as_micros(&origin.duration_since(now)) as i64),
        };
        self.origin.map_or(0, since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::PCMU, leg::now};

    /// A delay that saw `count` packets of 20 ms, each this many milliseconds after the one before it should be.
    fn seen(count: u64, late_ms: impl Fn(u64) -> f64) -> Delay {
        let start = now();
        let mut delay = Delay::new(&PCMU, 200);
        for packet in 0..count {
            let came = Duration::from_secs_f64((packet as f64 * 20.0 + late_ms(packet)) / 1000.0);
            delay.arrived(packet as i64 * 160, start + came);
        }
        delay
    }

    /// What is to be done when what plays is this far behind the quickest packet.
    fn change(delay: &mut Delay, behind_ms: f64, packet: usize, left: usize) -> Change {
        let now = delay.origin.expect("it saw some") + Duration::from_secs_f64(10.0 + behind_ms / 1000.0);
        let pace = Pace { packet, left };
        (0..WATCH).map(|_| delay.change(80_000, pace, now)).last().expect("some pulls")
    }

    #[test]
    fn a_clean_line_wants_20_ms_and_jitter_what_it_spreads_over() {
        assert_eq!(seen(300, |packet| (packet % 2) as f64 * 0.4).target_ms(), 20);
        // Five at a time: they wait for the last of them.
        assert_eq!(seen(300, |packet| (4 - packet % 5) as f64 * 20.0).target_ms(), 100);
        let jitter = seen(300, |packet| (packet * 37 % 61) as f64);
        assert!((74..=80).contains(&jitter.target_ms()), "{}", jitter.target_ms());
        assert!((15.0..30.0).contains(&jitter.jitter_ms()), "{}", jitter.jitter_ms());
    }

    #[test]
    fn one_late_packet_counts_for_a_while_and_a_hopeless_one_never() {
        let mut delay = seen(300, |packet| if packet == 299 { 47.0 } else { 0.0 });
        assert_eq!(delay.target_ms(), 20, "one in 250 may be late");
        delay.late();
        assert_eq!(delay.target_ms(), 67, "but when it was, that is remembered at once");
        let origin = delay.origin.expect("it saw some");
        for packet in 300..570u64 {
            delay.arrived(packet as i64 * 160, origin + Duration::from_millis(packet * 20));
        }
        assert_eq!(delay.target_ms(), 20);
        let mut hopeless = seen(300, |packet| if packet == 299 { 700.0 } else { 0.0 });
        hopeless.late();
        assert_eq!(hopeless.target_ms(), 20);
    }

    #[test]
    fn the_ceiling_holds() {
        assert_eq!(seen(300, |packet| (packet % 25) as f64 * 20.0).target_ms(), 200);
    }

    #[test]
    fn a_jump_of_the_timestamp_is_no_jitter_and_what_was_known_stays() {
        let mut delay = seen(300, |packet| (packet % 3) as f64 * 20.0);
        let origin = delay.origin.expect("it saw some");
        let jitter = delay.jitter_ms();
        delay.arrived(3_000_000_000, origin + Duration::from_millis(6000));
        delay.arrived(3_000_000_160, origin + Duration::from_millis(6020));
        assert!(delay.jitter_ms() <= jitter);
        assert_eq!(delay.target_ms(), 60);
    }

    #[test]
    fn what_plays_stays_just_behind_the_packets() {
        let mut delay = seen(300, |_| 0.0);
        assert_eq!(change(&mut delay, 10.0, 160, 0), Change::None);
        assert_eq!(change(&mut delay, 1.0, 160, 0), Change::Longer { pressing: false });
        assert_eq!(change(&mut delay, 5.0, 160, 0), Change::Longer { pressing: false }, "until it is ample");
        assert_eq!(change(&mut delay, 7.0, 160, 0), Change::None);
        assert_eq!(change(&mut delay, -1.0, 160, 0), Change::Longer { pressing: true });
        delay.growing = false;
        assert_eq!(change(&mut delay, 28.0, 160, 0), Change::Shorter { most: 160, pressing: false });
        delay.watch_anew();
        assert_eq!(change(&mut delay, 25.0, 160, 0), Change::None);
        // 5 ms of the packet before are left: they help nobody, since 20 ms are taken at once.
        assert_eq!(change(&mut delay, 15.0, 160, 40), Change::Shorter { most: 40, pressing: false });
        delay.watch_anew();
        // Packets of 30 ms: the one after the next may have to be there 10 ms before its first sample plays.
        assert_eq!(change(&mut delay, 11.0, 240, 0), Change::Longer { pressing: false });
    }

    #[test]
    fn a_slow_clock_of_the_sender_moves_what_is_wanted_with_it() {
        let delay = seen(30_000, |packet| packet as f64 * 20.0 * 0.0005);
        assert!(delay.target_ms() <= 23, "{}", delay.target_ms());
        assert!((295_000..=300_000).contains(&delay.least), "{}", delay.least);
    }
}
