//! Which packet of a stream is this? Sequence numbers without their wrap, duplicates, and restarts (RFC 3550 A.1).

/// A forward jump of more than this many packets is a restart unless a second packet confirms it (RFC 3550 A.1).
const MAX_DROPOUT: i64 = 3000;
/// A backward jump of up to this many packets is reordering (RFC 3550 A.1); also how far duplicates are known.
const MAX_MISORDER: i64 = 100;

/// One SSRC's sequence numbers.
#[derive(Debug)]
pub(super) struct Sequence {
    ssrc: u32,
    newest: i64,
    /// Bit `n`: packet `newest - n` was seen.
    seen: u128,
}

/// What a sequence number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The packet with this number, counted on past 65535, is new.
    New(i64),
    /// It came before.
    Duplicate,
    /// Another SSRC, or a jump too far to be loss: a new stream, if the next packet confirms it.
    Elsewhere,
}

impl Sequence {
    /// A stream that begins with this packet.
    pub(super) fn starting(ssrc: u32, sequence: u16) -> Self {
        // One wrap in front, so that packets reordered before the first stay positive.
        Self { ssrc, newest: i64::from(sequence) + 0x1_0000, seen: 1 }
    }

    /// The number of the newest packet.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// Places a packet and remembers it.
    pub(super) fn place(&mut self, ssrc: u32, sequence: u16) -> Place {
        if ssrc != self.ssrc {
            return Place::Elsewhere;
        }
        let ahead = i64::from(sequence.wrapping_sub(self.newest as u16) as i16);
        if ahead > 0 {
            if ahead > MAX_DROPOUT {
                return Place::Elsewhere;
            }
            self.newest += ahead;
            self.seen = if ahead < 128 { self.seen << ahead | 1 } else { 1 };
            return Place::New(self.newest);
        }
        if ahead <= -MAX_MISORDER {
            return Place::Elsewhere;
        }
        let bit = 1u128 << -ahead;
        if self.seen & bit != 0 {
            return Place::Duplicate;
        }
        self.seen |= bit;
        Place::New(self.newest + ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_past_the_wrap() {
        let mut sequence = Sequence::starting(1, 65_534);
        let first = sequence.newest();
        assert_eq!(sequence.place(1, 65_535), Place::New(first + 1));
        assert_eq!(sequence.place(1, 1), Place::New(first + 3));
        assert_eq!(sequence.place(1, 0), Place::New(first + 2));
        assert_eq!(sequence.place(1, 0), Place::Duplicate);
        assert_eq!(sequence.place(1, 65_533), Place::New(first - 1));
    }

    #[test]
    fn far_jumps_and_other_sources_are_elsewhere() {
        let mut sequence = Sequence::starting(1, 10_000);
        assert_eq!(sequence.place(2, 10_001), Place::Elsewhere);
        assert_eq!(sequence.place(1, 13_001), Place::Elsewhere);
        assert_eq!(sequence.place(1, 9_900), Place::Elsewhere);
        assert!(matches!(sequence.place(1, 13_000), Place::New(_)));
    }
}
