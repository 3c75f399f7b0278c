//! Which packet is it: the 48-bit index of RFC 3711 section 3.3.1, and whether it came before (section 3.3.2).

/// Packets behind the newest that may still come; one older is taken for a replay. 128 are 2.5 s of 20 ms packets.
const WINDOW: u64 = 128;

/// The indexes of one SSRC's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indexes {
    pub(super) ssrc: u32,
    /// The highest index that was used.
    highest: u64,
    /// Bit n: `highest` − n was used.
    used: u128,
}

impl Indexes {
    /// A source whose first packet has this index.
    pub(super) fn new(ssrc: u32, first: u64) -> Self {
        Self { ssrc, highest: first, used: 1 }
    }

    /// How often the sequence number has begun anew.
    pub(super) fn rollovers(&self) -> u32 {
        (self.highest >> 16) as u32
    }

    /// The index nearest to the highest that ends in this sequence number.
    pub(super) fn of(&self, sequence: u16) -> u64 {
        let near = (self.highest & !0xffff) | u64::from(sequence);
        let (ahead, behind) = (near.wrapping_sub(self.highest) as i64, 0x8000);
        if ahead > behind && near >= 0x1_0000 {
            near - 0x1_0000
        } else if ahead < -behind {
            (near + 0x1_0000) & 0xffff_ffff_ffff
        } else {
            near
        }
    }

    /// Neither used nor too old.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < WINDOW && self.used >> age & 1 == 0,
        }
    }

    /// This index is used now. Only to be said of packets whose tag was right.
    pub(super) fn use_up(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            None | Some(0) => {
                let age = self.highest - index;
                if age < WINDOW {
                    self.used |= 1 << age;
                }
            }
            Some(newer) => {
                self.used = if newer < WINDOW { self.used << newer | 1 } else { 1 };
                self.highest = index;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_goes_on_across_the_wrap_with_loss_and_reordering() {
        let mut indexes = Indexes::new(1, 0xfff0);
        for (sequence, index) in [
            (0xfffd_u16, 0xfffd_u64),
            (0x0002, 0x1_0002),
            (0xfffe, 0xfffe),
            (0x0000, 0x1_0000),
            (0x7000, 0x1_7000),
            (0xefff, 0x1_efff),
            (0x3000, 0x2_3000),
            (0xffff, 0x1_ffff),
        ] {
            assert_eq!(indexes.of(sequence), index, "{sequence:#x}");
            indexes.use_up(index);
        }
        assert_eq!(indexes.rollovers(), 2);
    }

    #[test]
    fn nothing_lies_before_the_first_rollover() {
        assert_eq!(Indexes::new(1, 3).of(0xfff0), 0xfff0);
    }

    #[test]
    fn every_index_is_good_once_and_only_within_the_window() {
        let mut indexes = Indexes::new(1, 1000);
        assert!(!indexes.is_fresh(1000));
        for index in [1001, 1003, 1002] {
            assert!(indexes.is_fresh(index));
            indexes.use_up(index);
            assert!(!indexes.is_fresh(index));
        }
        assert!(indexes.is_fresh(999) && indexes.is_fresh(1003 - 127) && !indexes.is_fresh(1003 - 128));
        indexes.use_up(5000);
        assert!(!indexes.is_fresh(1003) && !indexes.is_fresh(5000) && indexes.is_fresh(4999));
        indexes.use_up(5127);
        assert!(!indexes.is_fresh(5000) && indexes.is_fresh(5001));
    }
}
