//! RFC 4733 telephone-events in: each press gives one digit.
//!
//! A digit is given at the first sight of its timestamp, which every packet of one press shares: so a lost marker, a lost
//! start, lost ends and doubled packets change nothing, and a menu answers while the key is still down. Waiting for the
//! end bit would be later by the length of the press, and would need a time-out when all three ends are lost.

/// RTP time in which an event with an older timestamp is a straggler (2 s at 8 kHz).
const STRAGGLER: i32 = 16_000;

/// The events of one stream.
#[derive(Debug, Default)]
pub(super) struct Digits {
    last: Option<Press>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    timestamp: u32,
    duration: u16,
    ended: bool,
}

impl Digits {
    /// The digit, when this packet is the first of its press.
    pub(super) fn accept(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let &[event, flags, high, low, ..] = payload else { return None };
        let digit = match event {
            digit @ 0..=9 => char::from(b'0' + digit),
            10 => '*',
            11 => '#',
            letter @ 12..=15 => char::from(b'A' + letter - 12),
            _ => return None,
        };
        let press = Press { event, timestamp, duration: u16::from_be_bytes([high, low]), ended: flags & 0x80 != 0 };
        let Some(last) = &mut self.last else {
            self.last = Some(press);
            return Some(digit);
        };
        let age = timestamp.wrapping_sub(last.timestamp) as i32;
        if age == 0 && event == last.event {
            last.duration = last.duration.max(press.duration);
            last.ended |= press.ended;
            return None;
        }
        if (-STRAGGLER..0).contains(&age) {
            return None;
        }
        // RFC 4733 section 2.5.1.3: a press longer than the duration field goes on in a segment of its own, which begins
        // where the last one stopped and was not ended. Senders that restart the timestamp in every packet look the same.
        let goes_on = event == last.event && !last.ended && age > 0 && age <= i32::from(last.duration);
        self.last = Some(press);
        (!goes_on).then_some(digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(event: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, u8::from(end) << 7 | 10, high, low]
    }

    /// What is heard of packets (event, timestamp, end, duration).
    fn heard(packets: &[(u8, u32, bool, u16)]) -> String {
        let mut digits = Digits::default();
        packets.iter().filter_map(|&(event, time, end, long)| digits.accept(time, &packet(event, end, long))).collect()
    }

    #[test]
    fn one_press_is_one_digit_however_many_packets_it_has() {
        let whole = [(5, 800, false, 160), (5, 800, false, 320), (5, 800, true, 480), (5, 800, true, 480)];
        assert_eq!(heard(&whole), "5");
        assert_eq!(heard(&whole[2..]), "5", "the start is lost");
        assert_eq!(heard(&whole[..1]), "5", "the ends are lost");
    }

    #[test]
    fn the_same_key_twice_is_two_digits_even_when_all_ends_are_lost() {
        assert_eq!(heard(&[(1, 800, false, 160), (1, 800, false, 480), (1, 1680, false, 160)]), "11");
    }

    #[test]
    fn every_key_has_its_character_and_a_hook_flash_none() {
        let all: Vec<_> = (0..17).map(|event| (event, u32::from(event) * 2000, true, 480)).collect();
        assert_eq!(heard(&all), "0123456789*#ABCD");
    }

    #[test]
    fn stragglers_of_the_key_before_are_not_pressed_again() {
        assert_eq!(
            heard(&[(1, 800, false, 160), (2, 2400, false, 160), (1, 800, true, 480), (2, 2400, true, 320)]),
            "12"
        );
    }

    #[test]
    fn a_long_press_in_segments_is_one_digit() {
        assert_eq!(heard(&[(9, 0, false, 65_535), (9, 65_535, false, 800), (9, 65_535, true, 1600)]), "9");
    }

    #[test]
    fn timestamps_may_wrap_and_short_payloads_say_nothing() {
        assert_eq!(heard(&[(3, u32::MAX - 100, true, 480), (4, 2000, true, 480)]), "34");
        assert_eq!(Digits::default().accept(0, &[1, 2, 3]), None);
    }
}
