//! Does the clock tick when the peer's packets come? Then each of them is now in time and now too late.
//!
//! The clock ticks every 20 ms and the peer's packets come every 20 ms, each by a clock of its own. Where in the tick they
//! come is chance, and drifts. A packet that comes well before the tick that wants it is safe; one that comes right
//! at the tick is safe only by luck. So when most packets come there, the tick moves by about half a period. That is all
//! the arrivals ever do to the clock, and it is at most 14 ms in two seconds.

use std::time::Duration;

/// A packet that comes less than this before a tick may miss it.
const CLOSE: Duration = Duration::from_millis(4);
/// One that comes more than this before a tick comes just after the one before, and may hit it.
const FAR: Duration = Duration::from_millis(18);
/// Packets looked at before the first verdict, and before each later one.
const FIRST: u32 = 5;
const LATER: u32 = 100;

/// Watches where in the tick packets come.
#[derive(Debug)]
pub(crate) struct Phase {
    shift: Duration,
    wanted: u32,
    seen: u32,
    unsafe_ones: u32,
}

impl Phase {
    /// `random` makes two legs that talk to each other move by different amounts, lest they chase each other.
    pub(crate) fn new(random: u64) -> Self {
        let shift = Duration::from_millis(6) + Duration::from_micros(random % 8001);
        Self { shift, wanted: FIRST, seen: 0, unsafe_ones: 0 }
    }

    /// A packet came this long before the next tick. By how much should the clock tick later from now on?
    pub(crate) fn packet(&mut self, before_tick: Duration) -> Option<Duration> {
        self.seen += 1;
        self.unsafe_ones += u32::from(before_tick < CLOSE || before_tick > FAR);
        if self.seen < self.wanted {
            return None;
        }
        let move_on = self.unsafe_ones * 2 > self.seen;
        (self.seen, self.unsafe_ones, self.wanted) = (0, 0, LATER);
        move_on.then_some(self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the clock moves while 205 packets come this many milliseconds before the tick.
    fn moves(before_tick: impl Fn(u64) -> u64) -> usize {
        let mut phase = Phase::new(0);
        (0..205).filter(|&packet| phase.packet(Duration::from_millis(before_tick(packet))).is_some()).count()
    }

    #[test]
    fn packets_in_mid_tick_leave_the_clock_alone() {
        assert_eq!(moves(|_| 10), 0);
        assert_eq!(moves(|packet| packet * 7 % 20), 0, "jitter all over the tick");
    }

    #[test]
    fn packets_at_the_tick_move_it() {
        assert_eq!(moves(|_| 1), 3);
        assert_eq!(moves(|packet| if packet % 2 == 0 { 1 } else { 19 }), 3);
    }

    #[test]
    fn two_legs_seldom_move_alike() {
        assert_ne!(Phase::new(1_000).shift, Phase::new(9_001 + 4_000).shift);
        assert!((0..20_000).all(|random| (6..=14).contains(&Phase::new(random).shift.as_millis())));
    }
}
