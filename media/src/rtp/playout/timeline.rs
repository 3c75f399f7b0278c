//! The sender's timeline, sample by sample: packets, what stands for lost ones, and the time that was left out.

use std::time::Instant;

use super::{Invented, LOSS_WINDOW, Origin, Pace, Playout, RESTART_MS, State};
use crate::rtp::jitter_buffer::Kind;

/// A gap of the timeline that is filled, in milliseconds; a longer one is a new beginning.
const FILL_MS: usize = 500;

impl Playout {
    /// Appends `count` samples, true ones as far as there are any.
    pub(super) fn fill(&mut self, count: usize, now: Instant, out: &mut Vec<i16>) -> Invented {
        let end = out.len() + count;
        let mut invented = Invented::Nothing;
        while out.len() < end {
            let wanted = end - out.len();
            let more = match self.state {
                _ if self.taken < self.decoded.len() => self.take(wanted, out),
                State::Playing => self.go_on(wanted, out),
                State::Collecting { stood, .. } => {
                    if self.goes_on(now) {
                        Invented::Nothing
                    } else {
                        self.stand(stood, wanted, out)
                    }
                }
            };
            invented = invented.max(more);
        }
        invented
    }

    /// Appends samples that wait, `wanted` at most.
    fn take(&mut self, wanted: usize, out: &mut Vec<i16>) -> Invented {
        let upto = self.decoded.len().min(self.taken + wanted);
        let samples = &mut self.decoded[self.taken..upto];
        let count = samples.len();
        match self.origin {
            Origin::Packet | Origin::Recovered => self.concealer.hear(samples),
            Origin::Gap | Origin::Pause | Origin::Stand => self.concealer.remember(samples),
        }
        out.extend_from_slice(samples);
        self.taken = upto;
        if self.origin == Origin::Stand {
            self.stood(count);
            return Invented::Unsure;
        }
        self.cursor += count as i64;
        self.fed |= self.origin == Origin::Packet;
        if self.origin == Origin::Gap { Invented::Lost } else { Invented::Nothing }
    }

    /// The first packet that waits has its turn, or the gap before it.
    fn go_on(&mut self, wanted: usize, out: &mut Vec<i16>) -> Invented {
        let (Some(first), Some(missing)) = (self.buffer.first(), self.buffer.missing()) else {
            self.state = State::Collecting { stood: 0, waited: 0 };
            return Invented::Nothing;
        };
        if first.kind != Kind::Audio {
            self.pass_silence();
            self.state = State::Collecting { stood: 0, waited: 0 };
            return Invented::Nothing;
        }
        let gap = first.place - self.cursor;
        if gap < 0 && first.number < self.filled {
            // It comes while its place is being filled.
            self.counts.late += 1;
            self.counts.lost += missing as u64 + 1;
            self.buffer.pass_first();
            return Invented::Nothing;
        }
        if (1..=self.longest_gap()).contains(&gap) {
            return if missing == 0 {
                self.pause(gap as usize, wanted, out)
            } else {
                self.bridge(gap as usize, wanted, out)
            };
        }
        self.decoded.clear();
        self.taken = 0;
        self.decoder.decode(&first.payload, &mut self.decoded);
        self.origin = Origin::Packet;
        self.cursor = first.place;
        self.last_arrived = self.last_arrived.max(first.arrived);
        self.counts.lost += missing as u64;
        self.losing = 1.0 - (1.0 - self.losing) * (1.0 - 1.0 / LOSS_WINDOW).powi(missing.min(10) as i32);
        self.losing -= self.losing / LOSS_WINDOW;
        self.noise.ebb();
        self.buffer.pass_first();
        Invented::Nothing
    }

    /// Packets are lost, up to the first that waits. That one may repeat what the last of them said.
    fn bridge(&mut self, gap: usize, wanted: usize, out: &mut Vec<i16>) -> Invented {
        let Some(first) = self.buffer.first() else { return Invented::Nothing };
        self.filled = first.number;
        self.decoded.clear();
        self.taken = 0;
        let repeated = gap <= self.packet && self.decoder.recover(&first.payload, self.packet, &mut self.decoded);
        if repeated && !self.decoded.is_empty() {
            // What was concealed of it already is over.
            self.taken = self.decoded.len().saturating_sub(gap);
            self.origin = Origin::Recovered;
            self.counts.recovered += 1;
            return Invented::Nothing;
        }
        let before_last = if gap > self.packet { gap - self.packet } else { gap };
        if self.invent_by_codec(before_last.min(self.packet), Origin::Gap) {
            return Invented::Nothing;
        }
        let count = wanted.min(gap);
        self.cursor += count as i64;
        if self.concealer.invent(count, out) { Invented::Lost } else { Invented::Nothing }
    }

    /// No packet is missing, and yet time is: the sender left it out.
    fn pause(&mut self, gap: usize, wanted: usize, out: &mut Vec<i16>) -> Invented {
        if !self.concealer.is_silent() && self.invent_by_codec(gap.min(self.packet), Origin::Pause) {
            return Invented::Nothing;
        }
        let count = wanted.min(gap);
        self.cursor += count as i64;
        self.concealer.fall_silent();
        self.concealer.invent(count, out);
        Invented::Nothing
    }

    /// Nothing waits, or not yet enough.
    fn stand(&mut self, stood: usize, wanted: usize, out: &mut Vec<i16>) -> Invented {
        if stood >= FILL_MS * self.millisecond() {
            self.concealer.fall_silent();
        }
        if !self.concealer.is_silent() && self.invent_by_codec(wanted, Origin::Stand) {
            return Invented::Nothing;
        }
        self.stood(wanted);
        if self.concealer.invent(wanted, out) { Invented::Unsure } else { Invented::Nothing }
    }

    fn stood(&mut self, count: usize) {
        let waits = self.buffer.missing().is_some();
        if let State::Collecting { stood, waited } = &mut self.state {
            *stood += count;
            *waited += if waits { count } else { 0 };
        }
    }

    /// The codec's own concealment, if it has one: of `count` samples, which then wait. Codecs conceal in steps of 2.5 ms.
    fn invent_by_codec(&mut self, count: usize, origin: Origin) -> bool {
        self.decoded.clear();
        self.taken = 0;
        let step = 5 * self.millisecond() / 2;
        if !self.decoder.conceal(count.next_multiple_of(step), &mut self.decoded) {
            return false;
        }
        self.decoded.truncate(count);
        self.origin = origin;
        !self.decoded.is_empty()
    }

    /// While playout stands still: may it go on? Then it does.
    fn goes_on(&mut self, now: Instant) -> bool {
        let State::Collecting { stood, waited } = self.state else { return true };
        let (Some(first), Some(missing)) = (self.buffer.first(), self.buffer.missing()) else { return false };
        if first.kind != Kind::Audio {
            self.pass_silence();
            return true;
        }
        let gap = first.place - self.cursor;
        let anew = stood >= RESTART_MS * self.millisecond() || !(1..=self.longest_gap()).contains(&gap);
        let start = if anew { first.place } else { first.place.min(self.cursor + stood as i64) };
        if !self.delay.ready(start, Pace { packet: self.packet, left: 0 }, now) && waited < self.ceiling {
            return false;
        }
        if missing > 0 || gap <= 0 {
            self.counts.concealed += self.unsure;
        }
        self.unsure = 0;
        self.cursor = start;
        self.state = State::Playing;
        true
    }

    /// An event or comfort noise has its turn: no audio until the timestamps say so.
    fn pass_silence(&mut self) {
        let (Some(first), Some(missing)) = (self.buffer.first(), self.buffer.missing()) else { return };
        if first.kind == Kind::Noise {
            self.noise.announce(&first.payload);
        }
        self.counts.lost += missing as u64;
        self.buffer.pass_first();
        self.concealer.fall_silent();
    }

    fn longest_gap(&self) -> i64 {
        (FILL_MS * self.millisecond()) as i64
    }
}
