//! How much loss our encoder should expect. Nobody but the peer knows what is lost on the way to it; where it does not
//! report (RTCP), the way to us is the best guess.

/// Ticks of 20 ms over which loss is measured: 5 s.
const WINDOW: u32 = 250;

/// Watches the stream that comes in.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    ticks: u32,
    /// Packets received and lost when this window began.
    before: (u64, u64),
    /// The figure of the window before, in percent.
    last: u8,
}

impl Loss {
    /// 20 ms have passed, and this is what was received and lost since the beginning. Now and then, gives the percentage to
    /// expect: the larger one of the last two windows, so that one quiet one takes no protection away.
    pub(crate) fn tick(&mut self, received: u64, lost: u64) -> Option<u8> {
        self.ticks += 1;
        if self.ticks < WINDOW {
            return None;
        }
        let (received_now, lost_now) = (received - self.before.0, lost - self.before.1);
        let percent = (100 * lost_now).div_ceil((received_now + lost_now).max(1)).min(100) as u8;
        let expected = percent.max(self.last);
        *self = Self { ticks: 0, before: (received, lost), last: percent };
        Some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_expected_as_long_as_it_was_seen_in_the_last_two_windows() {
        let mut loss = Loss::default();
        let mut told = Vec::new();
        for tick in 1..=4 * u64::from(WINDOW) {
            // Each tenth packet of the first window is lost.
            let lost = tick.min(u64::from(WINDOW)) / 10;
            told.extend(loss.tick(tick - lost, lost));
        }
        assert_eq!(told, [10, 10, 0, 0]);
    }

    #[test]
    fn nothing_received_is_nothing_to_expect() {
        let mut loss = Loss::default();
        assert_eq!((0..WINDOW).filter_map(|_| loss.tick(0, 0)).collect::<Vec<_>>(), [0]);
    }
}
