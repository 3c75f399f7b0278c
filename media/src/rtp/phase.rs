//! Does the clock tick when the peer's packets come? Then each of them is now in time and now too late.
//!
//! The clock ticks every 20 ms and the peer's packets come every 20 ms, each by a clock of its own. Where in the tick they
//! come is chance, and drifts. A packet that comes well before the tick that takes it is safe; one that comes right
//! at a tick is safe only by luck. So when most packets come there, the tick moves by less than half a period: from where it
//! began to one side, or back again. That is all the arrivals ever do to the clock: it never runs at the pace of the peer's.
//!
//! Two legs that talk to each other find the same at the same time, and would move side by side for ever: so each moves
//! only when a coin says so, and looks again.

use std::time::Duration;

/// A packet that comes less than this before a tick may miss it.
const CLOSE: Duration = Duration::from_millis(4);
/// One that comes more than this before a tick comes just after the one before, and may hit that.
const FAR: Duration = Duration::from_millis(17);
/// The same once the phase was found good: what lies at the border must not be called now good, now bad.
const CLOSER: Duration = Duration::from_millis(2);
const FARTHER: Duration = Duration::from_millis(19);
/// Less than half a period, in microseconds: from either edge to well within, so that nothing comes as much as 10 ms later
/// than before.
const MOVE: i64 = 8_000;
/// Packets looked at before the next verdict, after a bad one (and at first) and after a good one.
const SOON: u32 = 5;
const LATER: u32 = 100;
/// Bad verdicts in a row after which it is no matter of phase.
const TRIES: u32 = 12;

/// Watches where in the tick packets come.
#[derive(Debug)]
pub(crate) struct Phase {
    coins: u64,
    wanted: u32,
    seen: u32,
    /// Packets that came close before a tick, and just after one.
    close_ones: u32,
    far_ones: u32,
    tries: u32,
    /// Where the tick lies, from where it began: later, there, or earlier.
    place: i64,
    /// The last verdict was good.
    good: bool,
}

impl Phase {
    /// The bits of `random` are the coins.
    pub(crate) fn new(random: u64) -> Self {
        Self { coins: random, wanted: SOON, seen: 0, close_ones: 0, far_ones: 0, tries: 0, place: 0, good: false }
    }

    /// A packet came this long before the next tick. By how many microseconds should the clock tick later, or, below zero,
    /// earlier from now on?
    pub(crate) fn packet(&mut self, before_tick: Duration) -> Option<i64> {
        self.seen += 1;
        let (close, far) = if self.good { (CLOSER, FARTHER) } else { (CLOSE, FAR) };
        self.close_ones += u32::from(before_tick < close);
        self.far_ones += u32::from(before_tick > far);
        if self.seen < self.wanted {
            return None;
        }
        let bad = (self.close_ones + self.far_ones) * 2 > self.seen;
        let is_close = self.close_ones > self.far_ones;
        self.tries = if bad { self.tries + 1 } else { 0 };
        self.good = !bad;
        let soon = bad && self.tries < TRIES;
        (self.seen, self.close_ones, self.far_ones) = (0, 0, 0);
        self.wanted = if soon { SOON } else { LATER };
        if !bad {
            return None;
        }
        self.coins = self.coins.rotate_right(1);
        if self.coins & 1 == 0 {
            return None;
        }
        // Away from the packets, and never further away than once.
        let moves = match self.place {
            0 if is_close => MOVE,
            0 => -MOVE,
            away => -away,
        };
        self.place += moves;
        Some(moves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the clock moves while 205 packets come this many milliseconds before the tick.
    fn moves(before_tick: impl Fn(u64) -> u64) -> usize {
        let mut phase = Phase::new(u64::MAX);
        (0..205).filter(|&packet| phase.packet(Duration::from_millis(before_tick(packet))).is_some()).count()
    }

    #[test]
    fn packets_in_mid_tick_leave_the_clock_alone() {
        assert_eq!(moves(|_| 10), 0);
        assert_eq!(moves(|packet| packet * 7 % 20), 0, "jitter all over the tick");
    }

    #[test]
    fn packets_at_the_tick_move_it_but_not_for_ever() {
        assert_eq!(moves(|packet| if packet < 5 { 1 } else { 9 }), 1);
        assert_eq!(moves(|packet| if packet % 2 == 0 { 1 } else { 19 }), 13);
    }

    #[test]
    fn it_moves_away_from_the_packets_and_back_and_never_on_and_on() {
        let places = |before_tick: u64| {
            let mut phase = Phase::new(u64::MAX);
            let moves = (0..500).filter_map(|_| phase.packet(Duration::from_millis(before_tick)));
            moves.take(4).collect::<Vec<_>>()
        };
        assert_eq!(places(1), [MOVE, -MOVE, MOVE, -MOVE]);
        assert_eq!(places(19), [-MOVE, MOVE, -MOVE, MOVE]);
    }

    #[test]
    fn a_phase_at_the_border_of_good_is_left_alone() {
        assert_eq!(moves(|packet| if packet < 5 { 4 } else { 3 }), 0);
        assert_eq!(moves(|packet| if packet < 5 { 17 } else { 18 }), 0);
        assert_eq!(moves(|packet| if packet < 105 { 5 } else { 1 }), 1, "one that drifts to the edge is not");
    }

    #[test]
    fn two_legs_that_tick_together_part() {
        let (mut here, mut there) = (Phase::new(0x9e37_79b9_7f4a_7c15), Phase::new(0xd1b5_4a32_d192_ed03));
        let (mut here_at, mut there_at) = (0u64, 0u64);
        for _ in 0..100 {
            let before = |own: u64, other: u64| Duration::from_millis((20 + own - other) % 20);
            let (first, second) = (here.packet(before(here_at, there_at)), there.packet(before(there_at, here_at)));
            here_at = (20 + here_at).saturating_add_signed(first.unwrap_or(0) / 1000) % 20;
            there_at = (20 + there_at).saturating_add_signed(second.unwrap_or(0) / 1000) % 20;
        }
        let apart = (20 + here_at - there_at) % 20;
        assert!((4..=16).contains(&apart), "{apart} ms");
    }
}
