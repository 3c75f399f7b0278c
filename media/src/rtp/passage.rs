//! Another stream on the numbers of ours: what the peer of a joined leg sent, as our own peer gets it.
//!
//! A hole in that stream stays a hole, so that our peer sees what was lost before us. What was not for our peer leaves none:
//! a peer that gets every packet we have for it must not count any as lost.

use std::collections::VecDeque;

/// No packet comes later than so many behind the newest: [`super::sequence`] takes it for another stream's.
const LATEST: i64 = 128;

/// Which packet of which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ordinal {
    /// Streams are counted: another SSRC, or other numbers of the same.
    pub(crate) stream: u32,
    /// Its sequence number, counted on past 65535.
    pub(crate) number: i64,
}

/// How one stream is moved onto our numbers.
#[derive(Debug)]
pub(super) struct Passage {
    stream: u32,
    first: i64,
    newest: i64,
    /// What is added to numbers and timestamps.
    sequence: i64,
    timestamp: u32,
    /// The last numbers that were left out, in order: whatever lies behind them closes up.
    left_out: VecDeque<i64>,
}

impl Passage {
    /// A stream whose packet with this ordinal and timestamp has these numbers of ours.
    pub(super) fn new(begins: Ordinal, timestamp: u32, (our_sequence, our_timestamp): (u16, u32)) -> Self {
        let Ordinal { stream, number } = begins;
        Self {
            stream,
            first: number,
            newest: number,
            sequence: i64::from(our_sequence) - number,
            timestamp: our_timestamp.wrapping_sub(timestamp),
            left_out: VecDeque::new(),
        }
    }

    /// Is this packet one of this stream?
    pub(super) fn is_of(&self, ordinal: Ordinal) -> bool {
        self.stream == ordinal.stream
    }

    /// Our sequence number and timestamp for this packet; `None` for one from before the first that passed, whose place has
    /// another packet of ours.
    pub(super) fn pass(&mut self, Ordinal { number, .. }: Ordinal, timestamp: u32) -> Option<(u16, u32)> {
        if number < self.first {
            return None;
        }
        self.newest = self.newest.max(number);
        let closed = self.left_out.partition_point(|&left_out| left_out < number) as i64;
        Some(((number + self.sequence - closed) as u16, timestamp.wrapping_add(self.timestamp)))
    }

    /// This packet does not pass. One that comes after a later one has passed leaves its hole: the numbers are given.
    pub(super) fn leave_out(&mut self, Ordinal { number, .. }: Ordinal) {
        if number <= self.newest {
            return;
        }
        self.newest = number;
        self.left_out.push_back(number);
        while self.left_out.pop_front_if(|oldest| *oldest <= number - LATEST).is_some() {
            self.sequence -= 1;
        }
    }
}

/// Counts the durations of a telephone-event's payload (RFC 4733 section 2.3) on a clock of `to` Hz instead of `from`. What
/// the field cannot hold is as long as it can.
pub(crate) fn rescale(payload: &mut [u8], from: u32, to: u32) {
    for event in payload.as_chunks_mut::<4>().0 {
        let duration = u64::from(u16::from_be_bytes([event[2], event[3]])) * u64::from(to) / u64::from(from.max(1));
        [event[2], event[3]] = u16::try_from(duration).unwrap_or(u16::MAX).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i64) -> Ordinal {
        Ordinal { stream: 7, number }
    }

    fn sequence(passage: &mut Passage, number: i64) -> Option<u16> {
        passage.pass(at(number), 0).map(|(sequence, _)| sequence)
    }

    #[test]
    fn what_is_lost_leaves_a_hole_and_what_is_left_out_none() {
        let mut passage = Passage::new(at(100), 1000, (65_534, 50));
        assert_eq!(passage.pass(at(100), 1000), Some((65_534, 50)));
        assert_eq!(sequence(&mut passage, 102), Some(0), "101 is lost");
        passage.leave_out(at(103));
        passage.leave_out(at(104));
        assert_eq!(sequence(&mut passage, 105), Some(1));
        assert_eq!(sequence(&mut passage, 101), Some(65_535), "it was only late");
        passage.leave_out(at(106));
        assert_eq!(sequence(&mut passage, 108), Some(3), "and 107 is lost");
        passage.leave_out(at(107));
        assert_eq!(sequence(&mut passage, 109), Some(4), "too late to close up");
        assert_eq!(sequence(&mut passage, 99), None, "from before the first");
    }

    #[test]
    fn what_was_left_out_long_ago_is_remembered_as_a_number() {
        let mut passage = Passage::new(at(0), 0, (0, 0));
        for number in 1..10_000 {
            if number % 2 == 1 {
                passage.leave_out(at(number));
            } else {
                assert_eq!(sequence(&mut passage, number), Some((number / 2) as u16));
            }
        }
        assert!(passage.left_out.len() <= LATEST as usize / 2 + 1, "{}", passage.left_out.len());
    }

    #[test]
    fn durations_follow_the_clock() {
        let mut payload = [5, 0x8a, 0x03, 0x20, 6, 10, 0xff, 0xff, 9];
        rescale(&mut payload, 8_000, 48_000);
        assert_eq!(payload, [5, 0x8a, 0x12, 0xc0, 6, 10, 0xff, 0xff, 9], "800 is 4800, and more than fits is the most");
        rescale(&mut payload, 48_000, 8_000);
        assert_eq!(payload[..4], [5, 0x8a, 0x03, 0x20]);
    }
}
