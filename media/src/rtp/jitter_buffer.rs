//! Packets that wait for their turn, by number: 128 places that are filled again and again without allocating.

use std::time::Instant;

/// Places; at 10 ms a packet 1.28 s, more than the highest ceiling.
const PLACES: i64 = 128;

/// What a packet brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Audio of the codec.
    Audio,
    /// Comfort noise (RFC 3389).
    Noise,
    /// A telephone-event: no audio, and it was looked at when it came.
    Event,
}

/// One packet that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) number: i64,
    pub(super) kind: Kind,
    /// Where its first sample lies on the stream's timeline.
    pub(super) place: i64,
    pub(super) arrived: Option<Instant>,
    /// What to decode.
    pub(super) payload: Vec<u8>,
}

/// The packets of one stream that came and were not played.
#[derive(Debug)]
pub(super) struct JitterBuffer {
    places: Vec<Waiting>,
    /// The next number to play.
    next: i64,
    /// The number after the newest that waits; `next` when none does.
    end: i64,
}

impl JitterBuffer {
    pub(super) fn new() -> Self {
        let empty = || Waiting { number: -1, kind: Kind::Event, place: 0, arrived: None, payload: Vec::new() };
        Self { places: std::iter::repeat_with(empty).take(PLACES as usize).collect(), next: 0, end: 0 }
    }

    /// Forgets everything; the next to play is this number.
    pub(super) fn restart(&mut self, number: i64) {
        for place in &mut self.places {
            place.number = -1;
        }
        self.next = number;
        self.end = number;
    }

    /// Puts a packet in its place; `None` when its turn is over. One that lies further ahead than there are places makes
    /// the stream start anew with it, and says how many were given up for it.
    pub(super) fn put(&mut self, number: i64, kind: Kind, place: i64, payload: &[u8], now: Instant) -> Option<u64> {
        let ahead = u64::try_from(number - self.next).ok()?;
        let given_up = if ahead < PLACES as u64 { 0 } else { ahead };
        if given_up > 0 {
            self.restart(number);
        }
        let waiting = &mut self.places[(number % PLACES) as usize];
        (waiting.number, waiting.kind, waiting.place, waiting.arrived) = (number, kind, place, Some(now));
        waiting.payload.clear();
        waiting.payload.extend_from_slice(payload);
        self.end = self.end.max(number + 1);
        Some(given_up)
    }

    /// How many numbers are missing before the first packet that waits.
    pub(super) fn missing(&self) -> Option<i64> {
        (self.next..self.end).find(|&number| self.at(number).number == number).map(|first| first - self.next)
    }

    /// Packets from the first that waits to the newest, with the holes between.
    pub(super) fn span(&self) -> i64 {
        self.missing().map_or(0, |missing| self.end - self.next - missing)
    }

    /// The first packet that waits.
    pub(super) fn first(&self) -> Option<&Waiting> {
        self.missing().map(|missing| self.at(self.next + missing))
    }

    /// Does audio wait in the next `count` places, without a hole?
    pub(super) fn is_whole(&self, count: i64) -> bool {
        (self.next..self.next + count).all(|number| {
            let waiting = self.at(number);
            waiting.number == number && waiting.kind == Kind::Audio
        })
    }

    /// Its turn has come: everything up to and with it is over.
    pub(super) fn pass_first(&mut self) {
        if let Some(missing) = self.missing() {
            self.next += missing + 1;
        }
    }

    fn at(&self, number: i64) -> &Waiting {
        &self.places[(number % PLACES) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::now;

    fn put(buffer: &mut JitterBuffer, number: i64) -> Option<u64> {
        buffer.put(number, Kind::Audio, number * 160, &[0xff; 160], now())
    }

    #[test]
    fn gives_packets_in_order_and_counts_holes() {
        let mut buffer = JitterBuffer::new();
        buffer.restart(10);
        for number in [11, 10, 13] {
            assert_eq!(put(&mut buffer, number), Some(0));
        }
        assert_eq!((buffer.missing(), buffer.span()), (Some(0), 4));
        assert!(buffer.is_whole(2) && !buffer.is_whole(3));
        buffer.pass_first();
        buffer.pass_first();
        assert_eq!((buffer.missing(), buffer.span()), (Some(1), 1));
        assert_eq!(buffer.first().map(|first| first.place), Some(13 * 160));
        buffer.pass_first();
        assert_eq!(put(&mut buffer, 12), None, "its turn is over");
        assert_eq!((buffer.missing(), buffer.span()), (None, 0));
    }

    #[test]
    fn a_packet_too_far_ahead_starts_anew() {
        let mut buffer = JitterBuffer::new();
        buffer.restart(10);
        put(&mut buffer, 10);
        assert_eq!(put(&mut buffer, 10 + PLACES), Some(PLACES as u64));
        assert_eq!((buffer.missing(), buffer.span()), (Some(0), 1));
        assert_eq!(buffer.first().map(|first| first.place), Some((10 + PLACES) * 160));
    }
}
