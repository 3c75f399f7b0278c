//! How much audio the jitter buffer should hold: from the measured jitter, and less again when less would do.

use std::time::Instant;

use crate::codec::Codec;

/// The least and the most it aims at, in milliseconds.
const TARGET_MS: (f32, f32) = (20.0, 120.0);
/// Pulls (20 ms each) over which the level is watched before audio is shed: one second.
const WATCH: u32 = 50;
/// The same in a stream that has just begun, or whose beginning was disturbed: a fifth of a second.
const WATCH_SOON: u32 = 10;
/// Pulls after which one late packet is forgiven: five seconds.
const FORGIVE: u32 = 250;

/// The delay of one stream.
#[derive(Debug)]
pub(super) struct Delay {
    /// RTP clock ticks in a millisecond.
    ticks: f32,
    /// Samples in a millisecond.
    millisecond: f32,
    /// Interarrival jitter of RFC 3550 section 6.4.1, in milliseconds.
    jitter_ms: f32,
    last: Option<(Instant, u32)>,
    /// What late packets have taught on top of the jitter, in milliseconds.
    late_ms: f32,
    since_late: u32,
    /// Lowest and summed level of the buffer in this second, in samples.
    lowest: usize,
    sum: usize,
    pulls: u32,
    watch: u32,
}

impl Delay {
    /// For a stream of this codec: it knows the RTP clock and the rate of the samples.
    pub(super) fn new(codec: &Codec) -> Self {
        Self {
            ticks: codec.clock_rate as f32 / 1000.0,
            millisecond: codec.sample_rate as f32 / 1000.0,
            jitter_ms: 0.0,
            last: None,
            late_ms: 0.0,
            since_late: 0,
            lowest: usize::MAX,
            sum: 0,
            pulls: 0,
            watch: WATCH_SOON,
        }
    }

    /// Another stream with another clock: what was learned about the path stays.
    pub(super) fn restart(&mut self) {
        self.last = None;
        self.watch_soon();
    }

    /// An audio packet came.
    pub(super) fn arrived(&mut self, timestamp: u32, now: Instant) {
        if let Some((before, last)) = self.last {
            let sent = timestamp.wrapping_sub(last) as i32 as f32 / self.ticks;
            let came = now.saturating_duration_since(before).as_secs_f32() * 1000.0;
            // A jump of the timestamp or a pause of the sender is no jitter.
            if sent.abs() < 1000.0 && came < 1000.0 {
                self.jitter_ms += ((came - sent).abs() - self.jitter_ms) / 16.0;
            }
        }
        self.last = Some((now, timestamp));
    }

    /// A packet came after its turn. `true` when the buffer should hold a frame more.
    pub(super) fn late(&mut self) -> bool {
        let before = self.target_ms();
        self.since_late = 0;
        self.late_ms = (self.late_ms + 20.0).min(TARGET_MS.1 - TARGET_MS.0);
        self.target_ms() > before
    }

    /// Interarrival jitter in milliseconds.
    pub(super) fn jitter_ms(&self) -> f32 {
        self.jitter_ms
    }

    /// What to hold, in milliseconds: 20 and three times the jitter, in steps of 20.
    /// For jitter that is evenly spread over some range, three times its RFC 3550 figure is that range.
    pub(super) fn target_ms(&self) -> u32 {
        let frames = ((3.0 * self.jitter_ms + 8.0) / 20.0).floor();
        (20.0 + (20.0 * frames).max(self.late_ms)).clamp(TARGET_MS.0, TARGET_MS.1) as u32
    }

    /// Called with what waits before each pull. `true`, at most once a second, when 20 ms of it were not needed all that
    /// time and the target does not ask for them.
    pub(super) fn too_much(&mut self, level: usize) -> bool {
        let frame = (20.0 * self.millisecond) as usize;
        self.since_late += 1;
        if self.since_late >= FORGIVE {
            self.since_late = 0;
            self.late_ms = (self.late_ms - 20.0).max(0.0);
        }
        self.lowest = self.lowest.min(level);
        self.sum += level;
        self.pulls += 1;
        if self.pulls < self.watch {
            return false;
        }
        let target = (self.target_ms() as f32 * self.millisecond) as usize;
        let mean = self.sum / self.pulls as usize;
        let too_much = self.lowest >= 2 * frame && mean >= target + frame;
        self.watch_anew();
        too_much
    }

    /// The level has changed by other means.
    pub(super) fn watch_anew(&mut self) {
        (self.lowest, self.sum, self.pulls, self.watch) = (usize::MAX, 0, 0, WATCH);
    }

    /// What made the level what it is has ended.
    pub(super) fn watch_soon(&mut self) {
        self.watch_anew();
        self.watch = WATCH_SOON;
    }
}

/// Samples that must wait so that packets of this length never leave a pull of one frame short on a clean line.
pub(super) fn least_level(packet: usize, frame: usize) -> usize {
    if packet.is_multiple_of(frame) {
        return packet;
    }
    let (mut divisor, mut rest) = (packet, frame);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    packet + frame - divisor
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{codec::PCMU, leg::now};

    #[test]
    fn a_clean_line_wants_20_ms_and_a_bad_one_more() {
        let start = now();
        let mut delay = Delay::new(&PCMU);
        for packet in 0..50u32 {
            delay.arrived(packet * 160, start + Duration::from_millis(u64::from(packet) * 20 + u64::from(packet % 2)));
        }
        assert_eq!(delay.target_ms(), 20);
        for packet in 50..150u32 {
            // Five at a time: four differ by 20 ms from the clock of the sender and one by 80.
            delay.arrived(packet * 160, start + Duration::from_millis(u64::from(packet / 5) * 100));
        }
        assert!((25.0..40.0).contains(&delay.jitter_ms()), "{}", delay.jitter_ms());
        assert!((100..=120).contains(&delay.target_ms()));
    }

    #[test]
    fn packets_of_another_length_than_a_frame_want_more_before_the_first_pull() {
        assert_eq!([80, 160, 240, 320, 480].map(|packet| least_level(packet, 160)), [160, 160, 320, 320, 480]);
    }

    #[test]
    fn a_jump_of_the_timestamp_is_no_jitter() {
        let start = now();
        let mut delay = Delay::new(&PCMU);
        delay.arrived(160, start);
        delay.arrived(3_000_000_000, start + Duration::from_millis(20));
        delay.arrived(3_000_000_160, start + Duration::from_millis(40));
        assert!(delay.jitter_ms() < 0.01);
    }

    #[test]
    fn late_packets_raise_the_target_for_a_while() {
        let mut delay = Delay::new(&PCMU);
        assert!(delay.late());
        assert_eq!(delay.target_ms(), 40);
        for _ in 0..FORGIVE {
            delay.too_much(320);
        }
        assert_eq!(delay.target_ms(), 20);
    }

    #[test]
    fn what_was_not_needed_for_a_second_is_too_much() {
        let mut delay = Delay::new(&PCMU);
        assert_eq!((0..200).filter(|_| delay.too_much(320)).count(), 4);
        assert_eq!((0..200).filter(|_| delay.too_much(160)).count(), 0);
        assert_eq!((0..200).filter(|pull| delay.too_much(if pull % 40 == 0 { 160 } else { 480 })).count(), 0);
    }
}
