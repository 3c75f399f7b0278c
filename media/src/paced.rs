//! Sound that comes in pieces of any length and at any pace, 20 ms at a time at the pace of a clock: what a WebSocket brings.
//!
//! A page sends a quarter of a second at once, a program a whole file. Whoever sends ahead of the clock is taken no more from for a
//! while ([`Pacer::is_full`]); what a stall on the way has piled up is caught up with where nothing is said.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use crate::{
    FRAME_MS,
    codec::{Codec, Decoder},
};

/// What waits is as much as this, and the sender has to wait.
const FULL: Duration = Duration::from_secs(2);
/// From so much on that waits, every second frame of silence is left out.
const MUCH: Duration = Duration::from_millis(500);
/// A frame comes a thousandth sooner than the clock says: a sender whose clock is fast piles nothing up.
const PERIOD: Duration = Duration::from_micros(19_980);
/// A piece that is late by no more than this follows the one before without a gap.
const LATE: Duration = Duration::from_millis(60);
/// So long after the last frame a sender rests.
const RESTS: Duration = Duration::from_millis(400);
/// Root mean square, squared, of a frame in which nobody speaks: 50 dB below full scale.
const SILENT: i64 = 100 * 100;

/// 20 ms of payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paced {
    /// What a packet holds.
    pub payload: Vec<u8>,
    /// Milliseconds before it in which nothing was sent.
    pub after_ms: u32,
}

/// Paces one stream of payloads in which each byte, or each pair of bytes, stands for a sample.
#[derive(Debug)]
pub struct Pacer {
    decoder: Box<dyn Decoder>,
    /// Bytes of 20 ms, and of a sample that is silence.
    frame: usize,
    silence: Vec<u8>,
    waiting: VecDeque<u8>,
    /// Bytes that have left or were left out, and between which of them lies the silence of whoever has finished.
    gone: u64,
    finished: VecDeque<Range<u64>>,
    /// When the next frame leaves at the earliest.
    due: Instant,
    after_ms: u32,
    left_out: bool,
    rests: bool,
    samples: Vec<i16>,
}

impl Pacer {
    /// A stream of this codec, L16 or of G.711.
    pub fn new(codec: &'static Codec, now: Instant) -> Self {
        let mut silence = Vec::new();
        (codec.encoder)().encode(&[0], &mut silence);
        let frame = codec.samples_per_frame() * silence.len();
        Self {
            decoder: (codec.decoder)(),
            frame,
            silence,
            waiting: VecDeque::new(),
            gone: 0,
            finished: VecDeque::new(),
            due: now,
            after_ms: 0,
            left_out: false,
            rests: false,
            samples: Vec::new(),
        }
    }

    /// Some of it came.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        if self.is_dry() && now > self.due + LATE {
            let frames = (now - self.due).as_millis() / u128::from(FRAME_MS);
            self.after_ms = u32::try_from(frames).unwrap_or(u32::MAX / FRAME_MS).saturating_mul(FRAME_MS);
            self.due = now;
        }
        self.rests = false;
        self.waiting.extend(bytes);
    }

    /// The sender has finished what it says: so long nobody speaks, whatever it sends next. None of this silence is left out.
    pub fn finish(&mut self, silence: Duration, now: Instant) {
        let part = self.waiting.len() % self.frame;
        let frames = (silence.as_millis() / u128::from(FRAME_MS)) as usize;
        let bytes = frames * self.frame + if part > 0 { self.frame - part } else { 0 };
        let silent: Vec<u8> = self.silence.iter().copied().cycle().take(bytes).collect();
        let from = self.gone + self.waiting.len() as u64;
        self.finished.push_back(from..from + bytes as u64);
        self.push(&silent, now);
    }

    /// It is known by now that they have finished: the sender may speak again, and what is left of that silence is left out.
    pub fn heard_out(&mut self) {
        if let Some(silence) = self.finished.front_mut().filter(|silence| silence.contains(&self.gone)) {
            let left = (silence.end - self.gone) as usize;
            silence.end = self.gone;
            let moved = left.min(self.waiting.len());
            self.waiting.drain(..moved);
            self.gone += moved as u64;
        }
    }

    /// So much waits that no more should be taken from the sender, whose own silence is not counted.
    pub fn is_full(&self) -> bool {
        let silent: u64 =
            self.finished.iter().map(|silence| silence.end - silence.start.max(self.gone).min(silence.end)).sum();
        self.waits().saturating_sub(self.lasts(silent as usize)) >= FULL
    }

    /// When something is to be done: the next frame leaves, or the sender rests. `None`: nothing, before something comes.
    pub fn due(&self) -> Option<Instant> {
        match (self.is_dry(), self.rests) {
            (false, _) => Some(self.due),
            (true, false) => Some(self.due + RESTS),
            (true, true) => None,
        }
    }

    /// The frame that leaves now, if one does.
    pub fn take(&mut self, now: Instant) -> Option<Paced> {
        while !self.is_dry() && now >= self.due {
            let payload: Vec<u8> = self.waiting.drain(..self.frame).collect();
            while self.finished.front().is_some_and(|silence| silence.end <= self.gone) {
                self.finished.pop_front();
            }
            let may_go = !self.finished.front().is_some_and(|silence| silence.contains(&self.gone));
            self.gone += self.frame as u64;
            if may_go && self.waits() >= MUCH && !self.left_out && self.is_silent(&payload) {
                self.left_out = true;
                continue;
            }
            self.left_out = false;
            self.due += PERIOD;
            return Some(Paced { payload, after_ms: std::mem::take(&mut self.after_ms) });
        }
        None
    }

    /// Whether the sender has begun to rest; said once.
    pub fn begins_to_rest(&mut self, now: Instant) -> bool {
        let begins = self.is_dry() && !self.rests && now >= self.due + RESTS;
        self.rests |= begins;
        begins
    }

    fn is_dry(&self) -> bool {
        self.waiting.len() < self.frame
    }

    fn waits(&self) -> Duration {
        self.lasts(self.waiting.len())
    }

    fn lasts(&self, bytes: usize) -> Duration {
        Duration::from_millis((bytes / self.frame) as u64 * u64::from(FRAME_MS))
    }

    fn is_silent(&mut self, payload: &[u8]) -> bool {
        self.samples.clear();
        self.decoder.decode(payload, &mut self.samples);
        let sum: i64 = self.samples.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
        sum / self.samples.len().max(1) as i64 <= SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{L16, PCMU, leg::now};

    /// What leaves within so many milliseconds, and when.
    fn within(pacer: &mut Pacer, start: Instant, from_ms: u64, to_ms: u64) -> Vec<(u64, Paced)> {
        let mut left = Vec::new();
        for ms in from_ms..to_ms {
            while let Some(paced) = pacer.take(start + Duration::from_millis(ms)) {
                left.push((ms, paced));
            }
        }
        left
    }

    #[test]
    fn a_long_piece_leaves_at_the_pace_of_the_clock() {
        let start = now();
        let mut pacer = Pacer::new(&L16, start);
        pacer.push(&[1; 640 * 10 + 100], start);
        let left = within(&mut pacer, start, 0, 1_000);
        assert_eq!(left.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), [0, 20, 40, 60, 80, 100, 120, 140, 160, 180]);
        assert!(left.iter().all(|(_, paced)| paced.payload == [1; 640] && paced.after_ms == 0));
        // The rest of a frame waits for what follows, and time has passed before that.
        pacer.push(&[1; 540], start + Duration::from_millis(1_000));
        let left = within(&mut pacer, start, 1_000, 1_100);
        assert_eq!((left.len(), left[0].1.after_ms), (1, 800));
    }

    #[test]
    fn a_piece_that_is_a_little_late_makes_no_gap_and_what_follows_is_not_late() {
        let start = now();
        let mut pacer = Pacer::new(&PCMU, start);
        let at = |ms| start + Duration::from_millis(ms);
        pacer.push(&[1; 160], at(0));
        assert_eq!(within(&mut pacer, start, 0, 50).len(), 1);
        pacer.push(&[1; 320], at(50));
        let left = within(&mut pacer, start, 50, 200);
        assert_eq!(left.iter().map(|(ms, paced)| (*ms, paced.after_ms)).collect::<Vec<_>>(), [(50, 0), (50, 0)]);
    }

    #[test]
    fn a_sender_that_pauses_rests_once() {
        let start = now();
        let mut pacer = Pacer::new(&L16, start);
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pacer.due(), Some(at(400)));
        assert!(!pacer.begins_to_rest(at(399)) && pacer.begins_to_rest(at(400)) && !pacer.begins_to_rest(at(900)));
        assert_eq!(pacer.due(), None);
        pacer.push(&[0; 640], at(1_000));
        assert_eq!(pacer.due(), Some(at(1_000)));
        assert!(pacer.take(at(1_000)).is_some() && pacer.begins_to_rest(at(1_420)));
    }

    #[test]
    fn silence_that_piles_up_is_heard_at_twice_its_pace_and_speech_as_it_is() {
        let start = now();
        let count = |value: u8| {
            let mut pacer = Pacer::new(&L16, start);
            pacer.push(&vec![value; 640 * 100], start);
            assert!(pacer.is_full());
            within(&mut pacer, start, 0, 10_000).len()
        };
        assert_eq!(count(20), 100, "each of them is heard");
        let silent = count(0);
        assert!((60..=65).contains(&silent), "{silent}: until half a second waits");
    }

    #[test]
    fn whoever_has_finished_is_silent_for_a_while() {
        let start = now();
        let mut pacer = Pacer::new(&PCMU, start);
        pacer.push(&[1; 100], start);
        pacer.finish(Duration::from_millis(100), start);
        pacer.push(&[1; 160], start);
        let left = within(&mut pacer, start, 0, 1_000);
        assert_eq!(left.len(), 7);
        assert_eq!((left[0].1.payload[99], left[0].1.payload[100]), (1, 0xff));
        assert!(left[1..6].iter().all(|(_, paced)| paced.payload == [0xff; 160]) && left[6].1.payload == [1; 160]);
        let begun = start + Duration::from_secs(1);
        pacer.finish(Duration::from_millis(1_700), begun);
        pacer.push(&[0xff; 160 * 50], begun);
        let left = within(&mut pacer, start, 1_000, 6_000).len();
        assert!((85 + 30..85 + 45).contains(&left), "{left}: the first 85 whole, though much waits");
    }

    #[test]
    fn whoever_finishes_twice_is_silent_twice_and_no_longer_than_is_needed() {
        let start = now();
        let pacer = || {
            let mut pacer = Pacer::new(&PCMU, start);
            for _ in 0..2 {
                pacer.push(&[1; 160], start);
                pacer.finish(Duration::from_millis(1_000), start);
            }
            pacer
        };
        assert_eq!(within(&mut pacer(), start, 0, 5_000).len(), 2 * 51, "neither silence is thinned out");
        assert!(!pacer().is_full(), "what the sender says next is taken");
        let mut pacer = pacer();
        assert_eq!(within(&mut pacer, start, 0, 300).len(), 15);
        pacer.heard_out();
        let next = within(&mut pacer, start, 300, 5_000);
        assert_eq!((next.len(), &next[0].1.payload[..]), (51, &[1; 160][..]));
        pacer.heard_out();
    }
}
